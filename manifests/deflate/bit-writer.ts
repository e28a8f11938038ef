/** Bits of a deflate stream, from the low bit of each byte on, given on in pieces. */
import {
  type CodeLengths,
  DISTANCE_BASE,
  DISTANCE_BITS,
  DISTANCE_SYMBOL,
  END_OF_BLOCK,
  FIXED_LITERAL_SYMBOLS,
  LENGTH_BASE,
  LENGTH_BITS,
  LENGTH_SYMBOL,
  LITERALS,
  MATCH_BYTES_MIN,
  assignCodes,
} from "./alphabet.ts";
import type { Loops } from "./compiled-loops.ts";
import { distanceOf, lengthOf } from "./tokens.ts";

/** Bytes that the longest token takes: 15 + 5 + 15 + 13 bits, and what is left over from the one before. */
const TOKEN_BYTES_MAX = 8;

export class BitWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #write: (piece: Uint8Array<ArrayBuffer>) => void;
  #length = 0;
  /** Bits that do not make a byte yet, and how many. */
  #bits = 0;
  #count = 0;

  /** @param write  is given what is full; a piece is good until it returns */
  constructor(write: (piece: Uint8Array<ArrayBuffer>) => void, buffer: Uint8Array<ArrayBuffer>) {
    this.#bytes = buffer;
    this.#write = write;
  }

  /** @param count  at most 16 */
  bits(value: number, count: number): void {
    this.#bits |= value << this.#count;
    this.#count += count;
    for (; this.#count >= 8; this.#count -= 8) {
      if (this.#length === this.#bytes.length) this.flush();
      this.#bytes[this.#length++] = this.#bits;
      this.#bits >>>= 8;
    }
  }

  /** Goes on at the next byte. @param padding  the bits that are left over */
  align(padding = 0): void {
    if (this.#count > 0) this.bits(padding & (0xff >> this.#count), 8 - this.#count);
  }

  /** Whole bytes, when aligned. */
  byteRun(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      if (this.#length === this.#bytes.length) this.flush();
      const some = bytes.subarray(done, done + this.#bytes.length - this.#length);
      this.#bytes.set(some, this.#length);
      this.#length += some.length;
      done += some.length;
    }
  }

  /** Gives on what is there in whole bytes. */
  flush(): void {
    if (this.#length > 0) this.#write(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
  }

  /**
   * The tokens of a block and its end.
   * @param tokens  literals as their bytes, matches as tokens
   * @returns false when a token has no code; perhaps after some were written
   */
  tokens(tokens: Uint32Array, lengths: CodeLengths): boolean {
    const literalCodes = new Uint16Array(FIXED_LITERAL_SYMBOLS);
    const distanceCodes = new Uint16Array(lengths.distances.length);
    assignCodes(lengths.literals, literalCodes);
    assignCodes(lengths.distances, distanceCodes);
    const literalLengths = new Uint8Array(FIXED_LITERAL_SYMBOLS);
    literalLengths.set(lengths.literals);
    const out = this.#bytes;
    let at = this.#length;
    let bits = this.#bits;
    let count = this.#count;
    for (let i = 0; i <= tokens.length; i++) {
      if (at + TOKEN_BYTES_MAX > out.length) {
        this.#length = at;
        this.flush();
        at = 0;
      }
      // here fewer than 16 bits are left over, and no part of a token has more
      const token = i < tokens.length ? (tokens[i] as number) : END_OF_BLOCK;
      if (token <= END_OF_BLOCK) {
        const codeBits = literalLengths[token] as number;
        if (codeBits === 0) return false;
        bits |= (literalCodes[token] as number) << count;
        count += codeBits;
      } else {
        const length = lengthOf(token);
        const lengthSymbol = LENGTH_SYMBOL[length - MATCH_BYTES_MIN] as number;
        const distanceSymbol = DISTANCE_SYMBOL[distanceOf(token) - 1] as number;
        const lengthBits = literalLengths[LITERALS + 1 + lengthSymbol] as number;
        const distanceBits = lengths.distances[distanceSymbol] as number;
        if (lengthBits === 0 || !(distanceBits > 0)) return false;
        bits |= (literalCodes[LITERALS + 1 + lengthSymbol] as number) << count;
        count += lengthBits;
        if (count >= 16) {
          out[at++] = bits;
          out[at++] = bits >>> 8;
          bits >>>= 16;
          count -= 16;
        }
        bits |= (length - (LENGTH_BASE[lengthSymbol] as number)) << count;
        count += LENGTH_BITS[lengthSymbol] as number;
        if (count >= 16) {
          out[at++] = bits;
          out[at++] = bits >>> 8;
          bits >>>= 16;
          count -= 16;
        }
        bits |= (distanceCodes[distanceSymbol] as number) << count;
        count += distanceBits;
        if (count >= 16) {
          out[at++] = bits;
          out[at++] = bits >>> 8;
          bits >>>= 16;
          count -= 16;
        }
        bits |= (distanceOf(token) - (DISTANCE_BASE[distanceSymbol] as number)) << count;
        count += DISTANCE_BITS[distanceSymbol] as number;
      }
      if (count >= 16) {
        out[at++] = bits;
        out[at++] = bits >>> 8;
        bits >>>= 16;
        count -= 16;
      }
    }
    if (count >= 8) {
      out[at++] = bits;
      bits >>>= 8;
      count -= 8;
    }
    this.#length = at;
    this.#bits = bits;
    this.#count = count;
    return true;
  }

  /** The same for so many tokens of the block in the memory of `loops`, whose output the buffer has to be. */
  block(tokens: number, lengths: CodeLengths, loops: Loops): boolean {
    setCodes(loops.literalCodes, lengths.literals);
    setCodes(loops.distanceCodes, lengths.distances);
    const end = loops.literalCodes[END_OF_BLOCK] as number;
    if (end === 0 || !this.#writeBlock(tokens, loops)) return false;
    this.bits(end & 0xffff, end >>> 16);
    return true;
  }

  /** The loop stops where the buffer is full, and goes on when its bytes were given on. */
  #writeBlock(tokens: number, { writeTokens, told }: Loops): boolean {
    for (let done = 0; done < tokens;) {
      if (this.#length + TOKEN_BYTES_MAX > this.#bytes.length) this.flush();
      done = writeTokens(done, tokens, this.#length, this.#bits, this.#count);
      if (done < 0) return false;
      [this.#length, this.#bits, this.#count] = told as unknown as readonly [number, number, number];
    }
    return true;
  }
}

/** Codes, and in the upper 16 bits how many bits they have. */
function setCodes(target: Uint32Array, lengths: Uint8Array): void {
  const codes = new Uint16Array(lengths.length);
  assignCodes(lengths, codes);
  target.fill(0);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    target[symbol] = (codes[symbol] as number) | ((lengths[symbol] as number) << 16);
  }
}
