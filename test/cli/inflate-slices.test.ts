/** Both ways of inflating slice by slice give what zlib's call for whole streams gives, and refuse what it refuses. */
import { createInflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inflateByStream, inflateSlices } from "../../cli/threads/inflate-slices.ts";

type Inflate = typeof inflateSlices;

const WAYS: readonly (readonly [string, Inflate])[] = [
  ["at once", inflateSlices],
  ["by Node's stream", (slices, take) => inflateByStream(createInflateRaw(), slices, take)],
];

const contents = fc.oneof(
  fc.uint8Array({ maxLength: 5000 }),
  // more than is given at once
  fc
    .tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 60_000 }))
    .map(([text, times]) => new Uint8Array(Buffer.from(text.repeat(times)))),
);

/** In memory that is used again, as whoever reads a file gives them. */
function* slicesOf(bytes: Uint8Array, sliceBytes: number): Generator<Uint8Array> {
  const memory = new Uint8Array(sliceBytes);
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = memory.subarray(0, Math.min(sliceBytes, bytes.length - at));
    slice.set(bytes.subarray(at, at + slice.length));
    yield slice;
    slice.fill(0xee);
  }
}

async function inflated(inflate: Inflate, packed: Uint8Array, sliceBytes: number) {
  const pieces: Buffer[] = [];
  const size = await inflate(slicesOf(packed, sliceBytes), (plain) => pieces.push(Buffer.from(plain)) > 0);
  return { size, plain: Buffer.concat(pieces) };
}

describe.each(WAYS)("%s", (_, inflate) => {
  test("what was deflated comes out again, however it is cut and whatever is behind it", async () => {
    const property = fc.asyncProperty(
      contents,
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 1, max: 70_000 }),
      fc.uint8Array({ maxLength: 20 }),
      async (content, level, sliceBytes, behind) => {
        const packed = deflateRawSync(content, { level });
        const whole = Buffer.concat([packed, behind]);
        // each byte by itself takes its time
        const { size, plain } = await inflated(inflate, whole, Math.max(sliceBytes, Math.ceil(whole.length / 200)));
        expect(size).toEqual({ packedBytes: packed.length, plainBytes: content.length });
        expect(plain.equals(content)).toBe(true);
      },
    );
    await fc.assert(property);
  });

  test("a stream that is cut short is none", async () => {
    const property = fc.asyncProperty(contents, fc.nat(), async (content, at) => {
      const packed = deflateRawSync(content);
      const { size } = await inflated(inflate, packed.subarray(0, at % packed.length), 1000);
      expect(size).toBeUndefined();
    });
    await fc.assert(property);
  });

  test("noise is a stream when zlib says so", async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
      const { size, plain } = await inflated(inflate, noise, 7);
      expect(size === undefined ? undefined : plain).toEqual(inflatedWhole(noise));
    });
    await fc.assert(property);
  });

  test("no more is asked for when enough was given", async () => {
    const packed = deflateRawSync(Buffer.alloc(10_000_000), { level: 0 });
    let asked = 0;
    function* counted(): Generator<Uint8Array> {
      for (const slice of slicesOf(packed, 65_536)) {
        asked++;
        yield slice;
      }
    }
    let given = 0;
    expect(await inflate(counted(), () => ++given < 3)).toBeUndefined();
    expect(given).toBe(3);
    expect(asked).toBeLessThan(20);
  });

  test("what reading throws is thrown", async () => {
    // oxlint-disable-next-line require-yield
    function* broken(): Generator<Uint8Array> {
      throw new Error("gone");
    }
    await expect(inflate(broken(), () => true)).rejects.toThrow("gone");
  });
});

/** Undefined when it is no stream. */
function inflatedWhole(packed: Uint8Array): Buffer | undefined {
  try {
    return inflateRawSync(packed);
  } catch {
    return undefined;
  }
}
