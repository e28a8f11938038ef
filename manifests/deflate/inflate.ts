/** A raw deflate stream (RFC 1951), read once from front to end: its blocks, its tokens, and its plain bytes. */
import { DEFLATE_BEHIND_END_BYTES, DEFLATE_STEP_TOKENS } from "../limits.ts";
import {
  BLOCK,
  type BlockType,
  type CodeLengths,
  DISTANCE_BASE,
  DISTANCE_BITS,
  DISTANCE_SYMBOLS,
  END_OF_BLOCK,
  FIXED_CODES,
  LENGTH_BASE,
  LENGTH_BITS,
  LENGTH_SYMBOLS,
  LITERALS,
  MATCH_BYTES_MAX,
} from "./alphabet.ts";
import { type BitSource, type HeaderBits, readDynamicHeader } from "./dynamic-header.ts";
import type { Loops } from "./compiled-loops.ts";
import type { ReadBytes } from "./find.ts";
import { HuffmanDecoder, PRIMARY_MASK } from "./huffman.ts";
import { LITERAL, tokenOf } from "./tokens.ts";
import type { PlainWindow } from "./plain-window.ts";
import type { Workspace } from "./workspace.ts";

/** Where a stream begins, and where it ends at the latest. */
export interface StreamSource {
  readonly read: ReadBytes;
  readonly start: number;
  readonly end: number;
}

export interface Block {
  readonly type: BlockType;
  readonly isFinal: boolean;
  /** Plain bytes of a stored block. */
  readonly storedBytes: number;
  /** A dynamic block's header behind its type. */
  readonly header: HeaderBits | undefined;
}

/**
 *  block → content* → block-end → block …      the last block says that it is final
 *    └─────────┴───────────┴──→ invalid
 */
export type Step = "block" | "content" | "block-end" | "invalid";

/** What the compiled loop says: steps in the order of their numbers there, and where it stopped. */
const DECODED: readonly Step[] = ["content", "block-end", "invalid"];
type Decoded = readonly [at: number, bits: number, count: number, tokens: number, filled: number];

/** Bits are taken in advance, up to 31. */
const ADVANCE_BYTES = 4;
/** What the longest token takes: 15 + 5 + 15 + 13 bits, and what is taken in advance. */
const TOKEN_BYTES_MAX = 12;
/** 14 bits, 19 lengths of 3 and 316 of at most 14 bits, and what is taken in advance. */
const HEADER_BYTES_MAX = 640;

export class TokenReader implements BitSource {
  /** The block that a step began, or was inside of. */
  block: Block = { type: BLOCK.stored, isFinal: false, storedBytes: 0, header: undefined };
  /** The tokens that the last step brought; none for a stored block, whose bytes are in the window. */
  readonly tokens: Uint32Array;
  tokenCount = 0;
  readonly #window: PlainWindow;
  readonly #read: ReadBytes;
  readonly #end: number;
  readonly #input: Uint8Array;
  /** Where the bytes of `#input` lie in the source, how many there are, and the next one to be taken. */
  #inputStart: number;
  #inputFilled = 0;
  #at = 0;
  /** Bits that were taken from the input in advance. */
  #bits = 0;
  #count = 0;
  #isInside = false;
  #storedLeft = 0;
  readonly #literals: HuffmanDecoder;
  readonly #distances: HuffmanDecoder;
  /** In whose memory all of it lies. */
  readonly #loops: Loops | undefined;

  /** Plain bytes go behind those of `window`, whose memory is that of the workspace. */
  constructor({ read, start, end }: StreamSource, window: PlainWindow, workspace: Workspace) {
    this.#read = read;
    this.#inputStart = start;
    this.#end = end;
    this.#window = window;
    this.#input = workspace.input;
    this.tokens = workspace.stepTokens;
    this.#literals = new HuffmanDecoder(workspace.literalTables);
    this.#distances = new HuffmanDecoder(workspace.distanceTables);
    this.#loops = workspace.loops;
  }

  /** Where the next bit is in the source, in bytes: behind the last block, where the stream ends. */
  get offset(): number {
    return this.#inputStart + this.#at - (this.#count >> 3);
  }

  /** Bits of the last byte that are left over behind the last block, and what they are. */
  get padding(): number {
    return this.#bits & ((1 << (this.#count & 7)) - 1);
  }

  /** Goes on; the window must have room for a match. */
  step(): Step {
    this.tokenCount = 0;
    const step = this.#isInside ? this.#content() : this.#open();
    return this.offset > this.#end ? "invalid" : step;
  }

  peek(count: number): number {
    if (this.#count < count) this.#refill();
    return this.#bits & ((1 << count) - 1);
  }

  take(count: number): number {
    const value = this.peek(count);
    this.#bits >>>= count;
    this.#count -= count;
    return value;
  }

  #open(): Step {
    this.#ensure(HEADER_BYTES_MAX);
    const isFinal = this.take(1) === 1;
    const type = this.take(2);
    this.#isInside = true;
    const start = 8 * this.#at - this.#count;
    switch (type) {
      case BLOCK.stored:
        if (!this.#openStored()) return "invalid";
        this.block = { type, isFinal, storedBytes: this.#storedLeft, header: undefined };
        return "block";
      case BLOCK.fixed:
        this.block = { type, isFinal, storedBytes: 0, header: undefined };
        return this.#setCodes(FIXED_CODES) ? "block" : "invalid";
      case BLOCK.dynamic: {
        const codes = readDynamicHeader(this);
        if (codes === undefined || !this.#setCodes(codes)) return "invalid";
        const bits = 8 * this.#at - this.#count - start;
        this.block = { type, isFinal, storedBytes: 0, header: { bits, bytes: copyBits(this.#input, start, bits) } };
        return "block";
      }
      default:
        return "invalid";
    }
  }

  #setCodes({ literals, distances }: CodeLengths): boolean {
    return this.#literals.set(literals) && this.#distances.set(distances);
  }

  /** Zeros up to the next byte: others are allowed, but nobody writes them. */
  #openStored(): boolean {
    if (this.take(this.#count & 7) !== 0) return false;
    this.#storedLeft = this.take(16);
    return this.take(16) === (~this.#storedLeft & 0xffff);
  }

  #content(): Step {
    if (this.block.type === BLOCK.stored) return this.#stored();
    this.#ensure(TOKEN_BYTES_MAX);
    return this.#loops === undefined ? this.#decode() : this.#decodeCompiled(this.#loops);
  }

  #stored(): Step {
    const window = this.#window;
    while (this.#storedLeft > 0 && window.room > 0) {
      // what was taken in advance is given back
      this.#at -= this.#count >> 3;
      this.#bits = 0;
      this.#count = 0;
      this.#ensure(1);
      const bytes = Math.min(this.#storedLeft, window.room, this.#inputFilled - this.#at);
      window.bytes.set(this.#input.subarray(this.#at, this.#at + bytes), window.filled);
      window.filled += bytes;
      this.#at += bytes;
      this.#storedLeft -= bytes;
      if (this.offset > this.#end) return "invalid";
    }
    if (this.#storedLeft > 0) return "content";
    this.#isInside = false;
    return "block-end";
  }

  #decodeCompiled({ decode, told }: Loops): Step {
    const atMax = this.#inputFilled - TOKEN_BYTES_MAX;
    const step = DECODED[decode(this.#at, atMax, this.#bits, this.#count, this.#window.filled)] as Step;
    [this.#at, this.#bits, this.#count, this.tokenCount, this.#window.filled] = told as unknown as Decoded;
    if (step === "block-end") this.#isInside = false;
    return step;
  }

  #decode(): Step {
    const window = this.#window;
    const { tokens } = this;
    const { bytes } = window;
    const input = this.#input;
    const literals = this.#literals;
    const distances = this.#distances;
    const literalTable = literals.table;
    const distanceTable = distances.table;
    const filledMax = bytes.length - MATCH_BYTES_MAX;
    let { filled } = window;
    let made = 0;
    let step: Step = "content";
    let at = this.#at;
    const atMax = this.#inputFilled - TOKEN_BYTES_MAX;
    let bits = this.#bits;
    let count = this.#count;
    while (made < DEFLATE_STEP_TOKENS && filled <= filledMax && at <= atMax) {
      // three times a token there are made to be 24 bits or more: enough for a code and a length's extra bits
      for (; count < 24; count += 8) bits |= (input[at++] as number) << count;
      const entry = (literalTable[bits & PRIMARY_MASK] as number) || literals.slow(bits);
      bits >>>= entry & 15;
      count -= entry & 15;
      const symbol = entry >> 4;
      if (symbol < LITERALS) {
        if (entry === 0) {
          step = "invalid";
          break;
        }
        tokens[made++] = LITERAL;
        bytes[filled++] = symbol;
        continue;
      }
      if (symbol === END_OF_BLOCK) {
        this.#isInside = false;
        step = "block-end";
        break;
      }
      const lengthSymbol = symbol - LITERALS - 1;
      if (lengthSymbol >= LENGTH_SYMBOLS) {
        step = "invalid";
        break;
      }
      const lengthBits = LENGTH_BITS[lengthSymbol] as number;
      const length = (LENGTH_BASE[lengthSymbol] as number) + (bits & ((1 << lengthBits) - 1));
      bits >>>= lengthBits;
      count -= lengthBits;
      for (; count < 24; count += 8) bits |= (input[at++] as number) << count;
      const distanceEntry = (distanceTable[bits & PRIMARY_MASK] as number) || distances.slow(bits);
      bits >>>= distanceEntry & 15;
      count -= distanceEntry & 15;
      const distanceSymbol = distanceEntry >> 4;
      if (distanceEntry === 0 || distanceSymbol >= DISTANCE_SYMBOLS) {
        step = "invalid";
        break;
      }
      for (; count < 24; count += 8) bits |= (input[at++] as number) << count;
      const distanceBits = DISTANCE_BITS[distanceSymbol] as number;
      const distance = (DISTANCE_BASE[distanceSymbol] as number) + (bits & ((1 << distanceBits) - 1));
      bits >>>= distanceBits;
      count -= distanceBits;
      // 258 as 227 and 31 more is allowed, but nobody writes it, and a token does not tell it apart
      if (distance > filled || (length === MATCH_BYTES_MAX && lengthBits > 0)) {
        step = "invalid";
        break;
      }
      tokens[made++] = tokenOf(length, distance);
      for (let from = filled - distance, end = filled + length; filled < end;)
        bytes[filled++] = bytes[from++] as number;
    }
    this.#at = at;
    this.#bits = bits;
    this.#count = count;
    this.tokenCount = made;
    window.filled = filled;
    return step;
  }

  #refill(): void {
    for (; this.#count < 24; this.#count += 8) this.#bits |= (this.#input[this.#at++] as number) << this.#count;
  }

  /** Makes so many bytes of input ready, if there are as many. */
  #ensure(bytes: number): void {
    if (this.#inputFilled - this.#at >= bytes) return;
    // the bytes of the bits that were taken in advance stay, because a header may begin there
    const from = Math.max(0, this.#at - ADVANCE_BYTES);
    const left = this.#inputFilled - from;
    this.#input.copyWithin(0, from, this.#inputFilled);
    this.#inputStart += from;
    this.#at -= from;
    const room = Math.max(0, this.#input.length - DEFLATE_BEHIND_END_BYTES - left);
    const some = Math.min(room, Math.max(0, this.#end - this.#inputStart - left));
    this.#read(this.#inputStart + left, this.#input.subarray(left, left + some));
    this.#inputFilled = left + some;
    if (this.#inputStart + this.#inputFilled < this.#end) return;
    this.#input.fill(0, this.#inputFilled, this.#inputFilled + DEFLATE_BEHIND_END_BYTES);
    this.#inputFilled += DEFLATE_BEHIND_END_BYTES;
  }
}

function copyBits(from: Uint8Array, start: number, count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(count / 8));
  const shift = start & 7;
  for (let i = 0, at = start >> 3; i < bytes.length; i++, at++) {
    bytes[i] = ((from[at] as number) >> shift) | ((from[at + 1] as number) << (8 - shift));
  }
  const last = count & 7;
  if (last > 0) bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) & ((1 << last) - 1);
  return bytes;
}
