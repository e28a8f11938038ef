/** Jobs: a publisher looks for packed streams in files, and takes them apart. */
import { createHash, hash as hashAtOnce } from "node:crypto";
import { Base64Finder, type Base64Run, findBase64 } from "../../../manifests/base64-text.ts";
import { findStreams, type FoundStream, type ReadBytes } from "../../../manifests/deflate/find.ts";
import { type Sketch, sketchOf } from "../../../manifests/sketch.ts";
import { takeApart, type TakenApart } from "../../../manifests/deflate/take-apart.ts";
import { Failure } from "../../../manifests/failures.ts";
import {
  BASE64_RUN_BYTES_MIN,
  BASE64_RUNS_MAX,
  DEFLATE_STREAM_BYTES_MIN,
  READ_BYTES,
  SKETCH_FRONT_BYTES,
} from "../../../manifests/limits.ts";
import type { SpaceSpan } from "../../../manifests/delta/release-delta.ts";
import type { Coding } from "../../../manifests/delta/unpack.ts";
import type { OfEach } from "../batches.ts";
import { FileReader, isUnreadable } from "../file-reader.ts";
import type { StreamSize } from "../inflate-slices.ts";
import { inflateFront, measureStream, type StreamInFile, unpackStream } from "../plain-bytes.ts";
import { type PlacedStream, StreamSources, type StreamToUnpack, unpackRuns } from "./unpack-streams.ts";

export interface FileToSearch {
  readonly path: string;
  readonly bytes: number;
}

export interface StreamFound {
  /** Of the list that was given. */
  readonly file: number;
  readonly coding: Coding;
  /** The stream, and perhaps a few bytes behind it. */
  readonly pieces: readonly SpaceSpan[];
  /** Of base64; 0 where it is not known yet. */
  readonly plainBytes: number;
  /** Of the packed bytes. */
  readonly sha1: string;
}

export interface SearchResult {
  readonly streams: readonly StreamFound[];
  /** A file has more base64 than is looked at, and none of it is here. */
  readonly hasMoreText: boolean;
  /** A file that is gone or shorter than it was; then there are no streams. */
  readonly unread: string | undefined;
}

/** The streams of files, in order, without those too short to be worth it. */
export async function searchFiles(files: readonly FileToSearch[]): Promise<SearchResult> {
  const reader = new FileReader();
  const streams: StreamFound[] = [];
  let hasMoreText = false;
  try {
    for (const [index, file] of files.entries()) {
      try {
        const found = await searchFile(file, reader);
        hasMoreText ||= found.hasMoreText;
        for (const stream of found.streams) streams.push({ file: index, ...stream });
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        return { streams: [], hasMoreText, unread: file.path };
      }
    }
    return { streams, hasMoreText, unread: undefined };
  } finally {
    reader.close();
  }
}

type PlacedInFile = Omit<StreamFound, "file">;

async function searchFile(
  file: FileToSearch,
  reader: FileReader,
): Promise<{ readonly streams: readonly PlacedInFile[]; readonly hasMoreText: boolean }> {
  const read: ReadBytes = (offset, target) => reader.read(file.path, offset, target);
  const streams: PlacedInFile[] = [];
  const text = new TextSearch(read);
  const candidates = findStreams(read, file.bytes);
  let searched = 0;
  for (let next = candidates.next(); next.done !== true;) {
    const pieces = await piecesOf(next.value, file, reader);
    const last = pieces.at(-1);
    if (bytesOf(pieces) >= DEFLATE_STREAM_BYTES_MIN) {
      // the file in front of a stream, not what lies between its pieces
      text.search(searched, pieces[0]?.offset ?? searched);
      streams.push({ coding: "deflate", pieces, plainBytes: 0, sha1: hashOf(read, pieces) });
      searched = last === undefined ? searched : last.offset + last.bytes;
    }
    next = last === undefined ? candidates.next() : candidates.next(last.offset + last.bytes);
  }
  text.search(searched, file.bytes);
  const hasMoreText = text.runs.length > BASE64_RUNS_MAX;
  const found = (hasMoreText ? [] : text.runs).map(({ plainBytes, ...run }): PlacedInFile => {
    return { coding: "base64", pieces: [run], plainBytes, sha1: hashOf(read, [run]) };
  });
  return { streams: [...streams, ...found], hasMoreText };
}

/** The base64 in parts of a file. */
class TextSearch {
  /** At most one more than are looked at. */
  readonly runs: Base64Run[] = [];
  readonly #read: ReadBytes;

  constructor(read: ReadBytes) {
    this.#read = read;
  }

  search(start: number, end: number): void {
    if (end - start < BASE64_RUN_BYTES_MIN) return;
    for (const run of findBase64(this.#read, { offset: start, bytes: end - start })) {
      if (this.runs.length > BASE64_RUNS_MAX) return;
      this.runs.push(run);
    }
  }
}

/** Nothing when no stream begins there. */
async function piecesOf(
  { offset, bytes, pieces }: FoundStream,
  file: FileToSearch,
  reader: FileReader,
): Promise<readonly SpaceSpan[]> {
  if (pieces !== undefined) return pieces;
  if (bytes !== undefined) return offset + bytes <= file.bytes ? [{ offset, bytes }] : [];
  const measured = await measureStream({ path: file.path, pieces: [{ offset, bytes: file.bytes - offset }] }, reader);
  return measured === undefined ? [] : [{ offset, bytes: measured.packedBytes }];
}

function hashOf(read: ReadBytes, pieces: readonly SpaceSpan[]): string {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1 && only.bytes <= READ_BYTES) {
    // nearly all are: at once takes a fifth of the time (measured)
    const whole = new Uint8Array(only.bytes);
    read(only.offset, whole);
    return hashAtOnce("sha1", whole);
  }
  const hash = createHash("sha1");
  for (const { offset, bytes } of pieces) {
    for (let done = 0; done < bytes; done += READ_BYTES) {
      const slice = new Uint8Array(Math.min(READ_BYTES, bytes - done));
      read(offset + done, slice);
      hash.update(slice);
    }
  }
  return hash.digest("hex");
}

function bytesOf(pieces: readonly SpaceSpan[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Each taken apart; undefined when it is no stream or not worth it. */
export async function takeStreamsApart({
  streams,
  plainBytesMax,
}: {
  /** `guide`: an old stream that it resembles. */
  readonly streams: readonly (PlacedStream & { readonly guide: PlacedStream | undefined })[];
  readonly plainBytesMax: number;
}): Promise<OfEach<TakenApart | undefined>> {
  const sources = new StreamSources();
  const guides = new StreamSources();
  try {
    return await ofEach(streams, ({ guide, ...stream }) => {
      const { read, start, end } = sources.of(stream);
      return Promise.resolve(takeApart(read, start, end, { plainBytesMax, guide: guide && guides.of(guide) }));
    });
  } finally {
    sources.close();
    guides.close();
  }
}

/** What the front of each is like. */
export async function sketchStreams(streams: readonly PlacedStream[]): Promise<OfEach<Sketch>> {
  return await ofEach(streams, (stream, reader) => Promise.resolve(sketchOf(inflateFront(stream, reader))));
}

/** What the front of base64 is like. */
export interface TextSketches {
  readonly text: Sketch;
  /** Of what it says. */
  readonly said: Sketch;
}

/** @param streams  base64, a piece each */
export async function sketchText(streams: readonly PlacedStream[]): Promise<OfEach<TextSketches>> {
  return await ofEach(streams, ({ path, pieces }, reader) => {
    const { offset, bytes } = pieces[0] ?? { offset: 0, bytes: 0 };
    const text = Buffer.alloc(Math.min(bytes, SKETCH_FRONT_BYTES));
    reader.read(path, offset, text);
    return Promise.resolve(sketchesOf(text));
  });
}

function sketchesOf(text: Buffer): TextSketches {
  return { text: sketchOf(text), said: sketchOf(Buffer.from(text.toString("latin1"), "base64")) };
}

/** Base64 in what a stream inflates to, and the digest of its text. */
export interface TextInside extends Base64Run {
  readonly sha1: string;
}

export interface TextsInside {
  readonly texts: readonly TextInside[];
  /** There is more of it than is looked at, and none of it is here. */
  readonly hasMore: boolean;
}

/**
 * The base64 in what deflate streams inflate to; from the one on that has more than is looked at in all of them, none.
 */
export async function searchTextsInside(streams: readonly StreamInFile[]): Promise<OfEach<TextsInside>> {
  let left = BASE64_RUNS_MAX;
  return await ofEach(streams, async (stream, reader) => {
    if (left < 0) return { texts: [], hasMore: true };
    const runs: Base64Run[] = [];
    const take = (found: Iterable<Base64Run>): boolean => {
      for (const run of found) runs.push(run);
      return runs.length <= left;
    };
    const finder = new Base64Finder(0);
    unlessChanged(await unpackStream(stream, reader, (plain) => take(finder.push(plain))), stream);
    const hasMore = !take(finder.end());
    left -= runs.length;
    if (hasMore) return { texts: [], hasMore };
    const hashes = runs.length === 0 ? [] : await hashRuns(stream, runs, reader);
    return { texts: runs.map((run, i) => ({ ...run, sha1: hashes[i] ?? "" })), hasMore };
  });
}

async function hashRuns(stream: StreamInFile, runs: readonly Base64Run[], reader: FileReader): Promise<string[]> {
  const hashes: string[] = [];
  let hash = createHash("sha1");
  const all = runs.map(({ offset, bytes }) => ({ skipped: offset, bytes, at: 0 }));
  const isRead = await unpackRuns(stream, all, reader, (plain, at) => {
    hash.update(plain);
    if (at + plain.length < (runs[hashes.length]?.bytes ?? 0)) return;
    hashes.push(hash.digest("hex"));
    hash = createHash("sha1");
  });
  unlessChanged(isRead, stream);
  return hashes;
}

/** What the fronts of base64 in what streams inflate to are like. @param streams  `runs`: those fronts */
export async function sketchTextsInside(streams: readonly StreamToUnpack[]): Promise<OfEach<readonly TextSketches[]>> {
  return await ofEach(streams, async (stream, reader) => {
    const sketches: TextSketches[] = [];
    let text = Buffer.alloc(0);
    const isRead = await unpackRuns(stream, stream.runs, reader, (plain, at) => {
      const bytes = stream.runs[sketches.length]?.bytes ?? 0;
      if (at === 0) text = Buffer.alloc(bytes);
      text.set(plain, at);
      if (at + plain.length === bytes) sketches.push(sketchesOf(text));
    });
    unlessChanged(isRead, stream);
    return sketches;
  });
}

/** Throws: install.damaged for a file with another stream than was found there. */
function unlessChanged(isRead: boolean, { path }: StreamInFile): void {
  if (!isRead) throw new Failure("install.damaged", { file: path, reason: "another stream than it was" });
}

/** What the front of each file is like, as it is. */
export async function sketchFiles(files: readonly FileToSearch[]): Promise<OfEach<Sketch>> {
  return await ofEach(files, ({ path, bytes }, reader) => {
    const front = new Uint8Array(Math.min(bytes, SKETCH_FRONT_BYTES));
    reader.read(path, 0, front);
    return Promise.resolve(sketchOf(front));
  });
}

/** A stream's lengths, and what its front is like. */
export interface SketchedStream extends StreamSize {
  readonly sketch: Sketch;
}

/** How long each is, and what it is like; undefined when it is no stream. */
export async function measureStreams(streams: readonly PlacedStream[]): Promise<OfEach<SketchedStream | undefined>> {
  return await ofEach(streams, async (stream, reader) => {
    const measured = await measureStream(stream, reader);
    if (measured === undefined) return undefined;
    const { plain = inflateFront(stream, reader), packedBytes, plainBytes } = measured;
    return { packedBytes, plainBytes, sketch: sketchOf(plain) };
  });
}

async function ofEach<Stream extends Pick<PlacedStream, "path">, Value>(
  streams: readonly Stream[],
  act: (stream: Stream, reader: FileReader) => Promise<Value>,
): Promise<OfEach<Value>> {
  const reader = new FileReader();
  const values: Value[] = [];
  try {
    for (const stream of streams) {
      try {
        values.push(await act(stream, reader));
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        return { values: [], unread: fileOf(error) ?? stream.path };
      }
    }
    return { values, unread: undefined };
  } finally {
    reader.close();
  }
}

/** The file that could not be read, when the error says it. */
function fileOf(error: unknown): string | undefined {
  const file = error instanceof Failure ? error.facts["file"] : undefined;
  return typeof file === "string" ? file : undefined;
}
