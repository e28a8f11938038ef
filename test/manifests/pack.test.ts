import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ChunkId, ObjectId } from "../../manifests/digest.ts";
import { PACK_BYTES_MAX } from "../../manifests/limits.ts";
import { chooseStored, PackBuilder, placeChunks, type ClosedPack } from "../../manifests/pack.ts";

const ID = "1".repeat(64) as ChunkId;

test("every chunk lies where its place says, in the order it was added, in packs within the cap", () => {
  const stored = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 30 });
  fc.assert(
    fc.property(stored, (chunks) => {
      const builder = new PackBuilder(100);
      const packs: ClosedPack[] = [];
      for (const chunk of chunks) {
        if (builder.add(ID, chunk.length, chunk, true) !== undefined) continue;
        packs.push(builder.close());
        expect(builder.add(ID, chunk.length, chunk, true)).toMatchObject({ offset: 0 });
      }
      packs.push(builder.close());
      const found = packs.flatMap(({ bytes, chunks }) => {
        expect(bytes.length).toBeLessThanOrEqual(100);
        expect(chunks.reduce((sum, chunk) => sum + chunk.stored, 0)).toBe(bytes.length);
        return chunks.map(({ offset, stored }) => [...bytes.subarray(offset, offset + stored)]);
      });
      expect(found).toEqual(chunks.map((chunk) => [...chunk]));
    }),
  );
});

test("a chunk that does not fit leaves the pack as it was", () => {
  const builder = new PackBuilder(10);
  builder.add(ID, 9, new Uint8Array(6), false);
  expect(builder.add(ID, 9, new Uint8Array(5), false)).toBeUndefined();
  expect(builder.bytes).toBe(6);
  expect(builder.close().chunks).toEqual([{ id: ID, size: 9, offset: 0, stored: 6, raw: false }]);
  expect(builder.bytes).toBe(0);
});

test("a pack may be full to the last byte", () => {
  const builder = new PackBuilder();
  expect(builder.add(ID, PACK_BYTES_MAX, new Uint8Array(PACK_BYTES_MAX), true)).toMatchObject({ offset: 0 });
  expect(builder.add(ID, 1, new Uint8Array(1), true)).toBeUndefined();
});

test("a chunk that fits into no pack at all is a bug of the caller", () => {
  expect(() => new PackBuilder(10).add(ID, 11, new Uint8Array(11), true)).toThrow(RangeError);
});

test("chunks learn the name of their pack once it has one", () => {
  const pack = "2".repeat(64) as ObjectId;
  const chunk = { id: ID, size: 3, offset: 0, stored: 3, raw: true };
  expect(placeChunks([chunk], pack)).toEqual([{ ...chunk, pack }]);
});

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
