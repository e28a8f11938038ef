"use strict";
/**
 * references.ts once more, in AssemblyScript: every byte that is copied in a program goes through it. As WebAssembly it is fast from
 * its first byte on, where JavaScript is over before it is compiled well, and it looks at 16 bytes at once (decision 0054 has figures).
 * Names and meanings are those of references.ts, which is what counts; test/manifests/delta-references runs both. REFERENCE_ and DELTA_
 * names are numbers of limits.ts, given by compile.ts, which also says when this changed and `../references-wasm.ts` did not.
 */
Object.defineProperty(exports, "__esModule", { value: true });
exports.END = exports.TOLD = exports.MADE = exports.OLD = void 0;
exports.begin = begin;
exports.forget = forget;
exports.takeOff = takeOff;
exports.putOn = putOn;
/** Bytes that are looked at at once: memory goes on so far behind a part. */
const LANES = 16;
const PART_BYTES = DELTA_OUTPUT_BYTES + LANES;
exports.OLD = LANES;
exports.MADE = exports.OLD + PART_BYTES;
exports.TOLD = exports.MADE + PART_BYTES;
/** A table of shifts: blocks, then regions, (number + 1) and bytes moved each. */
const ENTRY_BYTES_BITS = 3;
const HALF_BYTES = 1 << (REFERENCE_SHIFTS_BITS + ENTRY_BYTES_BITS);
const CODE = exports.TOLD + PART_BYTES;
const RELATIVE = CODE + 2 * HALF_BYTES;
const ABSOLUTE = RELATIVE + 2 * HALF_BYTES;
/** Where all of it ends. */
exports.END = ABSOLUTE + 2 * HALF_BYTES;
const FIELD_BYTES = 4;
const FIRST_FIELD = 2;
/** Where addresses end. */
let addressEnd = 0;
let codeTrust = 0;
let relativeTrust = 0;
let absoluteTrust = 0;
function begin(sourceBytes) {
    addressEnd = sourceBytes + REFERENCE_BEYOND_BYTES;
    forget();
}
function forget() {
    memory.fill(CODE, 0, exports.END - CODE);
    codeTrust = REFERENCE_CODE_TRUST;
    relativeTrust = -REFERENCE_WORD_DISTRUST;
    absoluteTrust = -REFERENCE_WORD_DISTRUST;
}
/** The part [start, start + bytes) of MADE is copied from what OLD begins with. */
function takeOff(bytes, start, from, at, phase) {
    memory.copy(exports.TOLD + start, exports.MADE + start, bytes);
    guess(bytes, start, from, at, phase, false);
}
function putOn(bytes, start, from, at, phase) {
    guess(bytes, start, from, at, phase, true);
}
function guess(bytes, start, from, at, phase, isTold) {
    const moved = at - from;
    const made = exports.MADE + start;
    const fieldsEnd = bytes - FIELD_BYTES + 1;
    let wordMask = maskOfWords();
    let wordAt = FIRST_FIELD;
    let watched = -1;
    for (let i = FIRST_FIELD; i < fieldsEnd;) {
        if (i >= wordAt)
            wordAt = i + ((phase - at - i) & wordMask);
        i = nextCode(i, min(wordAt, fieldsEnd));
        if (i == fieldsEnd)
            break;
        if (i == wordAt && watched >= 0) {
            learnWord(load(exports.OLD + watched), load(made + watched), from + watched, moved);
            wordMask = maskOfWords();
            watched = -1;
        }
        const value = load(exports.OLD + i);
        const target = from + i + FIELD_BYTES + value;
        if (isCode(load(exports.OLD + i - 1)) && isAddress(target)) {
            const guessed = value + shiftOf(CODE, target, moved) - moved;
            const isUsed = guessed != value && codeTrust > 0;
            const actual = isUsed ? settle(made + i, guessed, value, isTold) : load(made + i);
            if (guessed != value)
                codeTrust = trustAfter(codeTrust, guessed, value, actual);
            learn(CODE, target, actual - value, moved);
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
function nextCode(i, stop) {
    for (; i < stop; i += LANES) {
        const before = v128.load(exports.OLD + i - 1);
        const calls = i8x16.eq(v128.and(before, i8x16.splat(0xfe)), i8x16.splat(0xe8));
        const operands = i8x16.eq(v128.and(before, i8x16.splat(0xc7)), i8x16.splat(0x05));
        const found = i8x16.bitmask(v128.or(calls, operands));
        if (found != 0)
            return min(i + ctz(found), stop);
    }
    return stop;
}
function isCode(byte) {
    return (byte & 0xfe) == 0xe8 || (byte & 0xc7) == 0x05;
}
/** What the field at `at` has become, when `value` is guessed to become `guessed`: it is told as if it had not been guessed. */
function settle(at, guessed, value, isTold) {
    const guessedMore = minus(guessed, value);
    if (!isTold) {
        const actual = load(at);
        store(at + (exports.TOLD - exports.MADE), minus(actual, guessedMore));
        return actual;
    }
    const actual = plus(load(at), guessedMore);
    store(at, actual);
    return actual;
}
function maskOfWords() {
    return (max(relativeTrust, absoluteTrust) > 0 ? FIELD_BYTES : REFERENCE_WATCHED_BYTES) - 1;
}
function guessWord(value, from, moved) {
    if (max(relativeTrust, absoluteTrust) <= 0)
        return value;
    return absoluteTrust >= relativeTrust ? absoluteGuess(value) : relativeGuess(value, from, moved);
}
function learnWord(value, actual, from, moved) {
    const more = actual - value;
    const relative = relativeGuess(value, from, moved);
    if (relative != value)
        relativeTrust = trustAfter(relativeTrust, relative, value, actual);
    if (isAddress(from + value))
        learn(RELATIVE, (from + value), more, moved);
    const absolute = absoluteGuess(value);
    if (absolute != value)
        absoluteTrust = trustAfter(absoluteTrust, absolute, value, actual);
    if (isAddress(value))
        learn(ABSOLUTE, value, more, 0);
}
function relativeGuess(value, from, moved) {
    if (!isAddress(from + value))
        return value;
    return value + shiftOf(RELATIVE, (from + value), moved) - moved;
}
function absoluteGuess(value) {
    return isAddress(value) ? value + shiftOf(ABSOLUTE, value, 0) : value;
}
function isAddress(target) {
    return target >= 0 && target < addressEnd;
}
function shiftOf(table, target, otherwise) {
    const block = blockEntry(table, target);
    if (load(block) == blockOf(target) + 1)
        return load(block, 4);
    const region = regionEntry(table, target);
    return load(region) == regionOf(target) + 1 ? load(region, 4) : otherwise;
}
function learn(table, target, more, moved) {
    if (more > REFERENCE_SHIFT_BYTES_MAX || more < -REFERENCE_SHIFT_BYTES_MAX)
        return;
    const shift = more + moved;
    const block = blockEntry(table, target);
    if (load(block) == blockOf(target) + 1 && load(block, 4) == shift)
        return;
    store(block, blockOf(target) + 1);
    store(block, shift, 4);
    const region = regionEntry(table, target);
    store(region, regionOf(target) + 1);
    store(region, shift, 4);
}
function blockOf(target) {
    return target >>> REFERENCE_BLOCK_BITS;
}
function regionOf(target) {
    return target >>> REFERENCE_REGION_BITS;
}
function blockEntry(table, target) {
    return table + slotOf(blockOf(target));
}
function regionEntry(table, target) {
    return table + HALF_BYTES + slotOf(regionOf(target));
}
function slotOf(key) {
    return ((key * 0x9e3779b1) >>> (32 - REFERENCE_SHIFTS_BITS)) << ENTRY_BYTES_BITS;
}
function trustAfter(trust, guessed, before, actual) {
    if (actual == guessed)
        return min(REFERENCE_TRUST_MAX, trust + 1);
    return actual == before ? max(-REFERENCE_TRUST_MAX, trust - 1) : trust;
}
function isLarge(value) {
    return value >= REFERENCE_WORD_MIN || value <= -REFERENCE_WORD_MIN;
}
/** Byte by byte, modulo 256. */
function plus(a, b) {
    return ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
}
function minus(a, b) {
    return ((a | 0x80808080) - (b & 0x7f7f7f7f)) ^ ((a ^ ~b) & 0x80808080);
}
