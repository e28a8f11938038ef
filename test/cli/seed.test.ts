/** A seed that lasts: through an edge that is away, and through a patch of what it shares. */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, expect, test, vi } from "vitest";
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

// trust has its own tests: the fixture's title has no keys
const edges: string[] = vi.hoisted(() => []);
vi.mock("../../cli/trust/title.ts", () => ({
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

test("a folder that is gone is offered no more, said once, and costs the others nothing", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using gone = await newPlayer(publisher);
  await gone.patch();
  publisher.publish("1.1.0", { files: { a: "two" } });
  await using healthy = await newPlayer(publisher);
  await healthy.patch();
  const { seeding, joined, members, logs, enough, asked } = begin([gone.folder, healthy.folder], publisher);
  await vi.waitFor(() => expect(joined).toHaveLength(2), 3000);
  await rm(gone.at(".patchswarm"), { recursive: true });
  await vi.waitFor(() => expect(members()).toBe(1), 3000);
  // it goes on looking, and finds what is installed there again
  const looks = logs.length;
  await gone.patch();
  await vi.waitFor(() => expect(members()).toBe(1), 3000);
  await vi.waitFor(() => expect(logs.at(-1)).toContain("shares the same release already"), 3000);
  expect(logs.filter((text) => text.includes("No install here"))).toHaveLength(1);
  expect(looks).toBeGreaterThan(0);
  // the healthy one was joined once, and nobody asked for leave again on its behalf
  const infohash = joined[1]?.layout.infohash;
  expect(joined.filter(({ layout }) => layout.infohash === infohash)).toHaveLength(1);
  expect(asked()).toBe(3);
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

/** A seed that looks after its folders often, and whose token lasts. */
function begin(folders: readonly string[], publisher: Publisher) {
  const { swarm, joined, members } = fakeSwarm();
  const logs: string[] = [];
  const enough = new AbortController();
  let joins = 0;
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders, uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      fetch: (input, init) => {
        if ((input as string).includes("/join")) joins += 1;
        return fetch(input, init);
      },
      ...{ signal: enough.signal, rejoinAfterMs: 3_600_000, retryMs: 50 },
      createSwarm: () => Promise.resolve(swarm),
    },
    () => {},
  );
  return { seeding, joined, members, logs, enough, asked: () => joins };
}

test("of two folders that come to the same release one gives it, and the seed goes on", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using late = await newPlayer(publisher);
  await late.patch();
  publisher.publish("1.1.0", { files: { a: "two" } });
  await using early = await newPlayer(publisher);
  await early.patch();

  const { swarm, joined, members } = fakeSwarm();
  const logs: string[] = [];
  const enough = new AbortController();
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders: [late.folder, early.folder], uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      ...{ signal: enough.signal, fetch, rejoinAfterMs: 50, retryMs: 50 },
      createSwarm: () => Promise.resolve(swarm),
    },
    () => {},
  );
  await vi.waitFor(() => expect(joined.length).toBeGreaterThanOrEqual(2), 3000);
  await late.patch();
  await vi.waitFor(() => expect(logs.join("\n")).toContain("shares the same release already"), 3000);
  await vi.waitFor(() => expect(members()).toBe(1), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(joined.length);
});

test("a limit on what is given holds for all folders together, and goes on when they are joined again", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using late = await newPlayer(publisher);
  await late.patch();
  publisher.publish("1.1.0", { files: { a: "two" } });
  await using early = await newPlayer(publisher);
  await early.patch();

  const { swarm, limits } = fakeSwarm();
  const enough = new AbortController();
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders: [late.folder, early.folder], uploadLimit: 1000 },
    {
      output: { log: () => {} },
      ...{ signal: enough.signal, fetch, rejoinAfterMs: 50, retryMs: 50 },
      createSwarm: () => Promise.resolve(swarm),
    },
    // a year's worth, by one of them
    () => limits[0]?.upload.spend(1000 * 365 * 86_400),
  );
  await vi.waitFor(() => expect(limits.length).toBeGreaterThanOrEqual(4), 3000);
  enough.abort();
  await seeding;
  for (const each of limits) expect(each?.upload.wait(performance.now())).toBeGreaterThan(86_400_000);
});

test("a delta that two folders keep is joined once, and neither ends the seed", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using late = await newPlayer(publisher);
  await late.patch();
  publisher.publish("1.1.0", { files: { a: "two" } });
  await using early = await newPlayer(publisher);
  await early.patch();
  for (const { folder } of [late, early]) await keepOneDelta(new Install(folder));

  const { swarm, joined } = fakeSwarm();
  const enough = new AbortController();
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders: [late.folder, early.folder], uploadLimit: null },
    {
      output: { log: () => {} },
      ...{ signal: enough.signal, fetch, rejoinAfterMs: 50, retryMs: 50 },
      createSwarm: () => Promise.resolve(swarm),
    },
    () => {},
  );
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
