/**
 * A delta and old bytes -> new bytes, in order. Reads old bytes, and new ones it made before, wherever the delta says.
 */
import { DELTA_SECTION_STREAM_BYTES_MAX, DELTA_SEGMENT_BYTES } from "../limits.ts";
import {
  CODECS,
  type Codec,
  DELTA_MAGIC,
  DIFFERENCES,
  differencesOf,
  STREAMS,
  type StreamName,
  StreamReader,
  type Streams,
  VARINT_BYTES_MAX,
  malformedDelta,
  unzigzag,
} from "./format.ts";
import { newReferences } from "./compiled-references.ts";
import { type Layout, readLayout, type References } from "./references.ts";

/** What a decoder may ask. */
export interface DeltaWorld {
  /** How many old and new bytes there are. */
  readonly oldBytes: number;
  readonly newBytes: number;
  /** Bytes of the delta. */
  readonly deltaBytes: number;
  /** Bytes [offset, offset + bytes) of the delta, which must lie inside. */
  readonly readDelta: (offset: number, bytes: number) => Uint8Array;
  /** Old bytes [offset, offset + target.length) into `target`. */
  readonly readOld: (offset: number, target: Uint8Array) => void;
  /** New bytes that were given on before: the caller has put them somewhere. */
  readonly readMade: (offset: number, target: Uint8Array) => void;
  /** A compressed stream -> exactly `bytes` plain bytes; undefined when it is anything else. */
  readonly inflate: (codec: Exclude<Codec, "none">, stored: Uint8Array, bytes: number) => Uint8Array | undefined;
  /** Told of what `readDelta` or `inflate` gave, when it is not needed any more. */
  readonly release?: (bytes: Uint8Array) => void;
}

/** Magic and two numbers; a section's number, and two numbers and a codec a stream. */
const HEADER_BYTES_MAX = DELTA_MAGIC.length + 2 * VARINT_BYTES_MAX;
const SECTION_HEADER_BYTES_MAX = VARINT_BYTES_MAX + STREAMS.length * (2 * VARINT_BYTES_MAX + 1);

/**
 * What the decoder before has left to this thread's next: to make it takes as long as thousands of bytes, and a delta
 * may have thousands of groups.
 */
let spareReferences: References | undefined;

/**
 * The new bytes, about DELTA_OUTPUT_BYTES at a time. A piece is the caller's only until the next is asked for: its
 * memory is used again, by the next decoder, too. Holds the streams of one section, plain and as stored: at most twice
 * DELTA_SECTION_STREAM_BYTES_MAX.
 * Throws: object.malformed, perhaps after good pieces; and what the world's functions throw.
 */
export function* decodeDelta(world: DeltaWorld): Generator<Uint8Array<ArrayBuffer>> {
  let at = readHeader(world);
  const references = spareReferences ?? newReferences();
  // two may decode by turns
  spareReferences = undefined;
  try {
    const decoder = new Decoder(world, references);
    while (at < world.deltaBytes) at = yield* decodeSection(at, decoder, world);
    yield* decoder.finish();
  } finally {
    spareReferences = references;
  }
}

/**
 * The same where everything is in memory.
 * @param made  the new bytes, as many as there will be: read only where pieces were given on before, so the caller puts
 *   them there, or has them already
 * Throws: object.malformed, perhaps after good pieces.
 */
export function decodeInMemory(
  { old, delta, made }: { readonly old: Uint8Array; readonly delta: Uint8Array; readonly made: Uint8Array },
  inflate: DeltaWorld["inflate"],
): Generator<Uint8Array<ArrayBuffer>> {
  return decodeDelta({
    oldBytes: old.length,
    newBytes: made.length,
    deltaBytes: delta.length,
    readDelta: (offset, bytes) => delta.subarray(offset, offset + bytes),
    readOld: (offset, target) => target.set(old.subarray(offset, offset + target.length)),
    readMade: (offset, target) => target.set(made.subarray(offset, offset + target.length)),
    inflate,
  });
}

/** Where the next one begins. */
function* decodeSection(
  start: number,
  decoder: Decoder,
  world: DeltaWorld,
): Generator<Uint8Array<ArrayBuffer>, number> {
  const { bytes, streams, end } = readSection(start, world);
  yield* decoder.section(bytes, streams);
  for (const name of STREAMS) world.release?.(streams[name]);
  return end;
}

/** Where the first section begins. Throws: object.malformed. */
export function readHeader({
  oldBytes,
  newBytes,
  deltaBytes,
  readDelta,
}: Pick<DeltaWorld, "oldBytes" | "newBytes" | "deltaBytes" | "readDelta">): number {
  const reader = new StreamReader(readDelta(0, Math.min(HEADER_BYTES_MAX, deltaBytes)));
  if (DELTA_MAGIC.some((byte) => reader.byte() !== byte)) throw malformedDelta("not a delta of version 5");
  if (reader.varint() !== oldBytes || reader.varint() !== newBytes) throw malformedDelta("between other releases");
  return reader.at;
}

/** A section of the delta, its streams plain. */
export interface Section {
  /** New bytes that it makes. */
  readonly bytes: number;
  readonly streams: Streams;
  /** Bytes of each stream as the delta holds it. */
  readonly stored: Readonly<Record<StreamName, number>>;
  /** Where the next one begins. */
  readonly end: number;
}

/** The section at `start`. Throws: object.malformed. */
export function readSection(
  start: number,
  { inflate, readDelta, deltaBytes, release }: Pick<DeltaWorld, "inflate" | "readDelta" | "deltaBytes" | "release">,
): Section {
  const reader = new StreamReader(readDelta(start, Math.min(SECTION_HEADER_BYTES_MAX, deltaBytes - start)));
  const bytes = reader.varint();
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
  let at = start + reader.at;
  const streams = lengths.map(({ name, plain, codec, stored }) => {
    if (at + stored > deltaBytes) throw malformedDelta("cut short");
    const kept = readDelta(at, stored);
    at += stored;
    const inflated = codec === "none" ? kept : inflate(codec, kept, plain);
    if (codec !== "none") release?.(kept);
    if (inflated?.length !== plain) throw malformedDelta("a stream that does not decompress");
    return [name, inflated] as const;
  });
  return {
    bytes,
    streams: Object.fromEntries(streams) as unknown as Streams,
    stored: Object.fromEntries(lengths.map(({ name, stored }) => [name, stored])) as Record<StreamName, number>,
    end: at,
  };
}

/** So few bytes are copied one by one. */
const SHORT_BYTES = 64;

class Decoder {
  readonly #world: DeltaWorld;
  readonly #references: References;
  readonly #output: Uint8Array<ArrayBuffer>;
  /** New bytes given on, and those in `#output` behind them. */
  #given = 0;
  #filled = 0;

  constructor(world: DeltaWorld, references: References) {
    this.#world = world;
    this.#references = references;
    this.#output = references.made;
    references.begin(world.oldBytes + world.newBytes);
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
    const references = new StreamReader(streams.references);
    const differences = new Differences(streams);
    const end = this.#made + bytes;
    if (end > newBytes) throw malformedDelta("more new bytes than there are");
    let literalAt = 0;
    let position = 0;
    let segmentEnd = 0;
    let layout: Layout | undefined;
    while (!copies.isAtEnd) {
      if (this.#made >= segmentEnd) {
        segmentEnd = Math.min(end, this.#made - (this.#made % DELTA_SEGMENT_BYTES) + DELTA_SEGMENT_BYTES);
        position = 0;
        layout = readLayout(references);
        if (layout !== undefined) this.#references.forget();
      }
      const copy = copies.varint();
      const literal = literals.varint();
      position += unzigzag(jumps.varint());
      if (copy + literal === 0 || this.#made + copy + literal > segmentEnd) throw malformedDelta("a step out of place");
      if (position < 0 || (copy > 0 && position >= oldBytes + this.#made)) throw malformedDelta("a copy from nowhere");
      if (literalAt + literal > streams.bytes.length) throw malformedDelta("cut short");
      // no generator a step: there are hundreds of thousands, and what they leave behind is megabytes (measured)
      const isGuessed = layout !== undefined && position + copy <= oldBytes + this.#made;
      for (const copyEnd = position + copy; position < copyEnd;) {
        if (this.#filled === this.#output.length) yield* this.#flush();
        if (isGuessed) position += this.#guess(position, copyEnd - position, layout as Layout, differences);
        else position += this.#copy(position, copyEnd - position, differences);
      }
      for (const literalEnd = literalAt + literal; literalAt < literalEnd;) {
        if (this.#filled === this.#output.length) yield* this.#flush();
        literalAt += this.#take(streams.bytes, literalAt, literalEnd);
      }
    }
    const isAllRead = [literals, jumps, references, differences].every((stream) => stream.isAtEnd);
    if (!isAllRead || literalAt !== streams.bytes.length) {
      throw malformedDelta("bytes after the last step");
    }
    if (this.#made !== end) throw malformedDelta("steps do not add up to the section");
  }

  *finish(): Generator<Uint8Array<ArrayBuffer>> {
    if (this.#made !== this.#world.newBytes) throw malformedDelta("sections do not add up to the release");
    yield* this.#flush();
  }

  /** As many of the bytes from `position` on as lie together and fit; how many that were. */
  #copy(position: number, bytes: number, differences: Differences): number {
    const { oldBytes } = this.#world;
    const givenEnd = oldBytes + this.#given;
    if (position >= givenEnd) return this.#copyWithin(position - givenEnd, bytes, differences);
    const end = position < oldBytes ? oldBytes : givenEnd;
    const length = Math.min(bytes, end - position, this.#output.length - this.#filled);
    const target = this.#output.subarray(this.#filled, this.#filled + length);
    if (position < oldBytes) this.#world.readOld(position, target);
    else this.#world.readMade(position - oldBytes, target);
    this.#differ(length, differences);
    return length;
  }

  /**
   * The same of new bytes that are still here, from `start` in the output on. A copy may go on into what it makes, as
   * runs of one byte do: as long as nothing differs, what is there already is copied as a whole, twice as much each
   * time.
   */
  #copyWithin(start: number, bytes: number, differences: Differences): number {
    const output = this.#output;
    const period = this.#filled - start;
    const most = Math.min(bytes, output.length - this.#filled);
    const length = Math.min(most, Math.max(period, differences.rightAhead));
    // rows of tables, with differences in them, come one at a time: a call takes longer than their few bytes (measured)
    if (length <= SHORT_BYTES) {
      for (let from = start, to = this.#filled; from < start + length;) output[to++] = output[from++] as number;
    } else {
      for (let done = 0; done < length;) {
        const some = Math.min(length - done, Math.max(period, done));
        output.copyWithin(this.#filled + done, start, start + some);
        done += some;
      }
    }
    this.#differ(length, differences);
    return length;
  }

  /**
   * The same of a copy whose references are guessed: as many of its bytes as fit, wherever they lie. All of them are
   * there before it is made.
   */
  #guess(position: number, bytes: number, layout: Layout, differences: Differences): number {
    const references = this.#references;
    const start = this.#filled;
    const length = Math.min(bytes, this.#output.length - start);
    const made = this.#output.subarray(start, start + length);
    this.#read(position, made);
    references.old.set(made);
    const at = this.#world.oldBytes + this.#made;
    this.#differ(length, differences);
    references.putOn({ bytes: length, from: position, at, start }, layout);
    return length;
  }

  /** The next bytes of the output were copied, and become what is told of them. */
  #differ(length: number, differences: Differences): void {
    const end = this.#filled + length;
    differences.applyTo(this.#output, this.#filled, end);
    this.#filled = end;
  }

  /** Bytes of the source that are all there. */
  #read(position: number, target: Uint8Array): void {
    const { oldBytes, readOld, readMade } = this.#world;
    const givenEnd = oldBytes + this.#given;
    if (position + target.length <= oldBytes) {
      readOld(position, target);
      return;
    }
    for (let done = 0; done < target.length;) {
      const from = position + done;
      const end = from < oldBytes ? oldBytes : from < givenEnd ? givenEnd : Infinity;
      const some = target.subarray(done, Math.min(target.length, done + end - from));
      if (from < oldBytes) readOld(from, some);
      else if (from < givenEnd) readMade(from - oldBytes, some);
      else some.set(this.#output.subarray(from - givenEnd, from - givenEnd + some.length));
      done += some.length;
    }
  }

  /** As many of the literals [from, to) as fit; how many that were. */
  #take(literals: Uint8Array, from: number, to: number): number {
    const length = Math.min(to - from, this.#output.length - this.#filled);
    this.#output.set(literals.subarray(from, from + length), this.#filled);
    this.#filled += length;
    return length;
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
  /** In the order of DIFFERENCES. */
  readonly #values: readonly StreamReader[];
  /** The one that the run under way takes. */
  #current: StreamReader;
  /** Bytes of what is copied next before the run of wrong ones. */
  #right: number;
  /** Bytes of that run. */
  #wrong = 0;

  constructor(streams: Streams) {
    this.#gaps = new StreamReader(streams.gaps);
    this.#runs = new StreamReader(streams.runs);
    this.#values = DIFFERENCES.map((name) => new StreamReader(streams[name]));
    this.#current = this.#values[0] as StreamReader;
    this.#right = this.#next();
  }

  get isAtEnd(): boolean {
    return this.#right === Infinity && [this.#runs, ...this.#values].every((stream) => stream.isAtEnd);
  }

  /** Bytes that are copied next before one that differs. */
  get rightAhead(): number {
    return this.#right;
  }

  /** Bytes [start, end) of `copied` are copied next, and become what is told of them. Throws: object.malformed. */
  applyTo(copied: Uint8Array, start: number, end: number): void {
    let at = start + this.#right;
    // a run of nothing ends a segment, and is over where it begins
    while (at < end || (at === end && this.#wrong === 0)) {
      const wrong = Math.min(this.#wrong, end - at);
      this.#current.addTo(copied, at, at + wrong);
      at += wrong;
      this.#wrong -= wrong;
      if (this.#wrong === 0) at += this.#next();
    }
    this.#right = at - end;
  }

  /** The next run; how many are right before it. */
  #next(): number {
    // behind the last run all are
    if (this.#gaps.isAtEnd) return Infinity;
    const right = this.#gaps.varint();
    this.#wrong = this.#runs.varint();
    if (right + this.#wrong === 0) throw malformedDelta("a run of nothing");
    this.#current = this.#values[differencesOf(this.#wrong)] as StreamReader;
    if (this.#wrong > this.#current.left) throw malformedDelta("cut short");
    return right;
  }
}
