/** Which compressed streams a delta unpacks: those that changed, when that pays. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { diffBuilds } from "../../cli/publish/build-diff.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { prose } from "../support/build-pairs.ts";
import { apart, packedAtRandom } from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { type Files, writeFiles } from "../support/studio.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-packed-"));
});
afterAll(async () => {
  await closePool();
  await rm(folder, { recursive: true });
});

/** Bytes of the delta from one build to another. */
async function deltaBytes(name: string, before: Files, after: Files): Promise<number> {
  const [old, fresh] = [join(folder, name, "old"), join(folder, name, "new")];
  await writeFiles(old, before);
  await writeFiles(fresh, after);
  const world = { output: { progress: () => {} }, signal: new AbortController().signal };
  return (await diffBuilds(old, fresh, [], world)).costs.bytes;
}

/** zlib streams one behind another; each holds other words. */
const archive = (seeds: readonly number[], words = 3000): Uint8Array =>
  concatBytes(seeds.map((seed) => deflateSync(prose(words, seed))));
const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

test("members of an archive that stays cost nothing in a new archive", async () => {
  const base = archive(numbers(20));
  const bytes = await deltaBytes(
    "kept",
    { "base.pak": base },
    { "base.pak": base, "more.pak": archive([...numbers(20), 99]) },
  );
  // the member that is new, and little else
  expect(bytes).toBeLessThan(archive([99]).length + 500);
});

test("old streams stay packed when those of the new file cannot be made again", async () => {
  // what comes before an edit is packed the same
  const pack = (edit: string) =>
    concatBytes(numbers(30).map((seed) => packedAtRandom(concatBytes([prose(3000, seed), text(edit)]))));
  const [old, fresh] = [pack("the end"), pack("another end")];
  expect(apart(fresh, 2)).toBeUndefined();
  const oldText = deflateSync(prose(9000, 200));
  const freshText = deflateSync(concatBytes([text("More. "), prose(9000, 200)]));
  const alone = await deltaBytes("foreign", { "a.pak": old }, { "a.pak": fresh });
  const ours = await deltaBytes("ours", { "b.z": oldText }, { "b.z": freshText });
  const both = await deltaBytes("both", { "a.pak": old, "b.z": oldText }, { "a.pak": fresh, "b.z": freshText });
  expect(alone).toBeLessThan(fresh.length / 10);
  expect(ours).toBeLessThan(freshText.length / 10);
  expect(both).toBeLessThan(alone + ours + 200);
});

test("nothing is unpacked when to say what is takes more than it saves", async () => {
  const many = archive(numbers(1500), 60);
  const gone = pseudoRandomBytes(5, many.length);
  const fresh = archive([5000], 60);
  const inOneFile = await deltaBytes("dear", { "all.pak": many }, { "all.pak": concatBytes([gone, fresh]) });
  // as they are: noise cannot be made smaller, and a stream neither
  expect(inOneFile).toBeLessThan(gone.length + fresh.length + 200);
});
