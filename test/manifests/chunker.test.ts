import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Chunker, chunkSizesFor, type ChunkSizes } from "../../manifests/chunker.ts";
import { CHUNK_BYTES, CHUNK_BYTES_LARGE, CHUNK_BYTES_MAX, CHUNK_LARGE_TITLE_BYTES } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import vectors from "../vectors/chunker/vectors.json" with { type: "json" };

const TINY: ChunkSizes = { min: 64, wanted: 256, max: 1024 };

function chunksOf(content: Uint8Array, sizes: ChunkSizes, splits: readonly number[] = []): number[] {
  const chunker = new Chunker(sizes);
  const lengths: number[] = [];
  let at = 0;
  for (const split of [...splits, content.length]) {
    lengths.push(...chunker.push(content.subarray(at, at + split)));
    at = Math.min(content.length, at + split);
  }
  const rest = chunker.finish();
  return rest === 0 ? lengths : [...lengths, rest];
}

function contentOf(spec: { seed?: number; repeat?: number[]; length: number }): Uint8Array {
  const { seed, repeat, length } = spec;
  if (seed !== undefined) return pseudoRandomBytes(seed, length);
  return new Uint8Array(length).map((_, i) => repeat?.[i % repeat.length] ?? 0);
}

test.each(vectors)("golden cut points: $case", ({ sizes, content, chunks }) => {
  expect(chunksOf(contentOf(content), sizes)).toEqual(chunks);
});

/** Random bytes, runs and repeats: content that is cut by its hash, at the most, and periodically. */
const contents = fc
  .array(
    fc.oneof(
      fc.record({ seed: fc.integer({ min: 1, max: 1000 }), length: fc.nat({ max: 4000 }) }),
      fc.record({
        repeat: fc.array(fc.nat({ max: 255 }), { minLength: 1, maxLength: 3 }),
        length: fc.nat({ max: 3000 }),
      }),
    ),
    { maxLength: 4 },
  )
  .map((parts) => new Uint8Array(parts.flatMap((part) => [...contentOf(part)])));

describe("laws", () => {
  test("the chunks are the file: nothing lost, nothing twice, every length within the caps", () => {
    fc.assert(
      fc.property(contents, (content) => {
        const lengths = chunksOf(content, TINY);
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(content.length);
        for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThan(TINY.min);
        for (const length of lengths) expect(length).toBeLessThanOrEqual(TINY.max);
      }),
    );
  });

  test("how the stream is split makes no difference", () => {
    fc.assert(
      fc.property(contents, fc.array(fc.nat({ max: 1500 }), { maxLength: 12 }), (content, splits) => {
        expect(chunksOf(content, TINY, splits)).toEqual(chunksOf(content, TINY));
      }),
    );
  });

  test("byte by byte gives the same cuts", () => {
    const content = pseudoRandomBytes(11, 5000);
    const ones = Array.from({ length: 5000 }, () => 1);
    expect(chunksOf(content, TINY, ones)).toEqual(chunksOf(content, TINY));
  });

  test("a chunk depends on nothing before it: cutting from a cut gives the same cuts", () => {
    fc.assert(
      fc.property(contents, (content) => {
        const [first = 0, ...rest] = chunksOf(content, TINY);
        expect(chunksOf(content.subarray(first), TINY)).toEqual(rest);
      }),
    );
  });
});

/** Lengths -> where each chunk ends. */
function endsOf(lengths: readonly number[]): number[] {
  let end = 0;
  return lengths.map((length) => (end += length));
}

test("an insertion moves only the cuts beside it", () => {
  const before = pseudoRandomBytes(21, 4_000_000);
  const after = new Uint8Array(before.length + 100);
  after.set(before.subarray(0, 2_000_000));
  after.set(before.subarray(2_000_000), 2_000_100);
  const distanceFromEnd = (content: Uint8Array) =>
    new Set(endsOf(chunksOf(content, CHUNK_BYTES)).map((end) => content.length - end));
  const again = distanceFromEnd(after);
  const shared = [...distanceFromEnd(before)].filter((distance) => again.has(distance));
  // Half the file lies behind the insertion: all of its cuts but a few are found again.
  expect(shared.length).toBeGreaterThan(distanceFromEnd(before).size / 2 - 4);
  expect(chunksOf(after, CHUNK_BYTES).slice(0, 20)).toEqual(chunksOf(before, CHUNK_BYTES).slice(0, 20));
});

test("the mean is near the wanted size", () => {
  const content = pseudoRandomBytes(31, 16_000_000);
  const mean = content.length / chunksOf(content, CHUNK_BYTES).length;
  expect(mean).toBeGreaterThan(0.75 * CHUNK_BYTES.wanted);
  expect(mean).toBeLessThan(1.5 * CHUNK_BYTES.wanted);
});

test("is ready for the next file after finish", () => {
  const chunker = new Chunker(TINY);
  const content = pseudoRandomBytes(41, 700);
  const once = [...chunker.push(content), chunker.finish()];
  expect([...chunker.push(content), chunker.finish()]).toEqual(once);
  expect(chunker.finish()).toBe(0);
});

test("large titles get larger chunks", () => {
  expect(chunkSizesFor(CHUNK_LARGE_TITLE_BYTES)).toEqual(CHUNK_BYTES);
  expect(chunkSizesFor(CHUNK_LARGE_TITLE_BYTES + 1)).toEqual(CHUNK_BYTES_LARGE);
  expect(CHUNK_BYTES_MAX).toBe(CHUNK_BYTES_LARGE.max);
});

test.each([
  { min: 64, wanted: 300, max: 1024 },
  { min: 256, wanted: 256, max: 1024 },
  { min: 64, wanted: 1024, max: 1024 },
])("refuses sizes that make no sense: $min, $wanted, $max", (sizes) => {
  expect(() => new Chunker(sizes)).toThrow(RangeError);
});
