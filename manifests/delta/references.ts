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
 */
import {
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

/** By the byte before a field: 1 when it may be followed by one. */
const IS_CODE = Uint8Array.from({ length: 256 }, (_, byte) => {
  const isOperand = (byte & 0xc7) === 0x05;
  return byte === 0xe8 || byte === 0xe9 || isOperand ? 1 : 0;
});

/** A part of a copy: what is copied, what is guessed of it, and what it becomes. All three have the same length. */
export interface CopiedPart {
  readonly old: Uint8Array;
  /** The old bytes, where guesses are written. May be `made`. */
  readonly guessed: Uint8Array;
  readonly made: Uint8Array;
  /** Where it is copied from and to: bytes from the start of the source. */
  readonly from: number;
  readonly at: number;
}

/** Makes new bytes right. */
export interface Settling {
  /** `made` up to `end`, bytes from the start of the part, are to be as they will be; ends only grow. */
  settle: (end: number) => void;
}

/** What was learned of one segment's references. */
export class References {
  /** Where addresses end. */
  readonly #end: number;
  readonly #code = new Shifts();
  readonly #relative = new Shifts();
  readonly #absolute = new Shifts();
  #codeTrust = REFERENCE_CODE_TRUST;
  #relativeTrust = -REFERENCE_WORD_DISTRUST;
  #absoluteTrust = -REFERENCE_WORD_DISTRUST;

  /** @param sourceBytes  old and new bytes */
  constructor(sourceBytes: number) {
    this.#end = sourceBytes + REFERENCE_BEYOND_BYTES;
  }

  /** The next segment knows nothing. */
  forget(): void {
    for (const shifts of [this.#code, this.#relative, this.#absolute]) shifts.forget();
    this.#codeTrust = REFERENCE_CODE_TRUST;
    this.#relativeTrust = -REFERENCE_WORD_DISTRUST;
    this.#absoluteTrust = -REFERENCE_WORD_DISTRUST;
  }

  /**
   * Guesses the fields of a part and learns from them, in order. One loop: with a method for each kind of field it takes some tenth longer
   * (measured), and every copied byte goes through it.
   * @param phase  words begin where `at` modulo 4 is this
   */
  guess({ old, guessed, made, from, at }: CopiedPart, phase: number, settling: Settling): void {
    const code = this.#code;
    const end = this.#end;
    const moved = at - from;
    const fieldsEnd = old.length - FIELD_BYTES + 1;
    let codeTrust = this.#codeTrust;
    let wordMask = this.#wordMask();
    let wordAt = FIRST_FIELD;
    // a word that was left as it is, to be learned from when it is settled: code may lie across it
    let watched = -1;
    for (let i = FIRST_FIELD; i < fieldsEnd;) {
      if (i >= wordAt) wordAt = i + ((phase - at - i) & wordMask);
      for (const stop = Math.min(wordAt, fieldsEnd); i < stop && IS_CODE[old[i - 1] as number] === 0;) i++;
      if (i === fieldsEnd) break;
      if (i === wordAt && watched >= 0) {
        settling.settle(i);
        this.#learnWord(read(old, watched), read(made, watched), from + watched, moved);
        wordMask = this.#wordMask();
        watched = -1;
      }
      const value = read(old, i);
      const target = from + i + FIELD_BYTES + value;
      if (IS_CODE[old[i - 1] as number] === 1 && target >= 0 && target < end) {
        const guess = (value + code.of(target, moved) - moved) | 0;
        const isGuess = guess !== value;
        if (isGuess && codeTrust > 0) write(guessed, i, guess);
        settling.settle(i + FIELD_BYTES);
        const actual = read(made, i);
        if (isGuess) codeTrust = trustAfter(codeTrust, guess, value, actual);
        code.learn(target, actual - value, moved);
        i += FIELD_BYTES;
        continue;
      }
      if (i === wordAt && isLarge(value)) {
        const guess = this.#guessWord(value, from + i, moved);
        if (guess === value) {
          watched = i;
        } else {
          write(guessed, i, guess);
          settling.settle(i + FIELD_BYTES);
          this.#learnWord(value, read(made, i), from + i, moved);
          wordMask = this.#wordMask();
          i += FIELD_BYTES;
          continue;
        }
      }
      i++;
    }
    this.#codeTrust = codeTrust;
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
    const relative = this.#relativeGuess(value, from, moved);
    if (relative !== value) this.#relativeTrust = trustAfter(this.#relativeTrust, relative, value, actual);
    const target = from + value;
    if (target >= 0 && target < this.#end) this.#relative.learn(target, actual - value, moved);
    const absolute = this.#absoluteGuess(value);
    if (absolute !== value) this.#absoluteTrust = trustAfter(this.#absoluteTrust, absolute, value, actual);
    if (value >= 0 && value < this.#end) this.#absolute.learn(value, actual - value, 0);
  }

  #relativeGuess(value: number, from: number, moved: number): number {
    const target = from + value;
    if (target < 0 || target >= this.#end) return value;
    return (value + this.#relative.of(target, moved) - moved) | 0;
  }

  #absoluteGuess(value: number): number {
    if (value < 0 || value >= this.#end) return value;
    return (value + this.#absolute.of(value, 0)) | 0;
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
