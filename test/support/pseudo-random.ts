/** Bytes that look random and are the same on every machine: golden vectors name a seed instead of carrying content. */

/** xorshift32 (Marsaglia 2003, 13-17-5), low byte of each step. `seed` is not 0. */
export function pseudoRandomBytes(seed: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let x = seed | 0;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
  }
  return bytes;
}
