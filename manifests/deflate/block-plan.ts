/** How zlib would write a block: stored, with the fixed codes, or with codes of its own, and then which. */
import {
  BLOCK,
  type BlockType,
  CODE_BITS_MAX,
  type CodeLengths,
  DISTANCE_BITS,
  DISTANCE_SYMBOL,
  DISTANCE_SYMBOLS,
  END_OF_BLOCK,
  FIXED_CODES,
  LENGTH_BITS,
  LENGTH_CODE_BITS_MAX,
  LENGTH_CODE_ORDER,
  LENGTH_CODE_SYMBOLS,
  LENGTH_SYMBOL,
  LITERALS,
  LITERAL_SYMBOLS,
  MATCH_BYTES_MIN,
  REPEAT_BITS,
  STORED_BYTES_MAX,
  assignCodes,
} from "./alphabet.ts";
import type { BitWriter } from "./bit-writer.ts";
import type { Loops } from "./compiled-loops.ts";
import { buildCodeLengths } from "./code-lengths.ts";
import { LITERAL, type Token, distanceOf, lengthOf } from "./tokens.ts";
import type { Strategy } from "./parameters.ts";

/** How often each symbol occurs in a block. */
export class SymbolCounts {
  readonly literals = new Int32Array(LITERAL_SYMBOLS);
  readonly distances = new Int32Array(DISTANCE_SYMBOLS);
  tokens = 0;

  add(token: Token, byte: number): void {
    this.tokens++;
    if (token === LITERAL) {
      this.literals[byte] = (this.literals[byte] as number) + 1;
      return;
    }
    const length = LITERALS + 1 + (LENGTH_SYMBOL[lengthOf(token) - MATCH_BYTES_MIN] as number);
    const distance = DISTANCE_SYMBOL[distanceOf(token) - 1] as number;
    this.literals[length] = (this.literals[length] as number) + 1;
    this.distances[distance] = (this.distances[distance] as number) + 1;
  }

  /** @param tokens  literals as their bytes */
  addAll(tokens: Uint32Array): void {
    for (const token of tokens) {
      if (token < LITERALS) this.add(LITERAL, token);
      else this.add(token, 0);
    }
  }

  /** The same for so many tokens of the block in the memory of `loops`. */
  addBlock(tokens: number, loops: Loops): void {
    loops.countSymbols(tokens);
    this.tokens += tokens;
    addTo(this.literals, loops.literalCounts);
    addTo(this.distances, loops.distanceCounts);
  }

  clear(): void {
    this.literals.fill(0);
    this.distances.fill(0);
    this.tokens = 0;
  }
}

function addTo(counts: Int32Array, more: Int32Array): void {
  for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] as number) + (more[i] as number);
}

/** A dynamic block's codes, and the header that tells them, as zlib makes them. */
export interface DynamicPlan extends CodeLengths {
  readonly writeHeader: (writer: BitWriter) => void;
  readonly headerBits: number;
  /** Bits of the block, its header included, without its type. */
  readonly bits: number;
}

export function planDynamic(counts: SymbolCounts): DynamicPlan {
  // every block has one end
  counts.literals[END_OF_BLOCK] = 1;
  const literals = new Uint8Array(LITERAL_SYMBOLS);
  const distances = new Uint8Array(DISTANCE_SYMBOLS);
  const literalSymbols =
    buildCodeLengths(counts.literals, { symbols: LITERAL_SYMBOLS, bitsMax: CODE_BITS_MAX }, literals) + 1;
  const distanceSymbols =
    buildCodeLengths(counts.distances, { symbols: DISTANCE_SYMBOLS, bitsMax: CODE_BITS_MAX }, distances) + 1;
  const runs = [
    ...lengthRuns(literals.subarray(0, literalSymbols)),
    ...lengthRuns(distances.subarray(0, distanceSymbols)),
  ];
  const runCounts = new Int32Array(LENGTH_CODE_SYMBOLS);
  for (const { symbol } of runs) runCounts[symbol] = (runCounts[symbol] as number) + 1;
  const lengths = new Uint8Array(LENGTH_CODE_SYMBOLS);
  buildCodeLengths(runCounts, { symbols: LENGTH_CODE_SYMBOLS, bitsMax: LENGTH_CODE_BITS_MAX }, lengths);
  let told = LENGTH_CODE_SYMBOLS;
  while (told > 4 && lengths[LENGTH_CODE_ORDER[told - 1] as number] === 0) told--;
  let headerBits = 5 + 5 + 4 + 3 * told;
  for (const { symbol } of runs) headerBits += (lengths[symbol] as number) + repeatBits(symbol);
  return {
    literals,
    distances,
    headerBits,
    bits: headerBits + bitsOf(counts, { literals, distances }),
    writeHeader: (writer) => {
      const codes = new Uint16Array(LENGTH_CODE_SYMBOLS);
      assignCodes(lengths, codes);
      writer.bits(literalSymbols - (LITERALS + 1), 5);
      writer.bits(distanceSymbols - 1, 5);
      writer.bits(told - 4, 4);
      for (const symbol of LENGTH_CODE_ORDER.subarray(0, told)) writer.bits(lengths[symbol] as number, 3);
      for (const { symbol, repeat } of runs) {
        writer.bits(codes[symbol] as number, lengths[symbol] as number);
        writer.bits(repeat, repeatBits(symbol));
      }
    },
  };
}

/** What a block is that zlib closes: its type, and its codes when they are its own. */
export interface BlockPlan {
  readonly type: BlockType;
  readonly dynamic: DynamicPlan;
}

/**
 * @param plainBytes  of the block
 * @param canBeStored  whether zlib still has all of them
 */
export function planBlock(
  counts: SymbolCounts,
  plainBytes: number,
  canBeStored: boolean,
  strategy: Strategy,
): BlockPlan {
  const dynamic = planDynamic(counts);
  // sizes in bytes, with the three bits of the block's type
  const dynamicBytes = (dynamic.bits + 3 + 7) >> 3;
  const fixedBytes = (bitsOf(counts, FIXED_CODES) + 3 + 7) >> 3;
  const isFixed = fixedBytes <= dynamicBytes || strategy === "fixed";
  const storedBytes = plainBytes + 4;
  const isStored =
    canBeStored && plainBytes <= STORED_BYTES_MAX && storedBytes <= (isFixed ? fixedBytes : dynamicBytes);
  return { type: isStored ? BLOCK.stored : isFixed ? BLOCK.fixed : BLOCK.dynamic, dynamic };
}

function bitsOf({ literals, distances }: SymbolCounts, codes: CodeLengths): number {
  let bits = 0;
  for (let symbol = 0; symbol < LITERAL_SYMBOLS; symbol++) {
    const extra = symbol <= END_OF_BLOCK ? 0 : (LENGTH_BITS[symbol - (LITERALS + 1)] as number);
    bits += (literals[symbol] as number) * ((codes.literals[symbol] as number) + extra);
  }
  for (let symbol = 0; symbol < DISTANCE_SYMBOLS; symbol++) {
    bits += (distances[symbol] as number) * ((codes.distances[symbol] as number) + (DISTANCE_BITS[symbol] as number));
  }
  return bits;
}

/** A symbol of the code for code lengths: a length, or 16, 17 or 18 and how often more than the least. */
interface LengthRun {
  readonly symbol: number;
  readonly repeat: number;
}

const AGAIN = 16;
const FEW_ZEROS = 17;
const MANY_ZEROS = 18;

function repeatBits(symbol: number): number {
  return symbol < AGAIN ? 0 : (REPEAT_BITS[symbol - AGAIN] as number);
}

/** zlib's way to say lengths: greedy, and never from the literals' into the distances'. */
function* lengthRuns(lengths: Uint8Array): Generator<LengthRun> {
  for (let at = 0; at < lengths.length;) {
    const length = lengths[at] as number;
    let left = 1;
    while (at + left < lengths.length && lengths[at + left] === length) left++;
    at += left;
    if (length !== 0) {
      // told once before it can be repeated
      yield { symbol: length, repeat: 0 };
      left--;
    }
    while (left >= 3) {
      const most = length === 0 ? 138 : 6;
      const run = Math.min(left, most);
      const symbol = length !== 0 ? AGAIN : run <= 10 ? FEW_ZEROS : MANY_ZEROS;
      yield { symbol, repeat: run - (symbol === MANY_ZEROS ? 11 : 3) };
      left -= run;
    }
    for (; left > 0; left--) yield { symbol: length, repeat: 0 };
  }
}
