/** Two build folders, the real engine: what is charged to whom, and what is refused. */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { costFields, describeCosts, tellCosts } from "../../cli/commands/costs.ts";
import { type BuildDiff, diffBuilds } from "../../cli/publish/build-diff.ts";
import { CostBook } from "../../cli/publish/delta-costs.ts";
import { deltaBetween } from "../../cli/publish/deltas.ts";
import { GroupMemory, makeGroupDelta } from "../../cli/publish/group-delta.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { causeOf } from "../../manifests/delta/causes.ts";
import { storedBytes } from "../../manifests/delta/cost.ts";
import { spacesOf } from "../../manifests/delta/release-delta.ts";
import { concatBytes, objectIdOf } from "../../manifests/digest.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";
import { compressedPair, datedPair, prose, reorderedPair } from "../support/build-pairs.ts";
import { sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { type Files, noise, writeFiles } from "../support/studio.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "patchswarm-diff-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});
afterAll(closePool);

const signal = new AbortController().signal;
const world = { output: { progress() {} }, signal };

async function diff(before: Files, after: Files, ignore: readonly string[] = []): Promise<BuildDiff> {
  await writeFiles(join(scratch, "before"), before);
  await writeFiles(join(scratch, "after"), after);
  return await diffBuilds(join(scratch, "before"), join(scratch, "after"), ignore, world);
}

const zipped = compressedPair();
const dated = datedPair();
const pack = reorderedPair();
const V1: Files = { "a.bin": zipped.old, "b.log": dated.old, "c.pak": pack.old, kept: "kept", gone: "gone" };
const V2: Files = {
  "a.bin": zipped.fresh,
  "b.log": dated.fresh,
  "c.pak": pack.fresh,
  kept: "kept",
  new: prose(900, 1),
};

test("files are named with what they cost, the dearest first, and cost together what the delta takes", async () => {
  const { files, bytes, costs } = await diff(V1, V2);
  expect(files).toEqual({ added: 1, changed: 3, removed: 1, kept: 1 });
  expect(bytes.after - bytes.before).toBe(
    ["a.bin", "b.log", "c.pak", "new"].reduce((sum, name) => sum + lengthOf(V2[name]) - lengthOf(V1[name]), -4),
  );
  const named = costs.files.map((cost) => [cost.path, causeOf(cost).code]);
  expect(named).toEqual(
    expect.arrayContaining([
      ["a.bin", "compressed"],
      ["b.log", "timestamps"],
      ["c.pak", "reordered"],
      ["new", "added"],
    ]),
  );
  const each = costs.files.map(storedBytes);
  expect(each).toEqual(each.toSorted((a, b) => b - a));
  expect(each.reduce((sum, cost) => sum + cost, 0)).toBe(costs.bytes);
});

function lengthOf(content: Files[string] | undefined): number {
  return content === undefined || typeof content === "number" ? 0 : Buffer.from(content).length;
}

test("the costs are those of the delta that a publish would send", async () => {
  const { costs } = await diff(V1, V2);
  const sizes: number[] = [];
  const [from, to] = [V1, V2].map((files): Tree => ({
    files: Object.entries(files)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, content]) => ({
        path: parseSafePath(path),
        size: lengthOf(content),
        root: objectIdOf(Buffer.from(content as string), sha256) as never,
        exec: false,
        recipe: null,
      })),
  })) as [Tree, Tree];
  // names of contents only have to tell them apart here; the bytes of both spaces, joined, make the same delta
  const { old, fresh } = spacesOf(from, to);
  const bytesOf = (files: Files, space: typeof old): Uint8Array =>
    concatBytes(space.contents.map(({ path }) => Buffer.from(files[path] as string)));
  const [oldBytes, newBytes] = [bytesOf(V1, old), bytesOf(V2, fresh)];
  const source = new Uint8Array(new SharedArrayBuffer(oldBytes.length + newBytes.length));
  source.set(oldBytes);
  source.set(newBytes, oldBytes.length);
  const made = await makeGroupDelta(
    { source, oldBytes: oldBytes.length },
    { signal, onScanned() {}, memory: new GroupMemory() },
  );
  sizes.push(made.delta.length);
  expect(costs.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
});

test("a file that two groups make is one row, charged with both", async () => {
  const file = pseudoRandomBytes(3, 300_000);
  const tree = (size: number): Tree => ({
    files: [
      {
        path: parseSafePath("big"),
        size,
        root: objectIdOf(Uint8Array.of(1), sha256) as never,
        exec: false,
        recipe: null,
      },
    ],
  });
  const to = tree(file.length);
  const book = new CostBook({ files: [] }, spacesOf({ files: [] }, to).fresh);
  let bytes = 0;
  for (const half of [file.subarray(0, 100_000), file.subarray(100_000)]) {
    const source = new Uint8Array(new SharedArrayBuffer(half.length));
    source.set(half);
    const { delta } = await makeGroupDelta(
      { source, oldBytes: 0 },
      { signal, onScanned() {}, memory: new GroupMemory() },
    );
    bytes += delta.length;
    await book.add({ source, oldBytes: 0 }, delta, signal);
  }
  const { costs } = book;
  expect(costs.bytes).toBe(bytes);
  expect(costs.files).toHaveLength(1);
  expect(costs.files[0]).toMatchObject({ path: "big", before: null, after: 300_000, facts: { literalBytes: 300_000 } });
});

test("content that only moved costs nothing, and nobody is asked for the old files", async () => {
  const { files, costs } = await diff({ "a.bin": 50_000 }, { "b.bin": noise(50_000, "a.bin") });
  expect(files).toEqual({ added: 1, changed: 0, removed: 1, kept: 0 });
  expect(costs).toEqual({ bytes: 0, files: [] });
  const nothing = { files: [] };
  const { groups } = await deltaBetween(nothing, nothing, {
    openOld: () => Promise.reject(new Error("asked for")),
    newFile: () => "",
    keep: () => Promise.reject(new Error("kept")),
    onScanned() {},
    signal,
  });
  expect(groups).toEqual([]);
});

test("ignored files cost nothing", async () => {
  const { costs } = await diff(V1, V2, ["*.bin", "*.pak"]);
  expect(costs.files.map(({ path }) => path).toSorted()).toEqual(["b.log", "new"]);
});

test("a file that changed while it was compared is said to have", async () => {
  await writeFiles(join(scratch, "before"), { a: "old" });
  await writeFiles(join(scratch, "after"), { a: "new content" });
  let isDone = false;
  const meddling = {
    signal,
    output: {
      progress({ phase, done, total }: { phase: string; done: number; total: number }) {
        // both folders have been hashed once the second one's last byte was read
        if (phase !== "reading" || done !== total || total !== 11 || isDone) return;
        isDone = true;
        writeFileSync(join(scratch, "after", "a"), "other bytes");
      },
    },
  };
  await expect(diffBuilds(join(scratch, "before"), join(scratch, "after"), [], meddling)).rejects.toMatchObject({
    code: "build.changed",
  });
  expect(isDone).toBe(true);
});

test("a stopped diff says that it was stopped", async () => {
  await writeFiles(join(scratch, "before"), V1);
  await writeFiles(join(scratch, "after"), V2);
  const stop = new AbortController();
  const stopping = { signal: stop.signal, output: { progress: () => stop.abort() } };
  await expect(diffBuilds(join(scratch, "before"), join(scratch, "after"), [], stopping)).rejects.toMatchObject({
    code: "source.interrupted",
  });
});

test("programs get the dearest files and the sum of the others; people a table with each cause and its remedy", async () => {
  const { costs } = await diff(V1, V2);
  const fields = costFields(costs, 2) as { bytes: number; files: { path: string; delta: number }[]; others: unknown };
  const [first, second] = fields.files;
  expect(fields.files).toHaveLength(2);
  expect(first).toMatchObject({ path: costs.files[0]?.path, cause: expect.any(String), remedy: expect.any(String) });
  const rest = fields.bytes - (first?.delta ?? 0) - (second?.delta ?? 0);
  expect(fields.others).toEqual({ files: costs.files.length - 2, bytes: rest });

  const lines = describeCosts(costs, 2).split("\n");
  expect(lines[0]).toMatch(/^delta +share +before +after +cause +file$/);
  expect(lines[1]).toContain(costs.files[0]?.path);
  expect(lines.join("\n")).toContain("other files; --all names them");
  expect(describeCosts(costs, 100)).not.toContain("--all");
  for (const cost of costs.files) expect(describeCosts(costs, 100)).toContain(causeOf(cost).remedy);
});

test("a publish names what can be mended, and is silent when nothing can", async () => {
  const { costs } = await diff(V1, V2);
  expect(tellCosts(costs)).toMatch(/a\.bin: .+ compressed or encrypted/);
  expect(tellCosts(costs)).not.toContain("new:");
  await rm(join(scratch, "after"), { recursive: true });
  const plain = await diff({ ...V1, "d.bin": 90_000 }, { ...V1, "d.bin": noise(90_000, "another"), "e.bin": 90_000 });
  expect(plain.costs.bytes).toBeGreaterThan(90_000);
  expect(tellCosts({ ...plain.costs, files: plain.costs.files.filter(({ path }) => path === "e.bin") })).toBe("");
  expect(tellCosts({ bytes: 0, files: [] })).toBe("");
});
