import * as fc from "fast-check";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { putTogether } from "../../manifests/deflate/put-together.ts";
import { type TakenApart, takeApart } from "../../manifests/deflate/take-apart.ts";
import { concatBytes, toHex } from "../../manifests/digest.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import golden from "../vectors/deflate/vectors.json" with { type: "json" };

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** A stream taken apart, and its plain bytes. */
function apart(stream: Uint8Array, start = 0, end = stream.length): (TakenApart & { plain: Uint8Array }) | undefined {
  const pieces: Uint8Array[] = [];
  const taken = takeApart(
    (offset, target) => target.set(stream.subarray(offset, offset + target.length)),
    start,
    end,
    { plainBytesMax: 64 * 1024 * 1024 },
    (piece) => pieces.push(piece.slice()),
  );
  return taken && { ...taken, plain: concatBytes(pieces) };
}

function together(recipe: Uint8Array, plain: Uint8Array, compressedBytes: number): Uint8Array {
  const made: Uint8Array[] = [];
  putTogether({
    recipe,
    plainBytes: plain.length,
    compressedBytes,
    readPlain: (offset, target) => target.set(plain.subarray(offset, offset + target.length)),
    write: (piece) => made.push(piece.slice()),
  });
  return concatBytes(made);
}

describe("streams of zlib", () => {
  test.each(golden)("$case: a few bytes say how it was made", ({ stream }) => {
    const bytes = fromBase64(stream);
    const taken = apart(bytes);
    expect(taken?.compressedBytes).toBe(bytes.length);
    expect(taken?.plainBytes).toBe(taken?.plain.length);
    expect(toHex(taken?.plain ?? bytes)).toBe(toHex(inflateRawSync(bytes)));
    expect(taken?.recipe.length).toBeLessThan(16);
    expect(toHex(together(taken?.recipe ?? bytes, taken?.plain ?? bytes, bytes.length))).toBe(toHex(bytes));
  });
});

test("any stream that is taken apart is put together again, whoever made it", () => {
  const contents = fc
    .array(
      fc.record({ seed: fc.integer({ min: 1 }), bytes: fc.nat(3000), period: fc.integer({ min: 1, max: 2000 }) }),
      {
        maxLength: 12,
      },
    )
    .map((parts) => {
      return concatBytes(
        parts.flatMap(({ seed, bytes, period }) => {
          const once = pseudoRandomBytes(seed, period);
          return [Uint8Array.from({ length: bytes }, (_, i) => once[i % period] ?? 0)];
        }),
      );
    });
  const options = fc.record({
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
  fc.assert(
    fc.property(contents, options, (content, options) => {
      const stream = deflateRawSync(content, options);
      const taken = apart(stream);
      if (taken === undefined) return;
      expect(isSame(taken.plain, content)).toBe(true);
      expect(isSame(together(taken.recipe, content, stream.length), stream)).toBe(true);
    }),
    { numRuns: 200 },
  );
});
