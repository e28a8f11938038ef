/** A seed that lasts: through an edge that is away, and through a patch of what it shares. */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import type { Swarm, VerifiedPieces } from "../../cli/peers/board.ts";
import type { TransferLimits } from "../../cli/peers/rates.ts";
import { Install } from "../../cli/patch/install.ts";
import { deltaFolder, keepDelta } from "../../cli/patch/kept-deltas.ts";
import { seed } from "../../cli/patch/seed.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTA_PIECE_BYTES } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { makeTorrent } from "../../manifests/torrent.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { newPlayer } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

/** Between two looks of a seed at its folders. */
const RETRY_MS = 50;

// trust has its own tests: the fixture's title has no keys
const edges: string[] = vi.hoisted(() => []);
vi.mock("../../cli/patch/title-of-install.ts", () => ({
  titleOfInstall: () => Promise.resolve({ title: "demo", edges }),
  rememberTitle: () => Promise.resolve(),
}));

/** Like the real one, it takes each swarm once. */
function fakeSwarm() {
  const joined: VerifiedPieces[] = [];
  const limits: (TransferLimits | undefined)[] = [];
  const members = new Set<string>();
  const swarm: Swarm = {
    peerId: "1".repeat(40),
    join(board, terms) {
      const { infohash } = board.layout;
      if (members.has(infohash)) return Promise.reject(new Failure("usage.bad-flag", { infohash }));
      joined.push(board);
      limits.push(terms.limits);
      members.add(infohash);
      return Promise.resolve({
        peers: () => ({ connected: 0, unchoked: 0 }),
        rate: () => 0,
        downloaded: () => 0,
        useful: () => 0,
        uploaded: () => 1,
        badPeers: () => [],
        leave: () => Promise.resolve(void members.delete(infohash)),
      });
    },
    close: () => Promise.resolve(),
  };
  return { swarm, joined, limits, members: () => members.size };
}

test("a seed outlasts an edge that is away, and follows the install when it is patched", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  const first = publisher.publish("1.0.0", { files: { a: "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();

  const { swarm, joined, members } = fakeSwarm();
  let away = false;
  const logs: string[] = [];
  const enough = new AbortController();
  edges.push(publisher.url);
  const seeding = seed(
    { folders: [player.folder], uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      signal: enough.signal,
      fetch: (input, init) => {
        const url = input as string;
        if (away) return Promise.resolve(new Response("{}", { status: 404 }));
        return fetch(url, init);
      },
      createSwarm: () => Promise.resolve(swarm),
      rejoinAfterMs: 300,
      retryMs: 50,
    },
    () => {},
  );
  await vi.waitFor(() => expect(joined.length).toBeGreaterThan(0));
  expect(joined[0]?.layout.infohash).toBe(first.torrent.infohash);
  away = true;
  await vi.waitFor(() => expect(logs.length).toBeGreaterThan(0), 3000);
  expect(members()).toBe(1);
  away = false;

  const state = player.at(".patchswarm", "state.json");
  const spoiled = async (spoil: () => Promise<unknown>, said: string): Promise<void> => {
    await rename(state, player.at("state.json"));
    await spoil();
    await vi.waitFor(() => expect(logs.join("\n")).toContain(said), 3000);
    await rm(state, { recursive: true });
    await rename(player.at("state.json"), state);
  };
  await spoiled(() => mkdir(state), "cannot be read");
  await spoiled(() => writeFile(state, "?"), "does not say what is installed");

  const second = publisher.publish("1.1.0", { files: { a: "three" } });
  await player.patch();
  await vi.waitFor(() => expect(joined.at(-1)?.layout.infohash).toBe(second.torrent.infohash), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(joined.length);
});

test("a seed follows a patch of its folder though nobody asks for anything", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const { seeding, joined, logs, enough } = begin([player.folder], publisher);
  await vi.waitFor(() => expect(joined).toHaveLength(1), 3000);
  const second = publisher.publish("1.1.0", { files: { a: "two" } });
  await player.patch();
  await vi.waitFor(() => expect(joined.at(-1)?.layout.infohash).toBe(second.torrent.infohash), 3000);
  await vi.waitFor(() => expect(logs.join("\n")).toContain("sharing demo 1.1.0 now"), 3000);
  enough.abort();
  await seeding;
});

test("a torrent that the first edge has wrong comes from the second", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  const { torrent } = publisher.publish("1.0.0", { files: { a: "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const { seeding, joined, enough } = begin([player.folder], publisher, { wrong: "another torrent" });
  await vi.waitFor(() => expect(joined.map(({ layout }) => layout.infohash)).toEqual([torrent.infohash]), 3000);
  enough.abort();
  await seeding;
});

test("a folder that is gone is offered no more, said once, and costs the others nothing", async () => {
  await using releases = await twoReleases();
  const { publisher, late: gone, early: healthy } = releases;
  const { seeding, joined, members, logs, enough, asked } = begin([gone.folder, healthy.folder], publisher);
  await vi.waitFor(() => expect(joined).toHaveLength(2), 3000);
  await rm(gone.at(".patchswarm"), { recursive: true });
  await vi.waitFor(() => expect(members()).toBe(1), 3000);
  // it goes on looking, and finds what is installed there again
  await gone.patch();
  await vi.waitFor(() => expect(logs.at(-1)).toContain("shares the same release already"), 3000);
  expect(logs.filter((text) => text.includes("No install here"))).toHaveLength(1);
  // the healthy one was joined once, and nobody asked for leave again on its behalf
  const infohash = joined[1]?.layout.infohash;
  expect(joined.filter(({ layout }) => layout.infohash === infohash)).toHaveLength(1);
  expect(asked()).toBe(3);
  enough.abort();
  await seeding;
});

test("a folder that goes while somebody reads it is looked for as often as any, and no more", async () => {
  await using releases = await twoReleases();
  const { publisher, late: gone } = releases;
  const { seeding, joined, members, logs, enough } = begin([gone.folder], publisher);
  await vi.waitFor(() => expect(joined).toHaveLength(1), 3000);
  await rm(gone.folder, { recursive: true });
  await expect(joined[0]?.readVerified(0, 0, 1)).rejects.toThrow();
  await vi.waitFor(() => expect(members()).toBe(0), 3000);
  const looks = vi.spyOn(Install.prototype, "own");
  const waits = vi.spyOn(globalThis, "setTimeout");
  onTestFinished(() => {
    looks.mockRestore();
    waits.mockRestore();
  });
  const pauses = (): number => waits.mock.calls.filter(([, ms]) => ms === RETRY_MS).length;
  await vi.waitFor(() => expect(pauses()).toBeGreaterThan(4), 3000);
  // two looks at the state each time it is opened, one while waiting
  expect(looks.mock.calls.length).toBeLessThanOrEqual(3 * (pauses() + 1));
  expect(logs.filter((text) => text.includes("No install here"))).toHaveLength(1);
  enough.abort();
  await seeding;
});

test("two folders of one release, or one folder twice, are one seed", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const { seeding, joined, logs, enough } = begin([player.folder, player.folder], publisher);
  await vi.waitFor(() => expect(logs.join("\n")).toContain("shares the same release already"), 3000);
  expect(joined).toHaveLength(1);
  enough.abort();
  await seeding;
});

/** A player of the first of two releases, and one of the second. */
async function twoReleases() {
  const stack = new AsyncDisposableStack();
  const publisher = stack.use(await Publisher.start({ pieceLength: 16 * 1024 }));
  const playerOf = async (version: string, content: string) => {
    publisher.publish(version, { files: { a: content } });
    const player = stack.use(await newPlayer(publisher));
    await player.patch();
    return player;
  };
  const late = await playerOf("1.0.0", "one");
  const early = await playerOf("1.1.0", "two");
  return { publisher, late, early, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** A seed that looks after its folders often, and whose token lasts. */
function begin(
  folders: readonly string[],
  publisher: Publisher,
  options: {
    readonly uploadLimit?: number;
    readonly rejoinAfterMs?: number;
    readonly onReady?: () => void;
    /** An edge that is asked before the publisher's, and has this under every name. */
    readonly wrong?: string;
  } = {},
) {
  const { uploadLimit = null, rejoinAfterMs = 3_600_000, onReady = () => {} } = options;
  const fake = fakeSwarm();
  const logs: string[] = [];
  const enough = new AbortController();
  let joins = 0;
  const { wrong } = options;
  const wrongEdge = "http://wrong.invalid";
  edges.splice(0, edges.length, ...(wrong === undefined ? [] : [wrongEdge]), publisher.url);
  const seeding = seed(
    { folders, uploadLimit },
    {
      output: { log: (text) => void logs.push(text) },
      fetch: (input, init) => {
        const url = input as string;
        if (url.includes("/join")) joins += 1;
        if (wrong === undefined || !url.startsWith(wrongEdge)) return fetch(input, init);
        return Promise.resolve(new Response(wrong, { headers: { "content-length": `${wrong.length}` } }));
      },
      ...{ signal: enough.signal, rejoinAfterMs, retryMs: RETRY_MS },
      createSwarm: () => Promise.resolve(fake.swarm),
    },
    onReady,
  );
  return { ...fake, seeding, logs, enough, asked: () => joins };
}

test("of two folders that come to the same release one gives it, and the seed goes on", async () => {
  await using releases = await twoReleases();
  const { publisher, late, early } = releases;
  const folders = [late.folder, early.folder];
  const { seeding, joined, members, logs, enough } = begin(folders, publisher, { rejoinAfterMs: RETRY_MS });
  await vi.waitFor(() => expect(joined.length).toBeGreaterThanOrEqual(2), 3000);
  await late.patch();
  await vi.waitFor(() => expect(logs.join("\n")).toContain("shares the same release already"), 3000);
  await vi.waitFor(() => expect(members()).toBe(1), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(joined.length);
});

test("a limit on what is given holds for all folders together, and goes on when they are joined again", async () => {
  await using releases = await twoReleases();
  const { publisher, late, early } = releases;
  const { seeding, limits, enough } = begin([late.folder, early.folder], publisher, {
    uploadLimit: 1000,
    rejoinAfterMs: RETRY_MS,
    // a year's worth, by one of them
    onReady: () => limits[0]?.upload.spend(1000 * 365 * 86_400),
  });
  await vi.waitFor(() => expect(limits.length).toBeGreaterThanOrEqual(4), 3000);
  enough.abort();
  await seeding;
  for (const each of limits) expect(each?.upload.wait(performance.now())).toBeGreaterThan(86_400_000);
});

test("a delta that two folders keep is joined once, and neither ends the seed", async () => {
  await using releases = await twoReleases();
  const { publisher, late, early } = releases;
  for (const { folder } of [late, early]) await keepOneDelta(new Install(folder));
  const folders = [late.folder, early.folder];
  const { seeding, joined, enough } = begin(folders, publisher, { rejoinAfterMs: RETRY_MS });
  // all of them, and again after the first round
  await Promise.race([seeding, vi.waitFor(() => expect(joined.length).toBeGreaterThanOrEqual(6), 3000)]);
  enough.abort();
  await seeding;
  expect(new Set(joined.map(({ layout }) => layout.infohash)).size).toBe(3);
});

/** As an update leaves it. */
async function keepOneDelta(install: Install): Promise<void> {
  const object = new TextEncoder().encode("an object of a delta");
  const id = objectIdOf(object, sha256);
  const hasher = new FileHasher(sha256, DELTA_PIECE_BYTES, sha1);
  hasher.update(object);
  const files = [{ path: parseSafePath(id), exec: false, ...hasher.finish() }];
  const made = { name: "delta", pieceLength: DELTA_PIECE_BYTES, announce: [], webSeeds: [], files };
  const { metainfo } = makeTorrent(made, sha256, sha1);
  const torrent = objectIdOf(metainfo, sha256);
  await mkdir(deltaFolder(install, torrent), { recursive: true });
  await writeFile(path.join(deltaFolder(install, torrent), id), object);
  await keepDelta(install, torrent, metainfo);
}
