/** The header of a dynamic block, RFC 1951 section 3.2.7: the lengths of its codes, themselves in a code. */
import {
  type CodeLengths,
  DISTANCE_SYMBOLS,
  END_OF_BLOCK,
  LENGTH_CODE_ORDER,
  LENGTH_CODE_SYMBOLS,
  LITERALS,
  LITERAL_SYMBOLS,
  REPEAT_BASE,
  REPEAT_BITS,
} from "./alphabet.ts";
import { HuffmanDecoder, PRIMARY_MASK } from "./huffman.ts";

/** Where the bits come from. Behind the last ones there are zeros. */
export interface BitSource {
  /** The next `count` bits, at most 16, without taking them. */
  peek(count: number): number;
  take(count: number): number;
}

/** A header as it is: so many bits, from the low bit of each byte on. */
export interface HeaderBits {
  readonly bits: number;
  readonly bytes: Uint8Array;
}

/** The bits of a few bytes. */
export class HeldBits implements BitSource {
  readonly #bytes: Uint8Array;
  /** Bits taken. */
  taken = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  peek(count: number): number {
    const at = this.taken >> 3;
    const byte = (i: number): number => this.#bytes[at + i] ?? 0;
    return ((byte(0) | (byte(1) << 8) | (byte(2) << 16)) >> (this.taken & 7)) & ((1 << count) - 1);
  }

  take(count: number): number {
    const value = this.peek(count);
    this.taken += count;
    return value;
  }
}

const AGAIN = 16;

/** Undefined when it is no header, or one of codes that `HuffmanDecoder` refuses. */
export function readDynamicHeader(source: BitSource): CodeLengths | undefined {
  const literalSymbols = source.take(5) + LITERALS + 1;
  const distanceSymbols = source.take(5) + 1;
  const told = source.take(4) + 4;
  if (literalSymbols > LITERAL_SYMBOLS || distanceSymbols > DISTANCE_SYMBOLS) return undefined;
  const codeLengths = new Uint8Array(LENGTH_CODE_SYMBOLS);
  for (const symbol of LENGTH_CODE_ORDER.subarray(0, told)) codeLengths[symbol] = source.take(3);
  const decoder = new HuffmanDecoder();
  if (!decoder.set(codeLengths)) return undefined;
  const lengths = new Uint8Array(literalSymbols + distanceSymbols);
  for (let at = 0; at < lengths.length;) {
    // these codes have 7 bits at most, so the table knows them all
    const entry = decoder.table[source.peek(16) & PRIMARY_MASK] as number;
    if (entry === 0) return undefined;
    source.take(entry & 15);
    const symbol = entry >> 4;
    if (symbol < AGAIN) {
      lengths[at++] = symbol;
      continue;
    }
    const times = (REPEAT_BASE[symbol - AGAIN] as number) + source.take(REPEAT_BITS[symbol - AGAIN] as number);
    if (at + times > lengths.length || (symbol === AGAIN && at === 0)) return undefined;
    if (symbol === AGAIN) lengths.fill(lengths[at - 1] as number, at, at + times);
    at += times;
  }
  if (lengths[END_OF_BLOCK] === 0) return undefined;
  return { literals: lengths.subarray(0, literalSymbols), distances: lengths.subarray(literalSymbols) };
}
