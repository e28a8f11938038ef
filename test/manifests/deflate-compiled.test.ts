/** The loops of deflate as WebAssembly, and the plain ones: the same bytes, the same refusals, the same work. */
import * as fc from "fast-check";
import { type ZlibOptions, constants, deflateRawSync } from "node:zlib";
import { isDeepStrictEqual } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { newChains } from "../../manifests/deflate/chains.ts";
import { type Chains, HashChains } from "../../manifests/deflate/hash-chains.ts";
import { HASHES, type Parameters } from "../../manifests/deflate/parameters.ts";
import { PlainWindow } from "../../manifests/deflate/plain-window.ts";
import { distanceOf, lengthOf } from "../../manifests/deflate/tokens.ts";
import { Workspace } from "../../manifests/deflate/workspace.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { DEFLATE_WINDOW_BYTES, DEFLATE_WORK_PER_BYTE_MAX } from "../../manifests/limits.ts";
import * as compiled from "../support/deflate-bytes.ts";
import { mixture, packedAtRandom, pixels, records, words } from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

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

type Side = Pick<typeof compiled, "apart" | "together">;

/** Both say the same; @returns what. */
function onBoth<T>(act: (side: Side) => T): T {
  const made = act(compiled);
  const expected = plainly(() => act(plain));
  // without printing thousands of bytes when it is not so
  expect(isDeepStrictEqual(made, expected)).toBe(true);
  return made;
}

/** The stream, or why it is refused. */
function madeOf(side: Side, recipe: Uint8Array, of: Uint8Array, bytes: number, guide?: Uint8Array): string {
  try {
    return Buffer.from(side.together(recipe, of, bytes, guide)).toString("base64");
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `${error.message} ${JSON.stringify(error)}`;
  }
}

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
const options: fc.Arbitrary<ZlibOptions> = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  memLevel: fc.integer({ min: 1, max: 9 }),
  windowBits: fc.integer({ min: 9, max: 15 }),
  strategy: fc.constantFrom(
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FILTERED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
    constants.Z_FIXED,
  ),
});
const pack = fc.oneof(
  { weight: 4, arbitrary: options.map((chosen) => (bytes: Uint8Array) => deflateRawSync(bytes, chosen)) },
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
  // workerd compiles nothing at run time
  const isNode = !navigator.userAgent.startsWith("Cloudflare");
  expect(new Workspace().loops !== undefined).toBe(isNode);
  expect(plainly(() => new Workspace()).loops).toBeUndefined();
});

describe("streams", () => {
  test("of any parameters, with a guide and without", () => {
    fc.assert(
      fc.property(edited, pack, pack, ([before, after], packOld, packFresh) => {
        const [old, fresh] = [packOld(before), packFresh(after)];
        for (const guide of [undefined, old]) {
          const taken = onBoth((side) => side.apart(fresh, { guide }));
          if (taken === undefined) continue;
          onBoth((side) => madeOf(side, taken.recipe, taken.plain, fresh.length, taken.isGuided ? guide : undefined));
        }
      }),
      { numRuns: 8 },
    );
  });

  test("of more than is held at once", () => {
    const text = words(1, 60_000);
    const before = concatBytes(Array.from({ length: 10 }, (_, i) => concatBytes([text, records(i + 1, 500)])));
    const fresh = deflateRawSync(concatBytes([words(2, 999), before]), { level: 6 });
    const guide = deflateRawSync(before, { level: 6 });
    expect(before.length).toBeGreaterThan(DEFLATE_WINDOW_BYTES);
    const taken = onBoth((side) => side.apart(fresh, { guide }));
    if (taken === undefined) throw new Error("left alone");
    expect(taken.isGuided).toBe(true);
    onBoth((side) => madeOf(side, taken.recipe, taken.plain, fresh.length, guide));
  });

  test("with bits that are others", () => {
    const whole = deflateRawSync(concatBytes([words(3, 4000), pixels(3, 2000)]));
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 8 * whole.length - 1 }), { minLength: 1, maxLength: 3 }), (bits) => {
        const broken = Uint8Array.from(whole);
        for (const bit of bits) broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
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

describe("recipes from anywhere", () => {
  const of = mixture(4, 12_000);
  const guide = deflateRawSync(mixture(4, 11_500));

  test("with bits that are others", () => {
    const fresh = deflateRawSync(of, { level: 4, memLevel: 3 });
    const recipe = compiled.apart(fresh, { guide })?.recipe ?? new Uint8Array(0);
    fc.assert(
      fc.property(fc.nat({ max: 8 * recipe.length - 1 }), fc.boolean(), (bit, isGuided) => {
        const broken = recipe.slice();
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        onBoth((side) => madeOf(side, broken, of, fresh.length, isGuided ? guide : undefined));
      }),
      { numRuns: 60 },
    );
  });

  test("any parameters, blocks and corrections", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 44 }),
        fc.nat({ max: 125 }),
        fc.nat({ max: 30 }),
        fc.uint8Array({ maxLength: 80 }),
        fc.boolean(),
        (method, tables, blockBytes, rest, isGuided) => {
          const recipe = concatBytes([Uint8Array.of(method, tables, 0xff, 1, 0, blockBytes), rest]);
          onBoth((side) => madeOf(side, recipe, of, 15_000, isGuided ? guide : undefined));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("chains", () => {
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

  test("find the same with the same work, wherever they are asked and whatever is left out", () => {
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
        const runs = [new Workspace(), plainly(() => new Workspace())].map((workspace) => {
          const window = new PlainWindow(workspace.plain);
          // far enough for distances that do not fit
          const before = 32_768 * 3;
          window.bytes.fill(7, 0, before);
          window.bytes.set(bytes, before);
          window.filled = before + bytes.length;
          const chains = newChains(window.bytes, chosen, 4096, workspace);
          expect(chains instanceof HashChains).toBe(workspace.loops === undefined);
          const found: number[] = [];
          let at = before - 300;
          asked.forEach(({ skipped, than }, i) => {
            if (at + skipped >= window.filled) return;
            at += skipped;
            const match = chains.longest(at, window.filled, than);
            found.push(lengthOf(match), distanceOf(match), workOf(chains));
            if (i % 100 < slides) {
              const by = window.slide(at - 32_768);
              chains.slide(by);
              at -= by;
            }
            if (i % 7 === 0) chains.skipTo(at + than);
            at += i % 7 === 0 ? than : 1;
          });
          return found;
        });
        expect(runs[0]).toEqual(runs[1]);
      }),
      { numRuns: 150 },
    );
  });
});
