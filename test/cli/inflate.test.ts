/** One decoder for all frames: what it gives is what the documented call gives, and hostile frames do it no harm. */
import { constants, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { inflate, INFLATE_SLACK_BYTES, inflateInto } from "../../cli/threads/inflate.ts";

const contents = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 5000 }),
  fc
    .tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 5000 }))
    .map(([text, times]) => Buffer.from(text.repeat(times))),
);

/** Whether a frame decodes to exactly this content, with 3 bytes in front of it left alone. */
function decodesTo(frame: Uint8Array, content: Uint8Array): boolean {
  const to = Buffer.alloc(3 + content.length + INFLATE_SLACK_BYTES, 0xee);
  if (!inflateInto(frame, to, 3, content.length)) return false;
  expect(to.subarray(0, 3)).toEqual(Buffer.alloc(3, 0xee));
  return to.subarray(3, 3 + content.length).equals(content);
}

test("what was compressed comes out again, at any level, also right after a frame that was none", () => {
  fc.assert(
    fc.property(contents, fc.integer({ min: 1, max: 12 }), fc.boolean(), (content, level, afterNoise) => {
      const frame = zstdCompressSync(content, { params: { [constants.ZSTD_c_compressionLevel]: level } });
      if (afterNoise) expect(decodesTo(frame.subarray(0, frame.length - 1), content)).toBe(false);
      expect(decodesTo(frame, content)).toBe(true);
    }),
  );
});

test("a frame of another size is refused", () => {
  fc.assert(
    fc.property(contents, fc.integer({ min: -100, max: 100 }), (content, more) => {
      const size = content.length + more;
      if (more === 0 || size < 0) return;
      const to = Buffer.alloc(size + INFLATE_SLACK_BYTES);
      expect(inflateInto(zstdCompressSync(content), to, 0, size)).toBe(false);
    }),
  );
});

test("nothing is no frame", () => {
  expect(inflateInto(new Uint8Array(0), Buffer.alloc(1000), 0, 500)).toBe(false);
  expect(inflate(new Uint8Array(0), 500, Buffer.alloc(1000))).toBeUndefined();
});

test("noise is no frame", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      expect(inflateInto(noise, Buffer.alloc(1000), 0, 500)).toBe(false);
      expect(inflate(noise, 500, Buffer.alloc(1000))).toBeUndefined();
    }),
  );
});

test("content of unknown size is given when it is below the cap, whether or not it fits into the room", () => {
  const room = Buffer.alloc(2000);
  fc.assert(
    fc.property(contents, (content) => {
      const frame = zstdCompressSync(content);
      expect(Buffer.from(inflate(frame, content.length, room) ?? [])).toEqual(Buffer.from(content));
      expect(inflate(frame, content.length - 1, room)).toBeUndefined();
    }),
  );
});
