/** A seed that lasts: through an edge that is away, and through a patch of what it shares. */
import { mkdir, rm, writeFile } from "node:fs/promises";
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
  await vi.waitFor(() => expect(logs.length).toBeGreaterThan(1), 3000);
  expect(members()).toBe(1);
  away = false;

  const second = publisher.publish("1.1.0", { files: { a: "three" } });
  await player.patch();
  await vi.waitFor(() => expect(joined.at(-1)?.layout.infohash).toBe(second.torrent.infohash), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(joined.length);
});

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

test("a folder that was uninstalled does not cost the others their peers, and is shared again when it is back", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using gone = await newPlayer(publisher);
  await gone.patch();
  publisher.publish("1.1.0", { files: { a: "two" } });
  await using other = await newPlayer(publisher);
  await other.patch();

  const { swarm, joined } = fakeSwarm();
  const logs: string[] = [];
  const enough = new AbortController();
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders: [gone.folder, other.folder], uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      ...{ signal: enough.signal, fetch, retryMs: 20 },
      createSwarm: () => Promise.resolve(swarm),
    },
    () => {},
  );
  await vi.waitFor(() => expect(joined).toHaveLength(2), 3000);
  await rm(gone.folder, { recursive: true });
  // a peer asks for what is not there any more
  await expect(joined[0]?.readVerified(0, 0, 1)).rejects.toThrow();
  await vi.waitFor(() => expect(logs.length).toBeGreaterThanOrEqual(3), 3000);
  expect(joined).toHaveLength(2);
  publisher.publish("1.2.0", { files: { a: "three" } });
  await gone.patch();
  await vi.waitFor(() => expect(joined).toHaveLength(3), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(3);
});

test("a release is given from one folder, however often it is named, and from another when that one is gone", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  publisher.publish("1.0.0", { files: { a: "one" } });
  await using first = await newPlayer(publisher);
  await first.patch();
  await using second = await newPlayer(publisher);
  await second.patch();

  const { swarm, joined, members } = fakeSwarm();
  const logs: string[] = [];
  const ready: string[] = [];
  const enough = new AbortController();
  edges.splice(0, edges.length, publisher.url);
  const seeding = seed(
    { folders: [first.folder, `${first.folder}/`, second.folder], uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      ...{ signal: enough.signal, fetch, retryMs: 20 },
      createSwarm: () => Promise.resolve(swarm),
    },
    (shares) => ready.push(...shares.map(({ folder }) => folder)),
  );
  await Promise.race([seeding, vi.waitFor(() => expect(ready).toEqual([first.folder, second.folder]), 3000)]);
  expect([joined.length, members()]).toEqual([1, 1]);
  expect(logs).toEqual([`${second.folder}: ${first.folder} shares the same release already.`]);
  await rm(first.folder, { recursive: true });
  await expect(joined[0]?.readVerified(0, 0, 1)).rejects.toThrow();
  await vi.waitFor(() => expect(joined).toHaveLength(2), 3000);
  expect(members()).toBe(1);
  enough.abort();
  await seeding;
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
