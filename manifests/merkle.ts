/**
 * BEP 52 hash trees. A file is cut into 16 KiB blocks; the SHA-256 of each block is a leaf; leaves are padded with zero
 * hashes to a power of two; a node is the SHA-256 of its two children. The top is the pieces root: the file's identity.
 * The row of nodes that cover one piece each is the piece layer: what a single piece is checked against.
 *
 *   root                        ┐
 *   ├─ …                        │ rootOfLayer
 *   layer:  [piece 0][piece 1]… ┘        ┐
 *   leaves: [b0][b1][b2][b3]…            ┘ pieceHash
 *
 * Content is streamed; of a file only one piece's leaves and the layer are in memory (32 B a piece).
 */
import {
  concatBytes,
  EMPTY_ROOT,
  equalBytes,
  fromHex,
  SHA1_BYTES,
  SHA256_BYTES,
  toHex,
  type PiecesRoot,
  type Sha1,
  type Sha256,
} from "./digest.ts";
import { BLOCK_BYTES, PIECE_BYTES_MIN } from "./limits.ts";

/** What there is to know about a file's content. */
export interface FileHashes {
  /** Bytes. */
  readonly size: number;
  /** EMPTY_ROOT when the file is empty. */
  readonly root: PiecesRoot;
  /** 32 B a piece when the file is larger than one piece, else empty (BEP 52 "piece layers"). */
  readonly layer: Uint8Array;
  /**
   * 20 B for each BitTorrent v1 piece, the last one over the data and zeros up to the piece length. Empty without
   * SHA-1.
   */
  readonly sha1: Uint8Array;
  /**
   * SHA-1 of the last piece's data alone: what counts when this file is the only one of a torrent. Empty without SHA-1.
   */
  readonly sha1Tail: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** Content in, hashes out. How the content is split into `update`s makes no difference. */
export class FileHasher {
  readonly #sha256: Sha256;
  readonly #sha1: Sha1 | undefined;
  readonly #pieceLength: number;
  readonly #leaves: Uint8Array;
  /** Content that does not fill a block (or, with SHA-1, a piece) yet. */
  readonly #pending: Uint8Array;
  readonly #layer = new GrowingBytes();
  readonly #sha1s = new GrowingBytes();
  #pendingBytes = 0;
  #leafBytes = 0;
  #size = 0;

  /** `pieceLength`: a power of two, at least 16 KiB. Without `sha1` the v1 half of FileHashes stays empty. */
  constructor(sha256: Sha256, pieceLength: number, sha1?: Sha1) {
    checkPieceLength(pieceLength);
    this.#sha256 = sha256;
    this.#sha1 = sha1;
    this.#pieceLength = pieceLength;
    this.#leaves = new Uint8Array((pieceLength / BLOCK_BYTES) * SHA256_BYTES);
    this.#pending = new Uint8Array(sha1 === undefined ? BLOCK_BYTES : pieceLength);
  }

  update(bytes: Uint8Array): void {
    const unit = this.#pending.length;
    let at = 0;
    if (this.#pendingBytes > 0) {
      at = Math.min(unit - this.#pendingBytes, bytes.length);
      this.#pending.set(bytes.subarray(0, at), this.#pendingBytes);
      this.#pendingBytes += at;
      if (this.#pendingBytes < unit) return;
      this.#take(this.#pending);
      this.#pendingBytes = 0;
    }
    // Whole units are hashed where they lie; only the rest is copied.
    for (; at + unit <= bytes.length; at += unit) this.#take(bytes.subarray(at, at + unit));
    this.#pending.set(bytes.subarray(at), 0);
    this.#pendingBytes = bytes.length - at;
  }

  /** The hashes of everything so far; the hasher is empty again and ready for the next file. */
  finish(): FileHashes {
    const rest = this.#pending.subarray(0, this.#pendingBytes);
    const sha1Tail = this.#tailSha1(rest);
    this.#takeBlocks(rest);
    const hashes = { size: this.#size, ...this.#top(), sha1: this.#sha1s.take(), sha1Tail };
    this.#pendingBytes = 0;
    this.#leafBytes = 0;
    this.#size = 0;
    return hashes;
  }

  #top(): { root: PiecesRoot; layer: Uint8Array } {
    if (this.#size === 0) return { root: EMPTY_ROOT, layer: EMPTY };
    if (this.#layer.length === 0) {
      const root = rootOfLeaves(this.#leaves.subarray(0, this.#leafBytes), this.#sha256);
      return { root: toHex(root) as PiecesRoot, layer: EMPTY };
    }
    if (this.#leafBytes > 0) this.#closePiece();
    const layer = this.#layer.take();
    const root = rootOfLayer(layer, this.#pieceLength, this.#size, this.#sha256);
    return { root: toHex(root) as PiecesRoot, layer: this.#size > this.#pieceLength ? layer : EMPTY };
  }

  #take(unit: Uint8Array): void {
    if (this.#sha1 !== undefined) this.#sha1s.push(this.#sha1(unit));
    this.#takeBlocks(unit);
  }

  #takeBlocks(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      this.#leaves.set(this.#sha256(bytes.subarray(at, at + BLOCK_BYTES)), this.#leafBytes);
      this.#leafBytes += SHA256_BYTES;
      if (this.#leafBytes === this.#leaves.length) this.#closePiece();
    }
    this.#size += bytes.length;
  }

  #closePiece(): void {
    this.#leaves.fill(0, this.#leafBytes);
    this.#layer.push(reduce(this.#leaves, this.#sha256));
    this.#leafBytes = 0;
  }

  #tailSha1(rest: Uint8Array): Uint8Array {
    if (this.#sha1 === undefined) return EMPTY;
    if (rest.length === 0) return this.#sha1s.last(SHA1_BYTES);
    const tail = this.#sha1(rest);
    this.#pending.fill(0, rest.length);
    this.#sha1s.push(this.#sha1(this.#pending));
    return tail;
  }
}

/** Bytes of one or more blocks, in order -> their leaves, 32 B each. Only the file's last block may be short. */
export function leafHashes(bytes: Uint8Array, sha256: Sha256): Uint8Array {
  const leaves = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * SHA256_BYTES);
  for (let block = 0; block * BLOCK_BYTES < bytes.length; block++) {
    leaves.set(sha256(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)), block * SHA256_BYTES);
  }
  return leaves;
}

/** All leaves of a file (32 B each, at least one) -> its pieces root, 32 B. */
export function rootOfLeaves(leaves: Uint8Array, sha256: Sha256): Uint8Array {
  return reduce(padRow(leaves, EMPTY_LEAF), sha256);
}

/** All leaves of a file -> its piece layer, 32 B a piece. */
export function pieceLayerOf(leaves: Uint8Array, pieceLength: number, sha256: Sha256): Uint8Array {
  const perPiece = leafBytesOf(pieceLength);
  const layer = new Uint8Array(Math.ceil(leaves.length / perPiece) * SHA256_BYTES);
  for (let piece = 0; piece * perPiece < leaves.length; piece++) {
    const row = new Uint8Array(perPiece);
    row.set(leaves.subarray(piece * perPiece, (piece + 1) * perPiece));
    layer.set(reduce(row, sha256), piece * SHA256_BYTES);
  }
  return layer;
}

/**
 * The piece layer of a file of `size` bytes -> its pieces root, 32 B. For a file of one piece the layer is the root.
 * Returns an empty array when the layer has not one entry for each piece.
 */
export function rootOfLayer(layer: Uint8Array, pieceLength: number, size: number, sha256: Sha256): Uint8Array {
  if (layer.length !== Math.ceil(size / pieceLength) * SHA256_BYTES) return EMPTY;
  if (layer.length === SHA256_BYTES) return layer;
  return reduce(padRow(layer, emptyPieceHash(pieceLength, sha256)), sha256);
}

/**
 * The content of one piece -> what must equal its 32 B of the piece layer, or the pieces root when the file is no
 * larger than a piece (`isWholeFile`): such a file's tree is only as tall as its own leaves need.
 */
export function pieceHash(bytes: Uint8Array, pieceLength: number, isWholeFile: boolean, sha256: Sha256): Uint8Array {
  const leaves = leafHashes(bytes, sha256);
  if (isWholeFile) return rootOfLeaves(leaves, sha256);
  const row = new Uint8Array(leafBytesOf(pieceLength));
  row.set(leaves);
  return reduce(row, sha256);
}

/** The uncles of one block, from the leaf upwards, 32 B each: with the block's own hash they make the root. */
export function proveBlock(leaves: Uint8Array, block: number, sha256: Sha256): Uint8Array {
  const uncles: Uint8Array[] = [];
  let row = padRow(leaves, EMPTY_LEAF);
  for (let at = block; row.length > SHA256_BYTES; at >>>= 1, row = nextRow(row, sha256)) {
    uncles.push(nodeOf(row, at ^ 1).slice());
  }
  return concatBytes(uncles);
}

/** Whether `bytes` are block number `block` of the file of `size` bytes that has this root. */
export function verifyBlock(
  bytes: Uint8Array,
  block: number,
  size: number,
  proof: Uint8Array,
  root: PiecesRoot,
  sha256: Sha256,
): boolean {
  const blocks = Math.ceil(size / BLOCK_BYTES);
  if (!Number.isInteger(block) || block < 0 || block >= blocks) return false;
  if (bytes.length !== Math.min(BLOCK_BYTES, size - block * BLOCK_BYTES)) return false;
  if (proof.length !== heightOf(blocks) * SHA256_BYTES) return false;
  const pair = new Uint8Array(2 * SHA256_BYTES);
  let node = sha256(bytes);
  for (let level = 0; level < heightOf(blocks); level++) {
    const isRight = Math.floor(block / 2 ** level) % 2;
    pair.set(node, isRight * SHA256_BYTES);
    pair.set(nodeOf(proof, level), (1 - isRight) * SHA256_BYTES);
    node = sha256(pair);
  }
  return equalBytes(node, fromHex(root));
}

/** What stands for a block after the file's end. */
const EMPTY_LEAF = new Uint8Array(SHA256_BYTES);

function checkPieceLength(pieceLength: number): void {
  if (pieceLength < PIECE_BYTES_MIN || !Number.isInteger(Math.log2(pieceLength))) {
    throw new RangeError(`piece length ${pieceLength} is not a power of two of at least ${PIECE_BYTES_MIN}`);
  }
}

function leafBytesOf(pieceLength: number): number {
  return (pieceLength / BLOCK_BYTES) * SHA256_BYTES;
}

/** What stands for a piece after the file's end: the top of a tree of empty leaves. */
function emptyPieceHash(pieceLength: number, sha256: Sha256): Uint8Array {
  const pair = new Uint8Array(2 * SHA256_BYTES);
  let node: Uint8Array = EMPTY_LEAF;
  for (let bytes = BLOCK_BYTES; bytes < pieceLength; bytes *= 2) {
    pair.set(node, 0);
    pair.set(node, SHA256_BYTES);
    node = sha256(pair);
  }
  return node;
}

/** Levels above the leaves of a tree with this many of them. */
function heightOf(leaves: number): number {
  return Math.ceil(Math.log2(leaves));
}

/** The row, filled up with `padding` to a power of two. */
function padRow(row: Uint8Array, padding: Uint8Array): Uint8Array {
  const count = row.length / SHA256_BYTES;
  const full = 2 ** heightOf(count);
  if (full === count) return row;
  const padded = new Uint8Array(full * SHA256_BYTES);
  padded.set(row);
  for (let i = count; i < full; i++) padded.set(padding, i * SHA256_BYTES);
  return padded;
}

/** A row of a power of two of nodes -> the top of the tree over them, 32 B. */
function reduce(row: Uint8Array, sha256: Sha256): Uint8Array {
  let top = row;
  while (top.length > SHA256_BYTES) top = nextRow(top, sha256);
  return top.slice();
}

function nextRow(row: Uint8Array, sha256: Sha256): Uint8Array {
  const next = new Uint8Array(row.length / 2);
  for (let at = 0; at < next.length; at += SHA256_BYTES) {
    next.set(sha256(row.subarray(2 * at, 2 * at + 2 * SHA256_BYTES)), at);
  }
  return next;
}

function nodeOf(row: Uint8Array, index: number): Uint8Array {
  return row.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES);
}

/** Bytes appended one hash at a time. */
class GrowingBytes {
  #bytes = new Uint8Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(part: Uint8Array): void {
    if (this.#length + part.length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(part, this.#length);
    this.#length += part.length;
  }

  /** A copy of the last `bytes` bytes; fewer when there are fewer. */
  last(bytes: number): Uint8Array {
    return this.#bytes.slice(Math.max(0, this.#length - bytes), this.#length);
  }

  /** Everything pushed so far; empty afterwards. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
