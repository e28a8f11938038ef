/** Where a file may hold deflate streams: zip, gzip, zlib and PNG. */

/** Bytes [offset, offset + target.length) of some content into `target`; they lie inside. */
export type ReadBytes = (offset: number, target: Uint8Array) => void;

/** A part of a file, in bytes. */
export interface Piece {
  readonly offset: number;
  readonly bytes: number;
}

/** A place where raw deflate data (RFC 1951) may begin. */
export interface FoundStream {
  readonly container: "zip" | "gzip" | "zlib" | "png";
  /** Bytes from the start of the file to the first of the raw deflate data. */
  readonly offset: number;
  /** Compressed bytes, where the container says so. */
  readonly bytes?: number | undefined;
  /**
   * PNG: the payloads of the IDAT chunks without the two bytes of the zlib header, in order. The stream is what they are
   * when joined, and then four bytes of Adler-32.
   */
  readonly pieces?: readonly Piece[];
}
