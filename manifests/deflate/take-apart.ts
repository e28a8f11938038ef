/** A raw deflate stream -> its plain bytes and a recipe from which `putTogether` makes the same stream again. */
import type { ReadBytes } from "./find.ts";

export interface TakenApart {
  /** Bytes of the stream, from `start` on; the last may hold unused bits, which the recipe knows. */
  readonly compressedBytes: number;
  readonly plainBytes: number;
  readonly recipe: Uint8Array<ArrayBuffer>;
}

export interface TakeApartLimits {
  /** Plain bytes above which a stream is left alone. */
  readonly plainBytesMax: number;
}

/**
 * @param start  where the stream begins
 * @param end  where it ends at the latest; what follows the stream is not looked at
 * @param sink  is given the plain bytes in order; a piece is good until it returns. When the answer is undefined after
 *   all, what was given is to be dropped (this is rare: nothing is given before the recipe is made)
 * @returns undefined when there is no whole stream, or none worth it
 */
export declare function takeApart(
  read: ReadBytes,
  start: number,
  end: number,
  limits: TakeApartLimits,
  sink?: (piece: Uint8Array) => void,
): TakenApart | undefined;
