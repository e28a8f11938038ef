/**
 * A source index -> the bytes of a delta: segments are scanned, in any order and by any thread; those that follow each
 * other share sections; the streams of a section are compressed. Compressing is the caller's work.
 */
import { concatBytes } from "../digest.ts";
import {
  DELTA_OUTPUT_BYTES,
  DELTA_PROGRAM_JUDGEMENT,
  DELTA_PROGRAM_SHARE_MAX,
  DELTA_SECTION_STREAM_BYTES,
  DELTA_SEGMENT_BYTES,
  DELTA_TEXT_BYTE_MIN,
  DELTA_TEXT_JUDGEMENT,
  DELTA_TEXT_LOOK_BYTES,
  DELTA_TEXT_LOW_BYTES_SHARE_MAX,
  REFERENCE_PROGRAM_SHARE_MAX,
  REFERENCE_WORTH_SHARE_MAX,
} from "../limits.ts";
import {
  CODECS,
  type Codec,
  DELTA_MAGIC,
  DIFFERENCES,
  differencesOf,
  STREAMS,
  type StreamName,
  type Streams,
  StreamWriter,
  zigzag,
} from "./format.ts";
import { commonBytes, viewOf } from "../common-bytes.ts";
import { newReferences } from "./compiled-references.ts";
import { likelyLayouts } from "./likely-layout.ts";
import { type CopiedPart, type Layout, type References, writeLayout } from "./references.ts";
import { type Judgement, scan, type Step } from "./scan.ts";
import { SourceIndex } from "./source-index.ts";

/** A stream as the delta holds it. */
export interface StoredStream {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
}

/** What the caller has compressors for. Both say the same for the same bytes. */
export interface Compressors {
  /** Plain stream -> how to store it. */
  readonly compress: (plain: Uint8Array, name: StreamName) => StoredStream;
  /** How many bytes a quick compression leaves. */
  readonly squeeze: (plain: Uint8Array) => number;
}

/** What scanning made of one segment, or of several that follow each other. */
export interface ScannedSegments {
  /** New bytes. */
  readonly bytes: number;
  readonly streams: Streams;
}

/** The delta that makes the new bytes of the source out of the old ones in front of them, in one thread. */
export function encodeDelta(
  source: Uint8Array,
  oldBytes: number,
  { compress, squeeze }: Compressors,
): Uint8Array<ArrayBuffer> {
  const index = SourceIndex.of(source, oldBytes);
  const parts = [writeDeltaHeader(oldBytes, source.length - oldBytes)];
  const store = (section: ScannedSegments | undefined): void => {
    if (section === undefined) return;
    const stored = STREAMS.map((name) => [name, compress(section.streams[name], name)] as const);
    parts.push(writeSection(section, Object.fromEntries(stored) as Record<StreamName, StoredStream>));
  };
  const joiner = new SectionJoiner();
  for (const segment of segmentsOf(source.length - oldBytes)) store(joiner.add(scanSegment(index, segment, squeeze)));
  store(joiner.rest());
  return concatBytes(parts);
}

/** The numbers of the segments that `bytes` new bytes have. */
export function segmentsOf(bytes: number): number[] {
  return Array.from({ length: Math.ceil(bytes / DELTA_SEGMENT_BYTES) }, (_, segment) => segment);
}

/**
 * One segment of the new bytes as streams. What is no text is judged as a program and, unless guesses of its references
 * make so little of it that it must be one, as text too: which of both leaves less is not to be seen before.
 */
export function scanSegment(index: SourceIndex, segment: number, squeeze: Compressors["squeeze"]): ScannedSegments {
  const { source, oldBytes } = index;
  const start = oldBytes + segment * DELTA_SEGMENT_BYTES;
  const end = Math.min(source.length, start + DELTA_SEGMENT_BYTES);
  const scannedAs = (judgement: Judgement): Step[] => [...scan(index, start, end, judgement)];
  if (isTextLike(source.subarray(start, end))) return writeSteps(index, start, scannedAs(DELTA_TEXT_JUDGEMENT));
  const asProgram = leastOf(index, start, scannedAs(DELTA_PROGRAM_JUDGEMENT), squeeze);
  if (asProgram.guessedShare < REFERENCE_PROGRAM_SHARE_MAX) return asProgram.segment;
  const asText = leastOf(index, start, scannedAs(DELTA_TEXT_JUDGEMENT), squeeze);
  return asProgram.bytes < DELTA_PROGRAM_SHARE_MAX * asText.bytes ? asProgram.segment : asText.segment;
}

interface Judged {
  readonly segment: ScannedSegments;
  /** Quickly compressed. */
  readonly bytes: number;
  /** Of what it takes without guesses; 1 when it is told without. */
  readonly guessedShare: number;
}

/** With its references guessed, as they may lie, or without. */
function leastOf(index: SourceIndex, start: number, steps: readonly Step[], squeeze: Compressors["squeeze"]): Judged {
  const bytesOf = ({ streams }: ScannedSegments): number =>
    STREAMS.reduce((sum, name) => sum + squeeze(streams[name]), 0);
  const plain = writeSteps(index, start, steps);
  const plainBytes = bytesOf(plain);
  let least: Judged = { segment: plain, bytes: plainBytes, guessedShare: 1 };
  for (const layout of likelyLayouts(index.view, start, steps)) {
    const segment = writeSteps(index, start, steps, layout);
    const bytes = bytesOf(segment);
    const guessedShare = bytes / plainBytes;
    if (guessedShare <= REFERENCE_WORTH_SHARE_MAX && bytes < least.bytes) least = { segment, bytes, guessedShare };
  }
  return least;
}

/** @param layout  where references are guessed */
function writeSteps(
  { source, view, oldBytes }: Pick<SourceIndex, "source" | "view" | "oldBytes">,
  start: number,
  steps: readonly Step[],
  layout?: Layout,
): ScannedSegments {
  const writers = STREAMS.map((name) => [name, new StreamWriter()] as const);
  const to = Object.fromEntries(writers) as Record<StreamName, StreamWriter>;
  const differences = new DifferencesWriter(to, view);
  const references = layout === undefined ? undefined : new GuessedCopies({ source, oldBytes }, layout);
  writeLayout(to.references, layout);
  let at = start;
  let expected = 0;
  for (const { from, copy, literal } of steps) {
    to.copies.varint(copy);
    to.literals.varint(literal);
    to.jumps.varint(zigzag(from - expected));
    if (references === undefined || from + copy > at) {
      differences.write(from, view, at, copy);
    } else {
      for (const part of references.partsOf(from, at, copy)) {
        differences.write(part.from, references.told, part.start, part.bytes);
      }
    }
    to.bytes.bytes(source.subarray(at + copy, at + copy + literal));
    at += copy + literal;
    expected = from + copy;
  }
  differences.finish();
  const streams = writers.map(([name, writer]) => [name, writer.finish()] as const);
  return { bytes: at - start, streams: Object.fromEntries(streams) as Record<StreamName, Uint8Array> };
}

/** Writes where what is told of copies differs from what they are copies of. */
class DifferencesWriter {
  readonly #to: Readonly<Record<"gaps" | "runs", StreamWriter>>;
  readonly #values: readonly StreamWriter[];
  readonly #source: DataView;
  /** Right bytes since the last run. */
  #right = 0;

  constructor(to: Readonly<Record<StreamName, StreamWriter>>, source: DataView) {
    this.#to = to;
    this.#values = DIFFERENCES.map((name) => to[name]);
    this.#source = source;
  }

  /** @param from  where the source has what is copied; the other is what is told of it, in `told` from `at` on */
  write(from: number, told: DataView, at: number, bytes: number): void {
    const source = this.#source;
    for (let i = 0; i < bytes;) {
      const right = commonBytes(source, from + i, told, at + i, bytes - i);
      this.#right += right;
      i += right;
      if (i === bytes) return;
      let end = i + 1;
      while (end < bytes && source.getUint8(from + end) !== told.getUint8(at + end)) end++;
      this.#to.gaps.varint(this.#right);
      this.#to.runs.varint(end - i);
      const values = this.#values[differencesOf(end - i)] as StreamWriter;
      for (; i < end; i++) values.byte(told.getUint8(at + i) - source.getUint8(from + i));
      this.#right = 0;
    }
  }

  /** So that the next segment's gaps count from its own start. */
  finish(): void {
    if (this.#right === 0) return;
    this.#to.gaps.varint(this.#right);
    this.#to.runs.varint(0);
  }
}

/** One for all segments that a thread writes, one after another: its memory is megabytes. */
let segmentReferences: References | undefined;

/** The copies of a segment, in parts as a reader makes them. */
class GuessedCopies {
  readonly #source: Uint8Array;
  readonly #oldBytes: number;
  readonly #layout: Layout;
  readonly #references: References;
  /** What a delta is to tell of the part that was given on last. */
  readonly told: DataView;

  constructor({ source, oldBytes }: Pick<SourceIndex, "source" | "oldBytes">, layout: Layout) {
    this.#source = source;
    this.#oldBytes = oldBytes;
    this.#layout = layout;
    segmentReferences ??= newReferences();
    this.#references = segmentReferences;
    this.#references.begin(source.length);
    this.told = viewOf(this.#references.told);
  }

  *partsOf(from: number, at: number, copy: number): Generator<CopiedPart> {
    const { old, made } = this.#references;
    for (let done = 0; done < copy;) {
      const room = DELTA_OUTPUT_BYTES - ((at + done - this.#oldBytes) % DELTA_OUTPUT_BYTES);
      const bytes = Math.min(copy - done, room);
      const part = { bytes, from: from + done, at: at + done, start: 0 };
      old.set(this.#source.subarray(part.from, part.from + bytes));
      made.set(this.#source.subarray(part.at, part.at + bytes));
      this.#references.takeOff(part, this.#layout);
      yield part;
      done += bytes;
    }
  }
}

/** Whether hardly a byte is one that text does not have. */
export function isTextLike(bytes: Uint8Array): boolean {
  let low = 0;
  for (let i = 0; i < bytes.length; i += DELTA_TEXT_LOOK_BYTES) {
    if ((bytes[i] as number) < DELTA_TEXT_BYTE_MIN) low++;
  }
  return low * DELTA_TEXT_LOOK_BYTES <= DELTA_TEXT_LOW_BYTES_SHARE_MAX * bytes.length;
}

/** Joins segments that follow each other, until their streams are as long as a section's should be. */
export class SectionJoiner {
  #segments: ScannedSegments[] = [];
  #streamBytes = 0;

  /** The section that ends with this segment; undefined when it goes on. */
  add(segment: ScannedSegments): ScannedSegments | undefined {
    this.#segments.push(segment);
    this.#streamBytes += STREAMS.reduce((sum, name) => sum + segment.streams[name].length, 0);
    return this.#streamBytes >= DELTA_SECTION_STREAM_BYTES ? this.rest() : undefined;
  }

  /** The section that is left behind the last segment; undefined when none is. */
  rest(): ScannedSegments | undefined {
    const segments = this.#segments;
    this.#segments = [];
    this.#streamBytes = 0;
    if (segments.length === 0) return undefined;
    const streams = STREAMS.map(
      (name) => [name, concatBytes(segments.map((segment) => segment.streams[name]))] as const,
    );
    return {
      bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
      streams: Object.fromEntries(streams) as Record<StreamName, Uint8Array>,
    };
  }
}

export function writeDeltaHeader(oldBytes: number, newBytes: number): Uint8Array<ArrayBuffer> {
  const writer = new StreamWriter();
  writer.bytes(DELTA_MAGIC);
  writer.varint(oldBytes);
  writer.varint(newBytes);
  return writer.finish();
}

/** @param stored  the section's streams as the delta is to hold them; one that grew is stored as it was */
export function writeSection(
  { bytes, streams }: ScannedSegments,
  stored: Readonly<Record<StreamName, StoredStream>>,
): Uint8Array<ArrayBuffer> {
  const header = new StreamWriter();
  header.varint(bytes);
  const kept = STREAMS.map((name) => {
    const plain = streams[name];
    const smallest: StoredStream =
      stored[name].bytes.length < plain.length ? stored[name] : { codec: "none", bytes: plain };
    header.varint(plain.length);
    header.byte(CODECS.indexOf(smallest.codec));
    header.varint(smallest.bytes.length);
    return smallest.bytes;
  });
  return concatBytes([header.finish(), ...kept]);
}
