/** Packed streams in files -> their plain bytes. Node's own code does it, five times as fast as the core could. */
import { constants, inflateRawSync } from "node:zlib";
import {
  BASE64_SLICE_BYTES,
  DEFLATE_FRONT_BYTES,
  DEFLATE_SLICE_BYTES,
  UNPACK_AT_ONCE_BYTES_MAX,
} from "../../manifests/limits.ts";
import type { SpaceSpan } from "../../manifests/delta/release-delta.ts";
import { inflatedBytes, type PackedStream } from "../../manifests/delta/unpack.ts";
import type { FileReader } from "./file-reader.ts";
import { inflateSlices, type StreamSize } from "./inflate-slices.ts";
import { release, scratch } from "./scratch.ts";
import { TextsDecoder } from "./texts-inside.ts";

/** A stream in a file. */
export interface StreamInFile extends Pick<PackedStream, "coding" | "pieces" | "plainBytes" | "texts"> {
  readonly path: string;
}

/**
 * Gives the plain bytes on, in order, until `take` says that it wants no more. False when the stream is not one of
 * exactly `plainBytes`, as far as it was looked at; perhaps after some were given. Holds at most twice
 * UNPACK_AT_ONCE_BYTES_MAX.
 * Throws: what reading throws.
 */
export async function unpackStream(
  stream: StreamInFile,
  reader: FileReader,
  take: (plain: Uint8Array) => boolean,
): Promise<boolean> {
  if (stream.coding === "base64") return decodeBase64(stream, reader, take);
  if (stream.texts === undefined) return await inflateStream(stream, reader, take);
  const decoder = new TextsDecoder(stream.texts, take);
  const inflated = { ...stream, plainBytes: inflatedBytes(stream) };
  return (await inflateStream(inflated, reader, (piece) => decoder.push(piece))) && !decoder.isBroken;
}

async function inflateStream(
  { path, pieces, plainBytes }: StreamInFile,
  reader: FileReader,
  take: (plain: Uint8Array) => boolean,
): Promise<boolean> {
  const packed = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  if (packed + plainBytes > UNPACK_AT_ONCE_BYTES_MAX) {
    let given = 0;
    let isEnough = false;
    const made = await inflateSlices(slicesOf(path, pieces, DEFLATE_SLICE_BYTES, reader), (plain) => {
      given += plain.length;
      isEnough = given <= plainBytes && !take(plain);
      return given <= plainBytes && !isEnough;
    });
    return isEnough || made?.plainBytes === plainBytes;
  }
  const stored = readFront({ path, pieces }, scratch(packed), reader);
  const plain = inflateAtOnce(stored, plainBytes);
  if (plain?.length !== plainBytes) return false;
  take(plain);
  // small ones share a buffer with others
  if (plain.buffer.byteLength > 2 * Buffer.poolSize) release(plain.buffer);
  return true;
}

function decodeBase64(
  { path, pieces, plainBytes }: StreamInFile,
  reader: FileReader,
  take: (plain: Uint8Array) => boolean,
): boolean {
  const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0);
  const decoder = new TextsDecoder([{ offset: 0, bytes, plainBytes }], take);
  for (const slice of slicesOf(path, pieces, BASE64_SLICE_BYTES, reader)) if (!decoder.push(slice)) break;
  return !decoder.isBroken;
}

/** Undefined when it is no stream, or one of more bytes. */
function inflateAtOnce(stored: Uint8Array, plainBytes: number): Uint8Array<ArrayBuffer> | undefined {
  try {
    return inflateRawSync(stored, { maxOutputLength: plainBytes, chunkSize: Math.max(64, plainBytes) });
  } catch {
    return undefined; // zlib says nothing else than that
  }
}

/** With the plain bytes of a stream that was short enough to be unpacked at once. */
export interface MeasuredStream extends StreamSize {
  readonly plain?: Uint8Array;
}

/**
 * How long the stream is that begins with these pieces, and may end before them. Undefined when there is none.
 * Throws: what reading throws.
 */
export async function measureStream(
  { path, pieces }: Pick<StreamInFile, "path" | "pieces">,
  reader: FileReader,
): Promise<MeasuredStream | undefined> {
  const all = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const most of MEASURED_AT_ONCE_BYTES) {
    const front = readFront({ path, pieces }, scratch(Math.min(all, most)), reader);
    const size = measureAtOnce(front);
    if (size !== "longer") return size;
    if (all <= most) break;
  }
  return await inflateSlices(slicesOf(path, pieces, DEFLATE_SLICE_BYTES, reader), () => true);
}

/** Nearly all streams are as short as that: going through them slice by slice took eight times as long (measured). */
const MEASURED_AT_ONCE_BYTES = [16 * 1024, 256 * 1024];

/** @param front  of a stream, and perhaps what is behind it */
function measureAtOnce(front: Uint8Array): MeasuredStream | "longer" | undefined {
  try {
    const options = { info: true, maxOutputLength: UNPACK_AT_ONCE_BYTES_MAX, chunkSize: 4 * front.length + 64 };
    // with `info`, and unknown to the types, Node gives the engine along, which counts what it took
    const { buffer, engine } = inflateRawSync(front, options) as unknown as Inflated;
    return { packedBytes: engine.bytesWritten, plainBytes: buffer.length, plain: buffer };
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "Z_DATA_ERROR") return undefined;
    if (code === "Z_BUF_ERROR" || code === "ERR_BUFFER_TOO_LARGE") return "longer";
    throw error;
  }
}

interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/** Fills `joined` with the first bytes of a stream's pieces. */
function readFront<Bytes extends Uint8Array>(
  { path, pieces }: Pick<StreamInFile, "path" | "pieces">,
  joined: Bytes,
  reader: FileReader,
): Bytes {
  let at = 0;
  for (const { offset, bytes } of pieces) {
    const some = joined.subarray(at, at + bytes);
    reader.read(path, offset, some);
    at += some.length;
  }
  return joined;
}

/** The first plain bytes, as many as a few packed ones make; none of what is no stream. Throws: what reading throws. */
export function inflateFront({ path, pieces }: Pick<StreamInFile, "path" | "pieces">, reader: FileReader): Uint8Array {
  const all = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const bytes of DEFLATE_FRONT_BYTES) {
    const front = readFront({ path, pieces }, scratch(Math.min(all, bytes)), reader);
    try {
      // a stream that is cut short gives what it has
      const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: UNPACK_AT_ONCE_BYTES_MAX };
      return inflateRawSync(front, options);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code.startsWith("Z_")) break;
      if (code !== "ERR_BUFFER_TOO_LARGE") throw error;
    }
  }
  return new Uint8Array(0);
}

/** Each is overwritten by the next. */
function* slicesOf(
  path: string,
  pieces: readonly SpaceSpan[],
  sliceBytes: number,
  reader: FileReader,
): Generator<Uint8Array> {
  const memory = new Uint8Array(sliceBytes);
  for (const { offset, bytes } of pieces) {
    for (let done = 0; done < bytes; done += sliceBytes) {
      const slice = memory.subarray(0, bytes - done);
      reader.read(path, offset + done, slice);
      yield slice;
    }
  }
}
