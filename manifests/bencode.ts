/**
 * Bencode (BEP 3), the encoding of torrents and tracker replies; strict, so that a value has exactly one encoding.
 *
 * Not the `bencode` package: it turns dictionary keys into UTF-8 text, which destroys the binary keys of `piece layers`
 * (BEP 52) and of scrape replies (BEP 48), accepts keys in any order, and has no caps.
 */
import { concatBytes, equalBytes } from "./digest.ts";
import { Failure } from "./failures.ts";
import { BENCODE_DEPTH_MAX, BENCODE_ITEMS_MAX, BENCODE_KEY_BYTES_MAX } from "./limits.ts";

/**
 * What bencode can say. Keys of a dictionary are byte strings: one UTF-16 unit a byte, so that binary keys survive and
 * `<` on keys is byte order. For a key that is text outside ASCII, see `keyOfText`.
 */
export type Bencode = number | Uint8Array | readonly Bencode[] | BencodeDict;
export type BencodeDict = ReadonlyMap<string, Bencode>;
/**
 * What the writer takes: strings too, written as UTF-8; lists and entries as they come; and what was encoded before.
 */
export type BencodeInput =
  | number
  | string
  | Uint8Array
  | Encoded
  | Entries
  | Iterable<BencodeInput>
  | ReadonlyMap<string, BencodeInput>;

/** A value that is bencode already: put in as it is, so that a large one is built and encoded once. */
export class Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(value: BencodeInput) {
    this.bytes = encodeBencode(value);
  }
}

/**
 * A dictionary that is written as its entries come, in the order of their keys, so that a large one is never there as a
 * whole.
 */
export class Entries {
  readonly entries: Iterable<readonly [key: string, value: BencodeInput]>;

  constructor(entries: Iterable<readonly [key: string, value: BencodeInput]>) {
    this.entries = entries;
  }
}

/** A value of a dictionary and the very bytes it was read from: an info hash is the hash of those. */
export interface BencodeEntry {
  /** Made when it is asked for: of a torrent most are not. */
  readonly value: Bencode;
  readonly bytes: Uint8Array;
}

/** What nested dictionaries have under an empty key. */
export interface BencodeLeaf {
  /** The keys that lead there, one at least, without the empty one. */
  readonly keys: readonly string[];
  readonly value: Bencode;
}

const INTEGER = 0x69; // i
const LIST = 0x6c; // l
const DICT = 0x64; // d
const END = 0x65; // e
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
/** The writer's blocks: the first, and the longest. Larger values are not copied into one. */
const BLOCK_BYTES_MIN = 4096;
const BLOCK_BYTES_MAX = 1024 * 1024;

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
  const blocks: Uint8Array[] = [];
  new Writer((block) => blocks.push(block), "kept").write(value);
  return concatBytes(blocks);
}

/**
 * Whether a value is written as these bytes. Compared while it is written: of a large one that is less than half the
 * memory.
 */
export function isBencodeOf(value: BencodeInput, bytes: Uint8Array): boolean {
  let at = 0;
  let isSame = true;
  const compare = (block: Uint8Array): void => {
    isSame &&= equalBytes(block, bytes.subarray(at, at + block.length));
    at += block.length;
  };
  new Writer(compare, "looked at").write(value);
  return isSame && at === bytes.length;
}

/** How many bytes the value takes as bencode. They are never there together. */
export function bencodeBytes(value: BencodeInput): number {
  let bytes = 0;
  new Writer((block) => void (bytes += block.length), "looked at").write(value);
  return bytes;
}

/**
 * Bencode -> value; byte strings are views of `bytes`. Throws: object.malformed on anything but one canonical value.
 */
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

/**
 * Nested dictionaries that end where the only key is empty, as the "file tree" of BEP 52 -> their ends, one at a time:
 * as maps the tree of a large title is ten times its bytes. Throws: object.malformed, perhaps after some.
 */
export function* bencodeLeaves(bytes: Uint8Array): Generator<BencodeLeaf> {
  const reader = new Reader(bytes);
  yield* reader.leaves([]);
  reader.end();
}

class Writer {
  readonly #take: (block: Uint8Array) => void;
  readonly #areKept: boolean;
  #block = new Uint8Array(BLOCK_BYTES_MIN);
  #length = 0;

  /** @param take  called with one block after another, of which none is written to again when they are kept */
  constructor(take: (block: Uint8Array) => void, blocks: "kept" | "looked at") {
    this.#take = take;
    this.#areKept = blocks === "kept";
  }

  write(value: BencodeInput): void {
    this.value(value);
    this.#close();
  }

  value(value: BencodeInput): void {
    if (typeof value === "number") this.#integer(value);
    else if (typeof value === "string") this.#key(keyOfText(value));
    else if (value instanceof Uint8Array) this.#string(value);
    else if (value instanceof Encoded) this.#append(value.bytes);
    else if (value instanceof Entries) this.#entries(value.entries);
    else if (value instanceof Map) this.#entries(inOrder(value as ReadonlyMap<string, BencodeInput>));
    else this.#list(value as Iterable<BencodeInput>);
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
    if (bytes.length >= BLOCK_BYTES_MAX) {
      this.#close();
      this.#take(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#block.set(bytes, this.#length);
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

  #entries(entries: Entries["entries"]): void {
    this.#units("d");
    let last: string | undefined;
    for (const [key, value] of entries) {
      if (last !== undefined && key <= last) throw new RangeError("entries of a dictionary out of order");
      last = key;
      this.#key(key);
      this.value(value);
    }
    this.#units("e");
  }

  #units(text: string): void {
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#block[this.#length++] = text.charCodeAt(i);
  }

  #reserve(more: number): void {
    if (this.#length + more > this.#block.length) this.#close(more);
  }

  /** Begins another block, with room for so many bytes. */
  #close(room = 0): void {
    this.#take(this.#block.subarray(0, this.#length));
    this.#length = 0;
    if (!this.#areKept && room <= this.#block.length) return;
    this.#block = new Uint8Array(Math.max(room, Math.min(2 * this.#block.length, BLOCK_BYTES_MAX)));
  }
}

function inOrder(map: ReadonlyMap<string, BencodeInput>): Entries["entries"] {
  // toSorted without a comparison orders by UTF-16 unit, which for these keys is byte
  return [...map.keys()].toSorted().map((key) => [key, map.get(key) ?? ""] as const);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(depth: number): Bencode {
    this.#count(depth);
    const first = this.#bytes[this.#at];
    if (first === INTEGER) return this.#integer();
    if (first === LIST) return this.#list(depth);
    if (first === DICT) return this.#dict(depth);
    return this.#string();
  }

  entries(): Map<string, BencodeEntry> {
    const entries = new Map<string, BencodeEntry>();
    for (const key of this.#keys()) {
      const start = this.#at;
      this.#skip(1);
      entries.set(key, new LazyEntry(this.#bytes.subarray(start, this.#at)));
    }
    return entries;
  }

  *leaves(keys: readonly string[]): Generator<BencodeLeaf> {
    if (keys.length > BENCODE_DEPTH_MAX) throw this.#malformed(`nested deeper than ${BENCODE_DEPTH_MAX}`);
    let isLeaf = false;
    for (const key of this.#keys()) {
      if (isLeaf || (key === "" && keys.length === 0)) throw this.#malformed("an empty key among others");
      isLeaf = key === "";
      if (isLeaf) yield { keys, value: this.value(keys.length) };
      else yield* this.leaves([...keys, key]);
    }
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
    const length = this.#passString();
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** @returns its bytes */
  #passString(): number {
    const length = this.#digits(COLON);
    if (length > this.#bytes.length - this.#at) throw this.#malformed("a string ends after the data");
    this.#at += length;
    return length;
  }

  #list(depth: number): Bencode[] {
    this.#at += 1;
    const values: Bencode[] = [];
    while (!this.#isEnd()) values.push(this.value(depth + 1));
    return values;
  }

  #dict(depth: number): Map<string, Bencode> {
    const values = new Map<string, Bencode>();
    for (const key of this.#keys()) values.set(key, this.value(depth + 1));
    return values;
  }

  /** Like `value`, with nothing to show for it. */
  #skip(depth: number): void {
    this.#count(depth);
    const first = this.#bytes[this.#at];
    if (first === INTEGER) this.#integer();
    else if (first === LIST) for (this.#at += 1; !this.#isEnd();) this.#skip(depth + 1);
    else if (first === DICT) for (const _ of this.#keys()) this.#skip(depth + 1);
    else this.#passString();
  }

  /** The keys of a dictionary; whoever takes one reads its value before the next. */
  *#keys(): Generator<string> {
    if (this.#bytes[this.#at] !== DICT) throw this.#malformed("not a dictionary");
    this.#at += 1;
    let last: string | undefined;
    while (!this.#isEnd()) {
      const bytes = this.#string();
      if (bytes.length > BENCODE_KEY_BYTES_MAX) throw this.#malformed(`a key of ${bytes.length} bytes`);
      const key = keyOfBytes(bytes);
      if (last !== undefined && key <= last) throw this.#malformed("keys out of order");
      last = key;
      yield key;
    }
  }

  /** Whether a list or dictionary ends here; its end is consumed. */
  #isEnd(): boolean {
    if (this.#bytes[this.#at] !== END) return false;
    this.#at += 1;
    return true;
  }

  #count(depth: number): void {
    if (depth > BENCODE_DEPTH_MAX) throw this.#malformed(`nested deeper than ${BENCODE_DEPTH_MAX}`);
    if (++this.#items > BENCODE_ITEMS_MAX) throw this.#malformed(`more than ${BENCODE_ITEMS_MAX} items`);
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

class LazyEntry implements BencodeEntry {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get value(): Bencode {
    return decodeBencode(this.bytes);
  }
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}
