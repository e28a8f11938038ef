/**
 * Verified content in windows larger than a block, kept while it is likely to be asked for: one read of a file instead
 * of sixteen, and one for all peers that fetch the same piece.
 */
import { LRUCache } from "lru-cache";
import { SERVE_CACHE_BYTES, SERVE_WINDOW_BYTES } from "../../manifests/limits.ts";
import { pieceOf } from "../../manifests/torrent.ts";
import type { VerifiedPieces } from "./board.ts";

/** A range of one piece, padding included. */
export interface BlockRange {
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
}

interface Window {
  readonly read: Promise<Uint8Array>;
  /** What was read; fewer bytes than a window where the file ends. */
  bytes: Uint8Array | undefined;
}

export class Windows {
  readonly #pieces: VerifiedPieces;
  readonly #perPiece: number;
  readonly #kept = new LRUCache<number, Window>({ max: SERVE_CACHE_BYTES / SERVE_WINDOW_BYTES });

  constructor(pieces: VerifiedPieces) {
    this.#pieces = pieces;
    this.#perPiece = Math.ceil(pieces.layout.pieceLength / SERVE_WINDOW_BYTES);
  }

  /** Begins to read what the range needs; a failure is told to whoever asks for the range. */
  prepare({ piece, offset, length }: BlockRange): void {
    this.#window(piece, windowAt(offset));
    if (windowAt(offset + length - 1) !== windowAt(offset)) this.#window(piece, windowAt(offset + length - 1));
  }

  /** The range, zeros where it reaches into padding; undefined when it is not here yet as a whole. */
  peek({ piece, offset, length }: BlockRange): Uint8Array | undefined {
    const bytes = this.#kept.get(this.#key(piece, windowAt(offset)))?.bytes;
    const start = offset % SERVE_WINDOW_BYTES;
    return bytes !== undefined && start + length <= bytes.length ? bytes.subarray(start, start + length) : undefined;
  }

  /** The same, read if need be. Throws: what the board throws; when the piece is not verified. */
  async read({ piece, offset, length }: BlockRange): Promise<Uint8Array> {
    const range = new Uint8Array(length);
    for (let index = windowAt(offset); index <= windowAt(offset + length - 1); index++) {
      const bytes = await this.#window(piece, index).read;
      const at = index * SERVE_WINDOW_BYTES - offset;
      range.set(bytes.subarray(Math.max(0, -at), Math.max(0, length - at)), Math.max(0, at));
    }
    return range;
  }

  #window(piece: number, index: number): Window {
    const key = this.#key(piece, index);
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const window: Window = { read: this.#read(piece, index), bytes: undefined };
    this.#kept.set(key, window);
    window.read.then(
      (bytes) => (window.bytes = bytes),
      () => this.#kept.delete(key),
    );
    return window;
  }

  async #read(piece: number, index: number): Promise<Uint8Array> {
    const offset = index * SERVE_WINDOW_BYTES;
    const bytes = Math.min(SERVE_WINDOW_BYTES, pieceOf(this.#pieces.layout, piece).bytes - offset);
    if (bytes <= 0) return NOTHING;
    const read = this.#pieces.readVerified(piece, offset, bytes);
    if (read === undefined) throw new Error("not verified");
    return await read;
  }

  #key(piece: number, index: number): number {
    return piece * this.#perPiece + index;
  }
}

const NOTHING = new Uint8Array(0);

/** Number of the window that a byte of a piece lies in. */
function windowAt(offset: number): number {
  return Math.floor(offset / SERVE_WINDOW_BYTES);
}
