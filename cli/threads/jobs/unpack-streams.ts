/**
 * Jobs: packed streams of files -> plain bytes, in memory or in a file; and of plain bytes and recipes, the streams
 * again.
 */
import { closeSync } from "node:fs";
import { type ReadBytes, readJoined } from "../../../manifests/deflate/find.ts";
import type { StreamSource } from "../../../manifests/deflate/inflate.ts";
import { putTogether } from "../../../manifests/deflate/put-together.ts";
import { inflatedBytes, type PackedStream } from "../../../manifests/delta/unpack.ts";
import { Failure } from "../../../manifests/failures.ts";
import { BASE64_SLICE_BYTES } from "../../../manifests/limits.ts";
import type { FileRange } from "./hash-ranges.ts";
import { type OnDisk, onDiskAsync, onDisk } from "../disk-error.ts";
import { FileReader, isUnreadable } from "../file-reader.ts";
import { keepYoungMemory } from "../keep-memory.ts";
import { type StreamInFile, unpackStream } from "../plain-bytes.ts";
import { withTextsWritten } from "../texts-inside.ts";
import { openStaged, writeFully } from "./place.ts";

/** Bytes that lie in a file as they are. */
export interface FilePart extends FileRange {
  readonly of: "file";
  /** Where they go in the target. */
  readonly at: number;
}

/** Some of a stream's plain bytes, and where they go. */
export interface PlainRun {
  readonly at: number;
  /** Plain bytes in front of them, and how many they are. */
  readonly skipped: number;
  readonly bytes: number;
}

export type PartToRead = FilePart | (StreamInFile & PlainRun & { readonly of: "plain" });

/** Fills the places of the parts. Returns a file that is gone or not what it was; undefined when all are. */
export async function readParts({
  parts,
  target,
}: {
  readonly parts: readonly PartToRead[];
  /** In shared memory. */
  readonly target: Uint8Array;
}): Promise<{ readonly changed: string | undefined }> {
  const reader = new FileReader();
  try {
    for (const part of parts) {
      const into = target.subarray(part.at, part.at + part.bytes);
      if (!(await readPart(part, into, reader))) return { changed: part.path };
    }
    return { changed: undefined };
  } finally {
    reader.close();
  }
}

async function readPart(part: PartToRead, target: Uint8Array, reader: FileReader): Promise<boolean> {
  try {
    if (part.of === "file") {
      reader.read(part.path, part.offset, target);
      return true;
    }
    return await unpackRuns(part, [{ ...part, at: 0 }], reader, (plain, at) => target.set(plain, at));
  } catch (error) {
    if (isUnreadable(error)) return false; // gone, cut short or not to be read: in any case not what was hashed
    throw error;
  }
}

/**
 * Gives those plain bytes of the stream that the runs have, and where they go. However many runs there are, the stream
 * is gone through once, and no farther than the last one goes. False when it is no such stream.
 * @param runs  one at least, in order; none begins before the one in front of it ends
 */
export async function unpackRuns(
  stream: StreamInFile,
  runs: readonly PlainRun[],
  reader: FileReader,
  take: (plain: Uint8Array, at: number) => void,
): Promise<boolean> {
  const { narrow, front } = stream.coding === "base64" ? narrowed(stream, runs) : { narrow: stream, front: 0 };
  let from = front;
  let next = 0;
  return await unpackStream(narrow, reader, (plain) => {
    const to = from + plain.length;
    for (let run = runs[next]; run !== undefined && run.skipped < to; run = runs[next]) {
      const [start, end] = [Math.max(from, run.skipped), Math.min(to, run.skipped + run.bytes)];
      take(plain.subarray(start - from, end - from), run.at + start - run.skipped);
      if (run.skipped + run.bytes > to) break;
      next++;
    }
    from = to;
    return next < runs.length;
  });
}

/** The groups of the text, which is one piece, that say the runs, and how many plain bytes are in front of them. */
function narrowed(
  stream: StreamInFile,
  runs: readonly PlainRun[],
): { readonly narrow: StreamInFile; readonly front: number } {
  const { offset, bytes } = stream.pieces[0] ?? { offset: 0, bytes: 0 };
  const [start, last] = [runs[0], runs.at(-1)];
  if (start === undefined || last === undefined) throw new RangeError("nothing of a stream");
  const first = Math.floor(start.skipped / 3);
  const end = Math.min(Math.ceil((last.skipped + last.bytes) / 3), bytes / 4);
  const narrow = {
    ...stream,
    pieces: [{ offset: offset + 4 * first, bytes: 4 * (end - first) }],
    plainBytes: Math.min(stream.plainBytes, 3 * end) - 3 * first,
  };
  return { narrow, front: 3 * first };
}

/** A stream, and where in a scratch file which of its plain bytes go. */
export interface StreamToUnpack extends StreamInFile {
  readonly runs: readonly PlainRun[];
}

/**
 * A stream that is not what it was stays zeros, from where that shows on, as everything that nobody has: what a delta
 * makes of it will not hash to what it should, and is healed by chunks. So nothing is ever refused.
 */
export async function unpackStreams({
  streams,
  to,
}: {
  readonly streams: readonly StreamToUnpack[];
  /** A file, made when it is not there. */
  readonly to: { readonly path: string; readonly fileBytes: number };
}): Promise<OnDisk<{ readonly refused: string | undefined }>> {
  // of base64 inside of streams every run leaves a little behind: 24,000 of them took 98 MB instead of 86 (measured)
  keepYoungMemory();
  return await onDiskAsync(async () => {
    const reader = new FileReader();
    const out = openStaged({ ...to, exec: false });
    try {
      for (const stream of streams) await unpackTo(out, stream, reader);
      return { refused: undefined };
    } finally {
      closeSync(out);
      reader.close();
    }
  });
}

async function unpackTo(out: number, stream: StreamToUnpack, reader: FileReader): Promise<void> {
  let isWriting = false;
  try {
    await unpackRuns(stream, stream.runs, reader, (plain, at) => {
      isWriting = true;
      writeFully(out, plain, at);
      isWriting = false;
    });
  } catch (error) {
    // what cannot be written is another matter than what cannot be read
    if (isWriting || !isUnreadable(error)) throw error;
  }
}

/** A whole stream in a file. */
export type PlacedStream = Pick<StreamInFile, "path" | "pieces">;

/** A stream to be packed again: where its recipe and plain bytes lie, and where in the file it goes. */
export interface StreamToPack extends Pick<PackedStream, "coding" | "pieces" | "plainBytes" | "recipeBytes" | "texts"> {
  /** The old stream that the recipe was made with. */
  readonly guide: PlacedStream | undefined;
  readonly recipeAt: number;
  readonly plainAt: number;
}

/** Undefined when all were put together, otherwise why not: the recipes are none. */
export function packStreams({
  from,
  streams,
  to,
}: {
  /** The file with recipes and plain bytes. */
  readonly from: string;
  readonly streams: readonly StreamToPack[];
  readonly to: { readonly path: string; readonly fileBytes: number; readonly exec: boolean };
}): OnDisk<{ readonly refused: string | undefined }> {
  return onDisk(() => {
    const reader = new FileReader();
    const guides = new StreamSources();
    const out = openStaged(to);
    try {
      for (const stream of streams) {
        const writer = new PieceWriter(out, stream.pieces);
        const bytes = stream.pieces.reduce((sum, piece) => sum + piece.bytes, 0);
        const readPlain: ReadBytes = (offset, target) => reader.read(from, stream.plainAt + offset, target);
        if (stream.coding === "base64") {
          const text = withTextsWritten([{ offset: 0, bytes, plainBytes: stream.plainBytes }], readPlain);
          writeSlices(text, bytes, writer);
          continue;
        }
        const recipe = new Uint8Array(stream.recipeBytes);
        reader.read(from, stream.recipeAt, recipe);
        putTogether({
          recipe,
          plainBytes: inflatedBytes(stream),
          compressedBytes: bytes,
          guide: stream.guide && guides.of(stream.guide),
          readPlain: stream.texts === undefined ? readPlain : withTextsWritten(stream.texts, readPlain),
          write: (piece) => writer.write(piece),
        });
      }
      return { refused: undefined };
    } catch (error) {
      if (error instanceof Failure) return { refused: error.message };
      throw error;
    } finally {
      closeSync(out);
      guides.close();
      reader.close();
    }
  });
}

function writeSlices(read: ReadBytes, bytes: number, writer: PieceWriter): void {
  for (let done = 0; done < bytes; done += BASE64_SLICE_BYTES) {
    const slice = new Uint8Array(Math.min(BASE64_SLICE_BYTES, bytes - done));
    read(done, slice);
    writer.write(slice);
  }
}

/** Streams for the core to read: the one that was asked for last is at hand, however many others are guided by it. */
export class StreamSources {
  readonly #reader = new FileReader();
  #last: PlacedStream | undefined;
  #source: StreamSource | undefined;

  /** Reading it throws: install.damaged for a file that is gone or not what it was. */
  of(stream: PlacedStream): StreamSource {
    const { path, pieces } = stream;
    if (this.#source === undefined || this.#last?.path !== path || this.#last.pieces !== pieces) {
      this.#last = stream;
      this.#source = sourceOf(pieces, (offset, target) => this.#read(path, offset, target));
    }
    return this.#source;
  }

  close(): void {
    this.#reader.close();
  }

  #read(path: string, offset: number, target: Uint8Array): void {
    try {
      this.#reader.read(path, offset, target);
    } catch (cause) {
      if (!isUnreadable(cause)) throw cause;
      throw new Failure("install.damaged", { file: path, reason: (cause as Error).message }, { cause });
    }
  }
}

function sourceOf(pieces: PlacedStream["pieces"], read: ReadBytes): StreamSource {
  return { read: readJoined(read, pieces), start: 0, end: pieces.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Bytes one after another, into the pieces of a file. */
class PieceWriter {
  readonly #fd: number;
  readonly #pieces: StreamToPack["pieces"];
  #piece = 0;
  /** Bytes of the piece that are written. */
  #done = 0;

  constructor(fd: number, pieces: StreamToPack["pieces"]) {
    this.#fd = fd;
    this.#pieces = pieces;
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const piece = this.#pieces[this.#piece];
      if (piece === undefined) throw new RangeError("beyond the last piece");
      const some = bytes.subarray(at, at + piece.bytes - this.#done);
      writeFully(this.#fd, some, piece.offset + this.#done);
      at += some.length;
      this.#done += some.length;
      if (this.#done < piece.bytes) continue;
      this.#piece++;
      this.#done = 0;
    }
  }
}
