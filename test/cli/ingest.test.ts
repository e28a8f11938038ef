/** One reading of a build by several threads: what comes out of it, and that it is always the same. */
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { ChunkTable } from "../../cli/publish/chunk-table.ts";
import { type IngestedFile } from "../../cli/publish/ingest.ts";
import { type KnownContent } from "../../cli/publish/known-content.ts";
import { type OwnKeys } from "../../cli/publish/own-keys.ts";
import { PackNames } from "../../cli/publish/pack-names.ts";
import { PackWriter } from "../../cli/publish/pack-writer.ts";
import { PublishMeter } from "../../cli/publish/meter.ts";
import { planReading, readBuild } from "../../cli/publish/read-build.ts";
import { writeRecipes } from "../../cli/publish/recipe-writer.ts";
import { STORED_FRAME_BYTES_MAX, storedFrame } from "../../cli/publish/stored-frame.ts";
import { sendTree, treeOf } from "../../cli/publish/tree-writer.ts";
import { Upload } from "../../cli/publish/upload.ts";
import { type SourceFile, walk } from "../../cli/publish/walk.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { Chunker } from "../../manifests/chunker.ts";
import { type ObjectId, toHex } from "../../manifests/digest.ts";
import { CHUNK_BYTES, INGEST_JOB_BYTES, PACK_BYTES_WANTED } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { MemoryOrigin } from "../support/memory-origin.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { reassemble } from "../support/reassemble.ts";
import { type Files, writeFiles } from "../support/studio.ts";

const MIB = 1024 * 1024;

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "patchswarm-ingest-"));
  await mkdir(join(scratch, "spool"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});
afterAll(closePool);

interface Packed {
  readonly tree: ObjectId;
  readonly read: readonly IngestedFile[];
  readonly known: KnownContent;
}

/** There are none to be found. */
const NO_KEYS: OwnKeys = {
  ids: [],
  refuse(found) {
    throw new Error(`${found} holds no key`);
  },
};

function nothingKnown(): KnownContent {
  return { table: new ChunkTable(), packs: new PackNames(), recipes: new Map() };
}

/** Everything of a publish that needs no edge. */
async function pack(
  folder: string,
  origin: MemoryOrigin,
  known = nothingKnown(),
  files?: readonly SourceFile[],
): Promise<Packed> {
  const upload = new Upload(origin, () => {});
  const plan = planReading(files ?? (await walk(folder, [])), known, NO_KEYS);
  const meter = new PublishMeter(plan.bytes, upload, { onProgress() {}, clock: () => 0 });
  await using packs = await PackWriter.create(join(scratch, "spool"), known.packs, upload);
  const read = await readBuild(plan, { folder, known, sink: packs, meter });
  await packs.finish();
  await writeRecipes(read, known, upload);
  const { sha256: tree } = sendTree(treeOf(read, known), upload);
  await upload.done();
  return { tree, read, known };
}

async function build(files: Files): Promise<string> {
  const folder = join(scratch, "build");
  await rm(folder, { recursive: true, force: true });
  await writeFiles(folder, files);
  return folder;
}

const segments = fc.constantFrom("a", "data", "with space", "#1", "100%", "язык", "日本", "🎮", "a.b", "a-b");
const contents = fc.oneof(
  fc.constant(new Uint8Array(0)),
  fc.uint8Array({ maxLength: 300 }),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.nat({ max: 700_000 }))
    .map(([seed, size]) => pseudoRandomBytes(seed, size)),
  fc.nat({ max: 900_000 }).map((size) => new Uint8Array(size)),
  fc.nat({ max: 50_000 }).map((size) => Buffer.from("vertex 0.5 0.25 1.0\n".repeat(size / 20))),
);
const folders = fc
  .dictionary(
    fc.array(segments, { minLength: 1, maxLength: 3 }).map((path) => path.join("/")),
    contents,
    { minKeys: 1, maxKeys: 8, noNullPrototype: true },
  )
  .filter((files) => {
    const paths = Object.keys(files);
    return paths.every((path) => paths.every((other) => !other.startsWith(`${path}/`)));
  });

test("any folder comes back from its tree, recipes and packs", async () => {
  await fc.assert(
    fc.asyncProperty(folders, async (files) => {
      const origin = new MemoryOrigin();
      const { tree } = await pack(await build(files), origin);
      const back = await reassemble(tree, (id) => origin.get(id));
      expect([...back.keys()].toSorted()).toEqual(Object.keys(files).toSorted());
      for (const [path, bytes] of back) expect(Buffer.compare(bytes, files[path] ?? Buffer.from("?"))).toBe(0);
    }),
    { numRuns: 25 },
  );
});

test("a file read in spans by several threads has the cuts and hashes of one that is read in one go", async () => {
  // noise, then text, then noise: the borders of the spans lie in all of them
  const content = Buffer.concat([
    pseudoRandomBytes(7, INGEST_JOB_BYTES + 300_001),
    Buffer.from("0.25 0.5 0.75 ".repeat(1_300_000)),
    pseudoRandomBytes(8, INGEST_JOB_BYTES + 17),
  ]);
  const origin = new MemoryOrigin();
  const { read, known } = await pack(await build({ "large.pak": content }), origin);
  const [file] = read;
  const lengths = [...(file?.chunks ?? [])].map((entry) => known.table.at(entry).size);
  const chunker = new Chunker(CHUNK_BYTES);
  expect(lengths).toEqual([...chunker.push(content), chunker.finish()].filter((length) => length > 0));

  const pieceLength = planReading(await walk(join(scratch, "build"), []), nothingKnown(), NO_KEYS).pieceLength;
  const hasher = new FileHasher(sha256, pieceLength, sha1);
  hasher.update(content);
  const whole = hasher.finish();
  expect(file?.hashes.root).toBe(whole.root);
  expect(toHex(file?.hashes.layer ?? new Uint8Array())).toBe(toHex(whole.layer));
  expect(toHex(file?.hashes.sha1 ?? new Uint8Array())).toBe(toHex(whole.sha1));
  expect(toHex(file?.hashes.sha1Tail ?? new Uint8Array())).toBe(toHex(whole.sha1Tail));
});

test("content without any cut across the border of spans comes back all the same", async () => {
  // a cut at the largest size, again and again, at a phase of its own: the next span never agrees and is cut by force
  const content = new Uint8Array(2 * INGEST_JOB_BYTES + 5 * MIB);
  content.set(pseudoRandomBytes(3, 100_000));
  content.set(pseudoRandomBytes(4, 100_000), content.length - 100_000);
  const origin = new MemoryOrigin();
  const { tree } = await pack(await build({ "holes.bin": content }), origin);
  expect(Buffer.compare((await reassemble(tree, (id) => origin.get(id))).get("holes.bin") ?? content, content)).toBe(0);
  const stored = [...origin.objects.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  expect(stored).toBeLessThan(300_000);
});

test("the same build gives the same objects, whichever thread is first", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`f${i}.bin`, pseudoRandomBytes(1 + (i % 30), 600_000 + i)]),
  );
  const folder = await build(files);
  const [first, second] = [new MemoryOrigin(), new MemoryOrigin()];
  await pack(folder, first);
  await pack(folder, second);
  expect([...second.objects.keys()].toSorted()).toEqual([...first.objects.keys()].toSorted());
  for (const bytes of first.objects.values()) expect(bytes.length).toBeLessThanOrEqual(PACK_BYTES_WANTED);
});

test("content that repeats, in one file or in many, is stored once", async () => {
  const block = pseudoRandomBytes(5, 3 * MIB);
  const origin = new MemoryOrigin();
  await pack(await build({ "a.bin": block, "b/copy.bin": block, "c.bin": Buffer.concat([block, block]) }), origin);
  const stored = [...origin.objects.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  // c.bin's second half begins at another phase: a chunk or two differ
  expect(stored).toBeLessThan(3 * MIB + 600_000);
});

test("what is known is not sent again, and a file that did not change keeps its recipe", async () => {
  const origin = new MemoryOrigin();
  const old = pseudoRandomBytes(9, 4 * MIB);
  const { known } = await pack(await build({ "same.bin": pseudoRandomBytes(6, MIB), "game.bin": old }), origin);
  const recipes = new Map(known.recipes);
  const sent = origin.puts.length;

  const changed = old.slice();
  changed.fill(1, 2 * MIB, 2 * MIB + 100);
  const { tree, read } = await pack(
    await build({ "moved.bin": pseudoRandomBytes(6, MIB), "game.bin": changed }),
    origin,
    known,
  );
  const added = origin.puts.slice(sent).reduce((sum, id) => sum + (origin.objects.get(id)?.length ?? 0), 0);
  expect(added).toBeLessThan(600_000);
  const moved = read.find(({ file }) => file.path === "moved.bin");
  expect(recipes.has(moved?.hashes.root ?? ("" as never))).toBe(true);
  expect(Buffer.compare((await reassemble(tree, (id) => origin.get(id))).get("game.bin") ?? old, changed)).toBe(0);
});

test("a stored frame is a zstd frame", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.integer({ min: 1, max: STORED_FRAME_BYTES_MAX }),
        fc.constantFrom(1, 255, 256, 257, STORED_FRAME_BYTES_MAX),
      ),
      (length) => {
        const content = pseudoRandomBytes(length, length);
        expect(Buffer.compare(zstdDecompressSync(storedFrame(content)), content)).toBe(0);
      },
    ),
  );
  expect(() => storedFrame(new Uint8Array(0))).toThrow(RangeError);
  expect(() => storedFrame(new Uint8Array(STORED_FRAME_BYTES_MAX + 1))).toThrow(RangeError);
});

test("content that does not compress is stored as it is", async () => {
  const origin = new MemoryOrigin();
  const { read, known } = await pack(
    await build({ "noise.bin": pseudoRandomBytes(2, MIB), "text.txt": "abc ".repeat(50_000) }),
    origin,
  );
  const places = read.map(({ chunks }) => [...chunks].map((entry) => known.table.at(entry)));
  expect(places[0]?.every(({ raw, size, stored }) => raw && stored === size)).toBe(true);
  expect(places[1]?.every(({ raw, size, stored }) => !raw && stored < size / 10)).toBe(true);
});

test("nothing is left in the spool, also when sending fails", async () => {
  const folder = await build({ "a.bin": pseudoRandomBytes(1, 12 * MIB) });
  await pack(folder, new MemoryOrigin());
  expect(await readdir(join(scratch, "spool"))).toEqual([]);
  const broken = new MemoryOrigin();
  broken.put = () => Promise.reject(new Error("the line is cut"));
  await expect(pack(folder, broken)).rejects.toThrow("the line is cut");
  expect(await readdir(join(scratch, "spool"))).toEqual([]);
});

const changes: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  grown: (path) => appendFile(path, "more"),
  "cut short": (path) => truncate(path, 10),
  removed: (path) => rm(path),
  "replaced by a link": async (path) => {
    await rm(path);
    await symlink("/dev/zero", path);
  },
  "replaced by a folder": async (path) => {
    await rm(path);
    await mkdir(path);
  },
  "replaced by a file of the same size": async (path) => {
    const { length } = await readFile(path);
    await rm(path);
    await writeFile(path, new Uint8Array(length));
  },
};

test.each(Object.entries(changes))("a file that was %s since the walk ends the publish", async (_, change) => {
  const folder = await build({ "a.bin": pseudoRandomBytes(1, 100_000), "b.bin": "x" });
  const files = await walk(folder, []);
  await change(join(folder, "a.bin"));
  await expect(pack(folder, new MemoryOrigin(), nothingKnown(), files)).rejects.toMatchObject({
    code: "build.changed",
    facts: { path: "a.bin" },
  });
});

test("a file that cannot be read is named", async () => {
  const folder = await build({ "a.bin": "x" });
  const [file] = await walk(folder, []);
  await rm(join(folder, "a.bin"));
  await mkdir(join(folder, "a.bin"));
  // as good as unreadable, and for root too: a folder that looks like the file
  const stamp = { ...file?.stamp, size: 1 };
  await expect(
    pack(folder, new MemoryOrigin(), nothingKnown(), [{ ...file, stamp } as SourceFile]),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^build\.(changed|unreadable)$/), facts: { path: "a.bin" } });
});
