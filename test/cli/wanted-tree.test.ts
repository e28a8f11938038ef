/** The list of the wanted release's files: made of the installed one's where that can be, fetched where not. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { beforeEach, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { Objects, packPlainTree } from "../../cli/patch/objects.ts";
import type { InstalledRelease } from "../../cli/patch/state.ts";
import { WantedTree } from "../../cli/patch/wanted-tree.ts";
import { compress, squeezedBytes } from "../../cli/threads/delta-codecs.ts";
import { encodeDelta } from "../../manifests/delta/encode.ts";
import { type ReleaseDelta, writeReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { type ObjectId, type PiecesRoot, concatBytes, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { TREE_BYTES_WHOLE } from "../../manifests/limits.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import type { ReleaseTreeRef } from "../../manifests/release.ts";
import { type TreeFile, parseTree, writeTree } from "../../manifests/tree.ts";
import { sha256 } from "../support/hashes.ts";
import { noise } from "../support/studio.ts";

const idOf = (bytes: Uint8Array): ObjectId => objectIdOf(bytes, sha256);

/** So many files, some of them of another content. */
function plainTree(count: number, edition: string): Uint8Array {
  const files = Array.from({ length: count }, (_, i): TreeFile => {
    const content = i % 100 === 0 ? `${edition}/${i}` : `${i}`;
    return {
      path: parseSafePath(`data/${i}.bin`),
      size: 100 + i,
      root: idOf(noise(10, content)) as string as PiecesRoot,
      exec: false,
      recipe: { object: idOf(noise(10, "recipes")), offset: 50 * i, bytes: 50 },
    };
  });
  return writeTree({ files });
}

function deltaOf(from: Uint8Array, to: Uint8Array): Uint8Array {
  return encodeDelta(concatBytes([from, to]), from.length, { compress, squeeze: squeezedBytes });
}

const OLD = plainTree(2000, "old");
const NEW = plainTree(2000, "new");
const OLD_OBJECT = zstdCompressSync(OLD);
const NEW_OBJECT = zstdCompressSync(NEW);
const INSTALLED: InstalledRelease = {
  seq: 1,
  version: "1.0.0",
  channel: "stable",
  tree: idOf(OLD_OBJECT),
  treePlain: idOf(OLD),
  torrent: idOf(noise(10, "torrent")),
  pieceLength: 65_536,
};
const REF: ReleaseTreeRef = {
  sha256: idOf(NEW_OBJECT),
  bytes: NEW_OBJECT.length,
  plain: { sha256: idOf(NEW), bytes: NEW.length },
};
const INDEX: ReleaseDelta = {
  from: INSTALLED.tree,
  to: REF.sha256,
  streams: undefined,
  tree: deltaOf(OLD, NEW),
  groups: [],
};

let install: Install;
let objects: Objects;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-tree-"));
  install = new Install(folder);
  objects = new Objects(install);
  await objects.keep(INSTALLED.tree, OLD_OBJECT);
  return () => rm(folder, { recursive: true });
});

/** From the installed release, by the delta with this index. */
function startBy(index: Uint8Array) {
  const torrent = { object: idOf(index), infohash: "", infohashV2: "" };
  return { installed: INSTALLED, delta: { from: 1, index: idOf(index), bytes: 9, torrent } };
}

interface Case {
  readonly index?: Partial<ReleaseDelta>;
  readonly ref?: Partial<ReleaseTreeRef>;
  readonly object?: Uint8Array;
  readonly isForbidden?: boolean;
}

/** Reads it, and gives what was asked of the edge. */
async function read({ index = {}, ref = {}, object = NEW_OBJECT, isForbidden = false }: Case) {
  const bytes = writeReleaseDelta({ ...INDEX, ...index });
  const tree = { ...REF, ...ref };
  const { files } = parseTree(NEW);
  const asked: ObjectId[] = [];
  const wanted = new WantedTree({
    release: { tree, files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) },
    objects,
    start: isForbidden ? undefined : startBy(bytes),
    readObject: (id) => {
      asked.push(id);
      const found = [bytes, object].find((candidate) => idOf(candidate) === id);
      return found === undefined
        ? Promise.reject(new Failure("object.not-found", { object: id }))
        : Promise.resolve(found);
    },
  });
  const got = await wanted.get();
  expect(await wanted.get()).toBe(got);
  expect(Buffer.compare(writeTree(got), NEW)).toBe(0);
  return { wanted, isFetched: asked.includes(tree.sha256), asked: asked.length };
}

test("it is made of the installed one's by what the index holds", async () => {
  expect(NEW_OBJECT.length).toBeGreaterThan(TREE_BYTES_WHOLE);
  expect(INDEX.tree?.length).toBeLessThan(NEW_OBJECT.length / 20);
  expect(await read({})).toMatchObject({ isFetched: false, asked: 1 });
});

test.each<[string, Case]>([
  ["deltas are forbidden", { isForbidden: true }],
  ["the index holds none", { index: { tree: undefined } }],
  ["the index is of another start", { index: { from: REF.sha256 } }],
  ["the index leads elsewhere", { index: { to: INSTALLED.tree } }],
  ["what it holds is no delta", { index: { tree: noise(100, "no delta") } }],
  ["it makes another tree", { index: { tree: deltaOf(OLD, OLD) } }],
  ["it makes one of the same length", { index: { tree: deltaOf(OLD, noise(NEW.length, "as long")) } }],
  ["the release does not say what it is uncompressed", { ref: { plain: undefined as never } }],
  ["the release claims more than can be held", { ref: { plain: { sha256: idOf(NEW), bytes: 2 ** 50 } } }],
])("it is fetched when %s", async (_, given) => {
  expect(await read(given)).toMatchObject({ isFetched: true });
});

test("it is fetched when the installed one's is not here any more, or rotten", async () => {
  await rm(install.own("objects", INSTALLED.tree));
  expect(await read({})).toMatchObject({ isFetched: true });
  await writeFile(install.own("objects", INSTALLED.tree), zstdCompressSync(NEW));
  expect(await read({})).toMatchObject({ isFetched: true });
});

test("a short one is fetched as it is", async () => {
  const bytes = TREE_BYTES_WHOLE;
  expect(await read({ ref: { bytes } })).toMatchObject({ isFetched: true, asked: 1 });
});

test("kept, it leads to the next one, however it came", async () => {
  for (const isForbidden of [false, true]) {
    await objects.keep(INSTALLED.tree, OLD_OBJECT);
    const { wanted } = await read({ isForbidden });
    await rm(install.own("objects"), { recursive: true });
    await wanted.keep();
    expect(await readdir(install.own("objects"))).toEqual([isForbidden ? REF.sha256 : REF.plain?.sha256]);
    // and need not be asked for again, as when an install is healed
    expect(await read({ isForbidden })).toMatchObject({ asked: 0 });
    const plain = await objects.readTree({ tree: REF.sha256, ...(REF.plain && { treePlain: REF.plain.sha256 }) });
    expect(Buffer.compare(plain ?? OLD, NEW)).toBe(0);
    await rm(install.own("objects"), { recursive: true });
  }
});

test("one that rotted in its own form is not believed", async () => {
  await objects.keep(REF.plain?.sha256 ?? INSTALLED.tree, packPlainTree(OLD));
  expect(
    await objects.readTree({ tree: REF.sha256, ...(REF.plain && { treePlain: REF.plain.sha256 }) }),
  ).toBeUndefined();
});

test("who is stopped meanwhile stops", async () => {
  const wanted = new WantedTree({
    release: { tree: REF, files: 0, bytes: 0 },
    objects,
    start: startBy(writeReleaseDelta(INDEX)),
    readObject: () => Promise.reject(new Failure("source.interrupted")),
  });
  await expect(wanted.get()).rejects.toMatchObject({ code: "source.interrupted" });
});
