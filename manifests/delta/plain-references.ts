/** References, plainly: what compiled-references.ts does as well. */
import {
  ARM64_PAGE_BYTES,
  ARM64_PAGE_REACH_BYTES,
  DELTA_OUTPUT_BYTES,
  REFERENCE_BEYOND_BYTES,
  REFERENCE_BLOCK_BITS,
  REFERENCE_CODE_TRUST,
  REFERENCE_REGION_BITS,
  REFERENCE_SHIFT_BYTES_MAX,
  REFERENCE_SHIFTS_BITS,
  REFERENCE_TRUST_MAX,
  REFERENCE_WATCHED_BYTES,
  REFERENCE_WORD_DISTRUST,
  REFERENCE_WORD_MIN,
} from "../limits.ts";
import {
  branchMore,
  branchOf,
  isBranch,
  isLow,
  isPage,
  isSameBranch,
  isSameLow,
  lowOf,
  pagesOf,
  readBy,
  withLow,
  withPages,
  writtenBy,
} from "./arm64.ts";
import { byteOf, canStandFor, NUMBER_BYTES_MAX, numberAt, valueAt, type WasmNumber } from "./wasm-numbers.ts";
import { type CopiedPart, FIELD_BYTES, type Layout, type References } from "./references.ts";

/** Of each part the first two bytes are no field of x86-64: a copy mostly begins in the middle of one. */
const FIRST_FIELD = 2;
/** Functions of WebAssembly are numbered: each is a block of shifts, and 32 are a region. */
const FUNCTION_KEYS = 2 ** REFERENCE_BLOCK_BITS;
/**
 * Numbers of blocks and regions leave the upper bits of 32 free, for a mark of the segment that learned them: tables
 * are cleared once in 63 segments only. A delta may have one each byte, and clearing took three times as long as all
 * else of it (measured).
 */
const MARK = 1 << (32 - REFERENCE_BLOCK_BITS);

/** The field at `at` of `made` was `before`, and is guessed to be `guess`: what it is. */
type Settle = (at: number, before: number, guess: number) => number;

/** The page that an instruction led to, as it was and as it became, and up to where in the part that counts. */
interface Page {
  readonly old: number;
  readonly made: number;
  readonly until: number;
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
  /** Of arm64: by register, what it holds. */
  readonly #pages = Array.from({ length: 32 }, (): Page | undefined => undefined);
  #codeTrust = 0;
  #pageTrust = 0;
  #lowTrust = 0;
  #constantTrust = 0;
  #relativeTrust = 0;
  #absoluteTrust = 0;

  begin(sourceBytes: number): void {
    this.#end = sourceBytes + REFERENCE_BEYOND_BYTES;
    this.forget();
  }

  forget(): void {
    for (const shifts of [this.#code, this.#relative, this.#absolute]) shifts.forget();
    this.#codeTrust = REFERENCE_CODE_TRUST;
    this.#pageTrust = REFERENCE_CODE_TRUST;
    this.#lowTrust = REFERENCE_CODE_TRUST;
    this.#constantTrust = REFERENCE_CODE_TRUST;
    this.#relativeTrust = -REFERENCE_WORD_DISTRUST;
    this.#absoluteTrust = -REFERENCE_WORD_DISTRUST;
  }

  takeOff(part: CopiedPart, layout: Layout): void {
    const { start, bytes } = part;
    this.told.set(this.made.subarray(start, start + bytes), start);
    this.#guess(part, layout, false, (at, before, guess) => {
      const actual = read(this.made, at);
      write(this.told, at, minus(actual, minus(guess, before)));
      return actual;
    });
  }

  putOn(part: CopiedPart, layout: Layout): void {
    this.#guess(part, layout, true, (at, before, guess) => {
      const actual = plus(read(this.made, at), minus(guess, before));
      write(this.made, at, actual);
      return actual;
    });
  }

  /** Guesses the fields of a part and learns from them, in order. */
  #guess(part: CopiedPart, layout: Layout, isTold: boolean, settle: Settle): void {
    if (layout.machine === "wasm") this.#guessWasm(part, isTold);
    else if (layout.machine === "arm64") this.#guessArm64(part, layout, settle);
    else this.#guessX86(part, layout, settle);
  }

  #guessX86({ bytes, from, at, start }: CopiedPart, { phase }: Layout, settle: Settle): void {
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

  /** Numbers of other lengths than a field's. */
  #guessWasm({ bytes, start }: CopiedPart, isTold: boolean): void {
    const { old, made } = this;
    for (let i = 1; i + NUMBER_BYTES_MAX <= bytes; i++) {
      const number = numberAt(old, i);
      if (number === undefined) continue;
      const { isCall, value } = number;
      const shifts = isCall ? this.#code : this.#absolute;
      const key = isCall ? value * FUNCTION_KEYS : value;
      const shifted = value + shifts.of(key, 0);
      const guess = canStandFor(number, shifted) ? shifted : value;
      const trust = isCall ? this.#codeTrust : this.#constantTrust;
      if (guess !== value && trust > 0) this.#settleNumber(number, i, start, guess, isTold);
      const actual = valueAt(made, start + i, number.bytes);
      if (guess !== value && actual !== undefined) {
        if (isCall) this.#codeTrust = trustAfter(trust, guess, value, actual);
        else this.#constantTrust = trustAfter(trust, guess, value, actual);
      }
      if (actual !== undefined) shifts.learn(key, actual - value, 0);
      i += number.bytes;
    }
  }

  #settleNumber({ bytes }: WasmNumber, i: number, start: number, guess: number, isTold: boolean): void {
    for (let byte = 0; byte < bytes; byte++) {
      const at = start + i + byte;
      const more = byteOf(guess, byte, bytes) - (this.old[i + byte] as number);
      if (isTold) this.made[at] = (this.made[at] as number) + more;
      else this.told[at] = (this.made[at] as number) - more;
    }
  }

  /** Instructions and words are the same words here. */
  #guessArm64(part: CopiedPart, layout: Layout, settle: Settle): void {
    const { old, made } = this;
    const { bytes, from, at, start } = part;
    const { phase } = layout;
    this.#pages.fill(undefined);
    for (let i = (phase - at) & (FIELD_BYTES - 1); i + FIELD_BYTES <= bytes; i += FIELD_BYTES) {
      const value = read(old, i);
      if (isBranch(value) && this.#isAddress(from + i + branchOf(value))) this.#branch(value, i, part, settle);
      else if (isPage(value)) this.#page(value, i, part, layout, settle);
      else if (isLow(value) && i <= (this.#pages[readBy(value)]?.until ?? -1)) {
        this.#low(value, i, part, layout, settle);
      } else if (((at + i - phase) & this.#wordMask()) === 0 && isLarge(value)) {
        const guess = this.#guessWord(value, from + i, at - from);
        const actual = guess === value ? read(made, start + i) : settle(start + i, value, guess);
        this.#learnWord(value, actual, from + i, at - from);
      }
    }
  }

  #branch(value: number, i: number, { from, at, start }: CopiedPart, settle: Settle): void {
    const moved = at - from;
    const target = from + i + branchOf(value);
    const guess = branchMore(value, this.#code.of(target, moved) - moved);
    const isUsed = guess !== value && this.#codeTrust > 0;
    const actual = isUsed ? settle(start + i, value, guess) : read(this.made, start + i);
    if (guess !== value) this.#codeTrust = trustAfter(this.#codeTrust, guess, value, actual);
    if (isSameBranch(actual, value)) this.#code.learn(target, branchOf(actual) - branchOf(value), moved);
  }

  /** Where it leads follows from what is added to the page, soon behind it. */
  #page(value: number, i: number, { bytes, from, at, start }: CopiedPart, layout: Layout, settle: Settle): void {
    const moved = at - from;
    const register = writtenBy(value);
    const page = pageFloor(from + i - layout.oldPage) + pagesOf(value) * ARM64_PAGE_BYTES;
    const ownPage = pageFloor(at + i - layout.newPage);
    const target = page + this.#nextLow(register, i, bytes) + layout.oldPage;
    let actual = read(this.made, start + i);
    if (this.#isAddress(target)) {
      const guessedPage = pageFloor(target + this.#code.of(target, moved) - layout.newPage);
      const guess = withPages(value, (guessedPage - ownPage) / ARM64_PAGE_BYTES);
      if (guess !== value && this.#pageTrust > 0) actual = settle(start + i, value, guess);
      if (guess !== value) this.#pageTrust = trustAfter(this.#pageTrust, guess, value, actual);
    }
    const until = i + ARM64_PAGE_REACH_BYTES;
    this.#pages[register] = isPage(actual)
      ? { old: page, made: ownPage + pagesOf(actual) * ARM64_PAGE_BYTES, until }
      : undefined;
  }

  /** What the first instruction behind the one at `i` adds to a register; 0 when none does soon, in this part. */
  #nextLow(register: number, i: number, bytes: number): number {
    const end = Math.min(i + ARM64_PAGE_REACH_BYTES, bytes - FIELD_BYTES);
    for (let next = i + FIELD_BYTES; next <= end; next += FIELD_BYTES) {
      const word = read(this.old, next);
      if (isLow(word) && readBy(word) === register) return lowOf(word);
    }
    return 0;
  }

  #low(value: number, i: number, { from, at, start }: CopiedPart, layout: Layout, settle: Settle): void {
    const moved = at - from;
    const page = this.#pages[readBy(value)] as Page;
    const target = page.old + lowOf(value) + layout.oldPage;
    if (!this.#isAddress(target)) return;
    const guess = withLow(value, target + this.#code.of(target, moved) - layout.newPage - page.made);
    const isUsed = guess !== value && this.#lowTrust > 0;
    const actual = isUsed ? settle(start + i, value, guess) : read(this.made, start + i);
    if (guess !== value) this.#lowTrust = trustAfter(this.#lowTrust, guess, value, actual);
    if (isSameLow(actual, value)) {
      this.#code.learn(target, page.made + lowOf(actual) + layout.newPage - target - moved, moved);
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

/**
 * How far targets have moved: as the last one in the same block did, or the last in the same region that moved
 * otherwise.
 */
class Shifts {
  /** Blocks, then regions: mark and number ‖ bytes moved, where its hash says. */
  readonly #blocks = new Int32Array(2 << REFERENCE_SHIFTS_BITS);
  readonly #regions = new Int32Array(2 << REFERENCE_SHIFTS_BITS);
  /** What was learned under another one is forgotten. 0 is that of what was never learned. */
  #mark = 0;

  forget(): void {
    this.#mark = (this.#mark + MARK) | 0;
    if (this.#mark !== 0) return;
    this.#blocks.fill(0);
    this.#regions.fill(0);
    this.#mark = MARK;
  }

  /** @param otherwise  where nothing is known */
  of(target: number, otherwise: number): number {
    const block = target >>> REFERENCE_BLOCK_BITS;
    const blockSlot = slotOf(block);
    if (this.#blocks[blockSlot] === (this.#mark | block)) return this.#blocks[blockSlot + 1] as number;
    const region = target >>> REFERENCE_REGION_BITS;
    const regionSlot = slotOf(region);
    if (this.#regions[regionSlot] === (this.#mark | region)) return this.#regions[regionSlot + 1] as number;
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
    const known = this.#mark | block;
    if (this.#blocks[blockSlot] === known && this.#blocks[blockSlot + 1] === shift) return;
    this.#blocks[blockSlot] = known;
    this.#blocks[blockSlot + 1] = shift;
    const region = target >>> REFERENCE_REGION_BITS;
    const regionSlot = slotOf(region);
    this.#regions[regionSlot] = this.#mark | region;
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

/** Where the page begins that a place is in. */
function pageFloor(place: number): number {
  return Math.floor(place / ARM64_PAGE_BYTES) * ARM64_PAGE_BYTES;
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
