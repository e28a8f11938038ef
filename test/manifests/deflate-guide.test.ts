/** Streams taken apart with an old stream at hand, and put together with it. */
import * as fc from "fast-check";
import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { concatBytes, toHex } from "../../manifests/digest.ts";
import { matchSketches, sketchOf } from "../../manifests/sketch.ts";
import { DEFLATE_GUIDE_REACH_BYTES, DEFLATE_WINDOW_BYTES } from "../../manifests/limits.ts";
import { apart, mixture, packedAtRandom, pixels, records, together, words } from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import golden from "../vectors/deflate/guided.json" with { type: "json" };

const malformed = expect.objectContaining({ code: "object.malformed" });
/** Without the two bytes of the container before it, and the sum behind it. */
const foreign = (plain: Uint8Array): Uint8Array => packedAtRandom(plain).subarray(2, -4);

/** Without printing megabytes when it is not so. */
function expectSame(a: Uint8Array, b: Uint8Array): void {
  expect(Buffer.compare(a, b)).toBe(0);
}

/** Fails unless the stream is taken apart with the guide and put together again. */
function roundTrip(stream: Uint8Array, guide: Uint8Array) {
  const taken = apart(stream, { guide });
  if (taken === undefined) throw new Error("left alone");
  expectSame(together(taken.recipe, taken.plain, stream.length, taken.isGuided ? guide : undefined), stream);
  return taken;
}

/** Bytes [at, at + gone) become others. */
interface Edit {
  readonly at: number;
  readonly gone: number;
  readonly put: Uint8Array;
}

function edited(plain: Uint8Array, edits: readonly Edit[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let done = 0;
  for (const { at, gone, put } of edits.toSorted((a, b) => a.at - b.at)) {
    if (at < done) continue;
    parts.push(plain.subarray(done, at), put);
    done = Math.min(plain.length, at + gone);
  }
  return concatBytes([...parts, plain.subarray(done)]);
}

describe("recipes that lie at origins", () => {
  const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

  // made by this code on 27 November 2026 of streams by zlib and zopfli: other rules for guesses would be another
  // format
  test.each(golden)("$case", ({ old, stream, recipe }) => {
    const taken = roundTrip(fromBase64(stream), fromBase64(old));
    expect(toHex(taken.recipe)).toBe(toHex(fromBase64(recipe)));
  });
});

describe("what a guide saves", () => {
  const plain = mixture(1, 200_000);
  const text = new TextEncoder();
  const edits = [
    { at: 100, gone: 3, put: text.encode("2027") },
    { at: 90_000, gone: 0, put: words(9, 5000) },
    { at: 150_000, gone: 3000, put: new Uint8Array(0) },
  ];

  test("a stream that no zlib made takes a few bytes, and could not be made without", () => {
    // what its maker chooses at random stays where it is
    const [old, fresh] = [plain, edited(plain, [{ at: 100, gone: 4, put: text.encode("2027") }])].map(foreign);
    expect(apart(fresh as Uint8Array)).toBeUndefined();
    expect(roundTrip(fresh as Uint8Array, old as Uint8Array).recipe.length).toBeLessThan(100);
  });

  const bothOf = (level: number): [Buffer, Buffer] => [
    deflateRawSync(plain, { level }),
    deflateRawSync(edited(plain, edits), { level }),
  ];

  test.each([6, 9])("one of zlib, level %d, takes hardly more than without", (level) => {
    const [old, fresh] = bothOf(level);
    const taken = roundTrip(fresh, old);
    expect(taken.isGuided).toBe(true);
    expect(taken.recipe.length).toBeLessThan((apart(fresh)?.recipe.length ?? 0) + 100);
  });

  test.each([1, 3])("one of zlib, level %d, may take more: what follows on an edit depends on more of it", (level) => {
    const [old, fresh] = bothOf(level);
    expect(roundTrip(fresh, old).recipe.length).toBeLessThan(fresh.length / 100);
  });

  test("a guide of other content, or made otherwise, does no harm", () => {
    const stream = deflateRawSync(plain, { level: 9 });
    const alone = apart(stream)?.recipe.length ?? 0;
    for (const guide of [
      deflateRawSync(pseudoRandomBytes(3, 100_000)),
      deflateRawSync(plain, { level: 1 }),
      deflateRawSync(new Uint8Array(0)),
      pseudoRandomBytes(4, 1000),
      new Uint8Array(0),
    ]) {
      expect(roundTrip(stream, guide).recipe.length).toBeLessThanOrEqual(alone);
    }
  });
});

describe("whatever is changed", () => {
  const part = fc.record({
    make: fc.constantFrom(words, records, pixels, pseudoRandomBytes),
    seed: fc.integer({ min: 1, max: 5 }),
    bytes: fc.nat({ max: 2000 }),
  });
  const content = fc
    .array(part, { minLength: 1, maxLength: 5 })
    .map((parts) => concatBytes(parts.map(({ make, seed, bytes }) => make(seed, bytes))));
  const edits = fc.array(
    fc.record({
      at: fc.nat({ max: 8000 }),
      gone: fc.oneof(fc.nat({ max: 8 }), fc.nat({ max: 3000 })),
      put: fc.oneof(
        fc.uint8Array({ maxLength: 8 }),
        part.map(({ make, seed, bytes }) => make(seed, bytes)),
      ),
    }),
    { maxLength: 6 },
  );
  const pack = fc.oneof(
    fc.integer({ min: 1, max: 9 }).map((level) => (plain: Uint8Array) => deflateRawSync(plain, { level })),
    fc.constant(foreign),
  );

  test("what is taken apart with a guide is put together with it", () => {
    fc.assert(
      fc.property(content, edits, pack, pack, (plain, edits, packOld, packFresh) => {
        const [old, fresh] = [packOld(plain), packFresh(edited(plain, edits))];
        // a guide never does harm, so what can be done without it can be done with it
        if (apart(fresh) !== undefined || apart(fresh, { guide: old }) !== undefined) roundTrip(fresh, old);
      }),
    );
  });

  test("what lay in the memory before does not matter", () => {
    const dirty = (byte: number) => {
      const stream = deflateRawSync(new Uint8Array(2 * DEFLATE_WINDOW_BYTES).fill(byte));
      apart(stream, { guide: stream });
    };
    const run = new Uint8Array(1000).fill(7);
    const plain = concatBytes([words(3, 5000), run.subarray(0, 100)]);
    const [old, stream] = [deflateRawSync(plain), deflateRawSync(concatBytes([plain, run]))];
    const recipes = [7, 0].map((byte) => {
      dirty(byte);
      const taken = apart(stream, { guide: old });
      expect(taken?.isGuided).toBe(true);
      for (const other of [0, 7]) {
        dirty(other);
        expectSame(together(taken?.recipe ?? run, taken?.plain ?? run, stream.length, old), stream);
      }
      return taken?.recipe;
    });
    expect(recipes[0]).toEqual(recipes[1]);
  });

  test("with another guide, or none, a recipe makes as many bytes, or is refused", () => {
    const plain = mixture(2, 30_000);
    const fresh = edited(plain, [{ at: 9000, gone: 5, put: words(3, 400) }]);
    const [old, stream] = [foreign(plain), foreign(fresh)];
    const { recipe } = roundTrip(old, old);
    fc.assert(
      fc.property(fc.nat({ max: 8 * old.length - 1 }), (bit) => {
        const flipped = Uint8Array.from(old);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        for (const guide of [flipped, stream, undefined]) {
          try {
            expect(together(recipe, plain, old.length, guide).length).toBe(old.length);
          } catch (error) {
            expect(error).toEqual(malformed);
          }
        }
      }),
    );
  });
});

describe("streams longer than is held at once", () => {
  const plain = words(7, 3 * DEFLATE_WINDOW_BYTES + 5);
  const reach = DEFLATE_GUIDE_REACH_BYTES;
  const cases: [string, Uint8Array][] = [
    ["the same", plain],
    ["a byte put in at the front", edited(plain, [{ at: 0, gone: 0, put: Uint8Array.of(33) }])],
    ["as much put in as a guide looks back and ahead", edited(plain, [{ at: 9e5, gone: 0, put: words(8, reach) }])],
    ["more left out than it looks ahead", edited(plain, [{ at: 5e5, gone: 3 * reach, put: Uint8Array.of(1, 2, 3) }])],
    ["halves that changed places", concatBytes([plain.subarray(7e5), plain.subarray(0, 7e5)])],
    ["a second time behind itself", concatBytes([plain, plain])],
    ["the front alone", plain.subarray(0, 1e5)],
  ];
  test.each(cases)("%s", (_, fresh) => {
    roundTrip(deflateRawSync(fresh), deflateRawSync(plain));
  });
});

describe("which old stream a new one resembles", () => {
  test("the one with the same content, whatever the order and whatever was edited", () => {
    const contents = Array.from({ length: 40 }, (_, i) => words(i + 1, 3000 + 100 * i));
    const changed = contents.map((plain, i) => edited(plain, [{ at: 70 * i, gone: 4, put: words(99, 60) }]));
    const order = contents.map((_, i) => (i * 7) % contents.length);
    const matched = matchSketches(
      contents.map(sketchOf),
      order.map((i) => sketchOf(changed[i] ?? new Uint8Array(0))),
    );
    expect(matched).toEqual(order);
  });

  test("its own, where all of many have much in common", () => {
    const common = words(50, 3000);
    const members = Array.from({ length: 100 }, (_, i) => sketchOf(concatBytes([common, words(i + 1, 9000)])));
    expect(matchSketches(members, members.toReversed())).toEqual([...members.keys()].toReversed());
  });

  test("none, for content that is nowhere, and for less than a run", () => {
    const old = [words(1, 5000), words(2, 5000)].map(sketchOf);
    expect(matchSketches(old, [sketchOf(pseudoRandomBytes(1, 5000)), sketchOf(words(1, 20))])).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("of those that are the same, the next in turn", () => {
    const twins = Array.from({ length: 100 }, () => sketchOf(words(1, 5000)));
    expect(matchSketches(twins, twins)).toEqual([...twins.keys()]);
  });
});
