/**
 * Whether a changed place is a time: the old bytes and the new ones both read as a date or a Unix time, and lie near
 * each other. What is written out as a date, or lies where a format has its time, counts at once. A bare number counts
 * only with others that tell of the same two days, because a number of 32 bits is a time of these decades once in five.
 */
import {
  COST_STAMP_ALIKE_MIN,
  COST_STAMP_APART_S_MAX,
  COST_STAMP_APART_S_MIN,
  COST_STAMP_AROUND_BYTES,
  COST_STAMP_BYTES_MAX,
  COST_STAMP_PLACES_MAX,
  COST_STAMP_SECONDS_MAX,
  COST_STAMP_SECONDS_MIN,
} from "../limits.ts";

/** Times as Unix seconds; a time without a zone is read as UTC. */
export interface StampPair {
  readonly old: number;
  readonly fresh: number;
}

/** What was found in the changed places of one file. */
export interface StampCount {
  /** Places that were looked at, the first COST_STAMP_PLACES_MAX, and what changed in them. */
  readonly looked: number;
  readonly lookedBytes: number;
  /** Those that are times, and the changed bytes in them. */
  readonly places: number;
  readonly bytes: number;
  /** One of them. */
  readonly example: StampPair | null;
}

interface Reading extends StampPair {
  /** Where it ends, bytes from the start of the source. */
  readonly end: number;
}

/** Bare times of the same two days. */
interface Alike {
  places: number;
  bytes: number;
  readonly example: StampPair;
}

/** Counts the times among the changed places of one file, which come in order. */
export class StampCounter {
  readonly #source: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  readonly #alike = new Map<string, Alike>();
  #looked = 0;
  #lookedBytes = 0;
  #places = 0;
  #bytes = 0;
  #example: StampPair | null = null;
  /** Changes before it belong to the time that was found last. */
  #readTo = 0;

  /** @param source  old bytes, then new ones; the file's own are [start, end) */
  constructor(source: Uint8Array, start: number, end: number) {
    this.#source = source;
    this.#start = start;
    this.#end = end;
  }

  /**
   * A place that changed.
   * @param at  new bytes [at, at + bytes) of the source
   * @param from  the old ones that they stand for
   */
  look(at: number, from: number, bytes: number): void {
    if (at < this.#readTo) {
      // another digit of the same time
      this.#lookedBytes += bytes;
      this.#bytes += bytes;
      return;
    }
    if (this.#looked === COST_STAMP_PLACES_MAX) return;
    this.#looked++;
    this.#lookedBytes += bytes;
    if (bytes > COST_STAMP_BYTES_MAX) return;
    const reading = this.#field(at, from, bytes) ?? this.#written(at, from, bytes);
    if (reading === undefined) {
      this.#countBare(at, from, bytes);
      return;
    }
    this.#places++;
    this.#bytes += bytes;
    this.#example ??= { old: reading.old, fresh: reading.fresh };
    this.#readTo = reading.end;
  }

  get count(): StampCount {
    let best: Alike | undefined;
    for (const alike of this.#alike.values()) if (alike.places > (best?.places ?? 0)) best = alike;
    const bare = best !== undefined && best.places >= COST_STAMP_ALIKE_MIN ? best : undefined;
    return {
      looked: this.#looked,
      lookedBytes: this.#lookedBytes,
      places: this.#places + (bare?.places ?? 0),
      bytes: this.#bytes + (bare?.bytes ?? 0),
      example: this.#example ?? bare?.example ?? null,
    };
  }

  /** A time where a format has one. */
  #field(at: number, from: number, bytes: number): Reading | undefined {
    for (const { signature, offset, read } of FIELDS) {
      for (let field = at; field > at - FIELD_BYTES; field--) {
        if (field + FIELD_BYTES < at + bytes || field + FIELD_BYTES > this.#end) continue;
        const old = from + field - at;
        if (!this.#has(signature, field - offset) || !this.#has(signature, old - offset)) continue;
        const pair = nearPair(read(this.#source, old), read(this.#source, field), 1);
        if (pair !== undefined) return { ...pair, end: field + FIELD_BYTES };
      }
    }
    return undefined;
  }

  #has(signature: readonly number[], at: number): boolean {
    return at >= 0 && signature.every((byte, i) => this.#source[at + i] === byte);
  }

  /** A time that is written out, around the place. */
  #written(at: number, from: number, bytes: number): Reading | undefined {
    const { start, fresh, old } = this.#around(at, from, bytes);
    for (const { pattern, read } of WRITTEN) {
      const pair = readBoth(pattern, read, fresh, old, at - start, bytes, 1);
      if (pair !== undefined) return { old: pair.old, fresh: pair.fresh, end: start + pair.end };
    }
    return undefined;
  }

  #countBare(at: number, from: number, bytes: number): void {
    const seen = new Set<string>();
    for (const pair of this.#bare(at, from, bytes)) {
      const key = `${Math.floor(pair.old / DAY_S)} ${Math.floor(pair.fresh / DAY_S)}`;
      if (seen.has(key)) continue; // one place, whichever way it is read
      seen.add(key);
      const alike = this.#alike.get(key) ?? { places: 0, bytes: 0, example: pair };
      alike.places++;
      alike.bytes += bytes;
      this.#alike.set(key, alike);
    }
  }

  /** The numbers that the place may be a part of, when they may be times. */
  *#bare(at: number, from: number, bytes: number): Generator<StampPair> {
    const { start, fresh, old } = this.#around(at, from, bytes);
    const decimal = readBoth(
      DECIMAL,
      ([text = ""]) => Number(text.slice(0, 10)),
      fresh,
      old,
      at - start,
      bytes,
      MINUTE_S,
    );
    if (decimal !== undefined) yield decimal;
    for (let field = at; field > at - FIELD_BYTES; field--) {
      const before = from + field - at;
      if (field < this.#start || before < 0 || field + FIELD_BYTES < at + bytes || field + FIELD_BYTES > this.#end)
        continue;
      if (isText(this.#source, field) && isText(this.#source, before)) continue;
      for (const read of [littleEndian, bigEndian]) {
        const pair = nearPair(read(this.#source, before), read(this.#source, field), MINUTE_S);
        if (pair !== undefined) yield pair;
      }
    }
  }

  /** The place and what is around it, a character a byte; the old ones side by side with the new ones. */
  #around(at: number, from: number, bytes: number): { start: number; fresh: string; old: string } {
    const before = Math.min(COST_STAMP_AROUND_BYTES, at - this.#start, from);
    const start = at - before;
    const end = Math.min(at + bytes + COST_STAMP_AROUND_BYTES, this.#end);
    return {
      start,
      fresh: characters(this.#source.subarray(start, end)),
      old: characters(this.#source.subarray(from - before, from - before + end - start)),
    };
  }
}

const MINUTE_S = COST_STAMP_APART_S_MIN;
const DAY_S = 86_400;
/** Times in binary take four bytes here. */
const FIELD_BYTES = 4;

function littleEndian(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}

function bigEndian(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** MS-DOS: time, then date, two bytes each, in steps of two seconds, local (APPNOTE.TXT 6.3.10 §4.4.6). */
function dosTime(bytes: Uint8Array, at: number): number {
  const packed = littleEndian(bytes, at);
  const [time, date] = [packed & 0xffff, packed >>> 16];
  return secondsOf(1980 + (date >> 9), (date >> 5) & 15, date & 31, time >> 11, (time >> 5) & 63, (time & 31) * 2);
}

/** Where formats have a time: so many bytes behind the start of their signature. */
const FIELDS = [
  // zip: a member's header, and its entry in the directory
  { signature: [0x50, 0x4b, 0x03, 0x04], offset: 10, read: dosTime },
  { signature: [0x50, 0x4b, 0x01, 0x02], offset: 12, read: dosTime },
  // zip, extra field "UT": modification, then access
  { signature: [0x55, 0x54], offset: 5, read: littleEndian },
  { signature: [0x55, 0x54], offset: 9, read: littleEndian },
  // RFC 1952 §2.3.1
  { signature: [0x1f, 0x8b, 0x08], offset: 4, read: littleEndian },
  // PE: TimeDateStamp
  { signature: [0x50, 0x45, 0x00, 0x00], offset: 8, read: littleEndian },
] as const;

type Read = (match: readonly (string | undefined)[]) => number;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const byNumbers: Read = ([, year, month, day, hour, minute, second]) =>
  secondsOf(Number(year), Number(month), Number(day), Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0));

const WRITTEN: readonly { readonly pattern: RegExp; readonly read: Read }[] = [
  { pattern: /(?<!\d)(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?(?!\d)/g, read: byNumbers },
  { pattern: /(?<!\d)(\d{4})(\d\d)(\d\d)(?:[T_-]?(\d\d)(\d\d)(\d\d))?(?!\d)/g, read: byNumbers },
  {
    // __DATE__ of C, alone or with __TIME__
    pattern: new RegExp(String.raw`(${MONTHS.join("|")}) ([ \d]\d) (\d{4})(?: (\d\d):(\d\d):(\d\d))?(?!\d)`, "g"),
    read: ([, month, day, year, hour, minute, second]) =>
      secondsOf(
        Number(year),
        MONTHS.indexOf(month ?? "") + 1,
        Number(day),
        Number(hour ?? 0),
        Number(minute ?? 0),
        Number(second ?? 0),
      ),
  },
];

/** Unix seconds, or milliseconds, in digits. */
const DECIMAL = /(?<!\d)\d{10}(?:\d{3})?(?!\d)/g;

/** NaN when there is no such moment. */
function secondsOf(year: number, month: number, day: number, hour: number, minute: number, second: number): number {
  const isMoment = month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 && minute < 60 && second < 61;
  return isMoment ? Date.UTC(year, month - 1, day, hour, minute, second) / 1000 : Number.NaN;
}

/** The pattern's match over the place, in both texts at the same characters. `end`: of the match, in characters. */
function readBoth(
  pattern: RegExp,
  read: Read,
  fresh: string,
  old: string,
  place: number,
  length: number,
  apart: number,
): (StampPair & { readonly end: number }) | undefined {
  for (const match of fresh.matchAll(pattern)) {
    const end = match.index + match[0].length;
    if (match.index > place || end < place + length) continue;
    for (const before of old.matchAll(pattern)) {
      if (before.index !== match.index || before[0].length !== match[0].length) continue;
      const pair = nearPair(read(before), read(match), apart);
      if (pair !== undefined) return { ...pair, end };
    }
  }
  return undefined;
}

/** Two times, when both are times of builds and lie near each other, `apart` seconds at least. */
function nearPair(old: number, fresh: number, apart: number): StampPair | undefined {
  const isTime = (seconds: number): boolean => seconds >= COST_STAMP_SECONDS_MIN && seconds < COST_STAMP_SECONDS_MAX;
  const distance = Math.abs(fresh - old);
  return isTime(old) && isTime(fresh) && distance >= apart && distance <= COST_STAMP_APART_S_MAX
    ? { old, fresh }
    : undefined;
}

/** Whether the four bytes are a piece of text, which as a number is a time of these decades too. */
function isText(bytes: Uint8Array, at: number): boolean {
  return bytes.subarray(at, at + FIELD_BYTES).every((byte) => (byte >= 0x20 && byte < 0x7f) || LINE_BYTES.has(byte));
}

/** Tab, line feed, carriage return. */
const LINE_BYTES: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0d]);

function characters(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
