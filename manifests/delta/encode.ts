/**
 * A source index -> the bytes of a delta: segments are scanned, in any order and by any thread; those that follow each
 * other share sections; the streams of a section are compressed. Compressing is the caller's work.
 */
import { concatBytes } from "../digest.ts";
import { DELTA_SECTION_STREAM_BYTES, DELTA_SEGMENT_BYTES } from "../limits.ts";
import {
  CODECS,
  type Codec,
  DELTA_MAGIC,
  STREAMS,
  type StreamName,
  type Streams,
  StreamWriter,
  zigzag,
} from "./format.ts";
import { scan } from "./scan.ts";
import { SourceIndex } from "./source-index.ts";

/** A stream as the delta holds it. */
export interface StoredStream {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
}

/** Plain stream -> how to store it. The same for the same bytes. */
export type Compress = (plain: Uint8Array, name: StreamName) => StoredStream;

/** What scanning made of one segment, or of several that follow each other. */
export interface ScannedSegments {
  /** New bytes. */
  readonly bytes: number;
  readonly streams: Streams;
}

/** The delta that makes the new bytes of the source out of the old ones in front of them, in one thread. */
export function encodeDelta(source: Uint8Array, oldBytes: number, compress: Compress): Uint8Array<ArrayBuffer> {
  const index = SourceIndex.of(source, oldBytes);
  const scanned = segmentsOf(source.length - oldBytes).map((segment) => scanSegment(index, segment));
  const sections = inSections(scanned).map((section) => {
    const stored = STREAMS.map((name) => [name, compress(section.streams[name], name)] as const);
    return writeSection(section, Object.fromEntries(stored) as Record<StreamName, StoredStream>);
  });
  return concatBytes([writeDeltaHeader(oldBytes, source.length - oldBytes), ...sections]);
}

/** The numbers of the segments that `bytes` new bytes have. */
export function segmentsOf(bytes: number): number[] {
  return Array.from({ length: Math.ceil(bytes / DELTA_SEGMENT_BYTES) }, (_, segment) => segment);
}

/** One segment of the new bytes as streams. */
export function scanSegment(index: SourceIndex, segment: number): ScannedSegments {
  const { source, oldBytes } = index;
  const start = oldBytes + segment * DELTA_SEGMENT_BYTES;
  const end = Math.min(source.length, start + DELTA_SEGMENT_BYTES);
  const writers = STREAMS.map((name) => [name, new StreamWriter()] as const);
  const to = Object.fromEntries(writers) as Record<StreamName, StreamWriter>;
  let at = start;
  let expected = 0;
  let gap = 0;
  for (const { from, copy, literal } of scan(index, start, end)) {
    to.copies.varint(copy);
    to.literals.varint(literal);
    to.jumps.varint(zigzag(from - expected));
    gap = writeDifferences(source, from, at, copy, gap, to);
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
  to: Readonly<Record<StreamName, StreamWriter>>,
): number {
  let right = gap;
  for (let i = 0; i < copy;) {
    if (source[from + i] === source[at + i]) {
      right++;
      i++;
      continue;
    }
    const begun = i;
    for (; i < copy && source[from + i] !== source[at + i]; i++) {
      to.values.byte((source[at + i] as number) - (source[from + i] as number));
    }
    to.gaps.varint(right);
    to.runs.varint(i - begun);
    right = 0;
  }
  return right;
}

/** Segments that follow each other, joined until their streams are as long as a section's should be. */
export function inSections(segments: readonly ScannedSegments[]): ScannedSegments[] {
  const sections: ScannedSegments[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const segment of segments) {
    if (bytes >= DELTA_SECTION_STREAM_BYTES) {
      sections.push([]);
      bytes = 0;
    }
    bytes += STREAMS.reduce((sum, name) => sum + segment.streams[name].length, 0);
    sections.at(-1)?.push(segment);
  }
  return sections.map((section) => {
    const streams = STREAMS.map(
      (name) => [name, concatBytes(section.map((segment) => segment.streams[name]))] as const,
    );
    return {
      bytes: section.reduce((sum, segment) => sum + segment.bytes, 0),
      streams: Object.fromEntries(streams) as Record<StreamName, Uint8Array>,
    };
  });
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
