/**
 * Packed content compared unpacked. A deflate stream inside a file (zip, gzip, PNG, …) that changed a little inside
 * changed everywhere outside, and base64 says the same bytes in three ways; so where it pays the spaces of a delta hold
 * the plain bytes of a stream instead, and where what a deflate stream inflates to is text with base64 in it, what that
 * says. Base64 is written again from this alone. A deflate stream of the new side needs the recipe as well that makes
 * it again (manifests/deflate): it comes behind the last byte of its content, so that recipes, all much alike, stand
 * together.
 *
 * Where the streams lie is one object of the delta, a table:
 *
 *   "PSU" 0x04 ‖ codec ‖ varint plain bytes of the columns ‖ the columns as stored
 *
 * The columns, varints throughout, are those of the old streams and then those of the new ones:
 *
 *   count        of streams
 *   contents     how many contents of the space lie between a stream's content and the one's before
 *   codings      0 deflate, 1 base64
 *   pieces       into how many a stream is cut, less one: PNG has them
 *   gaps, bytes  a number each a piece: bytes since the piece before, or since the start of the file; packed bytes
 *   plains       plain bytes: what it inflates to, or what base64 says
 *   texts        how many runs of base64 in what it inflates to are decoded; none of base64
 *   text gaps, text bytes, paddings  a number each a run: bytes since the run before, or since the start of what is inflated;
 *                its digits and padding; the padding alone
 *   recipes      bytes of the recipe; new streams only
 *   guides       new streams only: 0, or one more than how many old streams lie between the old one that the recipe was made
 *                with (manifests/deflate/guide.ts) and the one that follows on the guide before, to and fro: 0 -1 1 -2 2 …
 */
import { type Base64Run, base64PlainBytes } from "../base64-text.ts";
import {
  DEFLATE_EXPANSION_MAX,
  DEFLATE_RECIPE_SHARE_MAX,
  DELTA_PIECES_MAX,
  DELTA_RECIPES_BYTES_MAX,
  DELTA_STREAMS_BYTES_MAX,
  DELTA_STREAMS_MAX,
  DELTA_UNPACKED_RATIO_MAX,
} from "../limits.ts";
import type { StoredStream } from "./encode.ts";
import { CODECS, StreamReader, StreamWriter, malformedDelta, unzigzag, zigzag } from "./format.ts";
import type { DeltaWorld } from "./decode.ts";
import type { Space, SpaceContent, SpacePart, SpaceSpan } from "./release-delta.ts";

/** Deflate: RFC 1951. Base64: RFC 4648 section 4, whole groups of four. */
export const CODINGS = ["deflate", "base64"] as const;
export type Coding = (typeof CODINGS)[number];

/** A stream inside a content of a space. */
export interface PackedStream {
  readonly coding: Coding;
  /** The content's place in the list of the space's. */
  readonly content: number;
  /** Where in the file it lies, ascending: in one piece, or cut into several. */
  readonly pieces: readonly SpaceSpan[];
  /** Bytes it takes in the space, without its recipe: with `texts` decoded. */
  readonly plainBytes: number;
  /** Of deflate: base64 in what it inflates to, ascending. Undefined: none of it is decoded. */
  readonly texts?: readonly Base64Run[] | undefined;
  /** 0 on the old side, where nothing is to be made again, and of base64. */
  readonly recipeBytes: number;
  /** The old stream, by its place in their list, that the recipe was made with; undefined when it was made without. */
  readonly guide?: number | undefined;
}

/** What a deflate stream inflates to, in bytes. */
export function inflatedBytes({ plainBytes, texts = [] }: Pick<PackedStream, "plainBytes" | "texts">): number {
  return plainBytes + gainOf(texts);
}

/** By how much base64 is longer than what it says. */
function gainOf(texts: readonly Base64Run[]): number {
  return texts.reduce((sum, { bytes, plainBytes }) => sum + bytes - plainBytes, 0);
}

/** The stream with these runs of base64, in what it inflates to, decoded. None of them was before. */
export function withTexts<Stream extends PackedStream>(stream: Stream, texts: readonly Base64Run[]): Stream {
  return texts.length === 0 ? stream : { ...stream, texts, plainBytes: stream.plainBytes - gainOf(texts) };
}

/** What of both sides is unpacked: by content, within one by place, without overlaps. */
export interface PackedStreams {
  readonly old: readonly PackedStream[];
  readonly fresh: readonly PackedStream[];
}

/** The space with these streams unpacked. */
export function unpackedSpace(space: Space, streams: readonly PackedStream[]): Space {
  const byContent = Map.groupBy(streams, ({ content }) => content);
  const contents: SpaceContent[] = [];
  let offset = 0;
  let unpacked = 0;
  for (const [i, content] of space.contents.entries()) {
    const inside = byContent.get(i);
    const parts = inside === undefined ? undefined : unpackedParts(content.fileBytes, inside, offset, unpacked);
    const last = parts?.at(-1);
    const size = last === undefined ? content.fileBytes : last.offset + last.bytes - offset;
    if (inside === undefined || parts === undefined) contents.push({ ...content, offset });
    else {
      const bytes = inside.reduce((sum, { plainBytes, recipeBytes }) => sum + plainBytes + recipeBytes, 0);
      contents.push({ ...content, offset, size, parts, unpacked: { from: unpacked, bytes } });
      unpacked += bytes;
    }
    offset += size;
  }
  return { contents, bytes: offset };
}

/** @param unpacked  how much the contents before have unpacked */
function unpackedParts(
  fileBytes: number,
  streams: readonly PackedStream[],
  offset: number,
  unpacked: number,
): SpacePart[] {
  const parts: SpacePart[] = [];
  let at = offset;
  let from = unpacked;
  const add = (of: SpacePart["of"], bytes: number, start: number): void => {
    if (bytes > 0) parts.push({ of, offset: at, bytes, from: start });
    at += bytes;
  };
  let end = 0;
  for (const { pieces, plainBytes } of streams) {
    for (const [i, piece] of pieces.entries()) {
      add("file", piece.offset - end, end);
      end = piece.offset + piece.bytes;
      if (i > 0) continue;
      add("plain", plainBytes, from);
      from += plainBytes;
    }
  }
  add("file", fileBytes - end, end);
  for (const { recipeBytes } of streams) {
    add("recipe", recipeBytes, from);
    from += recipeBytes;
  }
  return parts;
}

/** A stream, and where its plain bytes and its recipe lie among all that is unpacked in the space. */
export interface UnpackedStream extends PackedStream {
  readonly plainAt: number;
  readonly recipeAt: number;
}

/** The same streams, in the order of unpackedSpace. */
export function unpackedStreams<Stream extends PackedStream>(streams: readonly Stream[]): (Stream & UnpackedStream)[] {
  const placed: (Stream & UnpackedStream)[] = [];
  let unpacked = 0;
  for (const inside of Map.groupBy(streams, ({ content }) => content).values()) {
    let plainAt = unpacked;
    let recipeAt = unpacked + inside.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    for (const stream of inside) {
      placed.push({ ...stream, plainAt, recipeAt });
      plainAt += stream.plainBytes;
      recipeAt += stream.recipeBytes;
    }
    unpacked = recipeAt;
  }
  return placed;
}

/** Both sides of a delta as it unpacks them. */
export interface UnpackedSides {
  readonly old: Space;
  readonly fresh: Space;
  readonly streams: { readonly old: readonly UnpackedStream[]; readonly fresh: readonly UnpackedStream[] };
}

/**
 * @param table  the delta's; undefined when it unpacks nothing
 * Throws: object.malformed.
 */
export function unpackSides(
  { old, fresh }: { readonly old: Space; readonly fresh: Space },
  table: Uint8Array | undefined,
  inflate: DeltaWorld["inflate"],
): UnpackedSides {
  if (table === undefined) return { old, fresh, streams: { old: [], fresh: [] } };
  const streams = parseStreams(table, { old, fresh }, inflate);
  return {
    old: unpackedSpace(old, streams.old),
    fresh: unpackedSpace(fresh, streams.fresh),
    streams: { old: unpackedStreams(streams.old), fresh: unpackedStreams(streams.fresh) },
  };
}

/** Bytes that both sides hold unpacked, and that lie on a disk while a delta is applied. */
export function unpackedBytes({ streams }: Pick<UnpackedSides, "streams">): number {
  return [...streams.old, ...streams.fresh].reduce((sum, stream) => sum + stream.plainBytes + stream.recipeBytes, 0);
}

/**
 * The stream whose plain bytes hold byte `from` of all that is unpacked; the streams are those of one space, in order.
 */
export function plainStreamAt<Stream extends UnpackedStream>(streams: readonly Stream[], from: number): Stream {
  return lastUpTo(streams, from, ({ plainAt }) => plainAt);
}

/** The same for recipes. */
export function recipeStreamAt<Stream extends UnpackedStream>(streams: readonly Stream[], from: number): Stream {
  return lastUpTo(streams, from, ({ recipeAt }) => recipeAt);
}

function lastUpTo<Stream>(streams: readonly Stream[], from: number, startOf: (stream: Stream) => number): Stream {
  let low = 0;
  let high = streams.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (startOf(streams[middle] as Stream) <= from) low = middle;
    else high = middle;
  }
  const stream = streams[low];
  if (stream === undefined) throw new RangeError("a part of no stream");
  return stream;
}

/** Most bytes that a space of `bytes` may have unpacked: a delta is not to fill a player's disk. */
export function unpackedBytesMax(bytes: number): number {
  return bytes * DELTA_UNPACKED_RATIO_MAX;
}

// --- The table -------------------------------------------------------------------------------------------------------

export const STREAMS_MAGIC = Uint8Array.of(0x50, 0x53, 0x55, 0x04);
const SIDES = ["old", "fresh"] as const;

/** The columns of the table, to be compressed. */
export function streamColumns(streams: PackedStreams): Uint8Array<ArrayBuffer> {
  const columns = new StreamWriter();
  for (const side of SIDES) writeColumns(streams[side], side, columns);
  return columns.finish();
}

/** @param stored  the columns as the table is to hold them; when they grew it holds them as they are */
export function writeStreams(columns: Uint8Array, stored: StoredStream): Uint8Array<ArrayBuffer> {
  const smallest: StoredStream = stored.bytes.length < columns.length ? stored : { codec: "none", bytes: columns };
  const table = new StreamWriter();
  table.bytes(STREAMS_MAGIC);
  table.byte(CODECS.indexOf(smallest.codec));
  table.varint(columns.length);
  table.bytes(smallest.bytes);
  return table.finish();
}

function writeColumns(streams: readonly PackedStream[], side: (typeof SIDES)[number], to: StreamWriter): void {
  to.varint(streams.length);
  let content = 0;
  for (const stream of streams) {
    to.varint(stream.content - content);
    content = stream.content;
  }
  for (const { coding } of streams) to.varint(CODINGS.indexOf(coding));
  for (const { pieces } of streams) to.varint(pieces.length - 1);
  const ends = new Map<number, number>();
  for (const stream of streams) {
    for (const { offset, bytes } of stream.pieces) {
      to.varint(offset - (ends.get(stream.content) ?? 0));
      ends.set(stream.content, offset + bytes);
    }
  }
  for (const { pieces } of streams) for (const { bytes } of pieces) to.varint(bytes);
  for (const stream of streams) to.varint(inflatedBytes(stream));
  writeTexts(streams, to);
  if (side === "old") return;
  for (const { recipeBytes } of streams) to.varint(recipeBytes);
  let next = 0;
  for (const { guide } of streams) {
    to.varint(guide === undefined ? 0 : 1 + zigzag(guide - next));
    if (guide !== undefined) next = guide + 1;
  }
}

function writeTexts(streams: readonly PackedStream[], to: StreamWriter): void {
  for (const { texts = [] } of streams) to.varint(texts.length);
  for (const { texts = [] } of streams) {
    let end = 0;
    for (const { offset, bytes } of texts) {
      to.varint(offset - end);
      end = offset + bytes;
    }
  }
  const all = streams.flatMap(({ texts = [] }) => texts);
  for (const { bytes } of all) to.varint(bytes);
  for (const { bytes, plainBytes } of all) to.varint(base64PlainBytes(bytes)[1] - plainBytes);
}

/** The table of streams that lie in these spaces. Throws: object.malformed. */
export function parseStreams(
  table: Uint8Array,
  spaces: { readonly old: Space; readonly fresh: Space },
  inflate: DeltaWorld["inflate"],
): PackedStreams {
  const head = new StreamReader(table);
  if (STREAMS_MAGIC.some((byte) => head.byte() !== byte)) throw malformedDelta("not a table of streams of version 4");
  const codec = CODECS[head.byte()];
  const bytes = head.varint();
  if (codec === undefined) throw malformedDelta("an unknown codec");
  if (bytes > DELTA_STREAMS_BYTES_MAX) throw malformedDelta("a table of streams above the cap", { bytes });
  const stored = table.subarray(head.at);
  const columns = codec === "none" ? stored : inflate(codec, stored, bytes);
  if (columns?.length !== bytes) throw malformedDelta("a stream that does not decompress");
  const reader = new StreamReader(columns);
  const old = readColumns(reader, spaces.old, "old");
  const fresh = guided(readColumns(reader, spaces.fresh, "fresh"), old, reader);
  if (!reader.isAtEnd) throw malformedDelta("bytes after the last stream");
  return { old, fresh };
}

/** Adds the last column. */
function guided(streams: readonly PackedStream[], old: readonly PackedStream[], reader: StreamReader): PackedStream[] {
  let next = 0;
  return streams.map((stream) => {
    const number = reader.varint();
    if (number === 0) return stream;
    const guide = next + unzigzag(number - 1);
    if (guide < 0 || guide >= old.length) throw malformedDelta("a guide that is no stream");
    if (stream.coding !== "deflate" || old[guide]?.coding !== "deflate") throw malformedDelta("a guide out of place");
    next = guide + 1;
    return { ...stream, guide };
  });
}

function readColumns(reader: StreamReader, space: Space, side: (typeof SIDES)[number]): PackedStream[] {
  const count = reader.varint();
  // a number takes a byte at least: what is there bounds how many there can be
  if (count > reader.left) throw malformedDelta("cut short");
  if (count > DELTA_STREAMS_MAX) throw malformedDelta("too many streams", { count });
  const numbers = (length: number): number[] => numbersOf(reader, length);
  const contents = numbers(count);
  const codings = numbers(count);
  const cuts = numbers(count);
  const pieceCount = cuts.reduce((sum, more) => sum + more + 1, 0);
  if (pieceCount > reader.left) throw malformedDelta("cut short");
  if (pieceCount > DELTA_PIECES_MAX) throw malformedDelta("streams in too many pieces", { pieceCount });
  const [gaps, lengths] = [numbers(pieceCount), numbers(pieceCount)];
  const plains = numbers(count);
  const texts = readTexts(reader, plains);
  const recipes = side === "fresh" ? numbers(count) : [];
  const streams: PackedStream[] = [];
  let content = 0;
  let piece = 0;
  let end = 0;
  let unpacked = 0;
  let recipesBytes = 0;
  for (let i = 0; i < count; i++) {
    const step = contents[i] as number;
    if (step > 0) end = 0;
    content += step;
    const fileBytes = space.contents[content]?.fileBytes ?? 0;
    const pieces: SpaceSpan[] = [];
    for (let left = (cuts[i] as number) + 1; left > 0; left--) {
      const [offset, bytes] = [end + (gaps[piece] as number), lengths[piece++] as number];
      end = offset + bytes;
      if (bytes === 0 || end > fileBytes) throw malformedDelta("a stream outside its file");
      pieces.push({ offset, bytes });
    }
    const inside = texts[i] ?? [];
    const inflated = plains[i] as number;
    const plainBytes = inflated - gainOf(inside);
    const recipeBytes = recipes[i] ?? 0;
    const packed = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    const coding = CODINGS[codings[i] as number];
    if (coding === undefined) throw malformedDelta("an unknown coding");
    if (coding !== "deflate" && inside.length > 0) throw malformedDelta("base64 inside of what is not inflated");
    if (!mayBe({ coding, pieces, plainBytes: inflated, recipeBytes }, packed))
      throw malformedDelta("a stream outside the caps");
    recipesBytes += recipeBytes;
    unpacked += plainBytes + recipeBytes;
    const stream: PackedStream = { coding, content, pieces, plainBytes, recipeBytes };
    streams.push(inside.length === 0 ? stream : { ...stream, texts: inside });
  }
  if (recipesBytes > DELTA_RECIPES_BYTES_MAX) throw malformedDelta("more recipes than a publisher makes");
  if (unpacked > unpackedBytesMax(space.bytes)) throw malformedDelta("more unpacked than a player has room for");
  return streams;
}

function numbersOf(reader: StreamReader, length: number): number[] {
  return Array.from({ length }, () => reader.varint());
}

/** The base64 inside of each stream. @param inflated  what each of them inflates to, in bytes */
function readTexts(reader: StreamReader, inflated: readonly number[]): Base64Run[][] {
  const counts = numbersOf(reader, inflated.length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (inflated.length + total > DELTA_STREAMS_MAX) throw malformedDelta("too many streams", { count: total });
  const [gaps, lengths, paddings] = [numbersOf(reader, total), numbersOf(reader, total), numbersOf(reader, total)];
  let run = 0;
  return counts.map((count, i) => {
    let end = 0;
    return Array.from({ length: count }, () => {
      const offset = end + (gaps[run] as number);
      const bytes = lengths[run] as number;
      const [least, most] = base64PlainBytes(bytes);
      const plainBytes = most - (paddings[run++] as number);
      end = offset + bytes;
      if (end > (inflated[i] as number)) throw malformedDelta("base64 outside of its stream");
      if (bytes === 0 || !Number.isInteger(most) || plainBytes < least) throw malformedDelta("no whole base64");
      return { offset, bytes, plainBytes };
    });
  });
}

/**
 * @param plainBytes  of its columns: what is inflated, whatever is decoded of it
 * @param packed  bytes of its pieces together
 */
function mayBe({ coding, pieces, plainBytes, recipeBytes }: Omit<PackedStream, "content">, packed: number): boolean {
  if (coding === "base64") {
    const [least, most] = base64PlainBytes(packed);
    const isWhole = Number.isInteger(most) && plainBytes >= least && plainBytes <= most;
    return pieces.length === 1 && isWhole && recipeBytes === 0;
  }
  const isRecipeLong = recipeBytes > packed * DEFLATE_RECIPE_SHARE_MAX;
  return plainBytes > 0 && plainBytes <= packed * DEFLATE_EXPANSION_MAX && !isRecipeLong;
}
