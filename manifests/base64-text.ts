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
/** Digits that base64 of any bytes has, a bit each: a word, a hexadecimal number or a map of letters lacks some of them. */
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
 * The runs in `within`, a part of a file, in order: those of BASE64_RUN_BYTES_MIN and more that are written as any
 * encoder would write their bytes, so that these say the text again, and have digits of all kinds. Digits that make no
 * whole group at the end are not in them. Holds BASE64_FIND_BYTES. Throws: what reading throws.
 */
export function* findBase64(read: ReadBytes, within: Piece): Generator<Base64Run> {
  const end = within.offset + within.bytes;
  const held = new Uint8Array(Math.min(within.bytes, BASE64_FIND_BYTES));
  let begun: number | undefined;
  let kinds = 0;
  const finished = (ended: number): Base64Run | undefined => {
    const run = begun === undefined || kinds !== ALL_KINDS ? undefined : runOf(read, begun, ended, end);
    begun = undefined;
    kinds = 0;
    return run;
  };
  for (let at = within.offset; at < end; at += held.length) {
    const piece = held.subarray(0, Math.min(held.length, end - at));
    read(at, piece);
    for (let i = 0; i < piece.length;) {
      // a run is long: where one byte in so many is no digit there is none that begins before it and goes on behind it
      if (begun === undefined) {
        i = nextInside(piece, i);
        if (i < piece.length) begun = at + i;
      }
      for (; i < piece.length && (DIGITS[piece[i] as number] as number) < NO_DIGIT; i++) {
        kinds |= KIND[piece[i] as number] as number;
      }
      if (i === piece.length) break;
      const run = finished(at + i);
      if (run !== undefined) yield run;
    }
  }
  const last = finished(end);
  if (last !== undefined) yield last;
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

/** What of digits [begun, end) is a run, with the padding behind it; undefined when it is none. */
function runOf(read: ReadBytes, begun: number, end: number, fileEnd: number): Base64Run | undefined {
  const digits = end - begun;
  if (digits < RUN_DIGITS_MIN) return undefined;
  const rest = digits % GROUP_DIGITS;
  const whole = digits - rest;
  const padded = whole + GROUP_DIGITS;
  if (rest >= 2 && begun + padded <= fileEnd) {
    const tail = new Uint8Array(GROUP_DIGITS);
    read(begun + whole, tail);
    // the bits of the last digit that say nothing are zeros
    const unused = rest === 2 ? 0x0f : 0x03;
    const isZero = ((DIGITS[tail[rest - 1] as number] as number) & unused) === 0;
    if (isZero && tail.subarray(rest).every((byte) => byte === PADDING))
      return longEnough(begun, padded, GROUP_DIGITS - rest);
  }
  return longEnough(begun, whole, 0);
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
