/** A delta and old bytes -> new bytes, in order. Reads old bytes, and new ones it made before, wherever the delta says. */
import { DELTA_OUTPUT_BYTES, DELTA_SECTION_STREAM_BYTES_MAX, DELTA_SEGMENT_BYTES } from "../limits.ts";
import {
  CODECS,
  type Codec,
  DELTA_MAGIC,
  STREAMS,
  StreamReader,
  type Streams,
  malformedDelta,
  unzigzag,
} from "./format.ts";

/** What a decoder may ask. */
export interface DeltaWorld {
  /** How many old and new bytes there are. */
  readonly oldBytes: number;
  readonly newBytes: number;
  /** Old bytes [offset, offset + target.length) into `target`. */
  readonly readOld: (offset: number, target: Uint8Array) => void;
  /** New bytes that were given on before: the caller has put them somewhere. */
  readonly readMade: (offset: number, target: Uint8Array) => void;
  /** A compressed stream -> exactly `bytes` plain bytes; undefined when it is anything else. */
  readonly inflate: (codec: Exclude<Codec, "none">, stored: Uint8Array, bytes: number) => Uint8Array | undefined;
}

/**
 * The new bytes, about DELTA_OUTPUT_BYTES at a time. A piece is the caller's only until the next is asked for: its memory
 * is used again.
 * Holds one section's streams, at most DELTA_SECTION_STREAM_BYTES_MAX, and the delta itself.
 * Throws: object.malformed, perhaps after good pieces.
 */
export function* decodeDelta(delta: Uint8Array, world: DeltaWorld): Generator<Uint8Array<ArrayBuffer>> {
  const reader = new StreamReader(delta);
  const { oldBytes, newBytes } = readHeader(reader);
  if (oldBytes !== world.oldBytes || newBytes !== world.newBytes) throw malformedDelta("between other releases");
  const decoder = new Decoder(world);
  while (!reader.isAtEnd) {
    const bytes = reader.varint();
    yield* decoder.section(bytes, readStreams(delta, reader, world));
  }
  yield* decoder.finish();
}

/** What a delta says of both sides. Throws: object.malformed. */
export function readDeltaHeader(delta: Uint8Array): { oldBytes: number; newBytes: number } {
  return readHeader(new StreamReader(delta));
}

function readHeader(reader: StreamReader): { oldBytes: number; newBytes: number } {
  if (DELTA_MAGIC.some((byte) => reader.byte() !== byte)) throw malformedDelta("not a delta of version 1");
  return { oldBytes: reader.varint(), newBytes: reader.varint() };
}

function readStreams(delta: Uint8Array, reader: StreamReader, { inflate }: DeltaWorld): Streams {
  let total = 0;
  const lengths = STREAMS.map((name) => {
    const plain = reader.varint();
    const codec = CODECS[reader.byte()];
    const stored = reader.varint();
    total += plain;
    if (codec === undefined) throw malformedDelta("an unknown codec");
    if (total > DELTA_SECTION_STREAM_BYTES_MAX || stored > plain || (codec === "none" && stored < plain)) {
      throw malformedDelta("stream size outside the caps");
    }
    return { name, plain, codec, stored };
  });
  const streams = lengths.map(({ name, plain, codec, stored }) => {
    const bytes = delta.subarray(reader.at, reader.at + stored);
    if (bytes.length < stored) throw malformedDelta("cut short");
    reader.at += stored;
    const inflated = codec === "none" ? bytes : inflate(codec, bytes, plain);
    if (inflated?.length !== plain) throw malformedDelta("a stream that does not decompress");
    return [name, inflated] as const;
  });
  return Object.fromEntries(streams) as unknown as Streams;
}

class Decoder {
  readonly #world: DeltaWorld;
  readonly #output = new Uint8Array(DELTA_OUTPUT_BYTES);
  /** New bytes given on, and those in `#output` behind them. */
  #given = 0;
  #filled = 0;

  constructor(world: DeltaWorld) {
    this.#world = world;
  }

  /** New bytes made so far. */
  get #made(): number {
    return this.#given + this.#filled;
  }

  *section(bytes: number, streams: Streams): Generator<Uint8Array<ArrayBuffer>> {
    const { oldBytes, newBytes } = this.#world;
    const copies = new StreamReader(streams.copies);
    const literals = new StreamReader(streams.literals);
    const jumps = new StreamReader(streams.jumps);
    const differences = new Differences(streams);
    const end = this.#made + bytes;
    if (end > newBytes) throw malformedDelta("more new bytes than there are");
    let literalAt = 0;
    let position = 0;
    let segmentEnd = 0;
    while (!copies.isAtEnd) {
      if (this.#made >= segmentEnd) {
        segmentEnd = Math.min(end, this.#made - (this.#made % DELTA_SEGMENT_BYTES) + DELTA_SEGMENT_BYTES);
        position = 0;
      }
      const copy = copies.varint();
      const literal = literals.varint();
      position += unzigzag(jumps.varint());
      if (copy + literal === 0 || this.#made + copy + literal > segmentEnd) throw malformedDelta("a step out of place");
      if (position < 0 || (copy > 0 && position >= oldBytes + this.#made)) throw malformedDelta("a copy from nowhere");
      if (literalAt + literal > streams.bytes.length) throw malformedDelta("cut short");
      yield* this.#copy(position, copy, differences);
      yield* this.#take(streams.bytes.subarray(literalAt, literalAt + literal));
      literalAt += literal;
      position += copy;
    }
    if (!literals.isAtEnd || !jumps.isAtEnd || !differences.isAtEnd || literalAt !== streams.bytes.length) {
      throw malformedDelta("bytes after the last step");
    }
    if (this.#made !== end) throw malformedDelta("steps do not add up to the section");
  }

  *finish(): Generator<Uint8Array<ArrayBuffer>> {
    if (this.#made !== this.#world.newBytes) throw malformedDelta("sections do not add up to the release");
    yield* this.#flush();
  }

  *#copy(from: number, bytes: number, differences: Differences): Generator<Uint8Array<ArrayBuffer>> {
    const { oldBytes } = this.#world;
    for (let done = 0; done < bytes;) {
      if (this.#filled === this.#output.length) yield* this.#flush();
      const position = from + done;
      // old bytes; new ones that were given on; new ones that are still here, which may be made as they are copied
      const end =
        position < oldBytes ? oldBytes : oldBytes + (position < oldBytes + this.#given ? this.#given : this.#made);
      const length = Math.min(bytes - done, end - position, this.#output.length - this.#filled);
      const target = this.#output.subarray(this.#filled, this.#filled + length);
      if (position < oldBytes) this.#world.readOld(position, target);
      else if (position < oldBytes + this.#given) this.#world.readMade(position - oldBytes, target);
      else {
        const start = position - oldBytes - this.#given;
        target.set(this.#output.subarray(start, start + length));
      }
      differences.applyTo(target);
      this.#filled += length;
      done += length;
    }
  }

  *#take(literal: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
    for (let done = 0; done < literal.length;) {
      if (this.#filled === this.#output.length) yield* this.#flush();
      const some = literal.subarray(done, done + this.#output.length - this.#filled);
      this.#output.set(some, this.#filled);
      this.#filled += some.length;
      done += some.length;
    }
  }

  *#flush(): Generator<Uint8Array<ArrayBuffer>> {
    if (this.#filled === 0) return;
    yield this.#output.subarray(0, this.#filled);
    this.#given += this.#filled;
    this.#filled = 0;
  }
}

/** The differences of a section, taken off as its copies are made. */
class Differences {
  readonly #gaps: StreamReader;
  readonly #runs: StreamReader;
  readonly #values: Uint8Array;
  #valueAt = 0;
  /** Right bytes, then wrong ones, before the next numbers are read. */
  #right = 0;
  #wrong = 0;

  constructor({ gaps, runs, values }: Streams) {
    this.#gaps = new StreamReader(gaps);
    this.#runs = new StreamReader(runs);
    this.#values = values;
    this.#next();
  }

  get isAtEnd(): boolean {
    const isRead = this.#gaps.isAtEnd && this.#runs.isAtEnd && this.#valueAt === this.#values.length;
    return isRead && this.#wrong === 0 && (this.#right === 0 || this.#right === Number.POSITIVE_INFINITY);
  }

  applyTo(copied: Uint8Array): void {
    for (let at = 0; at < copied.length;) {
      if (this.#right > 0) {
        const right = Math.min(this.#right, copied.length - at);
        this.#right -= right;
        at += right;
      } else if (this.#wrong > 0) {
        const end = at + Math.min(this.#wrong, copied.length - at);
        this.#wrong -= end - at;
        for (; at < end; at++) copied[at] = (copied[at] as number) + (this.#values[this.#valueAt++] as number);
      }
      if (this.#right === 0 && this.#wrong === 0) this.#next();
    }
  }

  #next(): void {
    if (this.#gaps.isAtEnd) {
      this.#right = Number.POSITIVE_INFINITY;
      return;
    }
    this.#right = this.#gaps.varint();
    this.#wrong = this.#runs.varint();
    if (this.#right + this.#wrong === 0) throw malformedDelta("a run of nothing");
    if (this.#wrong > this.#values.length - this.#valueAt) throw malformedDelta("cut short");
  }
}
