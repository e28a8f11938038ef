/**
 * Runs of base64 (RFC 4648 §4) in the bytes of a file: pictures in stylesheets, buffers in glTF, anything in JSON. A
 * byte more in front of what they say, and no digit stays: then only what they say can be compared.
 */
import { BASE64_DIGITS } from "./base64.ts";
import type { Piece, ReadBytes } from "./deflate/find.ts";
import { BASE64_FIND_BYTES, BASE64_RUN_BYTES_MIN } from "./limits.ts";

/** Whole groups of digits, and the padding behind them. */
export interface Base64Run extends Piece {
  /** Bytes that it says. */
  readonly plainBytes: number;
}

/** Digits that say three bytes. */
const GROUP_DIGITS = 4;
/** Of the shortest run: two of the last group may be padding. */
const RUN_DIGITS_MIN = BASE64_RUN_BYTES_MIN - 2;
const PADDING = 0x3d;
const NO_DIGIT = 64;
/** What a digit says, by its character. */
const DIGITS = digitValues();
/**
 * Digits that base64 of any bytes has, a bit each: a word, a hexadecimal number or a map of letters lacks some of them.
 */
const KINDS = [/[0-9]/, /[G-Z]/, /[g-z]/] as const;
const ALL_KINDS = 2 ** KINDS.length - 1;
const KIND = Uint8Array.from({ length: 256 }, (_, character) =>
  KINDS.reduce((bits, kind, i) => bits + (kind.test(String.fromCharCode(character)) ? 2 ** i : 0), 0),
);

function digitValues(): Uint8Array<ArrayBuffer> {
  const values = new Uint8Array(256).fill(NO_DIGIT);
  for (let i = 0; i < BASE64_DIGITS.length; i++) values[BASE64_DIGITS.charCodeAt(i)] = i;
  return values;
}

/**
 * The runs in `within`, a part of a file, in order: see Base64Finder. Holds BASE64_FIND_BYTES. Throws: what reading
 * throws.
 */
export function* findBase64(read: ReadBytes, within: Piece): Generator<Base64Run> {
  const end = within.offset + within.bytes;
  const held = new Uint8Array(Math.min(within.bytes, BASE64_FIND_BYTES));
  const finder = new Base64Finder(within.offset);
  for (let at = within.offset; at < end; at += held.length) {
    const piece = held.subarray(0, Math.min(held.length, end - at));
    read(at, piece);
    yield* finder.push(piece);
  }
  yield* finder.end();
}

/** Digits that ended in the middle of a group. */
interface OpenDigits {
  readonly offset: number;
  /** Of the groups in front. */
  readonly wholeBytes: number;
  /** How much of it the group needs, and how much there was. */
  readonly padding: number;
  padded: number;
}

/**
 * Finds the runs in bytes that come piece by piece: those of BASE64_RUN_BYTES_MIN and more that are written as any
 * encoder would write their bytes, so that these say the text again, and have digits of all kinds. Digits that make no
 * whole group at the end are not in them. Holds nothing of the pieces.
 */
export class Base64Finder {
  /** Of the next piece. */
  #at: number;
  /** Where the digits begin that go on to the end of the pieces up to now. */
  #begun: number | undefined;
  #kinds = 0;
  /** The last byte of the pieces up to now. */
  #last = 0;
  #open: OpenDigits | undefined;

  /** @param at  where the first piece lies */
  constructor(at: number) {
    this.#at = at;
  }

  /** The runs that end in the next piece, as far as that is sure. */
  *push(piece: Uint8Array): Generator<Base64Run> {
    for (let i = 0; i < piece.length;) {
      if (this.#open !== undefined) {
        const isPadding = piece[i] === PADDING;
        if (isPadding) i++;
        const run = this.#pad(this.#open, isPadding);
        if (run !== undefined) yield run;
        continue;
      }
      // a run is long: where one byte in so many is no digit there is none that begins before it and goes on behind it
      if (this.#begun === undefined) {
        i = nextInside(piece, i);
        if (i < piece.length) this.#begun = this.#at + i;
      }
      let kinds = this.#kinds;
      for (; i < piece.length && (DIGITS[piece[i] as number] as number) < NO_DIGIT; i++) {
        kinds |= KIND[piece[i] as number] as number;
      }
      this.#kinds = kinds;
      if (i === piece.length) break;
      const run = this.#finished(this.#at + i, i === 0 ? this.#last : (piece[i - 1] as number));
      if (run !== undefined) yield run;
    }
    this.#at += piece.length;
    this.#last = piece.at(-1) ?? this.#last;
  }

  /** What is left when there are no more pieces. */
  *end(): Generator<Base64Run> {
    const run = this.#finished(this.#at, this.#last) ?? (this.#open && this.#pad(this.#open, false));
    if (run !== undefined) yield run;
  }

  /**
   * Digits end: a run, or one that may be padded.
   * @param lastDigit  its character
   */
  #finished(end: number, lastDigit: number): Base64Run | undefined {
    const [begun, kinds] = [this.#begun, this.#kinds];
    this.#begun = undefined;
    this.#kinds = 0;
    if (begun === undefined || kinds !== ALL_KINDS || end - begun < RUN_DIGITS_MIN) return undefined;
    const rest = (end - begun) % GROUP_DIGITS;
    const wholeBytes = end - begun - rest;
    // the bits of the last digit that say nothing are zeros
    const unused = rest === 2 ? 0x0f : 0x03;
    if (rest < 2 || ((DIGITS[lastDigit] as number) & unused) !== 0) return longEnough(begun, wholeBytes, 0);
    this.#open = { offset: begun, wholeBytes, padding: GROUP_DIGITS - rest, padded: 0 };
    return undefined;
  }

  /** What comes behind such digits: the run, when all of its padding came or something else did. */
  #pad(open: OpenDigits, isPadding: boolean): Base64Run | undefined {
    if (isPadding && ++open.padded < open.padding) return undefined;
    this.#open = undefined;
    if (isPadding) return longEnough(open.offset, open.wholeBytes + GROUP_DIGITS, open.padding);
    return longEnough(open.offset, open.wholeBytes, 0);
  }
}

/** Where the digits begin among which the next one lies that is looked at; the end when there is none. */
function nextInside(piece: Uint8Array, start: number): number {
  for (let at = start; at < piece.length;) {
    const probe = Math.min(at + RUN_DIGITS_MIN - 1, piece.length - 1);
    let first = probe + 1;
    while (first > at && (DIGITS[piece[first - 1] as number] as number) < NO_DIGIT) first--;
    // digits to the end of the piece may go on behind it
    if (first <= probe) return first;
    at = probe + 1;
  }
  return piece.length;
}

function longEnough(offset: number, bytes: number, padding: number): Base64Run | undefined {
  const plainBytes = (bytes / GROUP_DIGITS) * 3 - padding;
  return bytes >= BASE64_RUN_BYTES_MIN ? { offset, bytes, plainBytes } : undefined;
}

/** How many bytes text of so many digits and padding says at least, and at most. */
export function base64PlainBytes(textBytes: number): readonly [least: number, most: number] {
  const most = (textBytes / GROUP_DIGITS) * 3;
  return [most - 2, most];
}
