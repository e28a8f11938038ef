/** How far bytes agree: most of what an encoder does is to pass over what is the same. */

const WORD_BYTES = 4;

/** The same memory. */
export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** The number of the lowest bit that is set; one is. */
export function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/**
 * How many bytes of `a` from `from` on are the same as those of `b` from `at` on; `most` are there in both. A word at a
 * time.
 */
export function commonBytes(a: DataView, from: number, b: DataView, at: number, most: number): number {
  let bytes = 0;
  for (; bytes + WORD_BYTES <= most; bytes += WORD_BYTES) {
    const difference = a.getInt32(from + bytes, true) ^ b.getInt32(at + bytes, true);
    // the lowest bit that differs is in the first byte that does
    if (difference !== 0) return bytes + (lowestBit(difference) >> 3);
  }
  while (bytes < most && a.getUint8(from + bytes) === b.getUint8(at + bytes)) bytes++;
  return bytes;
}
