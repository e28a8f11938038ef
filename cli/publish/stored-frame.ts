/**
 * A zstd frame that holds a few bytes as they are (RFC 8878 section 3.1.1): one raw block, no checksum. For what cannot
 * compress and comes by the ten thousand, such as the recipes of small files: zlib makes a stream of some 10 KB for
 * each call, and 20,000 of them were 130 MB and a second (measured).
 *
 *   28 b5 2f fd ‖ descriptor ‖ content size ‖ block header (3 B) ‖ content
 */
import { concatBytes } from "../../manifests/digest.ts";

/** Longest content: the sizes that one or two bytes of the header can say. */
export const STORED_FRAME_BYTES_MAX = 0xffff;

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** Single segment: the window is the content. The top bits say how long the content size is. */
const SIZE_OF_1_BYTE = 0x20;
const SIZE_OF_2_BYTES = 0x60;
/** A size of two bytes begins where one byte ends. */
const SIZE_OF_2_BYTES_FROM = 256;
const LAST_RAW_BLOCK = 1;

/** At least 1 and at most STORED_FRAME_BYTES_MAX bytes -> a frame that every zstd decoder turns back into them. */
export function storedFrame(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = content;
  if (length === 0 || length > STORED_FRAME_BYTES_MAX) throw new RangeError(`a stored frame of ${length} bytes`);
  const size =
    length < SIZE_OF_2_BYTES_FROM
      ? [SIZE_OF_1_BYTE, length]
      : [SIZE_OF_2_BYTES, ...littleEndian(length - SIZE_OF_2_BYTES_FROM, 2)];
  const header = [...MAGIC, ...size, ...littleEndian(length * 8 + LAST_RAW_BLOCK, 3)];
  return concatBytes([Uint8Array.from(header), content]);
}

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 0xff);
}
