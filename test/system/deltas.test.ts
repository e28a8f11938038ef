/**
 * Updates by delta, by whole processes: made by publish, listed by the edge, applied by patch, and done without when
 * bad.
 */
import { once } from "node:events";
import { open, readdir, readFile, rm, stat, truncate, utimes } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { DELTA_MAGIC } from "../../manifests/delta/format.ts";
import { runCli } from "../support/cli.ts";
import { differences } from "../support/folders.ts";
import { noise, openStudio, type Files, type Studio, writeFiles } from "../support/studio.ts";

const MIB = 1024 * 1024;

/** A program that was built again: every 400th byte differs, and something was put in at the front. */
function rebuilt(seed: string, program = noise(4 * MIB, seed)): Uint8Array {
  const again = new Uint8Array(program.length + 1000);
  again.set(noise(1000, `${seed}/front`));
  again.set(program, 1000);
  for (let at = 0; at < again.length; at += 400) again[at] = (again[at] ?? 0) + 3;
  return again;
}

const V1: Files = {
  "game.bin": noise(4 * MIB, "game"),
  "data/kept.bin": 300_000,
  "data/moved.bin": 200_000,
  "gone.txt": "x",
};
const V2: Files = {
  "game.bin": rebuilt("game"),
  "data/kept.bin": 300_000,
  "data/elsewhere.bin": noise(200_000, "data/moved.bin"),
  "new.txt": "something new",
};
/** What the delta may take: the differences, the kilobyte in front, and a little. */
const DELTA_BYTES_MAX = 100_000;

test("an update fetches the delta, a fraction of what the chunks are, and is the release to the byte", async () => {
  await using studio = await openStudio();
  await publishFirst(studio);
  await writeFiles(studio.at("v2"), V2);
  const predicted = await studio.publish("v2", "2.0.0", ["--dry-run"]);
  const published = await studio.publish("v2", "2.0.0");
  const [delta] = published["deltas"] as { from: string; bytes: number }[];
  expect(delta).toMatchObject({ from: "1.0.0", bytes: expect.any(Number) });
  expect(predicted["deltas"]).toMatchObject([{ from: "1.0.0", bytes: delta?.bytes }]);

  const dry = await studio.patch("player", ["--dry-run"]);
  const { ways } = dry["plan"] as { ways: Record<string, unknown>[] };
  expect(ways[0]).toMatchObject({ how: "delta", via: ["1.0.0", "2.0.0"], verdict: "chosen" });
  // of the program that was built again no chunk is left, so chunks would be all of it
  expect(ways.slice(1)).toMatchObject([{ how: "fetch", verdict: "heavier" }]);

  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeLessThan(DELTA_BYTES_MAX);
  expect(bytes.kept + bytes.reused + bytes.fetched.origin).toBeLessThan(bytes.total + DELTA_BYTES_MAX);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("a second player updates by the delta that the first one gives, with the origin forbidden", async () => {
  await using studio = await openStudio();
  await publishFirst(studio);
  await studio.patch("second");
  await writeFiles(studio.at("v2"), V2);
  await studio.publish("v2", "2.0.0");
  await studio.patch("player");
  await studio.seed("player");

  const { bytes } = await studio.patch("second", ["--sources", "local,delta,peers"]);
  expect(bytes.fetched.origin).toBe(0);
  expect(bytes.fetched.peers).toBeGreaterThan(0);
  expect(bytes.fetched.peers).toBeLessThan(DELTA_BYTES_MAX);
  expect(await differences(studio.at("v2"), studio.at("second"))).toEqual([]);
});

test("who asks the origin before peers has the delta from it, and gives it on all the same", async () => {
  await using studio = await openStudio();
  await publishFirst(studio);
  await studio.patch("second");
  await writeFiles(studio.at("v2"), V2);
  await studio.publish("v2", "2.0.0");
  const first = await studio.patch("player", ["--sources", "local,delta,origin,peers"]);
  expect(first.bytes.fetched.origin).toBeGreaterThan(0);
  expect(first.bytes.fetched.origin).toBeLessThan(DELTA_BYTES_MAX);
  await studio.seed("player");
  const { bytes } = await studio.patch("second", ["--sources", "local,delta,peers"]);
  expect(bytes.fetched.origin).toBe(0);
  expect(bytes.fetched.peers).toBeLessThan(DELTA_BYTES_MAX);
});

test("of a title of many files, an update fetches what changed in the list of them, and keeps the list", async () => {
  await using studio = await openStudio();
  const many = Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`data/${i}.txt`, `file ${i}`]));
  const program = { "game.bin": noise(MIB, "game") };
  await writeFiles(studio.at("v1"), { ...many, ...program });
  await studio.publish("v1", "1.0.0");
  const list = (await studio.patch("player")).bytes.metadata;
  for (const version of ["2.0.0", "3.0.0"]) {
    const changed = { "game.bin": rebuilt(version, program["game.bin"]), "data/77.txt": version };
    await writeFiles(studio.at(version), { ...many, ...changed });
    await studio.publish(version, version);
    const { bytes } = await studio.patch("player");
    expect(bytes.metadata).toBeLessThan(list / 4);
    expect(await differences(studio.at(version), studio.at("player"))).toEqual([]);
    // reads what the release is from the kept list
    expect((await runCli(["verify", studio.at("player")])).code).toBe(0);
  }
});

test("without the delta the same update takes the chunks", async () => {
  await using studio = await openStudio();
  await publishBoth(studio);
  const { bytes } = await studio.patch("player", ["--sources", "local,origin"]);
  expect(bytes.fetched.origin).toBeGreaterThan(2 * MIB);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("an install that was changed by hand is healed, and needs no delta for it", async () => {
  await using studio = await openStudio();
  await publishBoth(studio);
  await truncate(studio.at("player", "data", "kept.bin"), 1000);
  await studio.patch("player");
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("a delta that the origin lost or that rotted there is done without", async () => {
  for (const spoil of [flipByte, rm]) {
    await using studio = await openStudio();
    const before = await publishFirst(studio);
    await writeFiles(studio.at("v2"), V2);
    await studio.publish("v2", "2.0.0", ["--deltas", "0"]);
    const chunks = await blobs(studio);
    // run again, it makes what is missing
    const again = await studio.publish("v2", "2.0.0");
    expect(again).toMatchObject({ unchanged: true, deltas: [{ from: "1.0.0" }] });
    const added = (await blobs(studio)).filter((blob) => !chunks.includes(blob) && !before.includes(blob));
    for (const path of await deltaObjects(added)) await spoil(path);

    const { bytes } = await studio.patch("player");
    expect(bytes.fetched.origin).toBeGreaterThan(2 * MIB);
    expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
  }
});

const V3: Files = {
  ...V2,
  "game.bin": rebuilt("again", rebuilt("game")),
  "new.txt": "something newer",
};

test("who is two releases behind goes by both deltas when none leads straight there", async () => {
  await using studio = await openStudio();
  await publishChain(studio);
  const dry = await studio.patch("player", ["--dry-run"]);
  const { ways } = dry["plan"] as { ways: Record<string, unknown>[] };
  expect(ways[0]).toMatchObject({ how: "chain", via: ["1.0.0", "2.0.0", "3.0.0"], verdict: "chosen" });

  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeLessThan(2 * DELTA_BYTES_MAX);
  expect(await differences(studio.at("v3"), studio.at("player"))).toEqual([]);

  // both are given on
  await studio.seed("player");
  const other = await studio.patch("second", ["--sources", "local,delta,peers"]);
  expect(other.bytes.fetched).toMatchObject({ origin: 0 });
  expect(other.bytes.fetched.peers).toBeLessThan(2 * DELTA_BYTES_MAX);
  expect(await differences(studio.at("v3"), studio.at("second"))).toEqual([]);
});

test.each([
  { what: "bad", spoil: flipByte, which: 0 },
  { what: "missing", spoil: rm, which: 1 },
])("a chain of which delta $which is $what is done without", async ({ spoil, which }) => {
  await using studio = await openStudio();
  const objects = await publishChain(studio);
  for (const path of objects[which] ?? []) await spoil(path);
  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeGreaterThan(2 * MIB);
  expect(await differences(studio.at("v3"), studio.at("player"))).toEqual([]);
});

test("of an install that was changed by hand, those files come by chunks and the others by the delta", async () => {
  await using studio = await openStudio();
  const before = { ...V1, "second.bin": noise(4 * MIB, "second") };
  await writeFiles(studio.at("v1"), before);
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await writeFiles(studio.at("v2"), { ...V2, "second.bin": rebuilt("second") });
  await studio.publish("v2", "2.0.0");

  await writeFiles(studio.at("player"), { "second.bin": "mine" });
  const dry = await studio.patch("player", ["--dry-run"]);
  const { ways } = dry["plan"] as { ways: { download: { deltas: number; chunks: number } }[] };
  expect(ways[0]).toMatchObject({ how: "delta", verdict: "chosen" });
  expect(ways[0]?.download.deltas).toBeLessThan(2 * DELTA_BYTES_MAX);
  expect(ways[0]?.download.chunks).toBeGreaterThan(3 * MIB);
  expect(ways[0]?.download.chunks).toBeLessThan(5 * MIB);

  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeLessThan(5 * MIB);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("what a delta makes of a file that rotted unseen is found out, and comes by chunks", async () => {
  await using studio = await openStudio();
  await publishFirst(studio);
  const rotten = studio.at("player", "game.bin");
  // a time that can be set again to the nanosecond, and is remembered by the next run
  const time = new Date("2026-01-01T00:00:00Z");
  await utimes(rotten, time, time);
  await studio.patch("player");
  await writeFiles(studio.at("v2"), V2);
  await studio.publish("v2", "2.0.0");
  const file = await open(rotten, "r+");
  await file.write(Buffer.alloc(100), 0, 100, 3 * MIB);
  await file.close();
  await utimes(rotten, time, time);
  const dry = await studio.patch("player", ["--dry-run"]);
  const { ways } = dry["plan"] as { ways: Record<string, unknown>[] };
  expect(ways[0]).toMatchObject({ how: "delta", verdict: "chosen", download: { chunks: 0 } });

  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeGreaterThan(2 * MIB);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("a delta is decoded while it still comes: its end is kept back until its beginning has been made into a file", async () => {
  await using studio = await openStudio();
  const { last, added } = await publishLarge(studio);
  const heldBack: string[] = [];
  await using proxy = await startProxy(studio.url, async (range) => {
    if (!range.endsWith(`/${last}`)) return;
    heldBack.push(range);
    await untilStaged(studio.at("player", ".patchswarm", "staging"), added.subarray(0, 64));
  });
  const { bytes } = await studio.patch("player", await throughProxy(studio, proxy.url));
  expect(heldBack.length).toBeGreaterThan(0);
  expect(bytes.fetched.origin).toBeLessThan(21 * MIB);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("the delta is on its way before the tree is there: the tree is kept back until the delta is asked for", async () => {
  await using studio = await openStudio();
  const before = await publishFirst(studio);
  await writeFiles(studio.at("v2"), V2);
  await studio.publish("v2", "2.0.0");
  const [object = ""] = await deltaObjects((await blobs(studio)).filter((blob) => !before.includes(blob)));
  const { size } = await stat(object);
  await studio.patch("second");
  const state = await readFile(studio.at("second", ".patchswarm", "state.json"), "utf8");
  const { release } = JSON.parse(state) as { release: { tree: string } };
  const asked = Promise.withResolvers<void>();
  await using proxy = await startProxy(studio.url, async (range, path) => {
    if (range.endsWith(`/${size}`)) asked.resolve();
    if (path.endsWith(release.tree)) await asked.promise;
  });
  const { bytes } = await studio.patch("player", await throughProxy(studio, proxy.url));
  expect(bytes.fetched.origin).toBeLessThan(DELTA_BYTES_MAX);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("nothing is left of a delta that was begun and was of no use", async () => {
  await using studio = await openStudio();
  await publishBoth(studio);
  await writeFiles(studio.at("player"), { "game.bin": "mine" });
  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeGreaterThan(2 * MIB);
  expect(await readdir(studio.at("player", ".patchswarm", "deltas"))).toEqual([]);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("a patch that was killed while the delta came goes on with what is there of it", async () => {
  await using studio = await openStudio();
  const { last } = await publishLarge(studio);
  const reached = Promise.withResolvers<void>();
  await using proxy = await startProxy(studio.url, (range) => {
    if (!range.endsWith(`/${last}`)) return Promise.resolve();
    reached.resolve();
    return new Promise(() => {}); // never
  });
  const patching = studio.startPatch("player", await throughProxy(studio, proxy.url));
  await reached.promise;
  patching.kill("SIGKILL");
  await patching.finished();

  const { bytes } = await studio.patch("player", ["--sources", "local,delta,origin"]);
  expect(bytes.fetched.origin).toBeGreaterThanOrEqual(last);
  expect(bytes.fetched.origin).toBeLessThan(last + MIB);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

/**
 * Two releases, and an install of the first. The delta has two objects: gives bytes of the last one, and what it begins
 * with.
 */
async function publishLarge(studio: Studio): Promise<{ last: number; added: Uint8Array }> {
  const game = noise(16 * MIB, "large");
  await writeFiles(studio.at("v1"), { "game.bin": game });
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  // new content, which a delta has as it is: more than fits in one section, and in one object
  const added = noise(20 * MIB, "added");
  await writeFiles(studio.at("v2"), { "added.bin": added, "game.bin": rebuilt("large", game) });
  await studio.publish("v2", "2.0.0", ["--deltas", "0"]);
  const before = await blobs(studio);
  await studio.publish("v2", "2.0.0");
  const objects = (await blobs(studio)).filter((blob) => !before.includes(blob));
  const sizes = await Promise.all(objects.map(async (path) => (await stat(path)).size));
  const [first = 0, last = 0, ...others] = sizes.filter((size) => size > MIB).toSorted((a, b) => b - a);
  expect(others).toEqual([]);
  expect(first).toBeGreaterThan(16 * MIB);
  return { last, added };
}

/** Flags of a patch that asks a proxy instead of the edge, and no peers. */
async function throughProxy(studio: Studio, url: string): Promise<string[]> {
  const title = JSON.parse(await readFile(studio.titleFile, "utf8")) as object;
  await writeFiles(studio.at(), { "by-proxy.json": JSON.stringify({ ...title, edges: [url] }) });
  return ["--title", studio.at("by-proxy.json"), "--sources", "local,delta,origin"];
}

/** Stands before an edge. `hold`: the answer of this content range to this path goes on when it resolves. */
async function startProxy(edge: string, hold: (range: string, path: string) => Promise<void>) {
  const server = createServer((incoming, outgoing) => {
    const { method = "GET", url = "/", headers } = incoming;
    const onward = request(new URL(url, edge), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      void hold(answer.headers["content-range"] ?? "", url).then(() => answer.pipe(outgoing));
    });
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await promisify(server.close.bind(server))();
    },
  };
}

/** Waits until a file in the folder begins with these bytes. */
async function untilStaged(folder: string, beginning: Uint8Array): Promise<void> {
  for (;;) {
    for (const name of await readdir(folder)) {
      const file = await open(join(folder, name));
      const { buffer } = await file.read(Buffer.alloc(beginning.length), 0, beginning.length, 0);
      await file.close();
      if (buffer.equals(beginning)) return;
    }
    await setImmediate();
  }
}

/**
 * Three releases, with a delta from each to the next only; two installs of the first. Gives where the deltas' objects
 * lie.
 */
async function publishChain(studio: Studio): Promise<string[][]> {
  await publishFirst(studio);
  await studio.patch("second");
  const objects: string[][] = [];
  for (const [folder, version, files] of [
    ["v2", "2.0.0", V2],
    ["v3", "3.0.0", V3],
  ] as const) {
    await writeFiles(studio.at(folder), files);
    await studio.publish(folder, version, ["--deltas", "0"]);
    const before = await blobs(studio);
    expect(await studio.publish(folder, version, ["--deltas", "1"])).toMatchObject({ deltas: [{}] });
    objects.push(await deltaObjects((await blobs(studio)).filter((blob) => !before.includes(blob))));
  }
  return objects;
}

/** Of what a delta added at the origin its first objects, which begin as deltas do. */
async function deltaObjects(added: readonly string[]): Promise<string[]> {
  const heads = await Promise.all(added.map(async (path) => (await readFile(path)).subarray(0, DELTA_MAGIC.length)));
  return added.filter((_, i) => heads[i]?.equals(DELTA_MAGIC) === true);
}

async function publishFirst(studio: Studio): Promise<string[]> {
  await writeFiles(studio.at("v1"), V1);
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  return await blobs(studio);
}

async function publishBoth(studio: Studio) {
  await publishFirst(studio);
  await writeFiles(studio.at("v2"), V2);
  return await studio.publish("v2", "2.0.0");
}

/** Where the edge keeps objects: every file of its bucket. */
async function blobs(studio: Studio): Promise<string[]> {
  const entries = await readdir(studio.at("edge"), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.parentPath.endsWith("blobs"))
    .map((entry) => join(entry.parentPath, entry.name));
}

async function flipByte(path: string): Promise<void> {
  const file = await open(path, "r+");
  const byte = new Uint8Array(1);
  await file.read(byte, 0, 1, 500);
  await file.write(
    byte.map((value) => value ^ 1),
    0,
    1,
    500,
  );
  await file.close();
}
