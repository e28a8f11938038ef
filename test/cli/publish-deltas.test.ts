/** Deltas that must not be listed: made of old bytes that are not the old release's, or with too long an index. */
import { mkdtemp, rm } from "node:fs/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { deltaBetween, indexOf } from "../../cli/publish/deltas.ts";
import { oldBuild } from "../../cli/publish/old-build.ts";
import { contentsRead } from "../../cli/publish/space-reader.ts";
import { filesOf } from "../../cli/publish/build-diff.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { readTitleFile } from "../../cli/trust/title.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import type { SpaceContent } from "../../manifests/delta/release-delta.ts";
import { parseReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { unpackedSpace, unpackedStreams } from "../../manifests/delta/unpack.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { DELTA_INDEX_BYTES_MAX, OBJECT_BYTES_MAX, PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { type Press, pressForEachTest, urlOf } from "../support/press.ts";
import { type Files, noise, writeFiles } from "../support/studio.ts";

/** Less than it is, where an index that long would take too long to make. */
const limits = vi.hoisted(() => ({ indexBytes: undefined as number | undefined }));
vi.mock("../../manifests/limits.ts", async (importOriginal) => {
  const real = await importOriginal<typeof import("../../manifests/limits.ts")>();
  return {
    ...real,
    get DELTA_INDEX_BYTES_MAX() {
      return limits.indexBytes ?? real.DELTA_INDEX_BYTES_MAX;
    },
  };
});

/** What the next releases are called, whatever `publish` calls them: it gives no version twice. */
const called = vi.hoisted(() => ({ version: undefined as string | undefined }));
vi.mock("../../cli/publish/sign-release.ts", async (importOriginal) => {
  const real = await importOriginal<typeof import("../../cli/publish/sign-release.ts")>();
  const signRelease: typeof real.signRelease = (release, ...args) =>
    real.signRelease({ ...release, version: called.version ?? release.version }, ...args);
  return { ...real, signRelease };
});

afterAll(closePool);

const signal = new AbortController().signal;

/** The same, but for one byte. */
function flipped(bytes: Uint8Array): Uint8Array {
  const other = bytes.slice();
  other[1000] = (other[1000] ?? 0) ^ 1;
  return other;
}

describe("the delta between two trees", () => {
  let scratch: string;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "patchswarm-deltas-"));
  });
  afterEach(async () => {
    await rm(scratch, { recursive: true, force: true });
  });

  const treeOf = (files: Readonly<Record<string, Uint8Array>>): Tree => ({
    files: Object.entries(files).map(([path, content]) => {
      const hasher = new FileHasher(sha256, PIECE_BYTES_MAX, sha1);
      hasher.update(content);
      const { root, size } = hasher.finish();
      return { path: parseSafePath(path), size, root, exec: false, recipe: null };
    }),
  });

  test("old bytes that are not what the old tree says are found out", async () => {
    const old = { "a.bin": noise(50_000, "a"), "b.bin": noise(50_000, "b") };
    const fresh = { "a.bin": new Uint8Array([...old["a.bin"], 1]), "b.bin": old["b.bin"] };
    await writeFiles(join(scratch, "old"), old);
    await writeFiles(join(scratch, "new"), fresh);
    const delta = () =>
      deltaBetween(treeOf(old), treeOf(fresh), {
        openOld: () => Promise.resolve(filesOf(join(scratch, "old"))),
        newFile: (path) => join(scratch, "new", path),
        keep: (object) => Promise.resolve(objectIdOf(object, sha256)),
        onScanned() {},
        signal,
      });
    expect((await delta()).groups).toHaveLength(1);
    // of the same length: what is read comes out, and nothing but its hash tells
    await writeFiles(join(scratch, "old"), { "b.bin": flipped(old["b.bin"]) });
    await expect(delta()).rejects.toMatchObject({
      code: "build.changed",
      facts: { path: join(scratch, "old", "b.bin") },
    });
  });
});

test("of the old contents, those in the spans and those with unpacked streams count as read", () => {
  const packed = deflateRawSync(noise(500, "packed")).length;
  const contents = ["a", "b", "c", "d"].map((path, i): SpaceContent => {
    const root = objectIdOf(Uint8Array.of(i), sha256) as never;
    return { root, path: parseSafePath(path), offset: 1000 * i, size: 1000, fileBytes: 1000 };
  });
  const streams = [
    {
      coding: "deflate" as const,
      content: 3,
      pieces: [{ offset: 0, bytes: packed }],
      plainBytes: 500,
      recipeBytes: 0,
    },
  ];
  const space = unpackedSpace({ contents, bytes: 4000 }, streams);
  const read = (spans: Parameters<typeof contentsRead>[1], unpacked = unpackedStreams(streams)): string[] =>
    contentsRead({ space, streams: unpacked }, spans).map(({ path }) => path);
  expect(read([], [])).toEqual([]);
  expect(read([{ offset: 999, bytes: 1 }], [])).toEqual(["a"]);
  expect(read([{ offset: 1999, bytes: 2 }])).toEqual(["b", "c", "d"]);
  expect(read([])).toEqual(["d"]);
});

test("an index that is too long for players is none, with the delta of the trees and without", () => {
  const id = objectIdOf(Uint8Array.of(1), sha256);
  const deltaOf = (objects: number) => ({
    from: id,
    to: id,
    streams: undefined,
    groups: [{ old: [], bytes: 1, objects: Array.from({ length: objects }, () => ({ id, bytes: OBJECT_BYTES_MAX })) }],
  });
  const perObject = JSON.stringify([id, OBJECT_BYTES_MAX]).length + 1;
  const most = Math.floor((DELTA_INDEX_BYTES_MAX - 300) / perObject);
  const tree = new Uint8Array(1000);
  const [short, long] = [indexOf(deltaOf(most - 100), tree), indexOf(deltaOf(most), tree)];
  expect(parseReleaseDelta(short ?? tree).tree).toEqual(tree);
  expect(parseReleaseDelta(long ?? tree).tree).toBeUndefined();
  expect(indexOf(deltaOf(most + 10), tree)).toBeUndefined();
  expect(indexOf(deltaOf(most + 10), undefined)).toBeUndefined();
});

describe("a publish", () => {
  let press: Press;
  pressForEachTest((opened) => (press = opened));

  /** @param onScanned  called when bytes of a group were read and scanned */
  const publishWithDeltas = (version: string, folder: string, onScanned: () => void = () => {}) =>
    press.publish(folder, version, {
      deltas: 1,
      onProgress: ({ phase }) => {
        if (phase.startsWith("delta from")) onScanned();
      },
    });

  /** What a dry run says that a publish would make, and what it then makes. */
  const dryAndDone = async (folder: string, version: string) => {
    const dry = await press.publish(folder, version, { deltas: 1, dryRun: true });
    const done = await press.publish(folder, version, { deltas: 1 });
    return [dry.deltas, done.deltas].map((rows) => rows.map(({ from, bytes }) => ({ from, bytes })));
  };

  test("predicts deltas with their indexes, and those with the list of files in them", async () => {
    const files = (changed: number): Files =>
      Object.fromEntries(
        Array.from({ length: 900 }, (_, i) => [`folder/${i}.bin`, noise(100, `${i}${i < changed ? "changed" : ""}`)]),
      );
    await press.publish(await press.build("v1", { ...files(0), "a.bin": 200_000 }), "1.0.0");
    const folder = await press.build("v2", { ...files(50), "a.bin": 200_000 });
    const [[dry] = [], [done] = []] = await dryAndDone(folder, "2.0.0");
    expect(dry?.from).toBe("1.0.0");
    // pack and recipe names differ, and so do a few bytes of what they compress to
    expect(Math.abs((dry?.bytes ?? 0) - (done?.bytes ?? 0))).toBeLessThan(20);
    const [listed] = (await press.title()).live("stable")?.deltas ?? [];
    const index = await (await press.title()).object(listed?.index ?? ("" as never), DELTA_INDEX_BYTES_MAX);
    expect(parseReleaseDelta(index).tree?.length).toBeGreaterThan(1000);
  });

  test("predicts none whose index is longer than players read, as it lists none", async () => {
    await press.publish(await press.build("v1", { "a.bin": noise(50_000, "a") }), "1.0.0");
    const folder = await press.build("v2", { "a.bin": flipped(noise(50_000, "a")) });
    limits.indexBytes = 100;
    expect(await dryAndDone(folder, "2.0.0")).toEqual([[], []]);
    limits.indexBytes = undefined;
    const next = await press.build("v3", { "a.bin": noise(50_000, "a"), b: "b" });
    const [dry, done] = await dryAndDone(next, "3.0.0");
    expect(done).toEqual([{ from: "2.0.0", bytes: expect.any(Number) }]);
    expect(dry).toEqual(done);
  });

  test("lists deltas from the newest releases, those too whose version came again", async () => {
    const game = noise(200_000, "game");
    await press.publish(await press.build("v0", { "game.bin": game }), "0.9.0");
    await press.publish(await press.build("v1", { "game.bin": flipped(game), a: 50_000 }), "1.0.0");
    called.version = "1.0.0";
    await press.publish(await press.build("v1b", { "game.bin": flipped(game), b: 70_000 }), "1.0.1");
    called.version = undefined;
    const folder = await press.build("v2", { "game.bin": game, c: 90_000 });
    const rows = [{ from: "1.0.0" }, { from: "1.0.0" }];
    expect(await press.publish(folder, "2.0.0", { deltas: 2, dryRun: true })).toMatchObject({ deltas: rows });
    expect(await press.publish(folder, "2.0.0", { deltas: 2 })).toMatchObject({ deltas: rows });
    expect((await press.title()).live("stable")?.deltas).toMatchObject([{ from: 3 }, { from: 2 }]);
  });

  test("neither sends nor lists a delta that players would not take, says so once, and so does a dry run", async () => {
    const kept = noise(3_000_000, "kept");
    await press.publish(await press.build("v1", { "kept.bin": kept, "other.bin": noise(3_000_000, "one") }), "1.0.0");
    // all new, and it does not compress: the delta is as long as the chunks
    const folder = await press.build("v2", { "kept.bin": kept, "other.bin": noise(3_000_000, "two") });
    const told: string[] = [];
    const onLog = (text: string): void => {
      if (text === "A delta from 1.0.0 would save nothing over its chunks: it is left out.") told.push(text);
    };
    expect(await press.publish(folder, "2.0.0", { deltas: 1, dryRun: true, onLog })).toMatchObject({ deltas: [] });
    expect(told).toHaveLength(1);
    await press.publish(folder, "2.0.0");
    press.requests();
    const again = async (): Promise<boolean> => {
      let isScanned = false;
      const published = await press.publish(folder, "2.0.0", {
        deltas: 1,
        onLog,
        onProgress: ({ phase }) => (isScanned ||= phase.startsWith("delta from")),
      });
      expect(published).toMatchObject({ outcome: "unchanged", deltas: [] });
      return isScanned;
    };
    expect([await again(), told.length]).toEqual([true, 2]);
    expect([await again(), told.length]).toEqual([false, 2]);
    expect(press.requests().filter((request) => /^(PUT objects|POST deltas)/.test(request))).toEqual([]);
    expect((await press.title()).live("stable")?.deltas).toEqual([]);
  });

  test("lists a long delta that saves half of what the chunks take", async () => {
    const game = noise(3_000_000, "game");
    await press.publish(await press.build("v1", { "game.bin": game }), "1.0.0");
    // the first half is new, and of the other no chunk is what it was
    const changed = Buffer.concat([noise(1_500_000, "new"), game.subarray(1_500_000)]);
    for (let at = 1_500_000; at < changed.length; at += 8192) changed[at] = (changed[at] as number) ^ 1;
    const folder = await press.build("v2", { "game.bin": changed });
    const [delta] = (await press.publish(folder, "2.0.0", { deltas: 1 })).deltas;
    expect(delta?.bytes).toBeGreaterThan(1_500_000);
    expect(delta?.bytes).toBeLessThan(1_600_000);
  });

  test("lists no delta from a cached build that somebody wrote to, and the next one heals it", async () => {
    const game = noise(200_000, "game");
    await press.publish(await press.build("v1", { "game.bin": game, "kept.bin": 5000 }), "1.0.0");
    const folder = await press.build("v2", { "game.bin": flipped(game), "kept.bin": 5000 });
    const cached = press.at("cache", "builds", press.name, "game.bin");
    let isWritten = false;
    const meddle = (): void => {
      isWritten = true;
      writeFileSync(cached, flipped(game));
    };
    expect(await publishWithDeltas("2.0.0", folder, meddle)).toMatchObject({
      outcome: "published",
      deltas: [],
      deltasFailed: { code: "build.changed", facts: { path: cached } },
    });
    expect(isWritten).toBe(true);
    expect((await press.title()).live("stable")).toMatchObject({ seq: 2, deltas: [] });

    const again = await publishWithDeltas("2.0.0", folder);
    expect(again).toMatchObject({ outcome: "unchanged", seq: 2, deltas: [{ from: "1.0.0" }] });
    expect((await press.title()).live("stable")?.deltas).toMatchObject([{ from: 1 }]);
    expect(Buffer.compare(readFileSync(cached), game)).toBe(0);
  });

  test("reads an old build that nobody makes another one meanwhile: who wants to waits, and then goes on", async () => {
    const games = [noise(200_000, "one"), noise(200_000, "two")] as const;
    for (const [i, game] of games.entries()) {
      await press.publish(await press.build(`v${i}`, { "game.bin": game }), `${i}.0.0`);
    }
    const waits = Promise.withResolvers<string>();
    const titleFile = await readTitleFile(press.at("title.json"));
    const open = (version: string) =>
      oldBuild(
        titleFile,
        "stable",
        { what: "version", version },
        {
          ...{ cacheDir: press.at("cache"), signal, now: new Date(), clock: () => performance.now() },
          output: { log: waits.resolve, progress() {} },
        },
      );
    const first = await open("0.0.0");
    const second = open("1.0.0");
    await Promise.race([second, waits.promise]);
    expect(Buffer.compare(readFileSync(join(first.install.folder, "game.bin")), games[0])).toBe(0);
    expect(await waits.promise).toContain("waiting until it is done");
    await first[Symbol.asyncDispose]();
    await using build = await second;
    expect(Buffer.compare(readFileSync(join(build.install.folder, "game.bin")), games[1])).toBe(0);
  });

  test("is told as what it is when its deltas come to nothing, and so is a dry run", async () => {
    await press.publish(await press.build("v1", { "game.bin": noise(200_000, "game") }), "1.0.0");
    const folder = await press.build("v2", { "game.bin": flipped(noise(200_000, "game")) });
    writeFileSync(press.at("cache", "builds"), "in the way");
    const logs: string[] = [];
    const onLog = (text: string): void => void logs.push(text);
    const deltasFailed = { code: "install.obstructed" };
    const dry = await press.publish(folder, "2.0.0", { deltas: 1, dryRun: true });
    expect(dry).toMatchObject({ outcome: "dry-run", deltas: [], deltasFailed });
    expect(await press.publish(folder, "2.0.0", { deltas: 1, onLog })).toMatchObject({
      outcome: "published",
      deltas: [],
      deltasFailed,
    });
    expect(logs.at(-1)).toContain("No more deltas are made");

    let isLive = false;
    const line: Fetch = async (input, init) => {
      if (isLive) throw new TypeError("fetch failed");
      isLive = urlOf(input).endsWith("/publish");
      return await fetch(input, init);
    };
    const next = await press.build("v3", { "game.bin": "next" });
    expect(await press.publish(next, "3.0.0", { deltas: 1, fetch: line })).toMatchObject({
      outcome: "published",
      deltasFailed: { code: "edge.unreachable" },
    });
    expect((await press.title()).live("stable")).toMatchObject({ seq: 3 });
  });
});
