/**
 * Addresses in programs, guessed as they are copied. A program that was built again is mostly the old one, moved: where
 * its calls, jumps and pointers lead is what differs, each by as much as its target has moved, and what lies together
 * moves together. So how far a target has moved is learned from the fields before, and what the delta tells is only where
 * that was wrong. Courgette and Zucchini take programs apart for this. Here whatever looks like a field is tried, and each
 * kind is trusted as long as its guesses are more often right than what was there before.
 *
 * Fields, each of 32 bits, least byte first:
 *   code      from its own end on, behind a byte that it may follow in x86-64 code: E8 call, E9 jump, or an operand that is
 *             relative to the instruction (ModRM: mod 0, r/m 5)
 *   relative  a word: from itself on, as tables of jumps and of unwinding have it
 *   absolute  a word: from the start of the program on
 *
 * Part of the format: reader and writer guess the same, for all follows from the bytes that are copied, from where they lie,
 * and from the new bytes up to there. So is what a table forgets when two of its keys share a slot, and that a region
 * learns only what its block did not know.
 *
 * This is how it is meant, and it runs where nothing can be compiled (a Worker, unless it is deployed with the module). Everywhere
 * else compiled-references.ts is taken, which does the same.
 */
import {
  DELTA_OUTPUT_BYTES,
  REFERENCE_WORD_MIN,
  REFERENCE_BEYOND_BYTES,
  REFERENCE_BLOCK_BITS,
  REFERENCE_CODE_TRUST,
  REFERENCE_REGION_BITS,
  REFERENCE_SHIFT_BYTES_MAX,
  REFERENCE_SHIFTS_BITS,
  REFERENCE_TRUST_MAX,
  REFERENCE_WATCHED_BYTES,
  REFERENCE_WORD_DISTRUST,
} from "../limits.ts";

export const FIELD_BYTES = 4;
/** Of each part the first two bytes are none of a field: a copy mostly begins in the middle of one. */
const FIRST_FIELD = 2;

/** A part of a copy: `bytes` bytes of the source from `from` on, which lie at `at` in it as well, with differences. */
export interface CopiedPart {
  readonly bytes: number;
  readonly from: number;
  readonly at: number;
  /** Where it begins in `made` and `told`; in `old` it begins at 0. */
  readonly start: number;
  /** Words begin where `at` modulo 4 is this. */
  readonly phase: number;
}

/**
 * What was learned of one segment's references, and memory for parts of copies: DELTA_OUTPUT_BYTES each. What a delta tells
 * of a part is `told`: the new bytes, as if of each guess only that were left by which it is wrong.
 */
export interface References {
  /** What is copied. */
  readonly old: Uint8Array<ArrayBuffer>;
  /** What it becomes. */
  readonly made: Uint8Array<ArrayBuffer>;
  readonly told: Uint8Array<ArrayBuffer>;
  /** Another delta: of so many old and new bytes. Nothing is known. */
  readonly begin: (sourceBytes: number) => void;
  /** The next segment knows nothing. */
  readonly forget: () => void;
  /** `old` and `made` -> `told`. Learns from it. */
  readonly takeOff: (part: CopiedPart) => void;
  /** `old`, and what was told of it, in `made` -> `made`. Learns the same. */
  readonly putOn: (part: CopiedPart) => void;
}

export class PlainReferences implements References {
  readonly old = new Uint8Array(DELTA_OUTPUT_BYTES);
  readonly made = new Uint8Array(DELTA_OUTPUT_BYTES);
  readonly told = new Uint8Array(DELTA_OUTPUT_BYTES);
  /** Where addresses end. */
  #end = 0;
  readonly #code = new Shifts();
  readonly #relative = new Shifts();
  readonly #absolute = new Shifts();
  #codeTrust = 0;
  #relativeTrust = 0;
  #absoluteTrust = 0;

  begin(sourceBytes: number): void {
    this.#end = sourceBytes + REFERENCE_BEYOND_BYTES;
    this.forget();
  }

  forget(): void {
    for (const shifts of [this.#code, this.#relative, this.#absolute]) shifts.forget();
    this.#codeTrust = REFERENCE_CODE_TRUST;
    this.#relativeTrust = -REFERENCE_WORD_DISTRUST;
    this.#absoluteTrust = -REFERENCE_WORD_DISTRUST;
  }

  takeOff(part: CopiedPart): void {
    const { start, bytes } = part;
    this.told.set(this.made.subarray(start, start + bytes), start);
    this.#guess(part, (at, before, guess) => {
      const actual = read(this.made, at);
      write(this.told, at, minus(actual, minus(guess, before)));
      return actual;
    });
  }

  putOn(part: CopiedPart): void {
    this.#guess(part, (at, before, guess) => {
      const actual = plus(read(this.made, at), minus(guess, before));
      write(this.made, at, actual);
      return actual;
    });
  }

  /**
   * Guesses the fields of a part and learns from them, in order.
   * @param settle  the field at `at` of `made` was `before`, and is guessed to be `guess`: what it is
   */
  #guess(
    { bytes, from, at, start, phase }: CopiedPart,
    settle: (at: number, before: number, guess: number) => number,
  ): void {
    const { old, made } = this;
    const moved = at - from;
    const fieldsEnd = bytes - FIELD_BYTES + 1;
    let wordMask = this.#wordMask();
    let wordAt = FIRST_FIELD;
    // a word that was left as it is, to be learned from when all of it is made: code may lie across it
    let watched = -1;
    for (let i = FIRST_FIELD; i < fieldsEnd;) {
      if (i >= wordAt) wordAt = i + ((phase - at - i) & wordMask);
      for (const stop = Math.min(wordAt, fieldsEnd); i < stop && !isCode(old[i - 1] as number);) i++;
      if (i === fieldsEnd) break;
      if (i === wordAt && watched >= 0) {
        this.#learnWord(read(old, watched), read(made, start + watched), from + watched, moved);
        wordMask = this.#wordMask();
        watched = -1;
      }
      const value = read(old, i);
      const target = from + i + FIELD_BYTES + value;
      if (isCode(old[i - 1] as number) && this.#isAddress(target)) {
        const guess = (value + this.#code.of(target, moved) - moved) | 0;
        const isUsed = guess !== value && this.#codeTrust > 0;
        const actual = isUsed ? settle(start + i, value, guess) : read(made, start + i);
        if (guess !== value) this.#codeTrust = trustAfter(this.#codeTrust, guess, value, actual);
        this.#code.learn(target, actual - value, moved);
        i += FIELD_BYTES;
        continue;
      }
      if (i === wordAt && isLarge(value)) {
        const guess = this.#guessWord(value, from + i, moved);
        if (guess !== value) {
          this.#learnWord(value, settle(start + i, value, guess), from + i, moved);
          wordMask = this.#wordMask();
          i += FIELD_BYTES;
          continue;
        }
        watched = i;
      }
      i++;
    }
  }

  /** As long as words are not guessed, only one of a few is looked at. */
  #wordMask(): number {
    return (Math.max(this.#relativeTrust, this.#absoluteTrust) > 0 ? FIELD_BYTES : REFERENCE_WATCHED_BYTES) - 1;
  }

  /** The word itself when there is nothing to guess, or guesses are not trusted. */
  #guessWord(value: number, from: number, moved: number): number {
    if (Math.max(this.#relativeTrust, this.#absoluteTrust) <= 0) return value;
    const isAbsolute = this.#absoluteTrust >= this.#relativeTrust;
    return isAbsolute ? this.#absoluteGuess(value) : this.#relativeGuess(value, from, moved);
  }

  #learnWord(value: number, actual: number, from: number, moved: number): void {
    const more = actual - value;
    const relative = this.#relativeGuess(value, from, moved);
    if (relative !== value) this.#relativeTrust = trustAfter(this.#relativeTrust, relative, value, actual);
    if (this.#isAddress(from + value)) this.#relative.learn(from + value, more, moved);
    const absolute = this.#absoluteGuess(value);
    if (absolute !== value) this.#absoluteTrust = trustAfter(this.#absoluteTrust, absolute, value, actual);
    if (this.#isAddress(value)) this.#absolute.learn(value, more, 0);
  }

  #relativeGuess(value: number, from: number, moved: number): number {
    if (!this.#isAddress(from + value)) return value;
    return (value + this.#relative.of(from + value, moved) - moved) | 0;
  }

  #absoluteGuess(value: number): number {
    return this.#isAddress(value) ? (value + this.#absolute.of(value, 0)) | 0 : value;
  }

  #isAddress(target: number): boolean {
    return target >= 0 && target < this.#end;
  }
}

/** How far targets have moved: as the last one in the same block did, or the last in the same region that moved otherwise. */
class Shifts {
  /** Blocks, then regions: (number + 1) ‖ bytes moved, where its hash says; 0: none yet. */
  readonly #blocks = new Int32Array(2 << REFERENCE_SHIFTS_BITS);
  readonly #regions = new Int32Array(2 << REFERENCE_SHIFTS_BITS);

  forget(): void {
    this.#blocks.fill(0);
    this.#regions.fill(0);
  }

  /** @param otherwise  where nothing is known */
  of(target: number, otherwise: number): number {
    const block = target >>> REFERENCE_BLOCK_BITS;
    const blockSlot = slotOf(block);
    if (this.#blocks[blockSlot] === block + 1) return this.#blocks[blockSlot + 1] as number;
    const region = target >>> REFERENCE_REGION_BITS;
    const regionSlot = slotOf(region);
    if (this.#regions[regionSlot] === region + 1) return this.#regions[regionSlot + 1] as number;
    return otherwise;
  }

  /**
   * @param more  by how much the field grew
   * @param moved  by how much it has moved itself, where it counts from there
   */
  learn(target: number, more: number, moved: number): void {
    // what grew by more was no reference
    if (more > REFERENCE_SHIFT_BYTES_MAX || more < -REFERENCE_SHIFT_BYTES_MAX) return;
    const shift = more + moved;
    const block = target >>> REFERENCE_BLOCK_BITS;
    const blockSlot = slotOf(block);
    if (this.#blocks[blockSlot] === block + 1 && this.#blocks[blockSlot + 1] === shift) return;
    this.#blocks[blockSlot] = block + 1;
    this.#blocks[blockSlot + 1] = shift;
    const region = target >>> REFERENCE_REGION_BITS;
    const regionSlot = slotOf(region);
    this.#regions[regionSlot] = region + 1;
    this.#regions[regionSlot + 1] = shift;
  }
}

/** 2^32 divided by the golden ratio spreads neighbours. */
function slotOf(key: number): number {
  return (Math.imul(key, 0x9e3779b1) >>> (32 - REFERENCE_SHIFTS_BITS)) << 1;
}

function trustAfter(trust: number, guess: number, before: number, actual: number): number {
  if (actual === guess) return Math.min(REFERENCE_TRUST_MAX, trust + 1);
  return actual === before ? Math.max(-REFERENCE_TRUST_MAX, trust - 1) : trust;
}

/** Small numbers are counts and sizes. */
function isLarge(value: number): boolean {
  return value >= REFERENCE_WORD_MIN || value <= -REFERENCE_WORD_MIN;
}

/** Whether a field of code may follow this byte. */
function isCode(byte: number): boolean {
  const isOperand = (byte & 0xc7) === 0x05;
  return byte === 0xe8 || byte === 0xe9 || isOperand;
}

/** Byte by byte, modulo 256. */
function plus(a: number, b: number): number {
  return ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
}

function minus(a: number, b: number): number {
  return ((a | 0x80808080) - (b & 0x7f7f7f7f)) ^ ((a ^ ~b) & 0x80808080);
}

function read(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

function write(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}
