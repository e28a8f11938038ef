import * as fc from "fast-check";
import { constants, deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { concatBytes, toHex } from "../../manifests/digest.ts";
import { DEFLATE_RECIPE_SHARE_MAX, DEFLATE_STREAM_BYTES_MIN, DEFLATE_WINDOW_BYTES } from "../../manifests/limits.ts";
import { takeApart } from "../../manifests/deflate/take-apart.ts";
import { apart, mixture, pixels, records, together, words, zlibOptions } from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import golden from "../vectors/deflate/vectors.json" with { type: "json" };

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const malformed = expect.objectContaining({ code: "object.malformed" });

/** Fails unless the stream is taken apart into its plain bytes and put together again. */
function roundTrip(stream: Uint8Array) {
  const taken = apart(stream);
  if (taken === undefined) throw new Error("left alone");
  expect(taken.compressedBytes).toBe(stream.length);
  expect(taken.plainBytes).toBe(taken.plain.length);
  expectSame(together(taken.recipe, taken.plain, stream.length), stream);
  return taken;
}

/** Without printing megabytes when it is not so. */
function expectSame(a: Uint8Array, b: Uint8Array): void {
  expect(Buffer.compare(a, b)).toBe(0);
}

const text = words(1, 6000);
const stream = deflateRawSync(text);

describe("streams of zlib, and of Chromium's, which Node.js has", () => {
  test.each(golden)("$case: a few bytes say how it was made", ({ stream }) => {
    expect(roundTrip(fromBase64(stream)).recipe.length).toBeLessThan(16);
  });
});

/** What a stream was made with may show only behind the front that all parameters are tried on. */
test.each([1, 2, 4, 6])("level %i with the largest memLevel: a few bytes say how it was made", (level) => {
  for (const make of [words, records]) {
    expect(roundTrip(deflateRawSync(make(7, 60_000), { level, memLevel: 9 })).recipe.length).toBeLessThan(16);
  }
});

describe("streams of whatever is here, with parameters that change on the way", () => {
  const part = fc.record({
    make: fc.constantFrom(
      words,
      records,
      pixels,
      pseudoRandomBytes,
      (_: number, bytes: number) => new Uint8Array(bytes),
    ),
    seed: fc.integer({ min: 1, max: 5 }),
    bytes: fc.nat({ max: 3000 }),
  });
  const content = fc
    .array(part, { maxLength: 8 })
    .map((parts) => concatBytes(parts.map(({ make, seed, bytes }) => make(seed, bytes))));

  test("what is taken apart is put together again, and the recipe is never large", () => {
    fc.assert(
      fc.property(content, content, zlibOptions, zlibOptions, (first, second, before, after) => {
        const plain = concatBytes([first, second]);
        const flushed = deflateRawSync(first, { ...before, finishFlush: constants.Z_SYNC_FLUSH });
        const stream = concatBytes([flushed, deflateRawSync(second, after)]);
        const taken = apart(stream);
        if (taken === undefined) return;
        expectSame(taken.plain, plain);
        expect(taken.compressedBytes).toBe(stream.length);
        expect(taken.recipe.length).toBeLessThanOrEqual(DEFLATE_RECIPE_SHARE_MAX * stream.length);
        expectSame(together(taken.recipe, plain, stream.length), stream);
      }),
    );
  });

  test("a stream that is cut short is left alone, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.nat({ max: stream.length - 1 }), (bytes) => {
        expect(apart(stream.subarray(0, bytes))).toBeUndefined();
      }),
    );
  });

  test("a stream with one bit flipped is left alone, or is another stream and comes back as it is", () => {
    fc.assert(
      fc.property(fc.nat({ max: 8 * stream.length - 1 }), (bit) => {
        const flipped = Uint8Array.from(stream);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const taken = apart(flipped);
        if (taken === undefined) return;
        const made = together(taken.recipe, taken.plain, taken.compressedBytes);
        expectSame(made, flipped.subarray(0, taken.compressedBytes));
      }),
    );
  });

  test("bytes that are no stream are left alone", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
        const taken = apart(bytes);
        if (taken !== undefined) expectSame(together(taken.recipe, taken.plain, taken.compressedBytes), bytes);
      }),
    );
  });
});

describe("shapes of a stream", () => {
  test.each([
    ["stored blocks alone", deflateRawSync(mixture(2, 200_000), { level: 0 })],
    ["the fixed codes alone", deflateRawSync(text, { strategy: constants.Z_FIXED })],
    ["blocks of 127 tokens", deflateRawSync(mixture(3, 30_000), { memLevel: 1 })],
    ["blocks of 32,767 tokens", deflateRawSync(mixture(4, 300_000), { memLevel: 9 })],
    ["one byte again and again", deflateRawSync(new Uint8Array(2_000_000))],
    ["content longer than is held at once", deflateRawSync(words(5, 3 * DEFLATE_WINDOW_BYTES + 7))],
    ["noise longer than is held at once", deflateRawSync(pseudoRandomBytes(6, 2 * DEFLATE_WINDOW_BYTES + 7))],
  ])("%s", (_, stream) => {
    roundTrip(stream);
  });

  const flushed = (plain: Uint8Array, finishFlush = constants.Z_SYNC_FLUSH) => deflateRawSync(plain, { finishFlush });
  /** A block with the fixed codes, the last, and nothing in it but its end. */
  const nothing = Uint8Array.of(3, 0);
  test.each([
    [
      "flushes between contents of several kinds",
      [flushed(text), flushed(records(1, 9000)), deflateRawSync(pixels(1, 9000))],
    ],
    ["a flush that forgets", [flushed(text, constants.Z_FULL_FLUSH), deflateRawSync(records(2, 9000))]],
    ["a flush at the front", [flushed(new Uint8Array(0)), flushed(new Uint8Array(0)), stream]],
    ["a flush at the end, and an empty block", [flushed(text), nothing]],
    ["flushes at the end, and an empty block", [flushed(text), flushed(new Uint8Array(0)), nothing]],
  ])("%s", (_, parts) => {
    roundTrip(concatBytes(parts));
  });

  test("bits behind the last block that are not zero", () => {
    // found by trial: a stream that ends inside of a byte
    const stream = Array.from({ length: 50 }, (_, i) => deflateRawSync(words(1, 5000 + i))).find((stream) => {
      return (stream.at(-1) ?? 255) < 64;
    });
    const padded = Uint8Array.from(stream ?? []);
    padded[padded.length - 1] = (padded.at(-1) ?? 0) | 0x80;
    expect(toHex(padded)).not.toBe(toHex(stream ?? padded));
    roundTrip(padded);
  });

  test("what lies before and behind the stream is not looked at", () => {
    const file = concatBytes([pseudoRandomBytes(1, 100), stream, pseudoRandomBytes(2, 100)]);
    const taken = apart(file, { start: 100 });
    expect(taken?.compressedBytes).toBe(stream.length);
    expectSame(taken?.plain ?? stream, text);
    expect(apart(file, { start: 100, end: 100 + stream.length - 1 })).toBeUndefined();
  });
});

describe("left alone", () => {
  test("nothing, and a stream too short to be worth it", () => {
    expect(apart(new Uint8Array(0))).toBeUndefined();
    const short = deflateRawSync(pseudoRandomBytes(1, DEFLATE_STREAM_BYTES_MIN - 6));
    expect(short.length).toBe(DEFLATE_STREAM_BYTES_MIN - 1);
    expect(apart(short)).toBeUndefined();
    // bytes behind it do not make it longer
    expect(apart(concatBytes([short, new Uint8Array(100)]))).toBeUndefined();
    roundTrip(deflateRawSync(pseudoRandomBytes(1, DEFLATE_STREAM_BYTES_MIN - 5)));
  });

  test("more plain bytes than the caller wants", () => {
    expect(apart(stream, { plainBytesMax: text.length })).toBeDefined();
    expect(apart(stream, { plainBytesMax: text.length - 1 })).toBeUndefined();
  });

  test("a source that changes while it is read", () => {
    const [{ stream: encoded } = { stream: "" }] = golden;
    const stream = fromBase64(encoded);
    let reads = 0;
    const taken = takeApart(
      (offset, target) => {
        if (offset === 0) reads++;
        target.set(stream.subarray(offset, offset + target.length));
        // changes when what was put together is compared with it
        if (offset === 0 && reads > 3) target[9] = (target[9] ?? 0) ^ 1;
      },
      0,
      stream.length,
      { plainBytesMax: DEFLATE_WINDOW_BYTES },
    );
    expect(reads).toBe(4);
    expect(taken).toBeUndefined();
  });
});

describe("recipes from anywhere", () => {
  const { recipe, plain } = roundTrip(deflateRawSync(mixture(1, 12_000)));
  const bytes = deflateRawSync(plain).length;

  /** Whatever a recipe says, it makes what it is allowed to, or is refused. */
  const makesOrRefuses = (recipe: Uint8Array, plain: Uint8Array, bytes: number): void => {
    try {
      expect(together(recipe, plain, bytes).length).toBe(bytes);
    } catch (error) {
      expect(error).toEqual(malformed);
    }
  };

  test("any bytes at all", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 300 }), (recipe, plain) => {
        makesOrRefuses(recipe, plain, 200);
      }),
      { numRuns: 1000 },
    );
  });

  test("any blocks and corrections behind parameters that are right", () => {
    const front = Uint8Array.of(5, 55, 0xff, 0x7f, 0);
    fc.assert(
      fc.property(fc.nat({ max: 30 }), fc.uint8Array({ maxLength: 60 }), (blockBytes, rest) => {
        makesOrRefuses(concatBytes([front, Uint8Array.of(blockBytes), rest]), text.subarray(0, 2000), 1000);
      }),
      { numRuns: 1000 },
    );
  });

  test("a recipe with one bit flipped", () => {
    fc.assert(
      fc.property(fc.nat({ max: 8 * recipe.length - 1 }), (bit) => {
        const flipped = recipe.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        makesOrRefuses(flipped, plain, bytes);
      }),
    );
  });

  test("a recipe that is cut short", () => {
    fc.assert(
      fc.property(fc.nat({ max: recipe.length - 1 }), (cut) => {
        makesOrRefuses(recipe.subarray(0, cut), plain, bytes);
      }),
    );
  });

  test("a recipe that goes on", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4 }), (more) => {
        makesOrRefuses(concatBytes([recipe, more]), plain, bytes);
      }),
    );
  });

  test("a correction of what is right", () => {
    // level 6, and a literal where there is one
    const front = [5, 55, 0xff, 0x7f, 0, 0];
    const abc = Uint8Array.of(97, 98, 99);
    expectSame(together(Uint8Array.from(front), abc, 5), deflateRawSync(abc));
    expect(() => together(Uint8Array.from([...front, 0]), abc, 5)).toThrow(malformed);
  });

  test("other plain bytes, fewer or more", () => {
    expect(() => together(recipe, plain.subarray(1), bytes)).toThrow(malformed);
    expect(() => together(recipe, concatBytes([plain, plain]), bytes)).toThrow(malformed);
    expect(() => together(recipe, new Uint8Array(0), bytes)).toThrow(malformed);
  });

  test("a stream that is to be shorter or longer", () => {
    expect(() => together(recipe, plain, bytes - 1)).toThrow(malformed);
    expect(() => together(recipe, plain, bytes + 1)).toThrow(malformed);
  });
});
