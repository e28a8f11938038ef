/**
 * Base64 among other bytes, in a file or in what a deflate stream inflates to (manifests/delta/unpack.ts): decoded
 * while they are unpacked, written again while they are put together. Neither holds more than a slice of it.
 */
import type { Base64Run } from "../../manifests/base64-text.ts";
import type { ReadBytes } from "../../manifests/deflate/find.ts";
import { BASE64_SLICE_BYTES } from "../../manifests/limits.ts";

/** Takes bytes in order, and gives them on with their base64 decoded. */
export class TextsDecoder {
  /**
   * Base64 was not as long, decoded, as was said: other bytes than were looked at, or a table that does not fit them.
   */
  isBroken = false;
  readonly #texts: readonly Base64Run[];
  readonly #take: (plain: Uint8Array) => boolean;
  /** The run that it is in, or that comes next. */
  #next = 0;
  /** Bytes taken so far. */
  #at = 0;
  /** What of the run was decoded, in bytes. */
  #said = 0;
  /** The first digits of a group whose others are still to come. */
  #digits = "";

  /** @param texts  ascending, without overlaps */
  constructor(texts: readonly Base64Run[], take: (plain: Uint8Array) => boolean) {
    this.#texts = texts;
    this.#take = take;
  }

  /** Whether more is wanted. */
  push(inflated: Uint8Array): boolean {
    for (let done = 0; done < inflated.length;) {
      const text = this.#texts[this.#next];
      const rest = inflated.subarray(done);
      const isInside = text !== undefined && this.#at >= text.offset;
      const some = isInside ? rest.subarray(0, sliceOf(text, this.#at)) : rest.subarray(0, gapTo(text, this.#at));
      this.#at += some.length;
      done += some.length;
      if (!(isInside ? this.#decode(some, text) : this.#take(some))) return false;
    }
    return true;
  }

  #decode(some: Uint8Array, { offset, bytes, plainBytes }: Base64Run): boolean {
    const text = this.#digits + Buffer.from(some.buffer, some.byteOffset, some.length).toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#digits = text.slice(whole);
    // it passes over most of what is no digit: then there are fewer bytes. Other bytes are found out where files are
    // hashed
    const plain = Buffer.from(text.slice(0, whole), "base64");
    this.#said += plain.length;
    const isEnded = this.#at === offset + bytes;
    this.isBroken = this.#said > plainBytes || (isEnded && this.#said < plainBytes);
    if (this.isBroken) return false;
    if (isEnded) {
      this.#next++;
      this.#said = 0;
    }
    return plain.length === 0 || this.#take(plain);
  }
}

/** How much of a run is decoded at once, from byte `at` on. */
function sliceOf({ offset, bytes }: Base64Run, at: number): number {
  return Math.min(BASE64_SLICE_BYTES, offset + bytes - at);
}

/** How far it is to the run, when there is one. */
function gapTo(text: Base64Run | undefined, at: number): number | undefined {
  return text && text.offset - at;
}

/**
 * Reads the bytes as they were before.
 * @param texts  ascending, without overlaps
 * @param read  the same with its base64 decoded
 * @returns to be asked in order
 */
export function withTextsWritten(texts: readonly Base64Run[], read: ReadBytes): ReadBytes {
  let next = 0;
  /** By how much the runs up to now are longer than what they say. */
  let gain = 0;
  return (offset, target) => {
    for (let done = 0; done < target.length;) {
      const at = offset + done;
      for (let text = texts[next]; text !== undefined && text.offset + text.bytes <= at; text = texts[++next])
        gain += text.bytes - text.plainBytes;
      const text = texts[next];
      const rest = target.subarray(done);
      const isInside = text !== undefined && at >= text.offset;
      const some = isInside ? rest.subarray(0, sliceOf(text, at)) : rest.subarray(0, gapTo(text, at));
      if (isInside) writeText(text, at - text.offset, some, (from, plain) => read(text.offset - gain + from, plain));
      else read(at - gain, some);
      done += some.length;
    }
  };
}

/**
 * Fills `target` with digits of a run, from byte `from` of it on.
 * @param read  what the run says
 */
function writeText({ plainBytes }: Base64Run, from: number, target: Uint8Array, read: ReadBytes): void {
  const [first, end] = [Math.floor(from / 4), Math.ceil((from + target.length) / 4)];
  const plain = Buffer.alloc(Math.min(plainBytes, 3 * end) - 3 * first);
  read(3 * first, plain);
  const digits = Buffer.from(plain.toString("base64"), "latin1");
  target.set(digits.subarray(from - 4 * first, from - 4 * first + target.length));
}
