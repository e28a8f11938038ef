/**
 * The loops of hash-chains.ts, inflate.ts, guide.ts, block-plan.ts and bit-writer.ts that every byte or token of a
 * stream goes through, once more, in AssemblyScript: 8 bytes are compared and copied at once, and 56 bits taken in
 * advance. Names and meanings are those of the plain ones, which are what counts:
 * test/manifests/deflate-compiled.test.ts runs both. What is in capitals and not defined here is a number of limits.ts,
 * alphabet.ts or parameters.ts, given by compile.ts, which also says when this changed and `../loops-wasm.ts` did not.
 *
 * The memory is that of a Workspace, one after another; what is not touched costs nothing. Places in it are bytes. How
 * long an array is, given numbers alone say: with others than those of its views in JavaScript, one would run into the
 * next.
 */

/** Memory goes on so far behind what is read and written in words. */
const WORD_BYTES: i32 = 8;
/** Of the second kind of chains: as in hash-chains.ts, or it takes other work. */
const FOUR_HASH_BITS: i32 = 15;

/** What a loop says besides its result, as i32. */
export const STATE: i32 = 64;
export const PLAIN: i32 = STATE + 64;
export const INPUT: i32 = PLAIN + DEFLATE_WINDOW_BYTES + WORD_BYTES;
export const OUTPUT: i32 = INPUT + DEFLATE_SLICE_BYTES + DEFLATE_BEHIND_END_BYTES + WORD_BYTES;
export const STEP: i32 = OUTPUT + DEFLATE_SLICE_BYTES + WORD_BYTES;
const NEWEST: i32 = STEP + DEFLATE_STEP_TOKENS * 4;
/**
 * How far back the place before is, which takes half of what the place would, and stays as it is when the window moves.
 */
const BEFORE: i32 = NEWEST + (4 << HASH_BITS_MAX);
const NEWEST_FOUR: i32 = BEFORE + (2 << WINDOW_BITS_MAX);
const BEFORE_FOUR: i32 = NEWEST_FOUR + (4 << FOUR_HASH_BITS);
const RANKS: i32 = BEFORE_FOUR + (2 << WINDOW_BITS_MAX);
/** Of a HuffmanDecoder: its table, how many codes have each length, and the symbols. */
const COUNTS_AT: i32 = 2 << DEFLATE_TABLE_BITS;
const SYMBOLS_AT: i32 = COUNTS_AT + 2 * (CODE_BITS_MAX + 1);
export const LITERAL_DECODER: i32 = RANKS + (2 << WINDOW_BITS_MAX);
export const DISTANCE_DECODER: i32 = LITERAL_DECODER + SYMBOLS_AT + 2 * FIXED_LITERAL_SYMBOLS;
/** Of a BitWriter, by symbol: codes and, in the upper 16 bits, how many bits they have. */
export const LITERAL_CODES: i32 = DISTANCE_DECODER + SYMBOLS_AT + 2 * FIXED_LITERAL_SYMBOLS;
export const DISTANCE_CODES: i32 = LITERAL_CODES + 4 * FIXED_LITERAL_SYMBOLS;
/** Of SymbolCounts. */
export const LITERAL_COUNTS: i32 = DISTANCE_CODES + 4 * FIXED_DISTANCE_SYMBOLS;
export const DISTANCE_COUNTS: i32 = LITERAL_COUNTS + 4 * FIXED_LITERAL_SYMBOLS;
export const BLOCK: i32 = DISTANCE_COUNTS + 4 * FIXED_DISTANCE_SYMBOLS;
/** By places of PLAIN: the token that begins there. */
export const NOTES: i32 = BLOCK + 4 * DEFLATE_BLOCK_TOKENS_MAX;
/** Where all of it ends. */
export const END: i32 = NOTES + 4 * DEFLATE_WINDOW_BYTES;

const LITERAL: i32 = 0;
const NOWHERE: i32 = -1;
const FAR: i32 = 0xffff;

function tokenOf(length: i32, distance: i32): i32 {
  return (length << 16) | distance;
}

function tell(index: i32, value: i32): void {
  store<i32>(STATE + (index << 2), value);
}

/** How many of `most` bytes are the same at two places of the memory. */
function commonBytes(a: i32, b: i32, most: i32): i32 {
  for (let bytes = 0; bytes < most; bytes += WORD_BYTES) {
    const difference = load<u64>(a + bytes) ^ load<u64>(b + bytes);
    if (difference != 0) return min(bytes + (<i32>ctz(difference) >> 3), most);
  }
  return most;
}

// --- HashChains ------------------------------------------------------------------------------------------------------

const THREES: i32 = 0;
const BOTH: i32 = 1;
const MULTIPLIER: u32 = 0x9e3779b1;
const CHROMIUM_FACTOR: i32 = 66521;
const RANK_MASK: i32 = 0xffff;
const STOP_CHECK_MASK: i32 = 15;

let kind: i32 = 0;
let hashMask: i32 = 0;
let hashShift: i32 = 0;
let windowMask: i32 = 0;
let distanceMax: i32 = 0;
let threeDistanceMax: i32 = 0;
let good: i32 = 0;
let nice: i32 = 0;
let chain: i32 = 0;
let next: i32 = 0;
let work: i64 = 0;

export function beginChains(
  ofKind: i32,
  hashBits: i32,
  windowBits: i32,
  ofDistanceMax: i32,
  ofThreeDistanceMax: i32,
  ofGood: i32,
  ofNice: i32,
  ofChain: i32,
): void {
  kind = ofKind;
  hashMask = (1 << hashBits) - 1;
  hashShift = (hashBits + MATCH_BYTES_MIN - 1) / MATCH_BYTES_MIN;
  windowMask = (1 << windowBits) - 1;
  distanceMax = ofDistanceMax;
  threeDistanceMax = ofThreeDistanceMax;
  good = ofGood;
  nice = ofNice;
  chain = ofChain;
  next = 0;
  work = 0;
  memory.fill(NEWEST, 0, 4 << hashBits);
  if (kind == BOTH) memory.fill(NEWEST_FOUR, 0, 4 << FOUR_HASH_BITS);
}

export function chainWork(): f64 {
  return <f64>work;
}

export function insert(last: i32, end: i32): void {
  const stop = min(last, end - MATCH_BYTES_MIN);
  if (next > stop) return;
  next = max(next, stop - windowMask);
  if (kind == BOTH) insertBoth(stop);
  else if (kind == THREES) insertThrees(stop);
  else insertFours(stop, end);
  next = stop + 1;
}

export function skipTo(place: i32): void {
  next = place;
}

export function slide(by: i32): void {
  slidePlaces(NEWEST, hashMask, by);
  if (kind == BOTH) slidePlaces(NEWEST_FOUR, (1 << FOUR_HASH_BITS) - 1, by);
  next = max(0, next - by);
}

function slidePlaces(places: i32, last: i32, by: i32): void {
  const less = i32x4.splat(by);
  const none = i32x4.splat(0);
  for (let at = places, end = places + (last << 2); at <= end; at += 16) {
    v128.store(at, i32x4.max_s(i32x4.sub(v128.load(at), less), none));
  }
}

export function longest(at: i32, end: i32, than: i32): i32 {
  const ahead = min(end - at, MATCH_BYTES_MAX);
  if (ahead < MATCH_BYTES_MIN || than >= ahead) return LITERAL;
  if (next <= at) insert(at, end);
  const most = than >= good ? chain >> 2 : chain;
  const enough = min(nice, ahead);
  if (kind != BOTH) return longestInChain(at, ahead, than, enough, most);
  const match = ahead > MATCH_BYTES_MIN ? longestOfFour(at, ahead, max(than, MATCH_BYTES_MIN), enough, most) : LITERAL;
  return match != LITERAL || than >= MATCH_BYTES_MIN ? match : nearestOfThree(at, most);
}

/** 0 or less when there is none. */
function placeBefore(distances: i32, at: i32, mask: i32): i32 {
  return at - <i32>load<u16>(distances + ((at & mask) << 1));
}

/** None is out of reach of every window. */
function keepBefore(distances: i32, at: i32, mask: i32, from: i32): void {
  store<u16>(distances + ((at & mask) << 1), min(at - from, FAR));
}

function longestInChain(at: i32, ahead: i32, than: i32, enough: i32, most: i32): i32 {
  const mask = windowMask;
  let from = placeBefore(BEFORE, at, mask);
  if (from <= 0 || at - from > distanceMax) return LITERAL;
  const limit = max(0, at - distanceMax);
  let best = than;
  let bestFrom = NOWHERE;
  let left = most;
  let compared = 0;
  let lastTwo = load<u16>(PLAIN + at + best - 1);
  do {
    if (load<u16>(PLAIN + from + best - 1) == lastTwo) {
      const length = commonBytes(PLAIN + from, PLAIN + at, ahead);
      compared += length;
      if (length > best) {
        best = length;
        bestFrom = from;
        if (length >= enough) break;
        lastTwo = load<u16>(PLAIN + at + best - 1);
      }
    }
    from = placeBefore(BEFORE, from, mask);
  } while (from > limit && --left > 0);
  work += compared + most - left;
  return bestFrom == NOWHERE ? LITERAL : tokenOf(best, at - bestFrom);
}

function longestOfFour(at: i32, ahead: i32, than: i32, enough: i32, most: i32): i32 {
  const mask = windowMask;
  const limit = max(0, at - distanceMax - 1);
  let best = than;
  let bestFrom = NOWHERE;
  let seen = 0;
  let lastTwo = load<u16>(PLAIN + at + best - 1);
  for (let from = placeBefore(BEFORE_FOUR, at, mask); from > limit; from = placeBefore(BEFORE_FOUR, from, mask)) {
    if ((++seen & STOP_CHECK_MASK) == 0 && stepsTo(from, at) > most && hasSameThree(from, at)) break;
    if (load<u16>(PLAIN + from + best - 1) != lastTwo) continue;
    const length = commonBytes(PLAIN + from, PLAIN + at, ahead);
    seen += length;
    if (length <= best) continue;
    const steps = stepsTo(from, at);
    if (steps > most || (steps > 1 && at - from == distanceMax)) break;
    best = length;
    bestFrom = from;
    if (length >= enough) break;
    lastTwo = load<u16>(PLAIN + at + best - 1);
  }
  work += seen;
  return bestFrom == NOWHERE ? LITERAL : tokenOf(best, at - bestFrom);
}

function nearestOfThree(at: i32, most: i32): i32 {
  const mask = windowMask;
  const limit = max(0, at - threeDistanceMax - 1);
  let left = most;
  for (let from = placeBefore(BEFORE, at, mask); from > limit && left > 0; from = placeBefore(BEFORE, from, mask)) {
    if (left < most && at - from == distanceMax) break;
    if (hasSameThree(from, at)) return tokenOf(MATCH_BYTES_MIN, at - from);
    left--;
  }
  work += most - left;
  return LITERAL;
}

function stepsTo(from: i32, at: i32): i32 {
  const ofAt = <i32>load<u16>(RANKS + ((at & windowMask) << 1));
  return (ofAt - <i32>load<u16>(RANKS + ((from & windowMask) << 1))) & RANK_MASK;
}

function hasSameThree(from: i32, at: i32): bool {
  return ((load<u32>(PLAIN + from) ^ load<u32>(PLAIN + at)) & 0xffffff) == 0;
}

/** Of the first two bytes at `next`. */
function firstHash(): i32 {
  return ((<i32>load<u8>(PLAIN + next)) << hashShift) ^ <i32>load<u8>(PLAIN + next + 1);
}

function insertThrees(stop: i32): void {
  const mask = windowMask;
  const ofHash = hashMask;
  const shift = hashShift;
  let hash = firstHash();
  for (let at = next; at <= stop; at++) {
    hash = ((hash << shift) ^ <i32>load<u8>(PLAIN + at + 2)) & ofHash;
    const slot = NEWEST + (hash << 2);
    keepBefore(BEFORE, at, mask, load<i32>(slot));
    store<i32>(slot, at);
  }
}

function insertFours(stop: i32, end: i32): void {
  const mask = windowMask;
  const ofHash = hashMask;
  for (let at = next; at <= stop; at++) {
    let four = load<i32>(PLAIN + at);
    if (at + MATCH_BYTES_MIN >= end) four &= 0xffffff;
    const hash = ((four * CHROMIUM_FACTOR + CHROMIUM_FACTOR) >>> 16) & ofHash;
    const slot = NEWEST + (hash << 2);
    keepBefore(BEFORE, at, mask, load<i32>(slot));
    store<i32>(slot, at);
  }
}

function insertBoth(stop: i32): void {
  const mask = windowMask;
  const ofHash = hashMask;
  const shift = hashShift;
  let hash = firstHash();
  for (let at = next; at <= stop; at++) {
    const four = load<u32>(PLAIN + at);
    hash = ((hash << shift) ^ <i32>((four >> 16) & 0xff)) & ofHash;
    const slot = NEWEST + (hash << 2);
    const from = load<i32>(slot);
    store<i32>(slot, at);
    const slotFour = NEWEST_FOUR + <i32>(((four * MULTIPLIER) >> (32 - FOUR_HASH_BITS)) << 2);
    const fromFour = load<i32>(slotFour);
    store<i32>(slotFour, at);
    keepBefore(BEFORE, at, mask, from);
    keepBefore(BEFORE_FOUR, at, mask, fromFour);
    store<u16>(RANKS + ((at & mask) << 1), load<u16>(RANKS + ((from & mask) << 1)) + 1);
  }
}

// --- TokenReader -----------------------------------------------------------------------------------------------------

const CONTENT: i32 = 0;
const BLOCK_ENDS: i32 = 1;
const INVALID: i32 = 2;

/** Where the plain reader would have read up to by now: it takes bits up to 31, which decides where a step ends. */
function plainReach(nextByte: i32, held: i32): i32 {
  return ((nextByte << 3) - held + 31) >> 3;
}

/** Tells at, bits, count, tokens, filled. */
export function decode(at: i32, atMax: i32, bits: u32, count: i32, filledBefore: i32): i32 {
  let filled = filledBefore;
  let made = 0;
  let step = CONTENT;
  let reached = at;
  let nextByte = at;
  let held = count;
  let buffer = <u64>bits;
  while (made < DEFLATE_STEP_TOKENS && filled <= DEFLATE_WINDOW_BYTES - MATCH_BYTES_MAX && reached <= atMax) {
    // 56 bits or more, which is enough for a token; what is above them is there already when it is taken
    buffer |= load<u64>(INPUT + nextByte) << held;
    nextByte += (63 - held) >> 3;
    held |= 56;
    reached = plainReach(nextByte, held);
    const entry = symbolAt(LITERAL_DECODER, buffer);
    buffer >>= entry & 15;
    held -= entry & 15;
    const symbol = entry >> 4;
    if (symbol < LITERALS) {
      if (entry == 0) {
        step = INVALID;
        break;
      }
      store<i32>(STEP + (made++ << 2), LITERAL);
      store<u8>(PLAIN + filled++, symbol);
      continue;
    }
    if (symbol == END_OF_BLOCK) {
      step = BLOCK_ENDS;
      break;
    }
    const lengthSymbol = symbol - LITERALS - 1;
    if (lengthSymbol >= LENGTH_SYMBOLS) {
      step = INVALID;
      break;
    }
    let length = MATCH_BYTES_MAX;
    if (lengthSymbol < 8) length = MATCH_BYTES_MIN + lengthSymbol;
    else if (lengthSymbol < LENGTH_SYMBOLS - 1) {
      const more = (lengthSymbol >> 2) - 1;
      length = MATCH_BYTES_MIN + ((4 + (lengthSymbol & 3)) << more) + (<i32>buffer & ((1 << more) - 1));
      buffer >>= more;
      held -= more;
      if (length == MATCH_BYTES_MAX) {
        step = INVALID;
        break;
      }
    }
    const distanceEntry = symbolAt(DISTANCE_DECODER, buffer);
    buffer >>= distanceEntry & 15;
    held -= distanceEntry & 15;
    const distanceSymbol = distanceEntry >> 4;
    if (distanceEntry == 0 || distanceSymbol >= DISTANCE_SYMBOLS) {
      step = INVALID;
      break;
    }
    reached = plainReach(nextByte, held);
    let distance = 1 + distanceSymbol;
    if (distanceSymbol >= 4) {
      const more = (distanceSymbol >> 1) - 1;
      distance = 1 + ((2 + (distanceSymbol & 1)) << more) + (<i32>buffer & ((1 << more) - 1));
      buffer >>= more;
      held -= more;
    }
    if (distance > filled) {
      step = INVALID;
      break;
    }
    store<i32>(STEP + (made++ << 2), tokenOf(length, distance));
    repeat(PLAIN + filled, distance, length);
    filled += length;
  }
  buffer |= load<u64>(INPUT + nextByte) << held;
  const left = (reached << 3) - ((nextByte << 3) - held);
  tell(0, reached);
  tell(1, <i32>buffer & ((1 << left) - 1));
  tell(2, left);
  tell(3, made);
  tell(4, filled);
  return step;
}

/** The next symbol × 16 + bits of its code; 0 for none. */
function symbolAt(decoder: i32, buffer: u64): i32 {
  const entry = <i32>load<u16>(decoder + ((<i32>buffer & ((1 << DEFLATE_TABLE_BITS) - 1)) << 1));
  return entry != 0 ? entry : slowSymbolAt(decoder, <i32>buffer);
}

function slowSymbolAt(decoder: i32, bits: i32): i32 {
  let code = 0;
  let first = 0;
  let place = 0;
  for (let length = 1, rest = bits; length <= CODE_BITS_MAX; length++, rest >>= 1) {
    code |= rest & 1;
    const codes = <i32>load<u16>(decoder + COUNTS_AT + (length << 1));
    if (code - first < codes) {
      return <i32>load<u16>(decoder + SYMBOLS_AT + ((place + code - first) << 1)) * 16 + length;
    }
    place += codes;
    first = (first + codes) << 1;
    code <<= 1;
  }
  return 0;
}

/** Writes what lies so far in front of `to` once more; up to a word more, which whoever comes next overwrites. */
function repeat(to: i32, distance: i32, length: i32): void {
  const end = to + length;
  if (distance >= WORD_BYTES) {
    for (let at = to; at < end; at += WORD_BYTES) store<u64>(at, load<u64>(at - distance));
  } else if (distance == 1) {
    const word = <u64>load<u8>(to - 1) * 0x0101010101010101;
    for (let at = to; at < end; at += WORD_BYTES) store<u64>(at, word);
  } else {
    for (let at = to; at < end; at++) store<u8>(at, load<u8>(at - distance));
  }
}

// --- Guide -----------------------------------------------------------------------------------------------------------

export function note(before: i32, filled: i32, count: i32): void {
  memory.fill(NOTES + (before << 2), 0xff, (filled - before) << 2);
  let at = before;
  for (let i = 0; i < count; i++) {
    const token = load<i32>(STEP + (i << 2));
    store<i32>(NOTES + (at << 2), token);
    at += token == LITERAL ? 1 : token >>> 16;
  }
}

// --- SymbolCounts and BitWriter --------------------------------------------------------------------------------------

function lengthSymbolOf(less: i32): i32 {
  if (less < 8) return less;
  if (less == MATCH_BYTES_MAX - MATCH_BYTES_MIN) return LENGTH_SYMBOLS - 1;
  const bit = 31 - clz(less);
  return 4 * (bit - 1) + ((less >> (bit - 2)) & 3);
}

function distanceSymbolOf(less: i32): i32 {
  if (less < 4) return less;
  const bit = 31 - clz(less);
  return 2 * bit + ((less >> (bit - 1)) & 1);
}

function add(place: i32): void {
  store<i32>(place, load<i32>(place) + 1);
}

/** Of so many tokens of BLOCK. */
export function countSymbols(tokens: i32): void {
  memory.fill(LITERAL_COUNTS, 0, BLOCK - LITERAL_COUNTS);
  for (let i = 0; i < tokens; i++) {
    const token = load<u32>(BLOCK + (i << 2));
    if (token < <u32>LITERALS) {
      add(LITERAL_COUNTS + ((<i32>token) << 2));
      continue;
    }
    add(LITERAL_COUNTS + ((LITERALS + 1 + lengthSymbolOf(<i32>(token >> 16) - MATCH_BYTES_MIN)) << 2));
    add(DISTANCE_COUNTS + (distanceSymbolOf(<i32>(token & 0xffff) - 1) << 2));
  }
}

/**
 * Writes tokens of BLOCK as long as there is room. Tells at, bits, count.
 * @returns the next token; -1 when one has no code
 */
export function writeTokens(first: i32, tokens: i32, outAt: i32, bits: i32, count: i32): i32 {
  let at = OUTPUT + outAt;
  let buffer = <u64>(<u32>bits);
  let held = <u64>count;
  let i = first;
  for (; i < tokens && at <= OUTPUT + DEFLATE_SLICE_BYTES - WORD_BYTES; i++) {
    const token = load<u32>(BLOCK + (i << 2));
    if (token < <u32>LITERALS) {
      const code = load<u32>(LITERAL_CODES + ((<i32>token) << 2));
      if (code == 0) return -1;
      buffer |= (<u64>(code & 0xffff)) << held;
      held += code >> 16;
    } else {
      const length = <i32>(token >> 16) - MATCH_BYTES_MIN;
      const lengthSymbol = lengthSymbolOf(length);
      const distance = <i32>(token & 0xffff) - 1;
      const distanceSymbol = distanceSymbolOf(distance);
      const lengthCode = load<u32>(LITERAL_CODES + ((LITERALS + 1 + lengthSymbol) << 2));
      const distanceCode = load<u32>(DISTANCE_CODES + (distanceSymbol << 2));
      if (lengthCode == 0 || distanceCode == 0) return -1;
      buffer |= (<u64>(lengthCode & 0xffff)) << held;
      held += lengthCode >> 16;
      if (lengthSymbol >= 8 && lengthSymbol < LENGTH_SYMBOLS - 1) {
        const more = (lengthSymbol >> 2) - 1;
        buffer |= (<u64>(length & ((1 << more) - 1))) << held;
        held += more;
      }
      buffer |= (<u64>(distanceCode & 0xffff)) << held;
      held += distanceCode >> 16;
      if (distanceSymbol >= 4) {
        const more = (distanceSymbol >> 1) - 1;
        buffer |= (<u64>(distance & ((1 << more) - 1))) << held;
        held += more;
      }
    }
    // fewer than 8 bits were left over, and a token has 48 at most
    store<u64>(at, buffer);
    at += <i32>(held >> 3);
    buffer >>= held & ~7;
    held &= 7;
  }
  tell(0, at - OUTPUT);
  tell(1, <i32>buffer);
  tell(2, <i32>held);
  return i;
}
