/**
 * A raw deflate stream, slice by slice -> its plain bytes. At once, by the decoder inside of Node's stream
 * (zlib-inside.ts): by the stream itself, which waits for other threads and makes buffers, all of a pack's took twice
 * as long (measured).
 */
import { Readable } from "node:stream";
import { constants, createInflateRaw, type InflateRaw } from "node:zlib";
import { DEFLATE_SLICE_BYTES } from "../../manifests/limits.ts";
import { release } from "./scratch.ts";
import type { ZlibInside } from "./zlib-inside.ts";

export interface StreamSize {
  readonly packedBytes: number;
  readonly plainBytes: number;
}

/** Large enough to have memory of its own. */
const INFLATED_BYTES = 2 * DEFLATE_SLICE_BYTES;
const NOTHING = new Uint8Array(0);

/**
 * Undefined when it is no whole stream, or `take` says that it had enough. Bytes behind the stream's end are left
 * alone.
 * Throws: what reading the slices throws.
 * @param slices  each is used up before the next is asked for
 * @param take  given memory that is used again
 */
export async function inflateSlices(
  slices: Iterable<Uint8Array>,
  take: (plain: Uint8Array) => boolean,
): Promise<StreamSize | undefined> {
  const inflater = createInflateRaw({ chunkSize: INFLATED_BYTES });
  const { _handle: handle, _writeState: state } = inflater as ZlibInside;
  if (handle?.writeSync === undefined || state?.length !== 2) return await inflateByStream(inflater, slices, take);
  // an error is seen by what it leaves
  inflater.on("error", () => {});
  try {
    return inflateAtOnce(inflater, { handle, state }, slices, take);
  } finally {
    inflater.destroy();
  }
}

function inflateAtOnce(
  inflater: InflateRaw,
  { handle, state }: { readonly handle: Required<ZlibInside>["_handle"]; readonly state: Uint32Array },
  slices: Iterable<Uint8Array>,
  take: (plain: Uint8Array) => boolean,
): StreamSize | undefined {
  const room = new Uint8Array(INFLATED_BYTES);
  let packedBytes = 0;
  let plainBytes = 0;
  /** Gives on what these bytes make. */
  const push = (flush: number, slice: Uint8Array): "more" | "ended" | "refused" => {
    for (let at = 0; ;) {
      handle.writeSync(flush, slice, at, slice.length - at, room, 0, room.length);
      if (inflater.destroyed) return "refused";
      const [roomLeft = 0, inputLeft = 0] = state;
      packedBytes += slice.length - inputLeft - at;
      at = slice.length - inputLeft;
      const made = room.length - roomLeft;
      plainBytes += made;
      if (made > 0 && !take(room.subarray(0, made))) return "refused";
      // it stops before room and input are used up only where the stream ends
      if (roomLeft > 0) return inputLeft > 0 ? "ended" : "more";
    }
  };
  try {
    let said: ReturnType<typeof push> = "more";
    for (const slice of slices) if ((said = push(constants.Z_NO_FLUSH, slice)) !== "more") break;
    // with nothing behind it, only the decoder knows whether it is at its end
    if (said === "more") said = push(constants.Z_FINISH, NOTHING);
    return said === "refused" ? undefined : { packedBytes, plainBytes };
  } finally {
    release(room.buffer);
  }
}

/** The same in the way that Node documents, through its stream. */
export async function inflateByStream(
  inflater: InflateRaw,
  slices: Iterable<Uint8Array>,
  take: (plain: Uint8Array) => boolean,
): Promise<StreamSize | undefined> {
  // several are on their way at once
  const source = Readable.from(copiesOf(slices), { highWaterMark: 1 });
  source.on("error", (error) => inflater.destroy(error));
  let plainBytes = 0;
  try {
    for await (const chunk of source.pipe(inflater)) {
      const piece = chunk as Buffer<ArrayBuffer>;
      plainBytes += piece.length;
      if (!take(piece)) return undefined;
      // the last piece of a buffer of zlib's, which goes on in another: 50 MB of them pile up otherwise (measured)
      const isLast = piece.byteOffset + piece.length === piece.buffer.byteLength;
      if (isLast && piece.buffer.byteLength === INFLATED_BYTES) release(piece.buffer);
    }
    return { packedBytes: inflater.bytesWritten, plainBytes };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith("Z_") === true) return undefined;
    throw error;
  } finally {
    source.destroy();
  }
}

function* copiesOf(slices: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const slice of slices) yield slice.slice();
}
