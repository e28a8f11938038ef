/**
 * An old stream that shows the way: where the new plain bytes are those of an old stream again, whoever made both chose
 * the same tokens again, nearly always (measured: all but one of two thousand). To read them off the old stream takes a
 * fraction of the time that looking for matches takes, and works for streams that no zlib made.
 *
 * The old stream is read along with the new one, so many bytes ahead or behind: the offset. A token of it is a guess
 * where it begins at the same place, covers the same bytes, and would be a match here too. Where bytes differ there is
 * no guess, and the matcher is asked; where most of them differ, something was put in or left out, and another offset
 * is sought.
 *
 * A guess depends on the bytes of both streams, on the places that guesses were asked for, and on nothing else: how far
 * either was read when must not matter, for a player reads them otherwise than a publisher. The numbers below decide
 * it, and so does DEFLATE_GUIDE_REACH_BYTES: they are part of the format, and recipes that lie at origins need them as
 * they are.
 */
import { commonBytes } from "../common-bytes.ts";
import { DEFLATE_GUIDE_REACH_BYTES, DEFLATE_SLICE_BYTES } from "../limits.ts";
import { MATCH_BYTES_MAX } from "./alphabet.ts";
import type { Loops } from "./compiled-loops.ts";
import { LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { type StreamSource, TokenReader } from "./inflate.ts";
import { PlainWindow } from "./plain-window.ts";
import { LITERAL, type Token, bytesOf, distanceOf, lengthOf } from "./tokens.ts";
import { GUIDE_HASH_BITS, GUIDE_STEP_BYTES, NO_TOKEN, type Workspace, withWorkspace } from "./workspace.ts";

/** What `guess` says where the old stream says nothing: no token has this number. */
export const NO_GUESS = -1;
/** So many bytes are looked at to see whether the offset is still right: half of them should be the same. */
const LOST_BYTES = 32;
/** So many bytes have to be the same where an offset is taken. */
const SURE_BYTES = 48;
/** Offsets so far from the last one are tried one by one, the nearest first: most edits are small. */
const NEAR_BYTES = 256;
/** Old places are entered by a hash of so many bytes, every eighth of them; eight new places in a row meet one. */
const HASHED_BYTES = 16;
/** Places with the same hash that are compared, and how many bytes of each. */
const CANDIDATES_MAX = 16;
const COMPARED_BYTES = 200;
/** Bytes that are still compared behind a place that nobody asked about. */
const GAP_BYTES_MAX = 1024;
/** After a search in vain so many bytes pass before the next; twice as many each time. */
const PAUSE_BYTES_MIN = 16;
const PAUSE_BYTES_MAX = 4096;
/** Odd, and its powers spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
/** After so many steps in a row that bring nothing the old stream counts as read: empty blocks may go on for ever. */
const BARREN_STEPS_MAX = 64;
const NOWHERE = -1;

/** An old stream, and the memory to read it in. */
export interface Guiding {
  readonly source: StreamSource;
  readonly workspace: Workspace;
}

/** With memory for the guide while `act` runs; without a source there is none. */
export function withGuiding<T>(source: StreamSource | undefined, act: (guiding: Guiding | undefined) => T): T {
  return source === undefined ? act(undefined) : withWorkspace((workspace) => act({ source, workspace }));
}

export class Guide {
  readonly #fresh: PlainWindow;
  readonly #old: PlainWindow;
  readonly #reader: TokenReader;
  readonly #loops: Loops | undefined;
  /** By places of the old window: the token that begins there, or NO_TOKEN. */
  readonly #tokens: Uint32Array;
  /** Hash -> the last place that was entered with it, in bytes of the old stream. */
  readonly #newest: Float64Array;
  /** Such a place -> the one before it with the same hash. */
  readonly #before: Float64Array;
  #isRead = false;
  #barren = 0;
  /** An old place less the new one with the same bytes. */
  #offset = 0;
  /** New bytes between these are the old ones; those behind were not compared yet. Bytes of the new stream. */
  #agreedFrom = 0;
  #agreedTo = 0;
  /**
   * Of those, what lies between these needs no look: old tokens that end before `#runTo` and refer to nothing before
   * `#runFrom` are matches here too, and where they could be longer, so they could there. Nor does the old stream have
   * to be read on for them: LOOKAHEAD_BYTES behind each are there, or it ends. So how far a run is followed, which
   * callers choose, changes neither what is read nor `work`.
   */
  #runFrom = 0;
  #runTo = 0;
  /** Old bytes before this are not looked at any more. */
  #floor = 0;
  /** The next old place to be entered. */
  #entered = 0;
  /** New places before this are not sought. */
  #pausedTo = 0;
  #pause = PAUSE_BYTES_MIN;
  #work = 0;
  #followedTo = 0;
  #lastFollowed = 0;

  /** @param fresh  where the new plain bytes are */
  static of(guiding: Guiding | undefined, fresh: PlainWindow): Guide | undefined {
    return guiding === undefined ? undefined : new Guide(guiding, fresh);
  }

  private constructor({ source, workspace }: Guiding, fresh: PlainWindow) {
    this.#fresh = fresh;
    this.#old = new PlainWindow(workspace.plain);
    this.#reader = new TokenReader(source, this.#old, workspace);
    this.#loops = workspace.loops;
    const { tokens, newest, before } = workspace.guide;
    this.#tokens = tokens;
    this.#newest = newest.fill(NOWHERE);
    this.#before = before;
  }

  /**
   * Bytes of the old stream read, and bytes compared and entered to find an offset. What is compared along the offset
   * is not in it, and must not be: it is in proportion to the plain bytes anyway, and how far it goes depends on how
   * many of them are there, which differs between a publisher and a player. Both have to give up on the same streams.
   */
  get work(): number {
    return this.#work;
  }

  /** Behind the last token that `follow` gave, in the new window. */
  get followedTo(): number {
    return this.#followedTo;
  }

  /** Where the last token that `follow` gave begins. */
  get lastFollowed(): number {
    return this.#lastFollowed;
  }

  /**
   * @param at  the place in the new window; not before the one asked about last
   * @param end  where the bytes in the window end: LOOKAHEAD_BYTES behind `at`, or the end of all
   */
  guess(at: number, end: number): Token {
    const place = this.#fresh.start + at;
    if (place < this.#runTo) {
      const token = this.#tokens[place + this.#offset - this.#old.start] as number;
      if (token === LITERAL) return token;
      if (token !== NO_TOKEN && place + lengthOf(token) < this.#runTo && place - distanceOf(token) >= this.#runFrom)
        return token;
    }
    return this.#search(at, end);
  }

  /**
   * The guesses from `at` on, as long as they need no look: at most `most`, none at `sure` or behind it.
   * @param target  gets them from `first` on, literals as their bytes
   * @returns how many; `followedTo` is behind the last, and `lastFollowed` where it is
   */
  follow(at: number, sure: number, target: Uint32Array, first: number, most: number): number {
    const { bytes, start } = this.#fresh;
    if (start + at >= this.#runTo) return 0;
    const tokens = this.#tokens;
    const shift = start + this.#offset - this.#old.start;
    const from = this.#runFrom - start;
    const to = this.#runTo - start;
    const stop = Math.min(sure, to);
    const end = first + most;
    let count = first;
    let place = at;
    let last = at;
    while (place < stop && count < end) {
      const token = tokens[place + shift] as number;
      if (token === LITERAL) {
        target[count++] = bytes[place] as number;
        last = place++;
        continue;
      }
      if (token === NO_TOKEN) break;
      const behind = place + lengthOf(token);
      if (behind >= to || place - distanceOf(token) < from) break;
      target[count++] = token;
      last = place;
      place = behind;
    }
    this.#followedTo = place;
    this.#lastFollowed = last;
    return count - first;
  }

  #search(at: number, end: number): Token {
    const token = this.#tokenAlong(at, end);
    if (token !== NO_GUESS) return token;
    return this.#seek(at, end) ? this.#tokenAlong(at, end) : NO_GUESS;
  }

  #tokenAlong(at: number, end: number): Token {
    const place = this.#fresh.start + at;
    const oldPlace = place + this.#offset;
    this.#floor = Math.max(this.#floor, oldPlace - DEFLATE_GUIDE_REACH_BYTES);
    this.#reach(oldPlace + LOOKAHEAD_BYTES);
    const from = oldPlace - this.#old.start;
    if (oldPlace < this.#floor || from >= this.#old.filled) return NO_GUESS;
    const token = this.#tokens[from] as number;
    if (token === NO_TOKEN || bytesOf(token) > end - at || !this.#agrees(place, bytesOf(token))) return NO_GUESS;
    return token === LITERAL || this.#isMatch(at, oldPlace, end, token) ? token : NO_GUESS;
  }

  /** Whether so many bytes are the old ones. Looks on from there: mostly those that follow are too. */
  #agrees(place: number, bytes: number): boolean {
    if (place - this.#agreedTo > GAP_BYTES_MAX) this.#agreedFrom = this.#agreedTo = place;
    const end = place + bytes;
    if (this.#agreedTo < end && !this.#agreeOn(place, end)) {
      // nobody asks about a place between them: no other old token begins there
      this.#agreedFrom = this.#agreedTo = end;
      return false;
    }
    if (this.#agreedFrom > place) return false;
    // farther on, the old stream would have to be read on
    const { start, filled } = this.#old;
    const readTo = start + filled - (this.#isRead ? 0 : LOOKAHEAD_BYTES);
    this.#runTo = Math.min(this.#agreedTo, readTo - this.#offset);
    this.#runFrom = Math.max(this.#agreedFrom, this.#floor - this.#offset);
    return true;
  }

  /** Compares up to `end` at least, unless a byte from `place` on is another. */
  #agreeOn(place: number, end: number): boolean {
    const { bytes: fresh, view, start, filled } = this.#fresh;
    const { bytes: old, view: oldView, start: oldStart, filled: oldFilled } = this.#old;
    const shift = start + this.#offset - oldStart;
    const from = Math.max(place, this.#agreedTo) - start;
    const to = from + commonBytes(view, from, oldView, from + shift, Math.min(filled, oldFilled - shift) - from);
    if (start + to < end) return false;
    let back = from;
    while (start + back > this.#agreedTo && fresh[back - 1] === old[back - 1 + shift]) back--;
    if (start + back > this.#agreedTo) this.#agreedFrom = start + back;
    this.#agreedTo = start + to;
    return true;
  }

  /** Whether the bytes far back agree too, and zlib would not have made more of it. */
  #isMatch(at: number, oldPlace: number, end: number, token: Token): boolean {
    const { bytes, view, start } = this.#fresh;
    const distance = distanceOf(token);
    const length = lengthOf(token);
    const source = at - distance;
    if (source < 0) return false;
    if (start + source < this.#agreedFrom && commonBytes(view, source, view, at, length) < length) return false;
    if (length === MATCH_BYTES_MAX || length === end - at || bytes[source + length] !== bytes[at + length]) return true;
    // here it could be longer: so it could there, and was not made so, or the old stream says nothing
    const { bytes: old, start: oldStart, filled } = this.#old;
    const from = oldPlace - oldStart;
    if (oldPlace - distance < this.#floor || from + length >= filled) return false;
    return old[from - distance + length] === old[from + length];
  }

  /** Looks for another offset when this one is wrong. Returns whether there is one. */
  #seek(at: number, end: number): boolean {
    const place = this.#fresh.start + at;
    const ahead = Math.min(end - at, LOOKAHEAD_BYTES);
    if (place < this.#pausedTo || ahead < SURE_BYTES + GUIDE_STEP_BYTES || !this.#isLost(at)) return false;
    const expected = place + this.#offset;
    this.#reach(expected + DEFLATE_GUIDE_REACH_BYTES + COMPARED_BYTES);
    const near = this.#findNear(at, expected);
    const found = near === NOWHERE ? this.#findFar(at, ahead, expected) : near;
    if (found === NOWHERE) {
      this.#pausedTo = place + this.#pause;
      this.#pause = Math.min(2 * this.#pause, PAUSE_BYTES_MAX);
      return false;
    }
    this.#pause = PAUSE_BYTES_MIN;
    this.#offset = found - place;
    this.#agreedFrom = this.#agreedTo = place;
    this.#runTo = 0;
    return true;
  }

  #isLost(at: number): boolean {
    const { bytes: fresh, start } = this.#fresh;
    const { bytes: old, filled } = this.#old;
    const from = start + at + this.#offset - this.#old.start;
    if (from < 0 || from + LOST_BYTES > filled) return true;
    let same = 0;
    for (let i = 0; i < LOST_BYTES; i++) if (fresh[at + i] === old[from + i]) same++;
    return same < LOST_BYTES / 2;
  }

  #findNear(at: number, expected: number): number {
    for (let by = 1; by <= NEAR_BYTES; by++) {
      if (this.#sameBytes(at, expected + by, SURE_BYTES) === SURE_BYTES) return expected + by;
      if (this.#sameBytes(at, expected - by, SURE_BYTES) === SURE_BYTES) return expected - by;
    }
    return NOWHERE;
  }

  /** The old place with most of the bytes that follow; of several, the nearest. */
  #findFar(at: number, ahead: number, expected: number): number {
    this.#enter(expected + DEFLATE_GUIDE_REACH_BYTES);
    const { view: fresh } = this.#fresh;
    const before = this.#before;
    const most = Math.min(ahead, COMPARED_BYTES);
    let best = SURE_BYTES - 1;
    let found = NOWHERE;
    for (let step = 0; step < GUIDE_STEP_BYTES; step++) {
      let place = this.#newest[hashAt(fresh, at + step)] as number;
      for (let left = CANDIDATES_MAX; left > 0 && place - step >= this.#floor; left--) {
        const same = this.#sameBytes(at, place - step, most);
        const isNearer = Math.abs(place - step - expected) < Math.abs(found - expected);
        if (same > best || (same === best && found !== NOWHERE && isNearer)) {
          best = same;
          found = place - step;
        }
        const next = before[(place / GUIDE_STEP_BYTES) % before.length] as number;
        // a place that was overwritten since is a later one
        if (next >= place) break;
        place = next;
      }
    }
    return found;
  }

  /** How many of `most` bytes are the same at a place of the new window and at one of the old stream. */
  #sameBytes(at: number, place: number, most: number): number {
    const { bytes, view: old, start, filled } = this.#old;
    const from = place - start;
    if (place < this.#floor) return 0;
    if (bytes[from] !== this.#fresh.bytes[at]) {
      this.#work++;
      return 0;
    }
    const same = commonBytes(this.#fresh.view, at, old, from, Math.min(most, filled - from));
    this.#work += same + 1;
    return same;
  }

  /** Enters the old places up to `to`, as far as they are kept. */
  #enter(to: number): void {
    const { view, start, filled } = this.#old;
    const last = Math.min(to, start + filled) - HASHED_BYTES;
    let place = Math.max(this.#entered, Math.ceil(this.#floor / GUIDE_STEP_BYTES) * GUIDE_STEP_BYTES);
    this.#work += Math.max(0, last - place);
    for (; place <= last; place += GUIDE_STEP_BYTES) {
      const hash = hashAt(view, place - start);
      this.#before[(place / GUIDE_STEP_BYTES) % this.#before.length] = this.#newest[hash] as number;
      this.#newest[hash] = place;
    }
    this.#entered = place;
  }

  /** Reads the old stream on until what is before `place` is there, or all of it. */
  #reach(place: number): void {
    const old = this.#old;
    while (!this.#isRead && old.start + old.filled < place) {
      if (old.room < DEFLATE_SLICE_BYTES) this.#slide();
      const before = old.filled;
      const step = this.#reader.step();
      this.#barren = old.filled === before ? this.#barren + 1 : 0;
      const isEnd = step === "block-end" && this.#reader.block.isFinal;
      this.#isRead = step === "invalid" || isEnd || this.#barren > BARREN_STEPS_MAX;
      if (this.#loops === undefined) this.#note(before);
      else this.#loops.note(before, old.filled, this.#reader.tokenCount);
      this.#work += old.filled - before + 1;
    }
  }

  #slide(): void {
    const old = this.#old;
    const { filled } = old;
    const by = old.slide(Math.min(this.#floor - old.start, filled));
    this.#tokens.copyWithin(0, by, filled);
  }

  /** Writes down where the tokens of the last step begin. Stored bytes have none. */
  #note(before: number): void {
    const { tokens, tokenCount } = this.#reader;
    this.#tokens.fill(NO_TOKEN, before, this.#old.filled);
    let at = before;
    for (let i = 0; i < tokenCount; i++) {
      const token = tokens[i] as Token;
      this.#tokens[at] = token;
      at += bytesOf(token);
    }
  }
}

function hashAt(bytes: DataView, at: number): number {
  let hash = 0;
  for (let i = at; i < at + HASHED_BYTES; i += 4) {
    hash = Math.imul(hash ^ bytes.getInt32(i, true), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  return hash >>> (32 - GUIDE_HASH_BITS);
}
