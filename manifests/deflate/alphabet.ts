/** The symbols of RFC 1951: what stands for which length and distance, and how code lengths become codes. */

/**
 * Literals 0 to 255, the end of a block, lengths 257 to 285; 286 and 287 have codes in a fixed block and no meaning.
 */
export const LITERALS = 256;
export const END_OF_BLOCK = 256;
export const LENGTH_SYMBOLS = 29;
export const LITERAL_SYMBOLS = LITERALS + 1 + LENGTH_SYMBOLS;
export const FIXED_LITERAL_SYMBOLS = 288;
export const DISTANCE_SYMBOLS = 30;
/** 30 and 31 have codes in a fixed block and no meaning. */
export const FIXED_DISTANCE_SYMBOLS = 32;
/** The code that the code lengths of a dynamic block are written in. */
export const LENGTH_CODE_SYMBOLS = 19;
export const CODE_BITS_MAX = 15;
export const LENGTH_CODE_BITS_MAX = 7;

export const MATCH_BYTES_MIN = 3;
export const MATCH_BYTES_MAX = 258;
export const DISTANCE_MAX = 32_768;
/** A stored block gives its length in 16 bits. */
export const STORED_BYTES_MAX = 65_535;

/** Two bits of a block's header, RFC 1951 section 3.2.3. */
export const BLOCK = { stored: 0, fixed: 1, dynamic: 2 } as const;
export type BlockType = (typeof BLOCK)[keyof typeof BLOCK];

/** Order in which the lengths of the code for code lengths are written, RFC 1951 section 3.2.7. */
export const LENGTH_CODE_ORDER = Uint8Array.of(16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15);
/** Symbols 16, 17 and 18 of that code repeat a length this often at least, and so many bits say how much more often. */
export const REPEAT_BASE = Uint8Array.of(3, 3, 11);
export const REPEAT_BITS = Uint8Array.of(2, 3, 7);

/** Length symbol - 257 -> bits that follow it, and the shortest match it stands for (RFC 1951 section 3.2.5). */
export const LENGTH_BITS = new Uint8Array(LENGTH_SYMBOLS);
export const LENGTH_BASE = new Uint16Array(LENGTH_SYMBOLS);
/** Distance symbol -> the same. */
export const DISTANCE_BITS = new Uint8Array(DISTANCE_SYMBOLS);
export const DISTANCE_BASE = new Uint16Array(DISTANCE_SYMBOLS);

/** Match length - 3 -> length symbol - 257. */
export const LENGTH_SYMBOL = new Uint8Array(MATCH_BYTES_MAX - MATCH_BYTES_MIN + 1);
/** Distance - 1 -> distance symbol. A table of all of them: one lookup in the hot loops. */
export const DISTANCE_SYMBOL = new Uint8Array(DISTANCE_MAX);

// lengths double their step every four symbols from the eighth on; 258 has a symbol of its own, without bits
for (let symbol = 0, base = MATCH_BYTES_MIN; symbol < LENGTH_SYMBOLS - 1; symbol++) {
  const bits = symbol < 8 ? 0 : (symbol >> 2) - 1;
  LENGTH_BITS[symbol] = bits;
  LENGTH_BASE[symbol] = base;
  LENGTH_SYMBOL.fill(symbol, base - MATCH_BYTES_MIN, base - MATCH_BYTES_MIN + (1 << bits));
  base += 1 << bits;
}
LENGTH_BASE[LENGTH_SYMBOLS - 1] = MATCH_BYTES_MAX;
LENGTH_SYMBOL[MATCH_BYTES_MAX - MATCH_BYTES_MIN] = LENGTH_SYMBOLS - 1;

// and distances every two from the fourth on
for (let symbol = 0, base = 1; symbol < DISTANCE_SYMBOLS; symbol++) {
  const bits = symbol < 4 ? 0 : (symbol >> 1) - 1;
  DISTANCE_BITS[symbol] = bits;
  DISTANCE_BASE[symbol] = base;
  DISTANCE_SYMBOL.fill(symbol, base - 1, base - 1 + (1 << bits));
  base += 1 << bits;
}

/** Bits of the codes of a block, by symbol. */
export interface CodeLengths {
  readonly literals: Uint8Array;
  readonly distances: Uint8Array;
}

/** RFC 1951 section 3.2.6. */
export const FIXED_CODES: CodeLengths = {
  literals: new Uint8Array(FIXED_LITERAL_SYMBOLS).fill(8).fill(9, 144, 256).fill(7, 256, 280),
  distances: new Uint8Array(FIXED_DISTANCE_SYMBOLS).fill(5),
};

/**
 * Canonical codes of `lengths` (RFC 1951 section 3.2.2), each with its bits turned round: a deflate stream is read from
 * the low bit of each byte on, and a code from its high bit on.
 */
export function assignCodes(lengths: Uint8Array, codes: Uint16Array): void {
  const count = new Uint16Array(CODE_BITS_MAX + 1);
  for (const bits of lengths) count[bits] = (count[bits] as number) + 1;
  const next = new Uint16Array(CODE_BITS_MAX + 2);
  for (let bits = 1, code = 0; bits <= CODE_BITS_MAX; bits++) {
    next[bits] = code;
    code = (code + (count[bits] as number)) << 1;
  }
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const bits = lengths[symbol] as number;
    if (bits === 0) continue;
    const code = next[bits] as number;
    next[bits] = code + 1;
    codes[symbol] = turnRound(code, bits);
  }
}

export function turnRound(code: number, bits: number): number {
  let turned = 0;
  for (let rest = code, i = 0; i < bits; i++, rest >>= 1) turned = (turned << 1) | (rest & 1);
  return turned;
}
