import * as fc from "fast-check";
import { expect, test } from "vitest";
import { chooseStored } from "../../manifests/pack.ts";

test("a chunk is stored raw when compressing it saves less than 3 %", () => {
  const plain = new Uint8Array(1000);
  expect(chooseStored(plain, new Uint8Array(970))).toEqual({ stored: new Uint8Array(970), raw: false });
  expect(chooseStored(plain, new Uint8Array(971))).toEqual({ stored: plain, raw: true });
  expect(chooseStored(plain, new Uint8Array(1009))).toEqual({ stored: plain, raw: true });
});

test("a frame is never as large as its chunk: a recipe could not say so", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 300 }), (plain, compressed) => {
      const { stored, raw } = chooseStored(new Uint8Array(plain), new Uint8Array(compressed));
      expect(raw ? stored.length === plain : stored.length < plain).toBe(true);
    }),
  );
});
