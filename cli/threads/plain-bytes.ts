/** Deflate streams in files -> their plain bytes. Node's zlib does it, five times as fast as the core could. */
import { Readable } from "node:stream";
import { createInflateRaw, inflateRawSync } from "node:zlib";
import { DEFLATE_SLICE_BYTES, READ_BYTES, UNPACK_AT_ONCE_BYTES_MAX } from "../../manifests/limits.ts";
import type { SpaceSpan } from "../../manifests/delta/release-delta.ts";
import type { FileReader } from "./file-reader.ts";

/** A stream in a file. */
export interface StreamInFile {
  readonly path: string;
  readonly pieces: readonly SpaceSpan[];
  readonly plainBytes: number;
}

/**
 * Gives the plain bytes on, in order. False when the stream is not one of exactly `plainBytes`; perhaps after some were given.
 * Holds at most twice UNPACK_AT_ONCE_BYTES_MAX. Throws: what reading throws.
 */
export async function inflateStream(
  { path, pieces, plainBytes }: StreamInFile,
  reader: FileReader,
  take: (plain: Uint8Array) => void,
): Promise<boolean> {
  const packed = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  if (packed + plainBytes > UNPACK_AT_ONCE_BYTES_MAX) {
    let given = 0;
    const made = await inflateSlices(slicesOf(path, pieces, READ_BYTES, reader), (plain) => {
      given += plain.length;
      if (given <= plainBytes) take(plain);
      return given <= plainBytes;
    });
    return made?.plainBytes === plainBytes;
  }
  const stored = new Uint8Array(packed);
  let at = 0;
  for (const { offset, bytes } of pieces) {
    reader.read(path, offset, stored.subarray(at, at + bytes));
    at += bytes;
  }
  const plain = inflateAtOnce(stored, plainBytes);
  if (plain?.length !== plainBytes) return false;
  take(plain);
  return true;
}

/** Undefined when it is no stream, or one of more bytes. */
function inflateAtOnce(stored: Uint8Array, plainBytes: number): Uint8Array | undefined {
  try {
    return inflateRawSync(stored, { maxOutputLength: plainBytes, chunkSize: Math.max(64, plainBytes) });
  } catch {
    return undefined; // zlib says nothing else than that
  }
}

export interface StreamSize {
  readonly packedBytes: number;
  readonly plainBytes: number;
}

/**
 * How long the stream is that begins with these pieces, and may end before them. Undefined when there is none.
 * Throws: what reading throws.
 */
export async function measureStream(
  { path, pieces }: Pick<StreamInFile, "path" | "pieces">,
  reader: FileReader,
): Promise<StreamSize | undefined> {
  return await inflateSlices(slicesOf(path, pieces, DEFLATE_SLICE_BYTES, reader), () => true);
}

/** Undefined when it is no whole stream, or `take` says that it had enough. */
async function inflateSlices(
  slices: Iterable<Uint8Array>,
  take: (plain: Uint8Array) => boolean,
): Promise<StreamSize | undefined> {
  const inflater = createInflateRaw({ chunkSize: READ_BYTES });
  const source = Readable.from(slices, { highWaterMark: 1 });
  source.on("error", (error) => inflater.destroy(error));
  let plainBytes = 0;
  try {
    for await (const piece of source.pipe(inflater)) {
      plainBytes += (piece as Buffer).length;
      if (!take(piece as Buffer)) return undefined;
    }
    return { packedBytes: inflater.bytesWritten, plainBytes };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith("Z_") === true) return undefined;
    throw error;
  } finally {
    source.destroy();
  }
}

function* slicesOf(
  path: string,
  pieces: readonly SpaceSpan[],
  sliceBytes: number,
  reader: FileReader,
): Generator<Uint8Array> {
  for (const { offset, bytes } of pieces) {
    for (let done = 0; done < bytes; done += sliceBytes) {
      const slice = new Uint8Array(Math.min(sliceBytes, bytes - done));
      reader.read(path, offset + done, slice);
      yield slice;
    }
  }
}
