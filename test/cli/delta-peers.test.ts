/** A delta from real peers on 127.0.0.1: whom it waits for, and when the origin is asked. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { DeltaDownload, type DeltaToFetch } from "../../cli/patch/delta-download.ts";
import { Install } from "../../cli/patch/install.ts";
import { readDeltaTorrent } from "../../cli/patch/kept-deltas.ts";
import { Peers } from "../../cli/patch/peers.ts";
import type { Membership, Swarm, SwarmTerms } from "../../cli/peers/board.ts";
import { createSwarm } from "../../cli/peers/engine.ts";
import { FolderBoard } from "../../cli/peers/folder-board.ts";
import type { Origin, RangeRequest } from "../../cli/sources/origin.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { RateLimit } from "../../cli/peers/rates.ts";
import { BLOCK_BYTES, DELTA_PIECE_BYTES, DELTA_TORRENT_BYTES } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { makeTorrent } from "../../manifests/torrent.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { noise } from "../support/studio.ts";
import { swarmsForEachTest } from "../support/swarms.ts";

/** A delta of one group, of one object. */
const BYTES = noise(6.5 * DELTA_PIECE_BYTES, "delta");
const DOWNLOADS = new RateLimit(null, 0);
const OBJECT = objectIdOf(BYTES, sha256);
const hasher = new FileHasher(sha256, DELTA_PIECE_BYTES, sha1);
hasher.update(BYTES);
const { metainfo } = makeTorrent(
  {
    ...{ name: "delta", pieceLength: DELTA_PIECE_BYTES, announce: [], webSeeds: [] },
    files: [{ path: parseSafePath(OBJECT), exec: false, ...hasher.finish() }],
  },
  sha256,
  sha1,
);
const STEP = {
  delta: { torrent: { object: objectIdOf(metainfo, sha256) } },
  groups: [{ objects: [{ id: OBJECT, bytes: BYTES.length }] }],
  chosen: [0],
} as unknown as DeltaToFetch; // nothing else of it is asked for

const swarms = swarmsForEachTest();

beforeEach(() => {
  asked = 0;
});

/** A folder that holds the whole delta. */
async function seedBoard(): Promise<FolderBoard> {
  const folder = join(swarms.root, "seed");
  await mkdir(folder);
  await writeFile(join(folder, OBJECT), BYTES);
  return swarms.keepOpen(await FolderBoard.open(readDeltaTorrent(metainfo), folder));
}

async function startSeed(uploadLimit: number | null): Promise<Membership> {
  return await swarms.enter(await seedBoard(), { uploadLimit });
}

/** Of a player that the tracker has one other for. */
function newPeers(evenIfAlone: boolean, openSwarm: () => Promise<Swarm>): Peers {
  return new Peers({
    // nothing else of these is asked for
    ...({ title: { edge: "http://edge", title: "demo" }, release: {} } as Pick<
      ConstructorParameters<typeof Peers>[0],
      "title" | "release"
    >),
    ...{ uploadLimit: 1000, download: DOWNLOADS, signal: new AbortController().signal, evenIfAlone, log: () => {} },
    keepTorrent: () => Promise.resolve(),
    fetch: (url) => Promise.resolve((url as string).includes("/scrape?") ? countOfOne() : leaveToJoin()),
    createSwarm: openSwarm,
  });
}

/** The bytes that the origin gave of a delta that was fetched whole. */
async function fetchDelta(hasOrigin: boolean): Promise<number> {
  let given = 0;
  const origin = {
    edgeFor: () => "the edge",
    turnAwayFrom: () => {},
    async *read({ offset, slices }: RangeRequest, memory: (bytes: number) => Uint8Array<ArrayBuffer>) {
      let at = offset;
      for (const bytes of slices) {
        const slice = memory(bytes);
        slice.set(BYTES.subarray(at, (at += bytes)));
        given += bytes;
        yield await Promise.resolve(slice);
      }
    },
  };
  const signal = new AbortController().signal;
  const peers = newPeers(!hasOrigin, createSwarm);
  const download = new DeltaDownload(STEP, {
    ...{ install: new Install(join(swarms.root, "install")), originFirst: false, signal, onProgress: () => {} },
    origin: hasOrigin ? (origin as unknown as Origin) : undefined,
    fromPeers: (board, halt) => peers.fetchBeside(board, halt),
    keepOpen: swarms.keepOpen,
    readObject: (_, bytesMax) => {
      torrentBytesMax = bytesMax;
      return Promise.resolve(metainfo);
    },
  });
  await download.run();
  await peers.close();
  expect(download.failure).toBeUndefined();
  return given;
}

/** The reply to a scrape: one seed. */
function countOfOne(): Response {
  const infohash = Buffer.from(readDeltaTorrent(metainfo).infohash, "hex").toString("latin1");
  return new Response(Buffer.from(`d5:filesd20:${infohash}d8:completei1e10:incompletei0eeee`, "latin1"));
}

/** How much of the torrent was to be read at most. */
let torrentBytesMax = 0;

/** How often leave was asked for in a test. */
let asked = 0;

function leaveToJoin(): Response {
  asked += 1;
  const terms = {
    announce: [swarms.tracker.http],
    upload: { allowed: true, limit: null },
    origin: { fastEnough: 25e6 },
  };
  return Response.json(terms);
}

test("peers that give a delta fast are all that it needs", async () => {
  await startSeed(null);
  const spend = vi.spyOn(DOWNLOADS, "spend");
  expect(await fetchDelta(true)).toBe(0);
  // and pass the limit that the origin's bytes pass
  expect(spend.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0)).toBeGreaterThanOrEqual(BYTES.length);
});

test("of a delta's torrent, which nobody signed, no more is read than its objects account for", async () => {
  await fetchDelta(true);
  expect(torrentBytesMax).toBeGreaterThan(metainfo.length);
  expect(torrentBytesMax).toBeLessThan(DELTA_TORRENT_BYTES * 2);
});

test("a peer that gives a block every few seconds does not keep a delta from the origin", async () => {
  const seed = await startSeed(BLOCK_BYTES / 4.9);
  expect(await fetchDelta(true)).toBe(BYTES.length);
  expect(seed.uploaded()).toBeLessThan(DELTA_PIECE_BYTES);
});

test("a peer that gives piece after piece, but would need long for the rest, does not either", async () => {
  const seed = await startSeed(DELTA_PIECE_BYTES / 2);
  const given = await fetchDelta(true);
  expect(given).toBeGreaterThan(0);
  expect(seed.uploaded()).toBeLessThan(BYTES.length);
});

test("without an origin a slow peer is waited for", async () => {
  const seed = await startSeed(DELTA_PIECE_BYTES / 1.2);
  expect(await fetchDelta(false)).toBe(0);
  expect(seed.uploaded()).toBe(BYTES.length);
});

test("what is joined beside the release asks for leave once, and keeps one limit together", async () => {
  const board = await seedBoard();
  const joined: SwarmTerms[] = [];
  const membership = { useful: () => 0 } as Membership; // nothing else of it is asked for
  const peers = newPeers(true, () =>
    Promise.resolve({
      peerId: "1".repeat(40),
      join: (_, terms) => Promise.resolve(void joined.push(terms)).then(() => membership),
      close: () => Promise.resolve(),
    }),
  );
  for (let i = 0; i < 2; i++) await peers.fetchBeside(board, new AbortController().signal);
  await peers.close();
  expect(asked).toBe(1);
  expect(joined).toHaveLength(2);
  expect(joined[0]?.limits).toBeDefined();
  expect(joined[1]?.limits).toBe(joined[0]?.limits);
});
