import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toHex, type ChunkId, type ObjectId } from "../../manifests/digest.ts";
import { CHUNK_BYTES_MAX, PACK_BYTES_MAX, RECIPE_PLAIN_BYTES_MAX } from "../../manifests/limits.ts";
import { indexRecipe, parseRecipe, writeRecipe, type Recipe, type RecipeChunk } from "../../manifests/recipe.ts";
import { recipeChunks } from "../support/release-files.ts";

const malformed = expect.objectContaining({ code: "object.malformed" });
const sizeOf = (chunks: readonly RecipeChunk[]): number => chunks.reduce((sum, chunk) => sum + chunk.size, 0);
const id = (digit: string): ChunkId => digit.repeat(64) as ChunkId;
const pack = (digit: string): ObjectId => digit.repeat(64) as ObjectId;

const CHUNKS: readonly RecipeChunk[] = [
  { id: id("1"), size: 100, pack: pack("a"), offset: 7, stored: 60, raw: false },
  { id: id("2"), size: 200, pack: pack("a"), offset: 67, stored: 200, raw: true },
  { id: id("3"), size: 300, pack: pack("b"), offset: 0, stored: 299, raw: false },
  { id: id("1"), size: 100, pack: pack("a"), offset: 7, stored: 60, raw: false },
  { id: id("4"), size: 100, pack: pack("a"), offset: 0, stored: 7, raw: false },
];

test("golden bytes: the layout as it is drawn", () => {
  const ids = Object.fromEntries(Array.from("1234ab", (digit) => [digit, digit.repeat(64)]));
  const drawn = [
    "50535201", // PSR 1
    "02", // packs
    "05", // chunks
    `${ids["a"]} ${ids["b"]}`,
    `${ids["1"]} c801 00 0e 3c`, // 100 B, frame; pack 0; 7 from the start; 60 B
    `${ids["2"]} 9103 00 00`, // 200 B, raw; pack 0; right behind
    `${ids["3"]} d804 01 00 ab02`, // 300 B, frame; pack 1; at its start; 299 B
    `${ids["1"]} c801 00 0e 3c`, // back in pack 0, from its start
    `${ids["4"]} c801 00 8501 07`, // 67 back
  ];
  expect(toHex(writeRecipe(CHUNKS))).toBe(drawn.join("").replaceAll(" ", ""));
});

describe("laws", () => {
  test("reads back what it wrote, packs in order of first use", () => {
    fc.assert(
      fc.property(recipeChunks, (chunks) => {
        const packs = [...new Set(chunks.map((chunk) => chunk.pack))];
        expect(parseRecipe(writeRecipe(chunks), sizeOf(chunks))).toEqual({ packs, chunks });
      }),
    );
  });

  test("no bit flip parses as the same recipe, and what still parses is written back as it was read", () => {
    fc.assert(
      fc.property(recipeChunks, fc.nat(), fc.nat({ max: 7 }), (chunks, where, bit) => {
        const flipped = writeRecipe(chunks);
        flipped[where % flipped.length] = (flipped[where % flipped.length] ?? 0) ^ (1 << bit);
        let read: Recipe;
        try {
          read = parseRecipe(flipped, sizeOf(chunks));
        } catch (error) {
          expect(error).toEqual(malformed);
          return;
        }
        expect(read.chunks).not.toEqual(chunks);
        expect(writeRecipe(read.chunks)).toEqual(flipped);
      }),
      { numRuns: 500 },
    );
  });

  test("from any place of the file, an index gives the chunks that a whole parse gives from there on", () => {
    fc.assert(
      fc.property(recipeChunks, fc.integer({ min: 1, max: 5 }), fc.nat(), (chunks, step, where) => {
        const size = sizeOf(chunks);
        const position = where % size;
        const { start, chunks: run } = indexRecipe(writeRecipe(chunks), size, step).from(position);
        const given = [...run];
        const before = chunks.slice(0, chunks.length - given.length);
        expect(given).toEqual(chunks.slice(before.length));
        expect(start).toBe(sizeOf(before));
        expect(start).toBeLessThanOrEqual(position);
        // and not from much before
        expect(sizeOf(given.slice(step))).toBeLessThan(size - position);
      }),
    );
  });

  test("an index is made of what parses, and of nothing else", () => {
    const outcome = (read: () => unknown): unknown => {
      try {
        read();
        return "read";
      } catch (error) {
        return (error as Error).message;
      }
    };
    fc.assert(
      fc.property(recipeChunks, fc.nat(), fc.integer({ min: 1, max: 255 }), (chunks, where, change) => {
        const changed = writeRecipe(chunks);
        changed[where % changed.length] = (changed[where % changed.length] ?? 0) ^ change;
        expect(outcome(() => indexRecipe(changed, sizeOf(chunks)))).toBe(
          outcome(() => parseRecipe(changed, sizeOf(chunks))),
        );
      }),
    );
  });

  test("cut short anywhere, it does not parse", () => {
    const written = writeRecipe(CHUNKS);
    for (let length = 0; length < written.length; length++) {
      expect(() => parseRecipe(written.subarray(0, length), sizeOf(CHUNKS))).toThrow(malformed);
    }
  });
});

test("takes about 40 bytes a chunk", () => {
  const chunks = Array.from({ length: 300 }, (_, i): RecipeChunk => {
    return { id: id("1"), size: 65_000 + i, pack: pack("a"), offset: 60_000 * i, stored: 60_000, raw: false };
  });
  expect(writeRecipe(chunks).length / chunks.length).toBeLessThan(40.2);
});

const spoil = (change: Partial<RecipeChunk>): Uint8Array => {
  return writeRecipe(CHUNKS.map((chunk, i) => (i === 2 ? { ...chunk, ...change } : chunk)));
};
const rewritten = (change: (bytes: number[]) => void): Uint8Array => {
  const bytes = [...writeRecipe(CHUNKS)];
  change(bytes);
  return new Uint8Array(bytes);
};

describe("refused", () => {
  const RECORDS_AT = 6 + 2 * 32;

  test.each<[string, Uint8Array]>([
    ["a chunk of no bytes", spoil({ size: 0, stored: 0, raw: true })],
    ["a chunk over the cap", spoil({ size: CHUNK_BYTES_MAX + 1 })],
    ["a frame of no bytes", spoil({ stored: 0 })],
    ["a frame that is larger than the chunk", spoil({ stored: 301 })],
    ["a frame that saves nothing", spoil({ stored: 300 })],
    ["a chunk behind the end of its pack", spoil({ offset: PACK_BYTES_MAX - 298 })],
    ["a chunk before the start of its pack", rewritten((bytes) => bytes.splice(RECORDS_AT + 34 + 1, 1, 0x0f))],
    ["another magic", rewritten((bytes) => bytes.splice(0, 1, 0x51))],
    ["another version", rewritten((bytes) => bytes.splice(3, 1, 2))],
    ["more packs than chunks", rewritten((bytes) => bytes.splice(4, 1, 6))],
    ["more chunks than data", rewritten((bytes) => bytes.splice(5, 1, 6))],
    ["four thousand million chunks", rewritten((bytes) => bytes.splice(5, 1, 0xff, 0xff, 0xff, 0xff, 0x0f))],
    ["a number that does not end", rewritten((bytes) => bytes.splice(5, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))],
    ["a number in more bytes than it needs", rewritten((bytes) => bytes.splice(5, 1, 0x85, 0x00))],
    ["a pack twice", rewritten((bytes) => bytes.splice(6 + 32, 32, ...bytes.slice(6, 6 + 32)))],
    ["a pack that no chunk uses", rewritten((bytes) => bytes.splice(6, 0, ...Array.from({ length: 32 }, () => 9)))],
    ["packs not in order of first use", rewritten((bytes) => bytes.splice(RECORDS_AT + 34, 1, 1))],
    ["bytes after the last chunk", rewritten((bytes) => bytes.push(0))],
    ["nothing", new Uint8Array(0)],
  ])("%s", (_, bytes) => {
    expect(() => parseRecipe(bytes, sizeOf(CHUNKS))).toThrow(malformed);
  });

  test("chunks that do not add up to the file", () => {
    for (const size of [0, sizeOf(CHUNKS) - 1, sizeOf(CHUNKS) + 1]) {
      expect(() => parseRecipe(writeRecipe(CHUNKS), size)).toThrow(malformed);
    }
  });

  test("more bytes than the cap, before any is read", () => {
    const oversize = new Proxy(new Uint8Array(0), {
      get: (target, key) => (key === "length" ? RECIPE_PLAIN_BYTES_MAX + 1 : Reflect.get(target, key)),
    });
    expect(() => parseRecipe(oversize, 5)).toThrow(expect.objectContaining({ code: "object.too-large" }));
  });
});
