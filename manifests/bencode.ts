/**
 * Bencode (BEP 3), the encoding of torrents and tracker replies; strict, so that a value has exactly one encoding.
 *
 * Not the `bencode` package: it turns dictionary keys into UTF-8 text, which destroys the binary keys of `piece layers`
 * (BEP 52) and of scrape replies (BEP 48), accepts keys in any order, and has no caps.
 */
import { Failure } from "./failures.ts";
import { BENCODE_DEPTH_MAX, BENCODE_ITEMS_MAX } from "./limits.ts";

/**
 * What bencode can say. Keys of a dictionary are byte strings: one UTF-16 unit a byte, so that binary keys survive and
 * `<` on keys is byte order. For a key that is text outside ASCII, see `keyOfText`.
 */
export type Bencode = number | Uint8Array | readonly Bencode[] | BencodeDict;
export type BencodeDict = ReadonlyMap<string, Bencode>;
/** What the writer takes: strings too, written as UTF-8; lists as they come; and what was encoded before. */
export type BencodeInput =
  | number
  | string
  | Uint8Array
  | Encoded
  | Iterable<BencodeInput>
  | ReadonlyMap<string, BencodeInput>;

/** A value that is bencode already: put in as it is, so that a large one is built and encoded once. */
export class Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(value: BencodeInput) {
    this.bytes = encodeBencode(value);
  }
}

/** A value of a dictionary and the very bytes it was read from: an info hash is the hash of those. */
export interface BencodeEntry {
  readonly value: Bencode;
  readonly bytes: Uint8Array;
}

const INTEGER = 0x69; // i
const LIST = 0x6c; // l
const DICT = 0x64; // d
const END = 0x65; // e
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A dictionary with ASCII keys; entries that are undefined are left out. */
export function dict(entries: Readonly<Record<string, BencodeInput | undefined>>): ReadonlyMap<string, BencodeInput> {
  const map = new Map<string, BencodeInput>();
  for (const [key, value] of Object.entries(entries)) if (value !== undefined) map.set(key, value);
  return map;
}

/** Text -> the dictionary key that is its UTF-8. */
export function keyOfText(text: string): string {
  return isAscii(text) ? text : keyOfBytes(encoder.encode(text));
}

/** The other way. Throws: object.malformed when the key is not UTF-8. */
export function textOfKey(key: string): string {
  return isAscii(key) ? key : decodeUtf8(bytesOfKey(key));
}

/** A byte string that is text. Throws: object.malformed when it is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new Failure("object.malformed", { kind: "bencode", reason: "text that is not UTF-8" }, { cause });
  }
}

/** Bytes -> the dictionary key that is those bytes. */
export function keyOfBytes(bytes: Uint8Array): string {
  let key = "";
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

/** A dictionary key -> its bytes. */
export function bytesOfKey(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}

/** Value -> bencode. Dictionaries are written in key order, whatever order they were built in. */
export function encodeBencode(value: BencodeInput): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writer.value(value);
  return writer.finish();
}

/** Bencode -> value; byte strings are views of `bytes`. Throws: object.malformed on anything but one canonical value. */
export function decodeBencode(bytes: Uint8Array): Bencode {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** A bencoded dictionary -> its entries, each with the bytes it was read from. Throws: object.malformed. */
export function decodeBencodeEntries(bytes: Uint8Array): ReadonlyMap<string, BencodeEntry> {
  const reader = new Reader(bytes);
  const entries = reader.entries();
  reader.end();
  return entries;
}

class Writer {
  #bytes = new Uint8Array(4096);
  #length = 0;

  value(value: BencodeInput): void {
    if (typeof value === "number") this.#integer(value);
    else if (typeof value === "string") this.#key(keyOfText(value));
    else if (value instanceof Uint8Array) this.#string(value);
    else if (value instanceof Encoded) this.#append(value.bytes);
    else if (value instanceof Map) this.#dict(value as ReadonlyMap<string, BencodeInput>);
    else this.#list(value as Iterable<BencodeInput>);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #integer(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`bencode has no number ${value}`);
    this.#units(`i${value === 0 ? 0 : value}e`);
  }

  #string(value: Uint8Array): void {
    this.#units(`${value.length}:`);
    this.#append(value);
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A byte string that comes as a key: one UTF-16 unit a byte. */
  #key(key: string): void {
    this.#units(`${key.length}:`);
    this.#units(key);
  }

  #list(values: Iterable<BencodeInput>): void {
    this.#units("l");
    for (const value of values) this.value(value);
    this.#units("e");
  }

  #dict(values: ReadonlyMap<string, BencodeInput>): void {
    this.#units("d");
    // toSorted without a comparison orders by UTF-16 unit, which for these keys is byte
    for (const key of [...values.keys()].toSorted()) {
      this.#key(key);
      this.value(values.get(key) ?? "");
    }
    this.#units("e");
  }

  #units(text: string): void {
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length++] = text.charCodeAt(i);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(depth: number): Bencode {
    if (depth > BENCODE_DEPTH_MAX) throw this.#malformed(`nested deeper than ${BENCODE_DEPTH_MAX}`);
    if (++this.#items > BENCODE_ITEMS_MAX) throw this.#malformed(`more than ${BENCODE_ITEMS_MAX} items`);
    const first = this.#bytes[this.#at];
    if (first === INTEGER) return this.#integer();
    if (first === LIST) return this.#list(depth);
    if (first === DICT) return this.#dict(depth);
    return this.#string();
  }

  entries(): Map<string, BencodeEntry> {
    if (this.#bytes[this.#at] !== DICT) throw this.#malformed("not a dictionary");
    const entries = new Map<string, BencodeEntry>();
    this.#pairs((key) => {
      const start = this.#at;
      const value = this.value(1);
      entries.set(key, { value, bytes: this.#bytes.subarray(start, this.#at) });
    });
    return entries;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.#malformed("bytes after the value");
  }

  #integer(): number {
    this.#at += 1;
    const negative = this.#bytes[this.#at] === MINUS;
    if (negative) this.#at += 1;
    const magnitude = this.#digits(END);
    if (negative && magnitude === 0) throw this.#malformed("negative zero");
    return negative ? -magnitude : magnitude;
  }

  #string(): Uint8Array {
    const length = this.#digits(COLON);
    if (length > this.#bytes.length - this.#at) throw this.#malformed("a string ends after the data");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #list(depth: number): Bencode[] {
    this.#at += 1;
    const values: Bencode[] = [];
    while (this.#bytes[this.#at] !== END) values.push(this.value(depth + 1));
    this.#at += 1;
    return values;
  }

  #dict(depth: number): Map<string, Bencode> {
    const values = new Map<string, Bencode>();
    this.#pairs((key) => values.set(key, this.value(depth + 1)));
    return values;
  }

  #pairs(take: (key: string) => void): void {
    this.#at += 1;
    let last: string | undefined;
    while (this.#bytes[this.#at] !== END) {
      const key = keyOfBytes(this.#string());
      if (last !== undefined && key <= last) throw this.#malformed("keys out of order");
      last = key;
      take(key);
    }
    this.#at += 1;
  }

  /** Decimal digits up to `end`, which is consumed: no sign, no leading zero, at most 2^53 - 1. */
  #digits(end: number): number {
    const start = this.#at;
    let value = 0;
    for (;;) {
      const byte = this.#bytes[this.#at++] ?? 0;
      if (byte === end && this.#at > start + 1) break;
      if (byte < ZERO || byte > NINE) throw this.#malformed("not a number");
      value = value * 10 + (byte - ZERO);
      if (value > Number.MAX_SAFE_INTEGER) throw this.#malformed("a number over 2^53 - 1");
    }
    if (this.#bytes[start] === ZERO && this.#at > start + 2) throw this.#malformed("a leading zero");
    return value;
  }

  #malformed(reason: string): Failure {
    return new Failure("object.malformed", { kind: "bencode", reason, offset: this.#at });
  }
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}
