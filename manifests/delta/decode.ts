/** A delta and old bytes -> new bytes, in order, one section at a time. Reads old bytes wherever the delta says. */
import { DELTA_SECTION_BYTES } from "../limits.ts";
import { DELTA_MAGIC, STREAMS, VarintReader, malformedDelta, unzigzag, type StreamName } from "./format.ts";

/** What a decoder may ask. */
export interface DeltaWorld {
  /** How many old bytes there are. */
  readonly oldBytes: number;
  /** Old bytes [offset, offset + target.length) into `target`. */
  readonly readOld: (offset: number, target: Uint8Array) => void;
  /** A zstd frame -> exactly `bytes` plain bytes; undefined when it is anything else. */
  readonly inflate: (stored: Uint8Array, bytes: number) => Uint8Array | undefined;
}

/**
 * The new bytes. At most a section and its streams are held: about three times DELTA_SECTION_BYTES.
 * Throws: object.malformed, after the sections before the bad one were given.
 */
export function* decodeDelta(delta: Uint8Array, world: DeltaWorld): Generator<Uint8Array<ArrayBuffer>> {
  if (DELTA_MAGIC.some((byte, i) => delta[i] !== byte)) throw malformedDelta("not a delta of version 1");
  const reader = new VarintReader(delta, DELTA_MAGIC.length);
  while (!reader.isAtEnd) {
    const section = readSection(delta, reader, world);
    yield applySection(section.bytes, section.streams, world);
  }
}

function readSection(
  delta: Uint8Array,
  reader: VarintReader,
  { inflate }: DeltaWorld,
): { bytes: number; streams: Readonly<Record<StreamName, Uint8Array>> } {
  const bytes = reader.read();
  if (bytes === 0 || bytes > DELTA_SECTION_BYTES) throw malformedDelta("section size outside the caps", { bytes });
  const lengths = STREAMS.map(() => ({ plain: reader.read(), stored: reader.read() }));
  const [copies, literals, jumps, differences, raw] = lengths.map(({ plain, stored }) => {
    if (plain > bytes + STREAM_SLACK_BYTES || stored > plain) throw malformedDelta("stream size outside the caps");
    const end = reader.at + stored;
    if (end > delta.length) throw malformedDelta("cut short");
    const kept = delta.subarray(reader.at, end);
    reader.at = end;
    const inflated = stored === plain ? kept : inflate(kept, plain);
    if (inflated === undefined) throw malformedDelta("a stream that does not decompress");
    return inflated;
  }) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  return { bytes, streams: { copies, literals, jumps, differences, bytes: raw } };
}

/**
 * A stream is no longer than what it makes, but for a few numbers at the ends: a step in the middle comes from a match of
 * more than 16 bytes and takes at most 8 in each stream.
 */
const STREAM_SLACK_BYTES = 64;

function applySection(
  bytes: number,
  streams: Readonly<Record<StreamName, Uint8Array>>,
  { oldBytes, readOld }: DeltaWorld,
): Uint8Array<ArrayBuffer> {
  const copies = new VarintReader(streams.copies);
  const literals = new VarintReader(streams.literals);
  const jumps = new VarintReader(streams.jumps);
  const { differences, bytes: raw } = streams;
  const fresh = new Uint8Array(bytes);
  let at = 0;
  let position = 0;
  let difference = 0;
  let literalAt = 0;
  while (!copies.isAtEnd) {
    const copy = copies.read();
    const literal = literals.read();
    position += unzigzag(jumps.read());
    if (copy > bytes - at || literal > bytes - at - copy) throw malformedDelta("steps beyond the section");
    if (position < 0 || position + copy > oldBytes) throw malformedDelta("a copy from outside the old bytes");
    if (difference + copy > differences.length || literalAt + literal > raw.length) throw malformedDelta("cut short");
    readOld(position, fresh.subarray(at, at + copy));
    for (let end = at + copy; at < end; at++) {
      fresh[at] = (fresh[at] as number) + (differences[difference++] as number);
    }
    fresh.set(raw.subarray(literalAt, literalAt + literal), at);
    literalAt += literal;
    at += literal;
    position += copy;
  }
  if (!literals.isAtEnd || !jumps.isAtEnd || difference !== differences.length || literalAt !== raw.length) {
    throw malformedDelta("bytes after the last step");
  }
  if (at !== bytes) throw malformedDelta("steps do not add up to the section", { expected: bytes, found: at });
  return fresh;
}
