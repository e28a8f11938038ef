import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_ROOT, equalBytes, fromHex, toHex, type PiecesRoot } from "../../manifests/digest.ts";
import { BLOCK_BYTES } from "../../manifests/limits.ts";
import {
  FileHasher,
  leafHashes,
  pieceHash,
  pieceLayerOf,
  proveBlock,
  rootOfLayer,
  rootOfLeaves,
  verifyBlock,
  type FileHashes,
} from "../../manifests/merkle.ts";
import { counted, sha1, sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import vectors from "../vectors/merkle/vectors.json" with { type: "json" };

const PIECE = 4 * BLOCK_BYTES;

function hashOf(content: Uint8Array, pieceLength: number, splits: readonly number[] = []): FileHashes {
  const hasher = new FileHasher(sha256, pieceLength, sha1);
  let at = 0;
  for (const split of splits) {
    hasher.update(content.subarray(at, at + split));
    at = Math.min(content.length, at + split);
  }
  hasher.update(content.subarray(at));
  return hasher.finish();
}

const proofOf = (content: Uint8Array, block: number) => ({
  bytes: content.slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES),
  proof: proveBlock(leafHashes(content, sha256), block, sha256),
  root: hashOf(content, PIECE).root,
});

describe("golden vectors", () => {
  test.each(vectors)("$size bytes in pieces of $pieceLength", ({ size, pieceLength, root, layer, sha1, sha1Tail }) => {
    const hashes = hashOf(pseudoRandomBytes(size, size), pieceLength);
    expect({
      size: hashes.size,
      root: hashes.root,
      layer: toHex(hashes.layer),
      sha1: toHex(hashes.sha1),
      sha1Tail: toHex(hashes.sha1Tail),
    }).toEqual({ size, root, layer, sha1, sha1Tail });
  });
});

describe("FileHasher", () => {
  test("an empty file has the empty root, no layer and no v1 piece", () => {
    const none = new Uint8Array(0);
    expect(hashOf(none, PIECE)).toEqual({ size: 0, root: EMPTY_ROOT, layer: none, sha1: none, sha1Tail: none });
  });

  test("how the content is split makes no difference", () => {
    const sizes = fc.oneof(
      fc.integer({ min: 0, max: 3 * PIECE }),
      fc.constantFrom(BLOCK_BYTES, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE),
    );
    const splits = fc.array(fc.oneof(fc.nat({ max: 2 * PIECE }), fc.constantFrom(0, BLOCK_BYTES, PIECE)), {
      maxLength: 9,
    });
    fc.assert(
      fc.property(sizes, splits, (size, splits) => {
        const content = pseudoRandomBytes(1 + size, size);
        expect(hashOf(content, PIECE, splits)).toEqual(hashOf(content, PIECE));
      }),
      { numRuns: 60 },
    );
  });

  test("is ready for the next file after finish", () => {
    const hasher = new FileHasher(sha256, PIECE, sha1);
    for (const size of [3 * PIECE + 5, 0, 7, PIECE, BLOCK_BYTES]) {
      const content = pseudoRandomBytes(1, size);
      hasher.update(content);
      expect(hasher.finish()).toEqual(hashOf(content, PIECE));
    }
  });

  test("gives no v1 hashes without SHA-1, and the same root", () => {
    const content = pseudoRandomBytes(1, 2 * PIECE + 1);
    const hasher = new FileHasher(sha256, PIECE);
    hasher.update(content);
    expect(hasher.finish()).toEqual({
      ...hashOf(content, PIECE),
      sha1: new Uint8Array(0),
      sha1Tail: new Uint8Array(0),
    });
  });

  test("hashes every block once, one node for each pair, and no more than the padding besides", () => {
    const { hash, calls } = counted(sha256);
    const hasher = new FileHasher(hash, PIECE);
    hasher.update(new Uint8Array(4 * PIECE));
    hasher.finish();
    expect(calls()).toBeLessThanOrEqual(16 + 15 + Math.log2(PIECE / BLOCK_BYTES));
  });

  test.each([0, 1000, BLOCK_BYTES / 2, 3 * BLOCK_BYTES])("refuses %s bytes as a piece length", (pieceLength) => {
    expect(() => new FileHasher(sha256, pieceLength)).toThrow(RangeError);
  });
});

/** Sizes that meet every edge of blocks and pieces. */
const sizes = fc.oneof(
  fc.integer({ min: 1, max: 4 * PIECE }),
  fc.constantFrom(1, BLOCK_BYTES, BLOCK_BYTES + 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE),
);

describe("the ways to a root agree", () => {
  test("streaming, from the leaves, from the layer and from the pieces", () => {
    fc.assert(
      fc.property(sizes, (size) => {
        const content = pseudoRandomBytes(1, size);
        const { root, layer } = hashOf(content, PIECE);
        const leaves = leafHashes(content, sha256);
        expect(toHex(rootOfLeaves(leaves, sha256))).toBe(root);
        if (content.length <= PIECE) {
          expect(layer).toHaveLength(0);
          expect(toHex(pieceHash(content, PIECE, true, sha256))).toBe(root);
          return;
        }
        expect(pieceLayerOf(leaves, PIECE, sha256)).toEqual(layer);
        expect(toHex(rootOfLayer(layer, PIECE, content.length, sha256))).toBe(root);
        for (let piece = 0; piece * PIECE < content.length; piece++) {
          const bytes = content.subarray(piece * PIECE, (piece + 1) * PIECE);
          expect(pieceHash(bytes, PIECE, false, sha256)).toEqual(layer.slice(32 * piece, 32 * piece + 32));
        }
      }),
      { numRuns: 40 },
    );
  });

  test("a layer with an entry too few or too many gives no root", () => {
    const content = pseudoRandomBytes(1, 3 * PIECE);
    const { layer, root } = hashOf(content, PIECE);
    for (const wrong of [layer.subarray(32), new Uint8Array(4 * 32), layer.subarray(1), new Uint8Array(0)]) {
      expect(equalBytes(rootOfLayer(wrong, PIECE, content.length, sha256), fromHex(root))).toBe(false);
    }
  });
});

describe("the proof of a block", () => {
  const cases = sizes.chain((size) =>
    fc.record({ size: fc.constant(size), block: fc.nat({ max: Math.ceil(size / BLOCK_BYTES) - 1 }) }),
  );

  test("verifies for every block of every file", () => {
    fc.assert(
      fc.property(cases, ({ size, block }) => {
        const content = pseudoRandomBytes(1, size);
        const { bytes, proof, root } = proofOf(content, block);
        expect(verifyBlock(bytes, block, content.length, proof, root, sha256)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("does not verify with any bit flipped in block, proof or root", () => {
    fc.assert(
      fc.property(cases, fc.nat(), fc.nat({ max: 7 }), ({ size, block }, where, bit) => {
        const content = pseudoRandomBytes(1, size);
        const { bytes, proof, root } = proofOf(content, block);
        const flip = (of: Uint8Array) => {
          const flipped = of.slice();
          if (of.length > 0) flipped[where % of.length] = (of[where % of.length] ?? 0) ^ (1 << bit);
          return flipped;
        };
        expect(verifyBlock(flip(bytes), block, content.length, proof, root, sha256)).toBe(false);
        if (proof.length > 0) expect(verifyBlock(bytes, block, content.length, flip(proof), root, sha256)).toBe(false);
        const other = toHex(flip(fromHex(root))) as PiecesRoot;
        expect(verifyBlock(bytes, block, content.length, proof, other, sha256)).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("does not verify at another place, another size or with a proof of another height", () => {
    const content = pseudoRandomBytes(1, 5 * BLOCK_BYTES);
    const { bytes, proof, root } = proofOf(content, 2);
    for (const block of [0, 1, 3, 4, 5, -1, 2.5, NaN]) {
      expect(verifyBlock(bytes, block, content.length, proof, root, sha256)).toBe(false);
    }
    for (const size of [0, 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES - 1, 40 * BLOCK_BYTES]) {
      expect(verifyBlock(bytes, 2, size, proof, root, sha256)).toBe(false);
    }
    expect(verifyBlock(bytes, 2, content.length, proof.subarray(32), root, sha256)).toBe(false);
    expect(verifyBlock(bytes, 2, content.length, new Uint8Array([...proof, ...proof]), root, sha256)).toBe(false);
  });

  test("a node of the tree does not pass for a block", () => {
    const content = pseudoRandomBytes(1, 2 * BLOCK_BYTES);
    const leaves = leafHashes(content, sha256);
    const root = toHex(rootOfLeaves(leaves, sha256)) as PiecesRoot;
    // 64 bytes whose hash is the root: right only for a file that really is those 64 bytes, never for this one.
    expect(verifyBlock(leaves, 0, content.length, new Uint8Array(0), root, sha256)).toBe(false);
  });
});
