/** Which old content one of a new path resembles, in titles too large to be compared as a whole. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { resemblances } from "../../cli/publish/resemblance.ts";
import type { ReadableSpace } from "../../cli/publish/space-reader.ts";
import { closePool } from "../../cli/threads/pool.ts";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { DELTA_GROUP_NEW_BYTES, DELTA_GROUP_OLD_BYTES } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { prose } from "../support/build-pairs.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { writeFiles } from "../support/studio.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-resemblance-"));
});
afterAll(async () => {
  await closePool();
  await rm(folder, { recursive: true });
});

const SIGNAL = new AbortController().signal;
/** Files that are short enough to write stand for long ones. */
const SCALE = 1000;
const ONE_GROUP = DELTA_GROUP_NEW_BYTES + DELTA_GROUP_OLD_BYTES;
const content = (words: number, seed: number): Buffer => Buffer.from(prose(words, seed));

type Contents = Readonly<Record<string, Uint8Array>>;

/** The files as a space that says it has so many bytes, each so many times as many as there are. */
async function spaceOf(name: string, files: Contents, bytes: number, scale = SCALE): Promise<ReadableSpace> {
  const root = join(folder, name);
  await writeFiles(root, files);
  let offset = 0;
  const contents = Object.entries(files).map(([path, { length: size }], i) => {
    offset += size;
    const pieces = `${name}${i}`.padStart(64, "0") as PiecesRoot;
    return { root: pieces, path: path as SafePath, offset: offset - size, size: size * scale, fileBytes: size };
  });
  return { space: { contents, bytes }, streams: [], fileOf: ({ path }) => join(root, path) };
}

async function resembled(
  name: string,
  before: Contents,
  after: Contents,
  { bytes = ONE_GROUP, scale = SCALE } = {},
): Promise<[string, string][]> {
  const [old, fresh] = [await spaceOf(`${name}-old`, before, bytes), await spaceOf(`${name}-new`, after, bytes, scale)];
  return [...(await resemblances(old, fresh, SIGNAL))].map(([{ path: now }, { path: then }]) => [now, then]);
}

const OLD: Contents = {
  "1.26.30/biomes.json": content(5000, 1),
  "1.26.30/blocks.json": content(5000, 2),
  "app.3f2a.js": content(5000, 3),
  "same.json": content(5000, 4),
};
const edited = (words: number, seed: number): Buffer => Buffer.concat([Buffer.from("edited "), content(words, seed)]);

test("files of a new folder and of a new name are known by what they hold", async () => {
  const fresh: Contents = {
    "1.26.40/biomes.json": edited(5000, 2),
    "1.26.40/blocks.json": edited(5000, 1),
    "app.90bc.js": edited(5000, 3),
    "new.bin": pseudoRandomBytes(1, 20_000),
    // where the path tells, nothing is to be found out
    "same.json": edited(5000, 1),
  };
  expect(await resembled("moved", OLD, fresh)).toEqual([
    ["1.26.40/biomes.json", "1.26.30/blocks.json"],
    ["1.26.40/blocks.json", "1.26.30/biomes.json"],
    ["app.90bc.js", "app.3f2a.js"],
  ]);
});

test("a title that is compared as a whole is not looked at", async () => {
  const fresh = { "app.90bc.js": edited(5000, 3) };
  expect(await resembled("small", OLD, fresh, { bytes: ONE_GROUP / 2 })).toEqual([]);
});

test("little that is new is not looked up", async () => {
  const fresh = { "app.90bc.js": edited(5000, 3) };
  expect(await resembled("little", OLD, fresh, { scale: 1 })).toEqual([]);
});

test("a file that went away meanwhile is named", async () => {
  const old = await spaceOf("gone-old", OLD, ONE_GROUP);
  const fresh = await spaceOf("gone-new", { "new.js": content(5000, 9) }, ONE_GROUP);
  await rm(join(folder, "gone-new", "new.js"));
  await expect(resemblances(old, fresh, SIGNAL)).rejects.toMatchObject({
    code: "build.changed",
    facts: { path: join(folder, "gone-new", "new.js") },
  });
});
