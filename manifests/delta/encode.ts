/**
 * A source index -> the bytes of a delta: segments are scanned, in any order and by any thread; those that follow each
 * other share sections; the streams of a section are compressed. Compressing is the caller's work.
 */
import { concatBytes } from "../digest.ts";
import {
  DELTA_PROGRAM_JUDGEMENT,
  DELTA_PROGRAM_SHARE_MAX,
  DELTA_SECTION_STREAM_BYTES,
  DELTA_SEGMENT_BYTES,
  DELTA_TEXT_BYTE_MIN,
  DELTA_TEXT_JUDGEMENT,
  DELTA_TEXT_LOOK_BYTES,
  DELTA_TEXT_LOW_BYTES_SHARE_MAX,
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
import { type Judgement, scan } from "./scan.ts";
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
 * One segment of the new bytes as streams. Judged as text and, when it is none, as a program too: which of both leaves
 * less is not to be seen before.
 */
export function scanSegment(index: SourceIndex, segment: number, squeeze: Compressors["squeeze"]): ScannedSegments {
  const { source, oldBytes } = index;
  const start = oldBytes + segment * DELTA_SEGMENT_BYTES;
  const end = Math.min(source.length, start + DELTA_SEGMENT_BYTES);
  const asText = scannedAs(index, start, end, DELTA_TEXT_JUDGEMENT);
  if (isTextLike(source.subarray(start, end))) return asText;
  const asProgram = scannedAs(index, start, end, DELTA_PROGRAM_JUDGEMENT);
  const bytesOf = ({ streams }: ScannedSegments): number =>
    STREAMS.reduce((sum, name) => sum + squeeze(streams[name]), 0);
  return bytesOf(asProgram) < DELTA_PROGRAM_SHARE_MAX * bytesOf(asText) ? asProgram : asText;
}

function scannedAs(index: SourceIndex, start: number, end: number, judgement: Judgement): ScannedSegments {
  const { source } = index;
  const writers = STREAMS.map((name) => [name, new StreamWriter()] as const);
  const to = Object.fromEntries(writers) as Record<StreamName, StreamWriter>;
  const differences = DIFFERENCES.map((name) => to[name]);
  let at = start;
  let expected = 0;
  let gap = 0;
  for (const { from, copy, literal } of scan(index, start, end, judgement)) {
    to.copies.varint(copy);
    to.literals.varint(literal);
    to.jumps.varint(zigzag(from - expected));
    gap = writeDifferences(source, from, at, copy, gap, to, differences);
    to.bytes.bytes(source.subarray(at + copy, at + copy + literal));
    at += copy + literal;
    expected = from + copy;
  }
  if (gap > 0) {
    // so that the next segment's gaps count from its own start
    to.gaps.varint(gap);
    to.runs.varint(0);
  }
  const streams = writers.map(([name, writer]) => [name, writer.finish()] as const);
  return { bytes: end - start, streams: Object.fromEntries(streams) as Record<StreamName, Uint8Array> };
}

/** Writes where a copy differs. `gap`: right bytes since the last run; so many there are afterwards. */
function writeDifferences(
  source: Uint8Array,
  from: number,
  at: number,
  copy: number,
  gap: number,
  to: Readonly<Record<"gaps" | "runs", StreamWriter>>,
  differences: readonly StreamWriter[],
): number {
  let right = gap;
  for (let i = 0; i < copy;) {
    if (source[from + i] === source[at + i]) {
      right++;
      i++;
      continue;
    }
    let end = i + 1;
    while (end < copy && source[from + end] !== source[at + end]) end++;
    const values = differences[differencesOf(end - i)] as StreamWriter;
    to.gaps.varint(right);
    to.runs.varint(end - i);
    for (; i < end; i++) values.byte((source[at + i] as number) - (source[from + i] as number));
    right = 0;
  }
  return right;
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
