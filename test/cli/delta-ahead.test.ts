/** A delta that is begun before it is known to be wanted: what becomes of it when it is, in part, and not at all. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { DeltaAhead } from "../../cli/patch/delta-ahead.ts";
import { DeltaDownload } from "../../cli/patch/delta-download.ts";
import { Install } from "../../cli/patch/install.ts";
import { deltaFolder } from "../../cli/patch/kept-deltas.ts";
import type { Origin, RangeRequest } from "../../cli/sources/origin.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { type DeltaGroup, writeReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTA_PIECE_BYTES } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { makeTorrent, pieceOf } from "../../manifests/torrent.ts";
import type { WayStep } from "../../manifests/ways.ts";
import type { FolderBoard } from "../../cli/peers/folder-board.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { noise } from "../support/studio.ts";

/** A delta of two groups, each an object of three pieces. */
const OBJECTS = ["one", "two"].map((seed) => {
  const bytes = noise(2.5 * DELTA_PIECE_BYTES, seed);
  return { id: objectIdOf(bytes, sha256), bytes };
});
const GROUPS = OBJECTS.map(({ id, bytes }): DeltaGroup => {
  return { old: [{ offset: 0, bytes: 1000 }], bytes: 5000, objects: [{ id, bytes: bytes.length }] };
});
const [FROM, TO] = ["from", "to"].map((tree) => objectIdOf(noise(10, tree), sha256)) as [ObjectId, ObjectId];
const INDEX = writeReleaseDelta({ from: FROM, to: TO, streams: undefined, groups: GROUPS });
const TORRENT = makeTorrent(
  {
    name: "delta",
    pieceLength: DELTA_PIECE_BYTES,
    files: OBJECTS.map(({ id, bytes }) => {
      const hasher = new FileHasher(sha256, DELTA_PIECE_BYTES, sha1);
      hasher.update(bytes);
      return { path: parseSafePath(id), exec: false, ...hasher.finish() };
    }),
    announce: [],
    webSeeds: [],
  },
  sha256,
  sha1,
);
const DELTA = {
  from: 1,
  index: objectIdOf(INDEX, sha256),
  bytes: OBJECTS.reduce((sum, { bytes }) => sum + bytes.length, 0),
  torrent: {
    object: objectIdOf(TORRENT.metainfo, sha256),
    infohash: TORRENT.infohash,
    infohashV2: TORRENT.infohashV2,
  },
};

/** A way's step by these groups. */
function stepBy(chosen: readonly number[]): WayStep {
  return { delta: DELTA, groups: GROUPS, chosen } as unknown as WayStep;
}

let install: Install;
const boards: FolderBoard[] = [];
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-ahead-"));
  install = new Install(folder);
  return async () => {
    await Promise.all(boards.splice(0).map((board) => board.close()));
    await rm(folder, { recursive: true });
  };
});
afterAll(closePool);

type Peer = (board: FolderBoard, signal: AbortSignal) => Promise<void>;

/** Gives every piece. */
const generous: Peer = async (board) => {
  for (const piece of [...board.missing()]) {
    const { file, offset, bytes } = pieceOf(board.layout, piece);
    const object = OBJECTS.find(({ id }) => id === (file.path as string));
    await board.put(piece, Uint8Array.from(object?.bytes.subarray(offset, offset + bytes) ?? []));
  }
};

function begin(peer: Peer, readObject?: (id: ObjectId) => Promise<Uint8Array>): DeltaAhead {
  const objects = new Map<ObjectId, Uint8Array>([
    [DELTA.index, INDEX],
    [DELTA.torrent.object, TORRENT.metainfo],
  ]);
  return new DeltaAhead(DELTA, {
    install,
    origin: undefined,
    originFirst: false,
    fromPeers: peer,
    keepOpen: (board) => boards.push(board),
    readObject: readObject ?? ((id) => Promise.resolve(objects.get(id) ?? new Uint8Array())),
    signal: new AbortController().signal,
  });
}

test("a connection that breaks costs what was under way, not the delta; and another edge is asked", async () => {
  const asked: number[] = [];
  let turns = 0;
  const origin = {
    edgeFor: () => "the first",
    turnAwayFrom: (edge: string) => (turns += edge === "the first" ? 1 : 0),
    async *read({ object, offset, slices }: RangeRequest, memory: (bytes: number) => Uint8Array<ArrayBuffer>) {
      asked.push(slices.length);
      const bytes = OBJECTS.find(({ id }) => id === object)?.bytes ?? new Uint8Array();
      let at = offset;
      for (const length of slices) {
        const slice = memory(length);
        slice.set(bytes.subarray(at, (at += length)));
        yield slice;
        await Promise.resolve();
        if (asked.length === 1) throw new Failure("edge.unreachable", { reason: "the line broke" });
      }
    },
  };
  const download = new DeltaDownload(stepBy([0, 1]), {
    ...{ install, originFirst: false, fromPeers: undefined },
    origin: origin as unknown as Origin, // nothing else of it is asked for
    keepOpen: (board) => boards.push(board),
    readObject: () => Promise.resolve(TORRENT.metainfo),
    ...{ signal: new AbortController().signal, onProgress: () => {} },
  });
  await download.run();
  expect(download.failure).toBeUndefined();
  // one piece of the first object had come
  expect(asked).toEqual([3, 2, 3]);
  expect(turns).toBe(1);
});

test("whoever goes by all of it takes the download over, once, with what came until then", async () => {
  const ahead = begin(generous);
  let arrived = 0;
  const onProgress = (bytes: number): void => void (arrived += bytes);
  const taken = await ahead.takenBy([stepBy([0, 1])], onProgress);
  await taken?.download.done;
  expect(arrived).toBe(DELTA.bytes);
  expect(await ahead.takenBy([stepBy([0, 1])], onProgress)).toBeUndefined();
});

test("what came of it stays when some of it is needed", async () => {
  const given = Promise.withResolvers<void>();
  const ahead = begin(async (board, signal) => {
    await generous(board, signal);
    given.resolve();
  });
  await given.promise;
  expect(await ahead.takenBy([stepBy([0])], () => {})).toBeUndefined();
  expect(await readdir(deltaFolder(install, DELTA.torrent.object))).toHaveLength(2);
});

test("dropped, its peers are told to stop, and nothing is left of it", async () => {
  const joined = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const ahead = begin(async (_, signal) => {
    signal.addEventListener("abort", () => left.resolve());
    joined.resolve();
    await left.promise;
  });
  await joined.promise;
  await ahead.drop();
  await left.promise;
  expect(await readdir(install.own("deltas"))).toEqual([]);
});

test("an edge that does not answer holds nobody up", async () => {
  for (const hanging of [DELTA.index, DELTA.torrent.object]) {
    const ahead = begin(generous, (id) => (id === hanging ? new Promise(() => {}) : Promise.resolve(INDEX)));
    await ahead.drop();
  }
});

test("an index that names more than it was to be begins nothing", async () => {
  const groups = [{ ...(GROUPS[0] as DeltaGroup), objects: [{ id: OBJECTS[0]?.id ?? FROM, bytes: 17 * 1024 * 1024 }] }];
  const large = writeReleaseDelta({ from: FROM, to: TO, streams: undefined, groups });
  const ahead = begin(
    () => Promise.reject(new Error("asked")),
    (id) => Promise.resolve(id === DELTA.index ? large : TORRENT.metainfo),
  );
  expect(await ahead.takenBy([stepBy([0, 1])], () => {})).toBeUndefined();
});
