/**
 * A delta: old bytes and this -> new bytes. Sections follow each other, each good by itself, so that a player decodes
 * one while the next is on its way and holds no more than one.
 *
 *   delta    "PSD" 0x05 ‖ varint old bytes ‖ varint new bytes ‖ section …
 *   section  varint new bytes ‖ 11 × (varint plain bytes ‖ codec ‖ varint stored bytes) ‖ the 11 streams as stored
 *   codec    1 byte: 0 as it is, 1 zstd, 2 brotli
 *
 * The streams:
 *   copies, literals, jumps     a number each a step
 *   gaps, runs                  where the copies differ from what they copy
 *   ones, twos, threes, longer  by how much, in runs of 1, of 2, of 3 and of more bytes
 *   bytes                       the literals
 *   references                  a segment's layout each: how its copies are guessed
 *
 * A step copies `copies` bytes of the source (the old bytes, then the new ones made so far) at its position, then takes
 * `literals` bytes as they are. Its position is where the copy before it ended plus `jumps` (zigzag); at the start of
 * each segment, which no step crosses, it counts from 0. Over the copied bytes of a section, one after another: `gaps`
 * of them are right, to the next `runs` as many bytes of their stream are added modulo 256, and so on; behind the last
 * run all are right. Apart like this because most copies differ in few places, and numbers of one kind compress best
 * among their like: two bytes that differ are mostly of an address, one is not. Varint: unsigned LEB128, shortest form.
 *
 * A segment is what a section makes of DELTA_SEGMENT_BYTES of the new bytes, counted from their start: a section that
 * begins among them begins another one. Its layout is a byte: 0 when nothing is guessed of it; 1 and the phase of its
 * words; of arm64, 5 and the phase, and two varints: where pages begin, in what is copied and in what it becomes; of
 * WebAssembly 9. With a layout, what differs counts from what references.ts makes of the copied bytes. It guesses the
 * copies that do not overlap what they make, each cut into parts where the new bytes are a multiple of
 * DELTA_OUTPUT_BYTES; the others are copied as they are. Nothing that is learned in a segment is known in another one.
 *
 * Needs no signature: what it makes is kept only when its pieces root is the signed one; but it is read before that, so
 * every number in it is capped.
 */
import { Failure } from "../failures.ts";

export const DELTA_MAGIC = Uint8Array.of(0x50, 0x53, 0x44, 0x05);
/** The streams of differences: of runs of one byte, of two, of three, and of more. */
export const DIFFERENCES = ["ones", "twos", "threes", "longer"] as const;
export type DifferencesName = (typeof DIFFERENCES)[number];
export const STREAMS = ["copies", "literals", "jumps", "gaps", "runs", ...DIFFERENCES, "bytes", "references"] as const;
export type StreamName = (typeof STREAMS)[number];
export type Streams = Readonly<Record<StreamName, Uint8Array>>;

/** Which of the streams of differences a run of so many bytes takes, by its place; one of none takes nothing. */
export function differencesOf(run: number): number {
  return Math.max(1, Math.min(run, DIFFERENCES.length)) - 1;
}

/** In the order of their numbers. */
export const CODECS = ["none", "zstd", "brotli"] as const;
export type Codec = (typeof CODECS)[number];

/** 2^53 - 1 takes eight groups of seven bits. */
export const VARINT_BYTES_MAX = 8;

/** Numbers and bytes, one after another. */
export class StreamWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** @param value  a safe integer, not negative */
  varint(value: number): void {
    this.#grow(VARINT_BYTES_MAX);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
    this.#bytes[this.#length++] = rest;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(by: number): void {
    const least = this.#length + by;
    if (least <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(least, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Throws: object.malformed for a number that is cut short, too long or not in its shortest form. */
export class StreamReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return Math.max(0, this.#bytes.length - this.at);
  }

  /** One byte as it is. */
  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw malformedDelta("cut short");
    return byte;
  }

  /** The next bytes as they are. */
  take(bytes: number): Uint8Array {
    if (bytes > this.left) throw malformedDelta("cut short");
    this.at += bytes;
    return this.#bytes.subarray(this.at - bytes, this.at);
  }

  /** As many bytes as there are in target[start, end) are added to these, modulo 256; so many there must be left. */
  addTo(target: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes;
    let from = this.at;
    for (let i = start; i < end; i++) target[i] = (target[i] as number) + (bytes[from++] as number);
    this.at = from;
  }

  varint(): number {
    // nearly all are one byte, and there are millions
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first - 0x80;
    for (let i = 1; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte % 0x80) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      if (byte === 0 || !Number.isSafeInteger(value)) break;
      return value;
    }
    throw malformedDelta("a number too large, or not in its shortest form");
  }
}

export function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

export function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

export function malformedDelta(reason: string, facts: Readonly<Record<string, number>> = {}): Failure {
  return new Failure("object.malformed", { kind: "delta", reason, ...facts });
}
