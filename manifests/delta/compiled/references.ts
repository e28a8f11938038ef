/**
 * plain-references.ts, arm64.ts and wasm-numbers.ts once more, in AssemblyScript: every byte that is copied in a
 * program goes through it. As WebAssembly it is fast from its first byte on, where JavaScript is over before it is
 * compiled well, and it looks at 16 bytes at once. Names and meanings are those of the plain ones, which are what
 * counts; test/manifests/delta-references.test.ts runs both. What is in capitals and not defined here is a number of
 * limits.ts, given by compile.ts, which also says when this changed and `../references-wasm.ts` did not.
 */

/** Bytes that are looked at at once: memory goes on so far behind a part. */
const LANES: i32 = 16;
const PART_BYTES: i32 = DELTA_OUTPUT_BYTES + LANES;
export const OLD: i32 = LANES;
export const MADE: i32 = OLD + PART_BYTES;
export const TOLD: i32 = MADE + PART_BYTES;

/** A table of shifts: blocks, then regions, mark and number, and bytes moved each. */
const ENTRY_BYTES_BITS: i32 = 3;
const HALF_BYTES: i32 = 1 << (REFERENCE_SHIFTS_BITS + ENTRY_BYTES_BITS);
const CODE: i32 = TOLD + PART_BYTES;
const RELATIVE: i32 = CODE + 2 * HALF_BYTES;
const ABSOLUTE: i32 = RELATIVE + 2 * HALF_BYTES;
/** Of arm64, by register: the page it was made to hold, as it was and as it became, and up to where that counts. */
const PAGES: i32 = ABSOLUTE + 2 * HALF_BYTES;
const PAGE_ENTRY_BYTES_BITS: i32 = 5;
const REGISTERS: i32 = 32;
/** Where all of it ends. */
export const END: i32 = PAGES + (REGISTERS << PAGE_ENTRY_BYTES_BITS);

/** Machines, by their numbers in compiled-references.ts. */
const ARM64: i32 = 1;
const WASM: i32 = 2;

const FIELD_BYTES: i32 = 4;
const FIRST_FIELD: i32 = 2;
const MARK: u32 = 1 << (32 - REFERENCE_BLOCK_BITS);

/** Where addresses end. */
let addressEnd: i64 = 0;
/** Of what all tables learn now. */
let mark: u32 = 0;
let codeTrust: i32 = 0;
let pageTrust: i32 = 0;
let lowTrust: i32 = 0;
let constantTrust: i32 = 0;
let relativeTrust: i32 = 0;
let absoluteTrust: i32 = 0;

export function begin(sourceBytes: f64): void {
  addressEnd = <i64>sourceBytes + REFERENCE_BEYOND_BYTES;
  forget();
}

export function forget(): void {
  forgetShifts();
  codeTrust = REFERENCE_CODE_TRUST;
  pageTrust = REFERENCE_CODE_TRUST;
  lowTrust = REFERENCE_CODE_TRUST;
  constantTrust = REFERENCE_CODE_TRUST;
  relativeTrust = -REFERENCE_WORD_DISTRUST;
  absoluteTrust = -REFERENCE_WORD_DISTRUST;
}

/** The part [start, start + bytes) of MADE is copied from what OLD begins with. */
export function takeOff(
  bytes: i32,
  start: i32,
  from: f64,
  at: f64,
  machine: i32,
  phase: i32,
  oldPage: i32,
  newPage: i32,
): void {
  memory.copy(TOLD + start, MADE + start, bytes);
  guess(bytes, start, <i64>from, <i64>at, machine, phase, oldPage, newPage, false);
}

export function putOn(
  bytes: i32,
  start: i32,
  from: f64,
  at: f64,
  machine: i32,
  phase: i32,
  oldPage: i32,
  newPage: i32,
): void {
  guess(bytes, start, <i64>from, <i64>at, machine, phase, oldPage, newPage, true);
}

function guess(
  bytes: i32,
  start: i32,
  from: i64,
  at: i64,
  machine: i32,
  phase: i32,
  oldPage: i32,
  newPage: i32,
  isTold: bool,
): void {
  if (machine == WASM) guessWasm(bytes, start, isTold);
  else if (machine == ARM64) guessArm64(bytes, start, from, at, phase, oldPage, newPage, isTold);
  else guessX86(bytes, start, from, at, phase, isTold);
}

function guessX86(bytes: i32, start: i32, from: i64, at: i64, phase: i32, isTold: bool): void {
  const moved = at - from;
  const made = MADE + start;
  const fieldsEnd = bytes - FIELD_BYTES + 1;
  let wordMask = maskOfWords();
  let wordAt = FIRST_FIELD;
  let watched = -1;
  for (let i = FIRST_FIELD; i < fieldsEnd;) {
    if (i >= wordAt) wordAt = i + ((phase - <i32>at - i) & wordMask);
    i = nextCode(i, min(wordAt, fieldsEnd));
    if (i == fieldsEnd) break;
    if (i == wordAt && watched >= 0) {
      learnWord(load<i32>(OLD + watched), load<i32>(made + watched), from + watched, moved);
      wordMask = maskOfWords();
      watched = -1;
    }
    const value = load<i32>(OLD + i);
    const target = from + i + FIELD_BYTES + value;
    if (isCode(load<u8>(OLD + i - 1)) && isAddress(target)) {
      const guessed = value + <i32>(shiftOf(CODE, <u32>target, moved) - moved);
      const isUsed = guessed != value && codeTrust > 0;
      const actual = isUsed ? settle(made + i, guessed, value, isTold) : load<i32>(made + i);
      if (guessed != value) codeTrust = trustAfter(codeTrust, guessed, value, actual);
      learn(CODE, <u32>target, <i64>actual - value, moved);
      i += FIELD_BYTES;
      continue;
    }
    if (i == wordAt && isLarge(value)) {
      const guessed = guessWord(value, from + i, moved);
      if (guessed != value) {
        const actual = settle(made + i, guessed, value, isTold);
        learnWord(value, actual, from + i, moved);
        wordMask = maskOfWords();
        i += FIELD_BYTES;
        continue;
      }
      watched = i;
    }
    i++;
  }
}

function guessArm64(
  bytes: i32,
  start: i32,
  from: i64,
  at: i64,
  phase: i32,
  oldPage: i32,
  newPage: i32,
  isTold: bool,
): void {
  const moved = at - from;
  const made = MADE + start;
  for (let register = 0; register < REGISTERS; register++) setUntil(register, -1);
  for (let i = (phase - <i32>at) & (FIELD_BYTES - 1); i + FIELD_BYTES <= bytes; i += FIELD_BYTES) {
    const value = load<i32>(OLD + i);
    if (isBranch(value) && isAddress(from + i + branchOf(value))) {
      const target = from + i + branchOf(value);
      const guessed = branchMore(value, <i32>(shiftOf(CODE, <u32>target, moved) - moved));
      const isUsed = guessed != value && codeTrust > 0;
      const actual = isUsed ? settle(made + i, guessed, value, isTold) : load<i32>(made + i);
      if (guessed != value) codeTrust = trustAfter(codeTrust, guessed, value, actual);
      if (isSameBranch(actual, value)) learn(CODE, <u32>target, <i64>branchOf(actual) - branchOf(value), moved);
    } else if (isPage(value)) {
      const register = writtenBy(value);
      const page = pageFloor(from + i - oldPage) + <i64>pagesOf(value) * ARM64_PAGE_BYTES;
      const ownPage = pageFloor(at + i - newPage);
      const target = page + nextLow(register, i, bytes) + oldPage;
      let actual = load<i32>(made + i);
      if (isAddress(target)) {
        const guessedPage = pageFloor(target + shiftOf(CODE, <u32>target, moved) - newPage);
        const guessed = withPages(value, <i32>((guessedPage - ownPage) / ARM64_PAGE_BYTES));
        if (guessed != value && pageTrust > 0) actual = settle(made + i, guessed, value, isTold);
        if (guessed != value) pageTrust = trustAfter(pageTrust, guessed, value, actual);
      }
      setUntil(register, -1);
      if (isPage(actual)) {
        setPages(register, page, ownPage + <i64>pagesOf(actual) * ARM64_PAGE_BYTES);
        setUntil(register, i + ARM64_PAGE_REACH_BYTES);
      }
    } else if (isLow(value) && i <= untilOf(readBy(value))) {
      const register = readBy(value);
      const target = oldPageOf(register) + lowOf(value) + oldPage;
      if (!isAddress(target)) continue;
      const madePage = madePageOf(register);
      const guessed = withLow(value, target + shiftOf(CODE, <u32>target, moved) - newPage - madePage);
      const isUsed = guessed != value && lowTrust > 0;
      const actual = isUsed ? settle(made + i, guessed, value, isTold) : load<i32>(made + i);
      if (guessed != value) lowTrust = trustAfter(lowTrust, guessed, value, actual);
      if (isSameLow(actual, value)) {
        learn(CODE, <u32>target, madePage + lowOf(actual) + newPage - target - moved, moved);
      }
    } else if (((<i32>at + i - phase) & maskOfWords()) == 0 && isLarge(value)) {
      const guessed = guessWord(value, from + i, moved);
      const actual = guessed == value ? load<i32>(made + i) : settle(made + i, guessed, value, isTold);
      learnWord(value, actual, from + i, moved);
    }
  }
}

function guessWasm(bytes: i32, start: i32, isTold: bool): void {
  const made = MADE + start;
  for (let i = 1; i + NUMBER_BYTES_MAX <= bytes; i++) {
    const instruction = <i32>load<u8>(OLD + i - 1);
    const isCall = instruction == CALL;
    if (!isCall && instruction != 0x41 && instruction != 0x42) continue;
    const size = numberBytes(OLD + i);
    if (size == 0) continue;
    const value = valueAt(OLD + i, size);
    const isNegative = (load<u8>(OLD + i + size - 1) & 0x40) != 0;
    if (!isCall && (isNegative || value < REFERENCE_WORD_MIN)) continue;
    const table = isCall ? CODE : ABSOLUTE;
    const key = <u32>(isCall ? value << REFERENCE_BLOCK_BITS : value);
    const shifted = value + shiftOf(table, key, 0);
    const end = min(NUMBER_END, (<i64>1) << (isCall ? 7 * size : 7 * size - 1));
    const guessed = shifted >= 0 && shifted < end ? shifted : value;
    const trust = isCall ? codeTrust : constantTrust;
    if (guessed != value && trust > 0) settleNumber(i, made + i, size, guessed, isTold);
    if (isNumberOf(made + i, size)) {
      const actual = valueAt(made + i, size);
      if (guessed != value) {
        const judged = trustAfter(trust, guessed, value, actual);
        if (isCall) codeTrust = judged;
        else constantTrust = judged;
      }
      learn(table, key, actual - value, 0);
    }
    i += size;
  }
}

/** Bytes of a number below 2^31; 0 when it is none. */
function numberBytes(at: i32): i32 {
  let size = 1;
  while (size < NUMBER_BYTES_MAX && load<u8>(at + size - 1) >= 0x80) size++;
  const last = <i32>load<u8>(at + size - 1);
  return last >= 0x80 || (size == NUMBER_BYTES_MAX && last > FIFTH_BYTE_MAX) ? 0 : size;
}

function isNumberOf(at: i32, size: i32): bool {
  for (let i = 0; i < size; i++) if (load<u8>(at + i) >= 0x80 != i < size - 1) return false;
  return true;
}

function valueAt(at: i32, size: i32): i64 {
  let value: i64 = 0;
  for (let i = 0; i < size; i++) value |= (<i64>(load<u8>(at + i) & 0x7f)) << (7 * i);
  return value;
}

function settleNumber(i: i32, at: i32, size: i32, guessed: i64, isTold: bool): void {
  for (let byte = 0; byte < size; byte++) {
    const guessedByte = (<i32>(guessed >> (7 * byte)) & 0x7f) | (byte < size - 1 ? 0x80 : 0);
    const more = guessedByte - <i32>load<u8>(OLD + i + byte);
    const made = <i32>load<u8>(at + byte);
    if (isTold) store<u8>(at + byte, made + more);
    else store<u8>(at + byte + (TOLD - MADE), made - more);
  }
}

function nextLow(register: i32, i: i32, bytes: i32): i32 {
  const end = min(i + ARM64_PAGE_REACH_BYTES, bytes - FIELD_BYTES);
  for (let next = i + FIELD_BYTES; next <= end; next += FIELD_BYTES) {
    const word = load<i32>(OLD + next);
    if (isLow(word) && readBy(word) == register) return lowOf(word);
  }
  return 0;
}

function oldPageOf(register: i32): i64 {
  return load<i64>(PAGES + (register << PAGE_ENTRY_BYTES_BITS));
}

function madePageOf(register: i32): i64 {
  return load<i64>(PAGES + (register << PAGE_ENTRY_BYTES_BITS), 8);
}

function setPages(register: i32, old: i64, made: i64): void {
  store<i64>(PAGES + (register << PAGE_ENTRY_BYTES_BITS), old);
  store<i64>(PAGES + (register << PAGE_ENTRY_BYTES_BITS), made, 8);
}

function untilOf(register: i32): i32 {
  return load<i32>(PAGES + (register << PAGE_ENTRY_BYTES_BITS), 16);
}

function setUntil(register: i32, until: i32): void {
  store<i32>(PAGES + (register << PAGE_ENTRY_BYTES_BITS), until, 16);
}

function pageFloor(place: i64): i64 {
  return place & ~(ARM64_PAGE_BYTES - 1);
}

// wasm-numbers.ts

const NUMBER_BYTES_MAX: i32 = 5;
const FIFTH_BYTE_MAX: i32 = 0x07;
const NUMBER_END: i64 = (<i64>1) << 31;
const CALL: i32 = 0x10;

// arm64.ts

const BRANCH_MASK: i32 = 0x03ff_ffff;
const LOW_MASK: i32 = 0xfff << 10;

function isBranch(word: i32): bool {
  return (word & 0x7c00_0000) == 0x1400_0000;
}

function branchOf(word: i32): i32 {
  return (word << 6) >> 4;
}

function branchMore(word: i32, more: i32): i32 {
  return (word & ~BRANCH_MASK) | ((word + (more >> 2)) & BRANCH_MASK);
}

function isSameBranch(word: i32, other: i32): bool {
  return ((word ^ other) & ~BRANCH_MASK) == 0;
}

function isPage(word: i32): bool {
  return (word & <i32>0x9f00_0000) == <i32>0x9000_0000;
}

function pagesOf(word: i32): i32 {
  const pages = (((word >> 5) & 0x7_ffff) << 2) | ((word >> 29) & 3);
  return (pages << 11) >> 11;
}

function withPages(word: i32, pages: i32): i32 {
  return (word & <i32>0x9f00_001f) | ((pages & 3) << 29) | (((pages >> 2) & 0x7_ffff) << 5);
}

function writtenBy(word: i32): i32 {
  return word & 31;
}

function isLow(word: i32): bool {
  return isAdd(word) || (word & 0x3b00_0000) == 0x3900_0000;
}

function isAdd(word: i32): bool {
  return (word & <i32>0xffc0_0000) == <i32>0x9100_0000;
}

function readBy(word: i32): i32 {
  return (word >> 5) & 31;
}

function lowOf(word: i32): i32 {
  return ((word & LOW_MASK) >> 10) << unitBits(word);
}

function withLow(word: i32, low: i64): i32 {
  const bits = unitBits(word);
  if (low < 0 || low >= ARM64_PAGE_BYTES || (low & ((1 << bits) - 1)) != 0) return word;
  return (word & ~LOW_MASK) | ((<i32>low >> bits) << 10);
}

function isSameLow(word: i32, other: i32): bool {
  return ((word ^ other) & ~LOW_MASK) == 0;
}

function unitBits(word: i32): i32 {
  if (isAdd(word)) return 0;
  const isVector = (word & 0x0480_0000) == 0x0480_0000 && word >>> 30 == 0;
  return isVector ? 4 : word >>> 30;
}

/** The first place from `i` on behind a byte that a field of code may follow; `stop` when there is none before. */
function nextCode(i: i32, stop: i32): i32 {
  for (; i < stop; i += LANES) {
    const before = v128.load(OLD + i - 1);
    const calls = i8x16.eq(v128.and(before, i8x16.splat(<i8>0xfe)), i8x16.splat(<i8>0xe8));
    const operands = i8x16.eq(v128.and(before, i8x16.splat(<i8>0xc7)), i8x16.splat(0x05));
    const found = i8x16.bitmask(v128.or(calls, operands));
    if (found != 0) return min(i + ctz(found), stop);
  }
  return stop;
}

function isCode(byte: u32): bool {
  return (byte & 0xfe) == 0xe8 || (byte & 0xc7) == 0x05;
}

/**
 * What the field at `at` has become, when `value` is guessed to become `guessed`: it is told as if it had not been
 * guessed.
 */
function settle(at: i32, guessed: i32, value: i32, isTold: bool): i32 {
  const guessedMore = minus(guessed, value);
  if (!isTold) {
    const actual = load<i32>(at);
    store<i32>(at + (TOLD - MADE), minus(actual, guessedMore));
    return actual;
  }
  const actual = plus(load<i32>(at), guessedMore);
  store<i32>(at, actual);
  return actual;
}

function maskOfWords(): i32 {
  return (max(relativeTrust, absoluteTrust) > 0 ? FIELD_BYTES : REFERENCE_WATCHED_BYTES) - 1;
}

function guessWord(value: i32, from: i64, moved: i64): i32 {
  if (max(relativeTrust, absoluteTrust) <= 0) return value;
  return absoluteTrust >= relativeTrust ? absoluteGuess(value) : relativeGuess(value, from, moved);
}

function learnWord(value: i32, actual: i32, from: i64, moved: i64): void {
  const more = <i64>actual - value;
  const relative = relativeGuess(value, from, moved);
  if (relative != value) relativeTrust = trustAfter(relativeTrust, relative, value, actual);
  if (isAddress(from + value)) learn(RELATIVE, <u32>(from + value), more, moved);
  const absolute = absoluteGuess(value);
  if (absolute != value) absoluteTrust = trustAfter(absoluteTrust, absolute, value, actual);
  if (isAddress(value)) learn(ABSOLUTE, value, more, 0);
}

function relativeGuess(value: i32, from: i64, moved: i64): i32 {
  if (!isAddress(from + value)) return value;
  return value + <i32>(shiftOf(RELATIVE, <u32>(from + value), moved) - moved);
}

function absoluteGuess(value: i32): i32 {
  return isAddress(value) ? value + <i32>shiftOf(ABSOLUTE, value, 0) : value;
}

function isAddress(target: i64): bool {
  return target >= 0 && target < addressEnd;
}

function forgetShifts(): void {
  mark += MARK;
  if (mark != 0) return;
  memory.fill(CODE, 0, PAGES - CODE);
  mark = MARK;
}

function shiftOf(table: i32, target: u32, otherwise: i64): i64 {
  const block = blockEntry(table, target);
  if (load<u32>(block) == (mark | blockOf(target))) return load<i32>(block, 4);
  const region = regionEntry(table, target);
  return load<u32>(region) == (mark | regionOf(target)) ? load<i32>(region, 4) : otherwise;
}

function learn(table: i32, target: u32, more: i64, moved: i64): void {
  if (more > REFERENCE_SHIFT_BYTES_MAX || more < -REFERENCE_SHIFT_BYTES_MAX) return;
  const shift = more + moved;
  const block = blockEntry(table, target);
  const known = mark | blockOf(target);
  if (load<u32>(block) == known && load<i32>(block, 4) == shift) return;
  store<u32>(block, known);
  store<i32>(block, <i32>shift, 4);
  const region = regionEntry(table, target);
  store<u32>(region, mark | regionOf(target));
  store<i32>(region, <i32>shift, 4);
}

function blockOf(target: u32): u32 {
  return target >>> REFERENCE_BLOCK_BITS;
}

function regionOf(target: u32): u32 {
  return target >>> REFERENCE_REGION_BITS;
}

function blockEntry(table: i32, target: u32): i32 {
  return table + slotOf(blockOf(target));
}

function regionEntry(table: i32, target: u32): i32 {
  return table + HALF_BYTES + slotOf(regionOf(target));
}

function slotOf(key: u32): i32 {
  return ((key * 0x9e3779b1) >>> (32 - REFERENCE_SHIFTS_BITS)) << ENTRY_BYTES_BITS;
}

function trustAfter(trust: i32, guessed: i64, before: i64, actual: i64): i32 {
  if (actual == guessed) return min(REFERENCE_TRUST_MAX, trust + 1);
  return actual == before ? max(-REFERENCE_TRUST_MAX, trust - 1) : trust;
}

function isLarge(value: i32): bool {
  return value >= REFERENCE_WORD_MIN || value <= -REFERENCE_WORD_MIN;
}

/** Byte by byte, modulo 256. */
function plus(a: u32, b: u32): u32 {
  return ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
}

function minus(a: u32, b: u32): u32 {
  return ((a | 0x80808080) - (b & 0x7f7f7f7f)) ^ ((a ^ ~b) & 0x80808080);
}
