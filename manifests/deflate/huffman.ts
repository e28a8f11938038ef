/** Reading Huffman codes: a table for codes of up to DEFLATE_TABLE_BITS, and bit by bit for the few that are longer. */
import { DEFLATE_TABLE_BITS } from "../limits.ts";
import { CODE_BITS_MAX, FIXED_LITERAL_SYMBOLS, turnRound } from "./alphabet.ts";
import { type Loops, arrayIn } from "./compiled-loops.ts";

export const PRIMARY_MASK = 2 ** DEFLATE_TABLE_BITS - 1;

/** What a decoder writes down. */
export interface DecoderTables {
  /** Next bits of the stream -> symbol × 16 + bits of its code; 0 for longer codes and for none. */
  readonly table: Uint16Array;
  /** How many codes have each length, and the symbols in the order of their codes. */
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

const TABLE_LENGTH = 2 ** DEFLATE_TABLE_BITS;
const COUNTS_LENGTH = CODE_BITS_MAX + 1;
/** No code has more than the fixed one. */
const SYMBOLS_MAX = FIXED_LITERAL_SYMBOLS;

/** In the memory of `loops`, where `place` says; without loops, in memory of their own. */
export function decoderTables(loops: Loops | undefined, place: "LITERAL_DECODER" | "DISTANCE_DECODER"): DecoderTables {
  return {
    table: arrayIn(loops, Uint16Array, place, TABLE_LENGTH),
    counts: arrayIn(loops, Uint16Array, place, COUNTS_LENGTH, TABLE_LENGTH),
    symbols: arrayIn(loops, Uint16Array, place, SYMBOLS_MAX, TABLE_LENGTH + COUNTS_LENGTH),
  };
}

/** Of a decoder that no loop asks. */
function ownTables(): DecoderTables {
  return {
    table: new Uint16Array(TABLE_LENGTH),
    counts: new Uint16Array(COUNTS_LENGTH),
    symbols: new Uint16Array(SYMBOLS_MAX),
  };
}

export class HuffmanDecoder {
  readonly table: Uint16Array;
  readonly #counts: Uint16Array;
  readonly #symbols: Uint16Array;

  constructor({ table, counts, symbols } = ownTables()) {
    this.table = table;
    this.#counts = counts;
    this.#symbols = symbols;
  }

  /**
   * @param lengths  bits of each symbol's code
   * @returns false when there is no such code. One that leaves bits without a meaning is none either, but for a single
   *   code of one bit and none at all: zlib's inflate agrees
   */
  set(lengths: Uint8Array): boolean {
    const counts = this.#counts.fill(0);
    for (const bits of lengths) counts[bits] = (counts[bits] as number) + 1;
    const used = lengths.length - (counts[0] as number);
    let left = 1;
    for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
      left = 2 * left - (counts[bits] as number);
      if (left < 0) return false;
    }
    if (left > 0 && used > 0 && !(used === 1 && counts[1] === 1)) return false;
    this.#fill(lengths);
    return true;
  }

  #fill(lengths: Uint8Array): void {
    const { table } = this;
    const counts = this.#counts;
    table.fill(0);
    const codes = new Uint16Array(CODE_BITS_MAX + 1);
    const places = new Uint16Array(CODE_BITS_MAX + 1);
    for (let bits = 1, code = 0, place = 0; bits <= CODE_BITS_MAX; bits++) {
      codes[bits] = code;
      places[bits] = place;
      code = (code + (counts[bits] as number)) << 1;
      place += counts[bits] as number;
    }
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const bits = lengths[symbol] as number;
      if (bits === 0) continue;
      const place = places[bits] as number;
      const code = codes[bits] as number;
      this.#symbols[place] = symbol;
      places[bits] = place + 1;
      codes[bits] = code + 1;
      if (bits > DEFLATE_TABLE_BITS) continue;
      const entry = symbol * 16 + bits;
      for (let i = turnRound(code, bits); i < table.length; i += 1 << bits) table[i] = entry;
    }
  }

  /** What the table does not say. @returns symbol × 16 + bits; 0 when `bits` (15 of them) begin with no code */
  slow(bits: number): number {
    const counts = this.#counts;
    let code = 0;
    let first = 0;
    let place = 0;
    for (let length = 1, rest = bits; length <= CODE_BITS_MAX; length++, rest >>= 1) {
      code |= rest & 1;
      const count = counts[length] as number;
      if (code - first < count) return (this.#symbols[place + code - first] as number) * 16 + length;
      place += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return 0;
  }
}
