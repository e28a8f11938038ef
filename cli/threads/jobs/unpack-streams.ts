/** Jobs: compressed streams of files -> plain bytes, in memory or in a file; and of plain bytes and recipes, the streams again. */
import { closeSync } from "node:fs";
import { putTogether } from "../../../manifests/deflate/put-together.ts";
import { Failure } from "../../../manifests/failures.ts";
import type { FileRange } from "./hash-ranges.ts";
import { type OnDisk, onDiskAsync, onDisk } from "../disk-error.ts";
import { FileReader } from "../file-reader.ts";
import { inflateStream, type StreamInFile } from "../plain-bytes.ts";
import { openStaged, writeFully } from "./place.ts";

/** Bytes that lie in a file as they are. */
export interface FilePart extends FileRange {
  readonly of: "file";
  /** Where they go in the target. */
  readonly at: number;
}

/** A part of a stream's plain bytes. */
export interface PlainPart extends StreamInFile {
  readonly of: "plain";
  readonly at: number;
  /** Plain bytes in front of the part, and in it. */
  readonly skipped: number;
  readonly bytes: number;
}

export type PartToRead = FilePart | PlainPart;

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
    let at = -part.skipped;
    return await inflateStream(part, reader, (plain) => {
      const wanted = plain.subarray(Math.max(0, -at), Math.max(0, Math.min(plain.length, target.length - at)));
      target.set(wanted, Math.max(0, at));
      at += plain.length;
    });
  } catch {
    return false; // gone, cut short or not to be read: in any case not what was hashed
  }
}

/** A stream to be unpacked at a place of a file. */
export interface StreamToUnpack extends StreamInFile {
  readonly at: number;
}

/** Undefined when all were unpacked, otherwise what is wrong: an old file is not what it was, or the delta lies. */
export async function unpackStreams({
  streams,
  to,
}: {
  readonly streams: readonly StreamToUnpack[];
  /** A file, made when it is not there. */
  readonly to: { readonly path: string; readonly fileBytes: number };
}): Promise<OnDisk<{ readonly refused: string | undefined }>> {
  return await onDiskAsync(async () => {
    const reader = new FileReader();
    const out = openStaged({ ...to, exec: false });
    try {
      for (const stream of streams) {
        let { at } = stream;
        const isWhole = await inflateStream(stream, reader, (plain) => {
          writeFully(out, plain, at);
          at += plain.length;
        });
        if (!isWhole) return { refused: `${stream.path} does not hold the stream it should` };
      }
      return { refused: undefined };
    } catch (error) {
      if (error instanceof Failure) return { refused: error.message };
      throw error;
    } finally {
      closeSync(out);
      reader.close();
    }
  });
}

/** A stream to be put together: where its recipe and plain bytes lie, and where in the file it goes. */
export interface StreamToPack {
  readonly recipeAt: number;
  readonly recipeBytes: number;
  readonly plainAt: number;
  readonly plainBytes: number;
  readonly pieces: readonly { readonly offset: number; readonly bytes: number }[];
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
    const out = openStaged(to);
    try {
      for (const stream of streams) {
        const recipe = new Uint8Array(stream.recipeBytes);
        reader.read(from, stream.recipeAt, recipe);
        const writer = new PieceWriter(out, stream.pieces);
        putTogether({
          recipe,
          plainBytes: stream.plainBytes,
          compressedBytes: stream.pieces.reduce((sum, { bytes }) => sum + bytes, 0),
          readPlain: (offset, target) => reader.read(from, stream.plainAt + offset, target),
          write: (piece) => writer.write(piece),
        });
      }
      return { refused: undefined };
    } catch (error) {
      if (error instanceof Failure) return { refused: error.message };
      throw error;
    } finally {
      closeSync(out);
      reader.close();
    }
  });
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
