/**
 * references.ts once more, in AssemblyScript: every byte that is copied in a program goes through it. As WebAssembly it is fast from
 * its first byte on, where JavaScript is over before it is compiled well, and it looks at 16 bytes at once (decision 0054 has figures).
 * Names and meanings are those of references.ts, which is what counts; test/manifests/delta-references runs both. REFERENCE_ and DELTA_
 * names are numbers of limits.ts, given by compile.ts, which also says when this changed and `../references-wasm.ts` did not.
 */

/** Bytes that are looked at at once: memory goes on so far behind a part. */
const LANES: i32 = 16;
const PART_BYTES: i32 = DELTA_OUTPUT_BYTES + LANES;
export const OLD: i32 = LANES;
export const MADE: i32 = OLD + PART_BYTES;
export const TOLD: i32 = MADE + PART_BYTES;

/** A table of shifts: blocks, then regions, (number + 1) and bytes moved each. */
const ENTRY_BYTES_BITS: i32 = 3;
const HALF_BYTES: i32 = 1 << (REFERENCE_SHIFTS_BITS + ENTRY_BYTES_BITS);
const CODE: i32 = TOLD + PART_BYTES;
const RELATIVE: i32 = CODE + 2 * HALF_BYTES;
const ABSOLUTE: i32 = RELATIVE + 2 * HALF_BYTES;
/** Where all of it ends. */
export const END: i32 = ABSOLUTE + 2 * HALF_BYTES;

const FIELD_BYTES: i32 = 4;
const FIRST_FIELD: i32 = 2;

/** Where addresses end. */
let addressEnd: i64 = 0;
let codeTrust: i32 = 0;
let relativeTrust: i32 = 0;
let absoluteTrust: i32 = 0;

export function begin(sourceBytes: f64): void {
  addressEnd = <i64>sourceBytes + REFERENCE_BEYOND_BYTES;
  forget();
}

export function forget(): void {
  memory.fill(CODE, 0, END - CODE);
  codeTrust = REFERENCE_CODE_TRUST;
  relativeTrust = -REFERENCE_WORD_DISTRUST;
  absoluteTrust = -REFERENCE_WORD_DISTRUST;
}

/** The part [start, start + bytes) of MADE is copied from what OLD begins with. */
export function takeOff(bytes: i32, start: i32, from: f64, at: f64, phase: i32): void {
  memory.copy(TOLD + start, MADE + start, bytes);
  guess(bytes, start, <i64>from, <i64>at, phase, false);
}

export function putOn(bytes: i32, start: i32, from: f64, at: f64, phase: i32): void {
  guess(bytes, start, <i64>from, <i64>at, phase, true);
}

function guess(bytes: i32, start: i32, from: i64, at: i64, phase: i32, isTold: bool): void {
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
      const guessed = value + shiftOf(CODE, <u32>target, <i32>moved) - <i32>moved;
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

/** What the field at `at` has become, when `value` is guessed to become `guessed`: it is told as if it had not been guessed. */
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
  return value + shiftOf(RELATIVE, <u32>(from + value), <i32>moved) - <i32>moved;
}

function absoluteGuess(value: i32): i32 {
  return isAddress(value) ? value + shiftOf(ABSOLUTE, value, 0) : value;
}

function isAddress(target: i64): bool {
  return target >= 0 && target < addressEnd;
}

function shiftOf(table: i32, target: u32, otherwise: i32): i32 {
  const block = blockEntry(table, target);
  if (load<u32>(block) == blockOf(target) + 1) return load<i32>(block, 4);
  const region = regionEntry(table, target);
  return load<u32>(region) == regionOf(target) + 1 ? load<i32>(region, 4) : otherwise;
}

function learn(table: i32, target: u32, more: i64, moved: i64): void {
  if (more > REFERENCE_SHIFT_BYTES_MAX || more < -REFERENCE_SHIFT_BYTES_MAX) return;
  const shift = more + moved;
  const block = blockEntry(table, target);
  if (load<u32>(block) == blockOf(target) + 1 && load<i32>(block, 4) == shift) return;
  store<u32>(block, blockOf(target) + 1);
  store<i32>(block, <i32>shift, 4);
  const region = regionEntry(table, target);
  store<u32>(region, regionOf(target) + 1);
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

function trustAfter(trust: i32, guessed: i32, before: i32, actual: i32): i32 {
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
