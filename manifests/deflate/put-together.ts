/** A recipe of `takeApart` and the plain bytes -> the deflate stream, bit for bit. */
import type { ReadBytes } from "./find.ts";

export interface StreamParts {
  readonly recipe: Uint8Array;
  readonly plainBytes: number;
  /** Bytes of the stream: not one more is written. */
  readonly compressedBytes: number;
  /** Plain bytes; asked for once each, in order, up to 256 KiB at a time. */
  readonly readPlain: ReadBytes;
  /** Is given the stream in order; a piece is good until it returns. */
  readonly write: (piece: Uint8Array) => void;
}

/** Throws: object.malformed for a recipe that does not make `compressedBytes` of `plainBytes`, perhaps after some of them were written. */
export declare function putTogether(parts: StreamParts): void;
