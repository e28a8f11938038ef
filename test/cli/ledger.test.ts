/**
 * The ledger under any order of events: two sides fetch, fail, lie and overtake each other, and the content comes out
 * right.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { collectGarbage } from "../../cli/threads/collect-garbage.ts";
import { type CompletePiece, Ledger } from "../../cli/patch/ledger.ts";
import type { Build } from "../../cli/patch/piece-map.ts";
import type { LedgerChunk } from "../../cli/patch/wanted-chunks.ts";
import { toHex, type ChunkId, type ObjectId } from "../../manifests/digest.ts";
import { BLOCK_BYTES, ORIGIN_BAD_MAX } from "../../manifests/limits.ts";
import { FileHasher, pieceHash } from "../../manifests/merkle.ts";
import { PartWriter } from "../../manifests/parts.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const PIECE = 2 * BLOCK_BYTES;
/** What one more small file may take of its own, with its name: bytes. As objects it was 1,100, and 300 of malloc. */
const FILE_BYTES_MAX = 500;
const LOCAL = "local" as SafePath;

/** Chunk number -> its content; sizes that fit neither blocks nor pieces. */
const CHUNKS = [9_000, 21_001, 40_000, 5, 16_384, 70_001].map((size, index) => pseudoRandomBytes(index + 1, size));

interface World {
  readonly ledger: Ledger;
  readonly builds: readonly Build[];
  /** What each build should be, and what the disk holds of it. */
  readonly wanted: readonly Uint8Array[];
  readonly disk: readonly Uint8Array[];
}

/** Builds made of chunks by number; the chunks whose number is in `local` are in the install. */
function worldOf(contents: readonly (readonly number[])[], local: ReadonlySet<number>, hasLayers: boolean): World {
  const wanted = contents.map((numbers) => Buffer.concat(numbers.map((number) => CHUNKS[number] ?? new Uint8Array())));
  const writer = new PartWriter();
  const locals = new Set<string>();
  const builds = contents.map((numbers, index): Build => {
    const content = wanted[index] ?? Buffer.alloc(0);
    const hasher = new FileHasher(sha256, PIECE);
    hasher.update(content);
    const { root, layer } = hasher.finish();
    const chunks = numbers.map((number) => {
      const bytes = CHUNKS[number] ?? new Uint8Array();
      const id = toHex(sha256(bytes)) as ChunkId;
      const pack = String(number % 2).repeat(64) as ObjectId;
      if (local.has(number)) locals.add(id);
      return { id, size: bytes.length, pack, offset: number * 100_000, stored: bytes.length, raw: true };
    });
    const parts = writer.write(chunks, ({ id }) => (locals.has(id) ? { path: LOCAL, offset: 0 } : "pack"));
    return { root, size: content.length, parts, layer: hasLayers && layer.length > 0 ? layer : undefined };
  });
  const disk = wanted.map((content) => new Uint8Array(content.length));
  const ledger = new Ledger(builds, { table: writer.table, pieceLength: PIECE, hasTorrent: hasLayers, sha256 });
  return { ledger, builds, wanted, disk };
}

/** Lands chunks as the assembly does: open pieces only, then hashes what is complete, then looks for whom to blame. */
function land({ ledger, disk, builds }: World, chunk: LedgerChunk, from: "install" | "origin", isBad: boolean): void {
  const number = CHUNKS.findIndex((bytes) => toHex(sha256(bytes)) === chunk.chunk.id);
  const bytes = Uint8Array.from(CHUNKS[number] ?? []);
  if (isBad) bytes[0] = (bytes[0] ?? 0) ^ 1;
  for (const target of chunk.targets) {
    for (const run of ledger.openRuns(target, chunk.chunk.size)) {
      const at = run.offset - target.offset;
      disk[target.build]?.set(bytes.subarray(at, at + run.bytes), run.offset);
    }
  }
  judge({ ledger, disk, builds }, ledger.land(chunk, from));
}

function judge(
  { ledger, disk, builds }: Pick<World, "ledger" | "disk" | "builds">,
  complete: readonly CompletePiece[],
): void {
  for (const each of complete) {
    const { build, offset, bytes, whole } = ledger.map.rangeOf(each.piece);
    const content = disk[build]?.subarray(offset, offset + bytes) ?? new Uint8Array();
    const verdict = ledger.hashed(each, pieceHash(content, PIECE, whole, sha256));
    if (verdict === "good") continue;
    const suspects = verdict === "bad" ? [each.piece] : ledger.map.piecesOf(build);
    const bad = ledger.partsIn(build, suspects).filter((part) => {
      const found = disk[build]?.subarray(part.offset, part.offset + part.chunk.size) ?? new Uint8Array();
      return toHex(sha256(found)) !== part.chunk.id;
    });
    expect(bad.length).toBeGreaterThan(0);
    ledger.condemn(
      build,
      bad.map(({ part }) => part),
    );
  }
  void builds;
}

/** A peer hands in the blocks of a claimed piece; the others come from the disk. */
function handIn({ ledger, disk, wanted }: World, piece: number, blocks: readonly number[], isBad: boolean): void {
  const { build, offset, bytes, whole } = ledger.map.rangeOf(piece);
  const content = Uint8Array.from(disk[build]?.subarray(offset, offset + bytes) ?? []);
  for (const block of blocks) {
    const from = offset + block * BLOCK_BYTES;
    content.set(wanted[build]?.subarray(from, Math.min(from + BLOCK_BYTES, offset + bytes)) ?? [], block * BLOCK_BYTES);
  }
  const first = (blocks[0] ?? 0) * BLOCK_BYTES;
  if (isBad) content[first] = (content[first] ?? 0) ^ 1;
  const expected = ledger.expectedHash(piece);
  const isRight = Buffer.from(pieceHash(content, PIECE, whole, sha256)).equals(Buffer.from(expected ?? []));
  if (!isRight) {
    ledger.releasePiece(piece, true);
    return;
  }
  if (!ledger.isProven(piece)) disk[build]?.set(content, offset);
  ledger.provePiece(piece);
}

const numbers = fc.array(fc.nat({ max: CHUNKS.length - 1 }), { minLength: 1, maxLength: 5 });
const contents = fc.uniqueArray(numbers, { minLength: 1, maxLength: 4, selector: String });
const localChunks = fc.uniqueArray(fc.nat({ max: CHUNKS.length - 1 })).map((list) => new Set(list));

describe("the ledger", () => {
  test("whatever the order of landing, lying, claiming and overtaking, every content comes out right", () => {
    fc.assert(
      fc.property(contents, localChunks, fc.infiniteStream(fc.nat({ max: 99 })), (contents, local, dice) => {
        const world = worldOf(contents, local, true);
        const { ledger } = world;
        const roll = (): number => dice.next().value as number;
        judge(world, [...ledger.complete()]);
        const claims = new Map<number, number[]>();
        let runs: LedgerChunk[][] = [];
        for (let step = 0; !ledger.done; step++) {
          // lies stop at some point, or nothing could ever end
          const isBad = step < 200 && roll() < 25;
          switch (roll() % 7) {
            case 0: {
              const run = ledger.claimRun(roll() < 20, step);
              if (run.length > 0) runs.push(run);
              break;
            }
            case 1: {
              const run = runs.shift() ?? [];
              for (const chunk of run) if (ledger.isWanted(chunk)) land(world, chunk, "origin", isBad);
              ledger.giveBack(run);
              break;
            }
            case 2: {
              for (const run of runs) if (roll() < 30) ledger.giveBack(run);
              runs = runs.filter((run) => run.some(({ state }) => state === "claimed"));
              break;
            }
            case 3: {
              const [piece] = ledger.claimable();
              const blocks = piece === undefined ? undefined : ledger.claimPiece(piece);
              if (piece !== undefined && blocks !== undefined) claims.set(piece, blocks);
              break;
            }
            case 4: {
              const [claim] = claims;
              if (claim === undefined) break;
              claims.delete(claim[0]);
              if (ledger.isProven(claim[0])) ledger.releasePiece(claim[0], false);
              else handIn(world, claim[0], claim[1], isBad);
              break;
            }
            case 5: {
              const [piece] = claims.keys();
              if (piece !== undefined) ledger.releasePiece(piece, false);
              if (piece !== undefined) claims.delete(piece);
              ledger.shareStale(step - 20);
              break;
            }
            default: {
              const [chunk] = ledger.local();
              if (chunk === undefined) break;
              if (roll() < 20) ledger.giveBack([chunk]);
              else land(world, chunk, "install", isBad);
            }
          }
          expect(step).toBeLessThan(5000);
        }
        for (const [index, content] of world.wanted.entries()) {
          expect(Buffer.from(world.disk[index] ?? []).equals(content)).toBe(true);
        }
        expect(ledger.peerClaims).toBe([...claims.keys()].length);
      }),
      { numRuns: 300 },
    );
  });

  test("without a torrent, lies are found by the root, and each good chunk is fetched once", () => {
    fc.assert(
      fc.property(contents, fc.infiniteStream(fc.boolean()), (contents, lies) => {
        const world = worldOf(contents, new Set(), false);
        const { ledger } = world;
        const landed = new Map<string, number>();
        for (let round = 0; !ledger.done; round++) {
          expect(round).toBeLessThan(10 * (ORIGIN_BAD_MAX + 1));
          for (let run = ledger.claimRun(false, 0); run.length > 0; run = ledger.claimRun(false, 0)) {
            for (const chunk of run) {
              const isBad = chunk.bad === 0 && (lies.next().value as boolean);
              if (!isBad) landed.set(chunk.chunk.id, (landed.get(chunk.chunk.id) ?? 0) + 1);
              land(world, chunk, "origin", isBad);
            }
          }
        }
        for (const [index, content] of world.wanted.entries()) {
          expect(Buffer.from(world.disk[index] ?? []).equals(content)).toBe(true);
        }
        expect(Math.max(...landed.values())).toBe(1);
      }),
    );
  });

  test("with both sides at work and nobody failing, they overlap at seams only", () => {
    fc.assert(
      fc.property(contents, fc.infiniteStream(fc.boolean()), (contents, turns) => {
        const world = worldOf(contents, new Set(), true);
        const { ledger } = world;
        let fetched = 0;
        while (!ledger.done) {
          if (turns.next().value === true) {
            const run = ledger.claimRun(false, 0);
            for (const chunk of run) {
              fetched += chunk.chunk.size;
              land(world, chunk, "origin", false);
            }
          } else {
            const [piece] = ledger.claimable();
            const blocks = piece === undefined ? undefined : ledger.claimPiece(piece);
            if (piece === undefined || blocks === undefined) continue;
            const { bytes } = ledger.map.rangeOf(piece);
            fetched += blocks.reduce((sum, block) => sum + Math.min(BLOCK_BYTES, bytes - block * BLOCK_BYTES), 0);
            handIn(world, piece, blocks, false);
          }
        }
        const total = world.wanted.reduce((sum, { length }) => sum + length, 0);
        // a chunk that straddles two pieces, and a block that straddles two chunks, may travel with both sides
        expect(fetched).toBeLessThanOrEqual(total + world.builds.length * 5 * (70_001 + 2 * BLOCK_BYTES));
      }),
    );
  });

  test("peers hear of every piece they can help with, as soon as they can", () => {
    fc.assert(
      fc.property(contents, localChunks, fc.infiniteStream(fc.nat({ max: 99 })), (contents, local, dice) => {
        const world = worldOf(contents, local, true);
        const { ledger } = world;
        const roll = (): number => dice.next().value as number;
        const heard = new Set<number>(ledger.claimable());
        ledger.listen({ onMissing: (piece) => void heard.add(piece) });
        while (!ledger.done) {
          const [chunk] = ledger.local();
          const [piece] = heard;
          // with nothing to copy, and nothing heard of, it would never end
          expect(chunk ?? piece).toBeDefined();
          if (chunk !== undefined && (piece === undefined || roll() < 50)) {
            if (roll() < 30) ledger.giveBack([chunk]);
            else land(world, chunk, "install", roll() < 20);
            continue;
          }
          heard.delete(piece ?? -1);
          const blocks = ledger.claimPiece(piece ?? -1);
          if (blocks === undefined) continue;
          if (roll() < 20) ledger.releasePiece(piece ?? -1, false);
          else handIn(world, piece ?? -1, blocks, roll() < 20);
        }
      }),
    );
  });

  test("a chunk the origin keeps getting wrong is left to peers, and named", () => {
    const world = worldOf([[0]], new Set(), true);
    const { ledger } = world;
    for (let attempt = 0; attempt <= ORIGIN_BAD_MAX; attempt++) {
      const [chunk] = ledger.claimRun(false, 0);
      if (chunk === undefined) throw new Error("nothing to claim");
      land(world, chunk, "origin", true);
    }
    expect(ledger.claimRun(true, 0)).toEqual([]);
    expect(ledger.originCanHelp).toBe(false);
    expect(ledger.rotten?.chunk.id).toBe(toHex(sha256(CHUNKS[0] ?? new Uint8Array())));
    expect([...ledger.claimable()]).toEqual([0]);
  });

  test("a recipe that makes the wrong content is left to peers, block by block", () => {
    const { ledger } = worldOf([[0, 1]], new Set(), true);
    for (const chunk of ledger.claimRun(false, 0)) ledger.land(chunk, "origin");
    ledger.distrustRecipe(0);
    expect(ledger.claimPiece(0)).toEqual([0, 1]);
    expect(ledger.originCanHelp).toBe(false);
  });
});

test("when pieces of an earlier run rotted and only the root can tell, all of the content is fetched again", () => {
  const world = worldOf([[0, 1, 2, 5]], new Set(), false);
  const { ledger, wanted, disk } = world;
  const pieces = [...ledger.map.piecesOf(0)];
  const hashOf = (piece: number): Uint8Array => {
    const { offset, bytes } = ledger.map.rangeOf(piece);
    return pieceHash(
      (wanted[0] ?? new Uint8Array()).subarray(offset, offset + bytes),
      PIECE,
      pieces.length === 1,
      sha256,
    );
  };
  const taken = pieces.map((piece, index) => ledger.restore(piece, index === 1 ? new Uint8Array(32) : hashOf(piece)));
  expect(taken.at(-1)).toBe(false);
  expect(ledger.originCanHelp).toBe(true);
  for (let run = ledger.claimRun(false, 0); run.length > 0; run = ledger.claimRun(false, 0)) {
    for (const chunk of run) land(world, chunk, "origin", false);
  }
  expect(ledger.done).toBe(true);
  expect(Buffer.from(disk[0] ?? []).equals(Buffer.from(wanted[0] ?? []))).toBe(true);
});

function isRight({ disk, wanted }: World): boolean {
  return wanted.every((content, index) => Buffer.from(disk[index] ?? []).equals(content));
}

/** Takes pieces over from an earlier run, with the bytes that the disk has of them. */
function restore({ ledger, disk }: World, pieces: readonly number[]): void {
  for (const piece of pieces) {
    const { build, offset, bytes, whole } = ledger.map.rangeOf(piece);
    const content = disk[build]?.subarray(offset, offset + bytes) ?? new Uint8Array();
    ledger.restore(piece, pieceHash(content, PIECE, whole, sha256));
  }
}

test.each([
  ["first", 1],
  ["last", -1],
])("a chunk of a rotten content that another content lacks too counts for both when it lands %s", (_, order) => {
  const contents = [
    [0, 3],
    [3, 1],
  ];
  const world = worldOf(contents, new Set(), false);
  const { ledger } = world;
  restore(world, ledger.map.piecesOf(0));
  const chunks: LedgerChunk[] = [];
  for (let run = ledger.claimRun(false, 0); run.length > 0; run = ledger.claimRun(false, 0)) chunks.push(...run);
  chunks.sort((a, b) => (a.chunk.size - b.chunk.size) * order);
  for (const chunk of chunks) land(world, chunk, "origin", false);
  expect(ledger.done).toBe(true);
  expect(isRight(world)).toBe(true);
});

test("a chunk that the install holds is copied from there when only what an earlier run made of it was bad", () => {
  const world = worldOf([[0, 1, 2]], new Set([0, 2]), false);
  const { ledger } = world;
  restore(world, ledger.map.piecesOf(0));
  expect(ledger.local().map(({ chunk }) => chunk.size)).toEqual([9_000, 40_000]);
  const [first] = ledger.local();
  if (first === undefined) throw new Error("nothing to copy");
  // and not again once the install's bytes are known to be bad
  for (const chunk of ledger.local()) land(world, chunk, "install", chunk.chunk.number === first.chunk.number);
  for (let run = ledger.claimRun(false, 0); run.length > 0; run = ledger.claimRun(false, 0)) {
    for (const chunk of run) land(world, chunk, "origin", false);
  }
  expect(ledger.done).toBe(true);
  expect(first.landedFrom).toBe("origin");
});

test("whatever earlier runs left, rotten or not, every content comes out right", () => {
  fc.assert(
    fc.property(contents, localChunks, fc.infiniteStream(fc.nat({ max: 99 })), (contents, local, dice) => {
      const world = worldOf(contents, local, false);
      const { ledger, wanted, disk } = world;
      const roll = (): number => dice.next().value as number;
      const found: number[] = [];
      for (let piece = 0; piece < ledger.map.pieceCount; piece++) {
        if (roll() < 20) continue;
        found.push(piece);
        const { build, offset, bytes } = ledger.map.rangeOf(piece);
        disk[build]?.set(wanted[build]?.subarray(offset, offset + bytes) ?? [], offset);
        if (roll() < 20) disk[build]?.fill(7, offset, offset + 100);
      }
      restore(world, found);
      const claimed: LedgerChunk[] = [];
      for (let step = 0; !ledger.done; step++) {
        if (step > 1000) throw new Error("it never ends");
        claimed.push(...ledger.claimRun(false, 0));
        const here = ledger.local();
        const chunks = here.length > 0 && (claimed.length === 0 || roll() < 50) ? here : claimed;
        const [chunk] = chunks.splice(roll() % Math.max(1, chunks.length), 1);
        if (chunk !== undefined) land(world, chunk, chunk.state === "local" ? "install" : "origin", false);
      }
      expect(isRight(world)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("a title of many small files that all differ takes little memory while it is fetched", () => {
  const count = 20_000;
  const before = memoryInUse();
  const ledger = ledgerOfSmallFiles(count);
  expect(memoryInUse() - before).toBeLessThan(count * FILE_BYTES_MAX);
  expect(ledger.claimRun(false, 0).length).toBeGreaterThan(0);
});

function ledgerOfSmallFiles(count: number): Ledger {
  const writer = new PartWriter();
  const pack = "a".repeat(64) as ObjectId;
  const builds = Array.from({ length: count }, (_, i): Build => {
    const id = toHex(sha256(Buffer.from(`chunk ${i}`))) as ChunkId;
    const root = toHex(sha256(Buffer.from(`root ${i}`))) as Build["root"];
    const chunk = { id, size: 1000, pack, offset: 1000 * i, stored: 1000, raw: true };
    return { root, size: 1000, parts: writer.write([chunk], () => "pack"), layer: undefined };
  });
  return new Ledger(builds, { table: writer.table, pieceLength: PIECE, hasTorrent: true, sha256 });
}

/** Bytes of objects and buffers, after a collection. */
function memoryInUse(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
