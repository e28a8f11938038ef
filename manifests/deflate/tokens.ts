/** Tokens of a deflate stream as numbers, which fit the hot loops. */
import { MATCH_BYTES_MIN } from "./alphabet.ts";

/** A literal is 0; a match has its length in the upper and its distance in the lower 16 bits. */
export type Token = number;
export const LITERAL: Token = 0;
export const tokenOf = (length: number, distance: number): Token => (length << 16) | distance;
export const lengthOf = (token: Token): number => token >>> 16;
export const distanceOf = (token: Token): number => token & 0xffff;
/** Plain bytes of a token. */
export const bytesOf = (token: Token): number => (token === LITERAL ? 1 : lengthOf(token));

/** What is left of a token when only `left` bytes are. */
export function clip(token: Token, left: number): Token {
  if (bytesOf(token) <= left) return token;
  return left < MATCH_BYTES_MIN ? LITERAL : tokenOf(left, distanceOf(token));
}
