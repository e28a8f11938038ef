/** Fetching to the end, or not: what an origin that goes away does to a patch. */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Assembly, SliceChunk } from "../../cli/patch/assembly.ts";
import { cutSlices, fetchMissing, type FetchOptions } from "../../cli/patch/fetch.ts";
import { type CompletePiece, Ledger } from "../../cli/patch/ledger.ts";
import type { Build } from "../../cli/patch/piece-map.ts";
import { WantedChunks } from "../../cli/patch/wanted-chunks.ts";
import { RateLimit } from "../../cli/peers/rates.ts";
import type { Origin, RangeRequest } from "../../cli/sources/origin.ts";
import { type ChunkId, type ObjectId, toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { BLOCK_BYTES, ORIGIN_REQUESTS, ORIGIN_SLICE_BYTES, ORIGIN_SLICE_CHUNKS } from "../../manifests/limits.ts";
import { FileHasher, pieceHash } from "../../manifests/merkle.ts";
import { PartWriter } from "../../manifests/parts.ts";
import { sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const CHUNK_BYTES = 20_000;
/** Of their own pack each: as many requests. */
const CHUNKS = Array.from({ length: ORIGIN_REQUESTS }, (_, i) => pseudoRandomBytes(i + 1, CHUNK_BYTES));
const CONTENT = Buffer.concat(CHUNKS);
const PIECE = 2 * BLOCK_BYTES;

interface Faults {
  /** Whether the edge answers. */
  readonly answers: (edge: number) => boolean;
  /** All chunks lie in one pack, and a connection breaks after so many bytes. */
  readonly breaksAfter?: number;
  readonly isBusy?: () => boolean;
  readonly swarm?: FetchOptions["swarm"];
  /** What becomes of a slice on its way to the disk. */
  readonly land?: () => Promise<void>;
  readonly onTick?: (ledger: Ledger) => void;
}

/** Fetches CONTENT from two edges. Time goes by as fast as somebody looks at the clock. */
async function fetchFrom(faults: Faults) {
  const { answers, breaksAfter, isBusy = () => false, swarm = () => undefined, land, onTick = () => {} } = faults;
  const hasher = new FileHasher(sha256, PIECE);
  hasher.update(CONTENT);
  const { root, layer } = hasher.finish();
  const writer = new PartWriter();
  const chunks = CHUNKS.map((bytes, i) => {
    const [number, offset] = breaksAfter === undefined ? [i, 0] : [0, i * CHUNK_BYTES];
    const [id, pack] = [toHex(sha256(bytes)) as ChunkId, `${number}`.repeat(64) as ObjectId];
    return { id, size: bytes.length, pack, offset, stored: bytes.length, raw: true };
  });
  const parts = writer.write(chunks, () => "pack");
  const build: Build = { root, size: CONTENT.length, parts, layer };
  const ledger = new Ledger([build], { table: writer.table, pieceLength: PIECE, hasTorrent: true, sha256 });
  const asked: number[] = [];
  let edge = 0;
  const origin = {
    received: 0,
    limit: new RateLimit(null, 0),
    edgeFor: () => `edge ${edge}`,
    forgetMissing: () => {},
    turnAwayFrom: (from: string) => void (from === `edge ${edge}` && (edge = 1 - edge)),
    async *read({ slices }: RangeRequest, memory: (bytes: number) => Uint8Array<SharedArrayBuffer>) {
      asked.push(edge);
      await Promise.resolve();
      if (!answers(edge)) throw new Failure("edge.unreachable", { url: `edge ${edge}` });
      let left = breaksAfter ?? Number.POSITIVE_INFINITY;
      for (const bytes of slices) {
        left -= bytes;
        if (left < 0) throw new Failure("edge.unreachable", { reason: "cut off" });
        yield memory(bytes);
        // the next part comes later than what was done with this one
        await setImmediate();
        await setImmediate();
      }
    },
  };
  const judge = (complete: readonly CompletePiece[]): void => {
    for (const each of complete) {
      const { offset, bytes, whole } = ledger.map.rangeOf(each.piece);
      ledger.hashed(each, pieceHash(CONTENT.subarray(offset, offset + bytes), PIECE, whole, sha256));
    }
  };
  const assembly = {
    get isBusy() {
      return isBusy();
    },
    landingError: undefined,
    landSlice: (_: unknown, chunks: readonly SliceChunk[]) => {
      if (land !== undefined) return land();
      for (const { chunk } of chunks) judge(ledger.land(chunk, "origin"));
      return Promise.resolve();
    },
  };
  let clock = 0;
  const fetched = fetchMissing({
    ledger,
    // nothing else of these classes is asked for
    ...{ assembly: assembly as unknown as Assembly, origin: origin as unknown as Origin },
    ...{ originFirst: false, swarm, expectedPeers: () => 0, joining: () => false, fastEnough: () => 1 },
    signal: new AbortController().signal,
    now: () => (clock += 500),
    onTick: () => onTick(ledger),
  });
  return { fetched, ledger, asked };
}

test("an origin that is gone for good while the install is still copied from is a failure, not the end", async () => {
  let looks = 0;
  const { fetched, ledger } = await fetchFrom({ answers: () => false, isBusy: () => ++looks < 40 });
  // and what the origin said last is named
  await expect(fetched).rejects.toMatchObject({ code: "sources.exhausted", facts: { origin: "edge.unreachable" } });
  expect(ledger.done).toBe(false);
});

test("when the origin is gone, peers go on", async () => {
  let ticks = 0;
  let downloaded = 0;
  const membership = {
    peers: () => ({ connected: 1, unchoked: 1 }),
    rate: () => 0,
    downloaded: () => downloaded,
    useful: () => (downloaded += 1),
    uploaded: () => 0,
    badPeers: () => [],
    leave: () => Promise.resolve(),
  };
  const { fetched, ledger } = await fetchFrom({
    answers: () => false,
    swarm: () => membership,
    onTick: (ledger) => {
      if (++ticks < 40) return;
      for (const piece of ledger.map.piecesOf(0)) {
        if (ledger.claimPiece(piece) !== undefined) ledger.provePiece(piece);
      }
    },
  });
  await fetched;
  expect(ledger.done).toBe(true);
});

test("peers that give only what comes to nothing are not waited for for ever", async () => {
  let downloaded = 0;
  const membership = {
    peers: () => ({ connected: 1, unchoked: 1 }),
    rate: () => 0,
    downloaded: () => (downloaded += BLOCK_BYTES),
    useful: () => 0,
    uploaded: () => 0,
    badPeers: () => [],
    leave: () => Promise.resolve(),
  };
  let ticks = 0;
  const onTick = (): void => {
    if (++ticks > 200) throw new Error("it goes on");
  };
  const { fetched } = await fetchFrom({ answers: () => false, swarm: () => membership, onTick });
  await expect(fetched).rejects.toMatchObject({ code: "sources.exhausted" });
});

test("requests that one outage ends are one failure, and the next edge is asked", async () => {
  const { fetched, ledger, asked } = await fetchFrom({ answers: (edge) => edge === 1 });
  await fetched;
  expect(ledger.done).toBe(true);
  const first = Array.from({ length: ORIGIN_REQUESTS }, () => 0);
  expect(asked.slice(0, ORIGIN_REQUESTS)).toEqual(first);
  expect(asked.slice(ORIGIN_REQUESTS)).toEqual(first.map(() => 1));
});

test("a slice that finds no room is a failure of its own, though the next part is yet to come", async () => {
  const land = (): Promise<void> => Promise.reject(new Failure("install.no-space", {}));
  const { fetched } = await fetchFrom({ answers: () => true, land });
  // a rejection that nobody hears of would end the program
  await expect(fetched).rejects.toMatchObject({ code: "install.no-space" });
});

test("a line that breaks before a slice has come still brings whole chunks", async () => {
  const { fetched, ledger } = await fetchFrom({ answers: () => true, breaksAfter: 1.5 * CHUNK_BYTES });
  await fetched;
  expect(ledger.done).toBe(true);
});

test("a slice of small chunks ends before their names are more than their bytes", () => {
  const count = 2 * ORIGIN_SLICE_CHUNKS + 1;
  const writer = new PartWriter();
  const pack = "a".repeat(64) as ObjectId;
  const chunks = Array.from({ length: count }, (_, i) => {
    return {
      id: toHex(sha256(Uint8Array.of(i, i >> 8))) as ChunkId,
      size: 2,
      pack,
      offset: 3 * i,
      stored: 2,
      raw: true,
    };
  });
  const build = { root: "0".repeat(64) as Build["root"], size: 2 * count, layer: undefined };
  const wanted = new WantedChunks(writer.table, [{ ...build, parts: writer.write(chunks, () => "pack") }]);
  const slices = cutSlices([...wanted], ORIGIN_SLICE_BYTES);
  expect(slices.map(({ chunks: some }) => some.length)).toEqual([ORIGIN_SLICE_CHUNKS, ORIGIN_SLICE_CHUNKS, 1]);
  // every byte of the run, and the gaps between chunks with it
  expect(slices.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(3 * count - 1);
  expect(slices.at(-1)?.chunks[0]?.at).toBe(1);
});
