/** The loops of deflate as WebAssembly, and the plain ones: the same bytes, the same refusals, the same work. */
import * as fc from "fast-check";
import { type ZlibOptions, deflateRawSync } from "node:zlib";
import { isDeepStrictEqual } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { fromBase64 } from "../../manifests/base64.ts";
import {
  BLOCK,
  DISTANCE_MAX,
  END_OF_BLOCK,
  FIXED_CODES,
  LENGTH_CODE_ORDER,
  LENGTH_CODE_SYMBOLS,
  MATCH_BYTES_MIN,
  assignCodes,
} from "../../manifests/deflate/alphabet.ts";
import { BitWriter } from "../../manifests/deflate/bit-writer.ts";
import { newChains } from "../../manifests/deflate/chains.ts";
import { type Chains, HashChains } from "../../manifests/deflate/hash-chains.ts";
import { type Step, TokenReader } from "../../manifests/deflate/inflate.ts";
import { HASHES, type Parameters } from "../../manifests/deflate/parameters.ts";
import { PlainWindow } from "../../manifests/deflate/plain-window.ts";
import { distanceOf, lengthOf } from "../../manifests/deflate/tokens.ts";
import { Workspace } from "../../manifests/deflate/workspace.ts";
import { concatBytes } from "../../manifests/digest.ts";
import {
  DEFLATE_SLICE_BYTES,
  DEFLATE_STEP_TOKENS,
  DEFLATE_WINDOW_BYTES,
  DEFLATE_WORK_PER_BYTE_MAX,
} from "../../manifests/limits.ts";
import {
  apart,
  madeAnyway,
  mixture,
  packedAtRandom,
  pixels,
  records,
  sourceOf,
  together,
  words,
  zlibOptions,
} from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import guided from "../vectors/deflate/guided.json" with { type: "json" };
import golden from "../vectors/deflate/vectors.json" with { type: "json" };

afterEach(() => void vi.unstubAllGlobals());

/** What `act` does where nothing may be compiled. */
function plainly<T>(act: () => T): T {
  vi.stubGlobal("WebAssembly", undefined);
  try {
    return act();
  } finally {
    vi.unstubAllGlobals();
  }
}

// with workspaces of their own
vi.resetModules();
const plain = await import("../support/deflate-bytes.ts");

/** workerd compiles nothing at run time: there both sides are the plain one, and nothing is compared. */
const isCompiled = !navigator.userAgent.startsWith("Cloudflare");
const compare = describe.skipIf(!isCompiled);

const compiled = { apart, together, madeAnyway };
type Side = typeof compiled;

/** Both say the same; @returns what. */
function onBoth<T>(act: (side: Side) => T): T {
  const made = act(compiled);
  const expected = plainly(() => act(plain));
  // without printing thousands of bytes when it is not so
  expect(isDeepStrictEqual(made, expected)).toBe(true);
  return made;
}

/** Both take a stream apart alike, and put it together again. @returns whether it was not left alone */
function isRemade(fresh: Uint8Array, guide?: Uint8Array): boolean {
  const taken = onBoth((side) => side.apart(fresh, { guide }));
  if (taken === undefined) return false;
  const { recipe, plain, isGuided } = taken;
  const made = onBoth((side) => side.together(recipe, plain, fresh.length, isGuided ? guide : undefined));
  expect(isDeepStrictEqual(made, new Uint8Array(fresh))).toBe(true);
  return true;
}

function withOtherBits(bytes: Uint8Array, bits: readonly number[]): Uint8Array {
  const others = Uint8Array.from(bytes);
  for (const bit of bits) others[bit >> 3] = (others[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return others;
}

const bitOf = (bytes: Uint8Array): fc.Arbitrary<number> => fc.nat({ max: 8 * bytes.length - 1 });

const part = fc.record({
  make: fc.constantFrom(
    words,
    records,
    pixels,
    pseudoRandomBytes,
    // chains longer than levels follow
    (seed: number, bytes: number) => pseudoRandomBytes(seed, bytes).map((byte) => byte & 3),
    (seed: number, bytes: number) => new Uint8Array(bytes).map((_, i) => (i % (seed + 1) === 0 ? seed : 0)),
  ),
  seed: fc.integer({ min: 1, max: 8 }),
  bytes: fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 3000 })),
});
const content = fc
  .array(part, { minLength: 1, maxLength: 6 })
  .map((parts) => concatBytes(parts.map(({ make, seed, bytes }) => make(seed, bytes))));
const pack = fc.oneof(
  { weight: 4, arbitrary: zlibOptions.map((chosen) => (bytes: Uint8Array) => deflateRawSync(bytes, chosen)) },
  { weight: 1, arbitrary: fc.constant((bytes: Uint8Array) => packedAtRandom(bytes).subarray(2, -4)) },
);
/** A middle that becomes another. */
const edited = fc
  .tuple(content, content, content, fc.uint8Array({ maxLength: 6 }))
  .map(([front, middle, back, put]): [Uint8Array, Uint8Array] => [
    concatBytes([front, middle, back]),
    concatBytes([front, put, middle.subarray(put.length >> 1), put, back]),
  ]);

test("one is compiled where it can be, and one is not", () => {
  expect(new Workspace().loops !== undefined).toBe(isCompiled);
  expect(plainly(() => new Workspace()).loops).toBeUndefined();
});

compare("streams", () => {
  test.each(golden)("of other programs: $case", ({ stream }) => {
    expect(isRemade(fromBase64(stream))).toBe(true);
  });

  test.each(guided)("of other programs, with a guide: $case", ({ stream, old }) => {
    expect(isRemade(fromBase64(stream), fromBase64(old))).toBe(true);
  });

  test("of any parameters, with a guide and without", () => {
    let remade = 0;
    fc.assert(
      fc.property(edited, pack, pack, ([before, after], packOld, packFresh) => {
        const [old, fresh] = [packOld(before), packFresh(after)];
        for (const guide of [undefined, old]) if (isRemade(fresh, guide)) remade++;
      }),
      { numRuns: 8 },
    );
    expect(remade).toBeGreaterThan(0);
  });

  test("of more than is held at once", () => {
    const text = words(1, 60_000);
    const before = concatBytes(Array.from({ length: 10 }, (_, i) => concatBytes([text, records(i + 1, 500)])));
    const fresh = deflateRawSync(concatBytes([words(2, 999), before]), { level: 6 });
    const guide = deflateRawSync(before, { level: 6 });
    expect(before.length).toBeGreaterThan(DEFLATE_WINDOW_BYTES);
    expect(isRemade(fresh, guide)).toBe(true);
    expect(compiled.apart(fresh, { guide })?.isGuided).toBe(true);
  });

  test("with bits that are others", () => {
    const whole = deflateRawSync(concatBytes([words(3, 4000), pixels(3, 2000)]));
    fc.assert(
      fc.property(fc.array(bitOf(whole), { minLength: 1, maxLength: 3 }), (bits) => {
        const broken = withOtherBits(whole, bits);
        onBoth((side) => {
          try {
            return side.apart(broken, { guide: whole });
          } catch (error) {
            // zlib is asked for the plain bytes, and sees less of what is wrong at the end
            return String(error);
          }
        });
      }),
      { numRuns: 8 },
    );
  });
});

compare("steps of a reader", () => {
  // the same two for all streams: what one leaves behind is nothing to the next
  const workspaces = [new Workspace(), plainly(() => new Workspace())];

  interface Read {
    readonly step: Step;
    readonly tokens: Uint32Array;
    readonly plain: Uint8Array;
    /** Undefined where there is no stream: nobody asks where that ends. */
    readonly at?: readonly [offset: number, padding: number];
  }

  function readIn(workspace: Workspace, stream: Uint8Array): readonly Read[] {
    const window = new PlainWindow(workspace.plain);
    const reader = new TokenReader(sourceOf(stream), window, workspace);
    const steps: Read[] = [];
    for (let isEnd = false; !isEnd;) {
      if (window.room < DEFLATE_SLICE_BYTES) window.slide(window.filled - DISTANCE_MAX);
      const before = window.filled;
      const step = reader.step();
      steps.push({
        step,
        tokens: reader.tokens.slice(0, reader.tokenCount),
        plain: window.bytes.slice(before, window.filled),
        ...(step === "invalid" ? {} : { at: [reader.offset, reader.padding] as const }),
      });
      isEnd = step === "invalid" || (step === "block-end" && reader.block.isFinal);
    }
    return steps;
  }

  /** Both read the same in every step. */
  function readOnBoth(stream: Uint8Array): readonly Read[] {
    const [steps, expected] = workspaces.map((workspace) => readIn(workspace, stream));
    expect(isDeepStrictEqual(steps, expected)).toBe(true);
    return steps ?? [];
  }

  const inLargeBlocks = (chosen: ZlibOptions): ZlibOptions => ({ ...chosen, memLevel: 9 });
  /** Packed, more than a slice; in large blocks, of more tokens than a step takes. */
  const large = fc
    .tuple(fc.integer({ min: 1, max: 8 }), content, fc.integer({ min: 1, max: 63 }))
    .map(([seed, other, mask]) =>
      concatBytes([
        words(seed, 20_000),
        pseudoRandomBytes(seed, 90_000).map((byte) => byte & 63),
        other,
        pseudoRandomBytes(seed, 30_000).map((byte) => byte & mask),
      ]),
    );

  test("of streams that are read in slices, whole, cut short and with bits that are others", () => {
    let longest = 0;
    let most = 0;
    fc.assert(
      fc.property(
        fc.oneof(fc.tuple(large, zlibOptions.map(inLargeBlocks)), fc.tuple(content, zlibOptions)),
        fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
        ([bytes, chosen], places) => {
          const whole = deflateRawSync(bytes, chosen);
          const steps = readOnBoth(whole);
          expect(steps.at(-1)?.step).toBe("block-end");
          longest = Math.max(longest, whole.length);
          most = Math.max(most, ...steps.map(({ tokens }) => tokens.length));
          const bits = places.map((place) => place % (8 * whole.length));
          readOnBoth(withOtherBits(whole, bits));
          for (const bit of bits) readOnBoth(whole.subarray(0, bit >> 3));
        },
      ),
      { numRuns: 30 },
    );
    expect(longest).toBeGreaterThan(DEFLATE_SLICE_BYTES);
    expect(most).toBe(DEFLATE_STEP_TOKENS);
  });

  type Bits = readonly [value: number, count: number];

  function streamOf(bits: readonly Bits[]): Uint8Array {
    const pieces: Uint8Array[] = [];
    const writer = new BitWriter((piece) => pieces.push(piece.slice()), new Uint8Array(1024));
    for (const [value, count] of bits) writer.bits(value, count);
    writer.align();
    writer.flush();
    return concatBytes(pieces);
  }

  function codesOf(lengths: Uint8Array): (symbol: number) => Bits {
    const codes = new Uint16Array(lengths.length);
    assignCodes(lengths, codes);
    return (symbol) => [codes[symbol] ?? 0, lengths[symbol] ?? 0];
  }

  const literal = codesOf(FIXED_CODES.literals);
  const distance = codesOf(FIXED_CODES.distances);
  const a = literal(97);
  const fixed = (...bits: readonly Bits[]): Uint8Array => {
    return streamOf([[1 | (BLOCK.fixed << 1), 3], ...bits, literal(END_OF_BLOCK)]);
  };

  /** More bytes than a distance of these would be. */
  const far: readonly Bits[] = [a, ...Array.from({ length: 200 }, () => [literal(285), distance(0)]).flat()];

  /** "a" and a match of three bytes, in a block with codes for these and its end, and for a single distance. */
  function oneDistance(ofDistance: Bits): Uint8Array {
    const literals = new Uint8Array(258);
    for (const [symbol, bits] of [
      [97, 1],
      [END_OF_BLOCK, 2],
      [257, 2],
    ] as const)
      literals[symbol] = bits;
    const literal = codesOf(literals);
    const lengths = new Uint8Array(LENGTH_CODE_SYMBOLS);
    for (const [symbol, bits] of [
      [18, 1],
      [1, 2],
      [2, 2],
    ] as const)
      lengths[symbol] = bits;
    const length = codesOf(lengths);
    const zeros = (count: number): Bits[] => [length(18), [count - 11, 7]];
    return streamOf([
      [1 | (BLOCK.dynamic << 1), 3],
      [literals.length - 257, 5],
      [0, 5],
      [18 - 4, 4],
      ...Array.from(LENGTH_CODE_ORDER.subarray(0, 18), (symbol): Bits => [lengths[symbol] ?? 0, 3]),
      ...zeros(97),
      length(1),
      ...zeros(138),
      ...zeros(20),
      length(2),
      length(2),
      length(1),
      literal(97),
      literal(257),
      ofDistance,
      literal(END_OF_BLOCK),
    ]);
  }

  test.each<[string, Uint8Array, Step]>([
    ["258 bytes as a symbol of their own", fixed(a, literal(285), distance(0)), "block-end"],
    ["257 bytes as 227 and 30", fixed(a, literal(284), [30, 5], distance(0)), "block-end"],
    ["258 bytes as 227 and 31", fixed(a, literal(284), [31, 5], distance(0)), "invalid"],
    ["a length without a meaning, 286", fixed(a, literal(286), distance(0)), "invalid"],
    ["a length without a meaning, 287", fixed(a, literal(287), distance(0)), "invalid"],
    ["a distance without a meaning, 30", fixed(...far, literal(257), distance(30)), "invalid"],
    ["a distance without a meaning, 31", fixed(...far, literal(257), distance(31)), "invalid"],
    ["a distance up to the start", fixed(a, a, a, literal(257), distance(2)), "block-end"],
    ["a distance beyond the start", fixed(a, a, a, literal(257), distance(3)), "invalid"],
    ["the code of a single distance", oneDistance([0, 1]), "block-end"],
    ["bits that are no code of a single distance", oneDistance([1, 1]), "invalid"],
  ])("of a block with %s", (_, stream, end) => {
    expect(readOnBoth(stream).at(-1)?.step).toBe(end);
  });
});

compare("recipes from anywhere", () => {
  const of = mixture(4, 12_000);
  const guide = deflateRawSync(mixture(4, 11_500));
  /** None, as it is, cut short, or with a bit that is another. */
  const guides = fc.oneof(
    fc.constantFrom(undefined, guide),
    fc.nat({ max: guide.length - 1 }).map((bytes) => guide.subarray(0, bytes)),
    bitOf(guide).map((bit) => withOtherBits(guide, [bit])),
  );

  test("with bits that are others, and such guides", () => {
    const recipe = compiled.apart(deflateRawSync(of, { level: 4, memLevel: 3 }), { guide })?.recipe;
    if (recipe === undefined) throw new Error("left alone");
    let written = 0;
    fc.assert(
      fc.property(fc.option(bitOf(recipe)), guides, (bit, guide) => {
        const broken = bit === null ? recipe : withOtherBits(recipe, [bit]);
        if (onBoth((side) => side.madeAnyway(broken, of, guide)).bytes.length > 0) written++;
      }),
      { numRuns: 100 },
    );
    expect(written).toBeGreaterThan(10);
  });

  /** Corrections behind the first thousand tokens: other matches, of any length. */
  const corrections = fc
    .array(fc.tuple(fc.nat({ max: 31 }), fc.nat({ max: 255 }), fc.nat({ max: 127 })), { maxLength: 20 })
    .map((matches) =>
      Uint8Array.from(
        matches.flatMap(([tokens, length, distance], i) => [
          ...(i === 0 ? [0xa2, 0x1f] : [tokens * 4 + 2]),
          length,
          distance,
        ]),
      ),
    );

  test("any parameters, blocks and corrections", () => {
    let written = 0;
    fc.assert(
      fc.property(
        fc.nat({ max: 44 }),
        fc.nat({ max: 125 }),
        fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
        fc.oneof(corrections, fc.uint8Array({ maxLength: 80 })),
        guides,
        (method, tables, blockBytes, rest, guide) => {
          const recipe = concatBytes([Uint8Array.of(method, tables, 0xff, 1, 0, blockBytes), rest]);
          if (onBoth((side) => side.madeAnyway(recipe, of, guide)).bytes.length > 0) written++;
        },
      ),
      { numRuns: 100 },
    );
    expect(written).toBeGreaterThan(10);
  });
});

compare("chains", () => {
  // the same two for all runs: what one leaves behind is nothing to the next
  const workspaces = [new Workspace(), plainly(() => new Workspace())];
  /** Asked about in any case. */
  const LAST_PLACES = 4;
  const parameters: fc.Arbitrary<Parameters> = fc.record({
    level: fc.integer({ min: 1, max: 9 }),
    strategy: fc.constant("default"),
    hash: fc.constantFrom(...HASHES),
    hashBits: fc.integer({ min: 8, max: 16 }),
    windowBits: fc.integer({ min: 9, max: 15 }),
    blockTokens: fc.constant(16_383),
  });

  /** Places looked at and bytes compared. */
  function workOf(chains: Chains): number {
    let [least, most] = [-1e9, 1e9];
    while (least + 1 < most) {
      const middle = Math.floor((least + most) / 2);
      if (chains.isOverworked(0, middle)) most = middle;
      else least = middle;
    }
    return DEFLATE_WORK_PER_BYTE_MAX * 32_768 + 1 - most;
  }

  test("find the same with the same work, wherever they are asked, whatever is left out or lies behind the end", () => {
    const steps = fc.array(
      fc.record({
        skipped: fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 400 })),
        than: fc.oneof(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 2, max: 40 })),
      }),
      { minLength: 50, maxLength: 400 },
    );
    fc.assert(
      fc.property(parameters, content, content, steps, fc.nat({ max: 3 }), (chosen, front, back, asked, slides) => {
        const bytes = concatBytes([front, back, front]);
        const runs = workspaces.map((workspace, i) => {
          const window = new PlainWindow(workspace.plain);
          // what followed on these bytes before, and anything but that
          const setBehind = (): void => {
            window.bytes.fill(i, window.filled);
            window.bytes.set(i === 0 ? back : back.map((byte) => ~byte), window.filled);
          };
          // far enough for distances that do not fit
          const before = 32_768 * 3;
          window.bytes.fill(7, 0, before);
          window.bytes.set(bytes, before);
          window.filled = before + bytes.length;
          setBehind();
          const chains = newChains(window.bytes, chosen, 4096, workspace);
          expect(chains instanceof HashChains).toBe(workspace.loops === undefined);
          const found: number[] = [];
          const ask = (at: number, than: number): void => {
            const match = chains.longest(at, window.filled, than);
            found.push(lengthOf(match), distanceOf(match), workOf(chains));
          };
          let at = before - 300;
          asked.forEach(({ skipped, than }, i) => {
            if (at + skipped >= window.filled - LAST_PLACES) return;
            at += skipped;
            ask(at, than);
            if (i % 100 < slides) {
              const by = window.slide(at - 32_768);
              chains.slide(by);
              at -= by;
              setBehind();
            }
            const next = Math.min(at + (i % 7 === 0 ? than : 1), window.filled - LAST_PLACES);
            if (i % 7 === 0) chains.skipTo(next);
            at = next;
          });
          for (at = window.filled - LAST_PLACES; at < window.filled; at++) ask(at, MATCH_BYTES_MIN - 1);
          return found;
        });
        expect(runs[0]).toEqual(runs[1]);
      }),
      { numRuns: 150 },
    );
  });
});
