/**
 * zstd frame -> bytes, straight into memory of the caller. `zstdDecompressSync` builds a stream object and a decoder
 * for every call, 40 µs or as much as decoding 30 KB takes; a title of small files needs ten thousand calls. One
 * decoder for all of them does it in a fifth of the time (measured). It is the same decoder, reached from inside
 * (zlib-inside.ts): when that is not as expected, or anything at all goes wrong, the documented call decides.
 */
import { constants, createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { ZSTD_WINDOW_LOG_MAX } from "../../manifests/limits.ts";
import type { ZlibInside } from "./zlib-inside.ts";

/** The decoder wants to see that there is room after the frame's last byte, or it does not say that it is done. */
const SLACK_BYTES = 64;
const PARAMS = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };

let decoder: ZlibInside | undefined;

/**
 * Decodes one frame of exactly `size` bytes into `to` at `at`. False when it is no frame, or has another size: the
 * bytes are hostile. `to` has room for SLACK more bytes than it is asked to hold, or the slow way is taken.
 */
export function inflateInto(frame: Uint8Array, to: Uint8Array, at: number, size: number): boolean {
  return (at + size + SLACK_BYTES <= to.length && decodeFast(frame, to, at, size)) || decode(frame, to, at, size);
}

/** Room after the last byte that makes `inflateInto` fast. */
export const INFLATE_SLACK_BYTES = SLACK_BYTES;

function decodeFast(frame: Uint8Array, to: Uint8Array, at: number, size: number): boolean {
  return decodeUpTo(frame, to.subarray(at, at + size + SLACK_BYTES)) === size;
}

/**
 * How many bytes the frame holds, when they all fit into `to` with room to spare; undefined when they do not, or it is
 * none.
 */
function decodeUpTo(frame: Uint8Array, to: Uint8Array): number | undefined {
  decoder ??= createZstdDecompress({ params: PARAMS }).on("error", () => {}) as unknown as ZlibInside;
  const { _handle: handle, _writeState: state } = decoder;
  if (handle?.writeSync === undefined || state?.length !== 2) return undefined;
  try {
    handle.writeSync(constants.ZSTD_e_end, frame, 0, frame.length, to, 0, to.length);
  } catch {
    decoder = undefined;
    return undefined;
  }
  const [roomLeft = 0, inputLeft] = state;
  if (decoder.destroyed !== true && inputLeft === 0 && roomLeft >= SLACK_BYTES) return to.length - roomLeft;
  // after an error, or in the middle of a frame, it is of no use for the next one
  decoder = undefined;
  return undefined;
}

function decode(frame: Uint8Array, to: Uint8Array, at: number, size: number): boolean {
  try {
    const plain = zstdDecompressSync(frame, { maxOutputLength: size, chunkSize: size + SLACK_BYTES, params: PARAMS });
    to.set(plain, at);
    return plain.length === size;
  } catch {
    return false; // every error here means the same: not the frame that was promised
  }
}

/**
 * Decodes one frame of unknown size, at most `sizeMax` bytes, into memory of its own or of `room`. Undefined when it is
 * no frame or larger.
 * @param room  used when the content fits; what it holds is then overwritten by the next call
 */
export function inflate(frame: Uint8Array, sizeMax: number, room: Uint8Array): Uint8Array | undefined {
  // zlib takes nothing at all for a frame of nothing
  if (frame.length === 0) return undefined;
  const bytes = decodeUpTo(frame, room.subarray(0, Math.min(room.length, sizeMax + SLACK_BYTES)));
  if (bytes !== undefined && bytes <= sizeMax) return room.subarray(0, bytes);
  try {
    return zstdDecompressSync(frame, { maxOutputLength: sizeMax, params: PARAMS });
  } catch {
    return undefined; // not a frame, or larger than it may be
  }
}
