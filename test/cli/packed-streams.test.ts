/** Which packed streams a delta unpacks: those that changed, when that pays. */
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

test("streams that no zlib made are made again with the old ones, whatever their order", async () => {
  // two bytes for two, of nine bits each instead of eight: what follows is packed in other bits
  const pack = (seeds: readonly number[], edit: string) =>
    concatBytes(seeds.map((seed) => packedAtRandom(concatBytes([text(edit), prose(3000, seed)]))));
  const [old, fresh] = [pack(numbers(30), "ee"), pack(numbers(30).toReversed(), "é")];
  expect(apart(fresh, { start: 2 })).toBeUndefined();
  const bytes = await deltaBytes("foreign", { "a.pak": old }, { "a.pak": fresh });
  expect(bytes).toBeLessThan(fresh.length / 100);
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

test("what base64 says is told once, whether as it is or as text, and however it is shifted", async () => {
  const [picture, sound] = [pseudoRandomBytes(3, 30_000), pseudoRandomBytes(4, 20_000)];
  const scene = (buffer: Uint8Array, version: string) =>
    text(`{"v":"${version}","uri":"data:;base64,${base64(buffer)}"}`);
  const bytes = await deltaBytes(
    "base64",
    { "scene.gltf": scene(sound, "1") },
    {
      // one byte more in front: no digit stays
      "scene.gltf": scene(concatBytes([text("!"), sound]), "1.1"),
      "picture.png": picture,
      "style.css": text(`a { background: url(data:image/png;base64,${base64(picture)}) }`),
    },
  );
  expect(bytes).toBeGreaterThan(picture.length);
  expect(bytes).toBeLessThan(picture.length + 1000);
});

const gltf = (...buffers: readonly Uint8Array[]) =>
  text(JSON.stringify({ uris: buffers.map((buffer) => `data:;base64,${base64(buffer)}`) }));
const spoilt = (bytes: Uint8Array, at = 70_000) => bytes.map((byte, i) => (i >= at && i < at + 10 ? byte ^ 85 : byte));
const longer = (bytes: Uint8Array, at = 0) => concatBytes([bytes.subarray(0, at), text("!"), bytes.subarray(at)]);
const letters = new TextDecoder().decode(pseudoRandomBytes(9, 50_000).map((byte) => 71 + (byte % 8)));
const mesh = pseudoRandomBytes(5, 150_000);
const small = (count: number) => numbers(count, 50).map((seed) => pseudoRandomBytes(seed, 150));

test.each<readonly [string, Files, Files]>([
  ["is edited in place", { "a.gltf": gltf(mesh) }, { "a.gltf": gltf(spoilt(mesh)) }],
  [
    "is edited in place, and a file with much other base64 is gone",
    { "a.gltf": gltf(mesh), "gone.gltf": gltf(...small(30)) },
    { "a.gltf": gltf(spoilt(mesh)) },
  ],
  ["grows in the middle", { "a.gltf": gltf(mesh) }, { "a.gltf": gltf(longer(mesh, 100_000)) }],
  [
    "is copied from a file that stays, and edited in place",
    { "a.gltf": gltf(mesh) },
    { "a.gltf": gltf(mesh), "b.gltf": gltf(spoilt(mesh)) },
  ],
  [
    "is copied from a file that stays, and grows",
    { "a.gltf": gltf(mesh) },
    { "a.gltf": gltf(mesh), "b.gltf": gltf(longer(mesh)) },
  ],
  ["is there again, edited, beside itself", { "a.gltf": gltf(mesh) }, { "a.gltf": gltf(mesh, spoilt(mesh)) }],
  [
    "moves to another file and is edited, while its path has other content",
    { "a.gltf": gltf(mesh) },
    { "a.gltf": gltf(mesh.subarray(0, 200)), "b.gltf": gltf(spoilt(mesh)) },
  ],
  ["is text that only looks like it", { "a.txt": text(`"${letters}"`) }, { "a.txt": text(`"H${letters}"`) }],
])("base64 that %s costs little", async (name, before, after) => {
  expect(await deltaBytes(`text ${name}`, before, after)).toBeLessThan(1000);
});

/** zlib streams one behind another: the first is a script, and at its end there is what base64 says. */
const script = (version: string, said: Uint8Array, seed = 20) =>
  concatBytes([prose(2000, seed), text(`//${version}# sourceMappingURL=data:application/json;base64,${base64(said)}`)]);
const pak = (...members: readonly Uint8Array[]) =>
  concatBytes([...members.map((member) => deflateSync(member)), archive([30, 31])]);
const map = prose(20_000, 40);

test.each<readonly [string, Files, Files]>([
  ["grows in front", { "a.pak": pak(script("1", map)) }, { "a.pak": pak(script("1.1", longer(map))) }],
  ["is edited in place", { "a.pak": pak(gltf(mesh)) }, { "a.pak": pak(gltf(spoilt(mesh))) }],
  ["grows, and is no text", { "a.pak": pak(gltf(mesh)) }, { "a.pak": pak(gltf(longer(mesh))) }],
  ["is also there as it was", { "a.pak": pak(gltf(mesh)) }, { "a.pak": pak(gltf(mesh, spoilt(mesh))) }],
  [
    "says what lay beside the pack as a file",
    { "a.pak": pak(script("1", map)), "picture.png": mesh },
    { "a.pak": pak(script("1", map), gltf(mesh)), "picture.png": mesh },
  ],
  [
    "lay beside the pack in a file, digit by digit",
    { "a.gltf": gltf(mesh), "a.pak": pak(script("1", map)) },
    { "a.gltf": gltf(mesh), "a.pak": pak(script("1", map), gltf(mesh)) },
  ],
  [
    "says, a byte longer, what base64 in a file said",
    { "a.gltf": gltf(mesh), "a.pak": pak(script("1", map)) },
    { "a.pak": pak(script("1", map), gltf(longer(mesh))) },
  ],
  [
    "is in a file now, and a byte longer",
    { "a.pak": pak(gltf(mesh), script("1", map)) },
    { "a.gltf": gltf(longer(mesh)), "a.pak": pak(script("1.1", map)) },
  ],
  [
    "has moved to another stream, and grew",
    { "a.pak": pak(script("1", map), script("1", mesh, 21)) },
    { "a.pak": pak(script("1", longer(mesh), 21), script("1", longer(map))) },
  ],
])("base64 inside of a deflate stream that %s costs little", async (name, before, after) => {
  expect(await deltaBytes(`inside ${name}`, before, after)).toBeLessThan(1000);
});

test("nothing is unpacked when to say what is takes more than it saves", async () => {
  const many = archive(numbers(1500), 60);
  const gone = pseudoRandomBytes(5, many.length);
  const fresh = archive([5000], 60);
  const inOneFile = await deltaBytes("dear", { "all.pak": many }, { "all.pak": concatBytes([gone, fresh]) });
  // as they are: noise cannot be made smaller, and a stream neither
  expect(inOneFile).toBeLessThan(gone.length + fresh.length + 200);
});
