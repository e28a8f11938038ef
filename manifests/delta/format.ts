/**
 * A delta: old bytes and this -> new bytes. Sections follow each other; each makes the next run of the new bytes by
 * itself, so that a player decodes one while the next is on its way, and holds no more than one.
 *
 *   delta    "PSD" 0x01 ‖ section …
 *   section  varint new bytes ‖ 5 × (varint plain bytes ‖ varint stored bytes) ‖ the 5 streams as stored
 *   streams  copy lengths ‖ literal lengths ‖ jumps ‖ differences ‖ literals
 *
 * A step takes one number of each of the first three streams: `copy` bytes are the old ones at the position plus the
 * next differences modulo 256, then `literal` bytes are taken as they are. The position of a step is the end of the copy
 * before it plus its jump (zigzag); a section begins at 0. Varint: unsigned LEB128. A stream is stored as it is when
 * compressing does not make it shorter. Five streams, because numbers of one kind compress best among their like.
 *
 * Needs no signature: what it makes is kept only when its pieces root is the signed one; but it is read before that, so
 * every number in it is capped.
 */
import { Failure } from "../failures.ts";

export const DELTA_MAGIC = Uint8Array.of(0x50, 0x53, 0x44, 0x01);
export const STREAMS = ["copies", "literals", "jumps", "differences", "bytes"] as const;
export type StreamName = (typeof STREAMS)[number];

/** 2^53 - 1 takes eight groups of seven bits. */
const VARINT_BYTES_MAX = 8;

/** Numbers, one after another. */
export class VarintWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** @param value  a safe integer, not negative */
  write(value: number): void {
    if (this.#length + VARINT_BYTES_MAX > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
    this.#bytes[this.#length++] = rest;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Throws: object.malformed for a number that is cut short, too long or not in its shortest form. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  read(): number {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw malformedDelta("cut short");
      value += (byte % 0x80) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      if ((byte === 0 && i > 0) || !Number.isSafeInteger(value)) break;
      return value;
    }
    throw malformedDelta("a number that is not in its shortest form");
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
