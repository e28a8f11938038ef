/**
 * Names made of hashes, and the few byte helpers they need. Hashing itself is passed in: the core imports no crypto.
 */
import { Failure } from "./failures.ts";

declare const objectId: unique symbol;
declare const piecesRoot: unique symbol;
declare const chunkId: unique symbol;

/** SHA-256 of an object's bytes, 64 lowercase hex digits. */
export type ObjectId = string & { readonly [objectId]: true };
/** BEP 52 Merkle root of a file's content, 64 lowercase hex digits. */
export type PiecesRoot = string & { readonly [piecesRoot]: true };
/** SHA-256 of one chunk's plain bytes, 64 lowercase hex digits. */
export type ChunkId = string & { readonly [chunkId]: true };

/** SHA-256 of the bytes, 32 bytes. Node and workerd both have a synchronous one; the shells pass it in. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;
/** SHA-1 of the bytes, 20 bytes. Used only for the BitTorrent v1 half of hybrid torrents, never for trust. */
export type Sha1 = (bytes: Uint8Array) => Uint8Array;

export const SHA256_BYTES = 32;
export const SHA1_BYTES = 20;

/** The root of an empty file: BEP 52 gives it none, so it gets the one value no tree can hash to by accident. */
export const EMPTY_ROOT = "0".repeat(64) as PiecesRoot;

const HEX_256 = /^[0-9a-f]{64}$/;

/** Throws: object.bad-name when the text is not 64 lowercase hex digits. */
export function parseObjectId(text: string): ObjectId {
  return parseHex256(text) as ObjectId;
}

/** Throws: object.bad-name when the text is not 64 lowercase hex digits. */
export function parsePiecesRoot(text: string): PiecesRoot {
  return parseHex256(text) as PiecesRoot;
}

/** Throws: object.bad-name when the text is not 64 lowercase hex digits. */
export function parseChunkId(text: string): ChunkId {
  return parseHex256(text) as ChunkId;
}

/** The name of an object: SHA-256 of its bytes. */
export function objectIdOf(bytes: Uint8Array, sha256: Sha256): ObjectId {
  return toHex(sha256(bytes)) as ObjectId;
}

/**
 * Bytes -> lowercase hex. In one piece for a SHA-256: a text put together digit by digit is kept by V8 as a chain of
 * its parts, which takes three times as long and several times the memory (measured; a patch holds 400,000 of them).
 */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += HEX_STEP_BYTES) text += hexOf(bytes, at);
  return text;
}

/** Lowercase or uppercase hex -> bytes. Throws: object.bad-name on an odd length or a digit that is not hex. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new Failure("object.bad-name", { found: text.slice(0, 80), expected: "hex digits" });
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = nibble(text, 2 * i) * 16 + nibble(text, 2 * i + 1);
  return bytes;
}

/** Whether two byte strings are equal, in time that depends only on their lengths. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

/** One of many hashes that lie one after another. */
export function hashAt(hashes: Uint8Array, index: number): Uint8Array {
  return hashes.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES);
}

/** The parts, one after another, in one new array. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const HEX_DIGITS = Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
const HEX_STEP_BYTES = SHA256_BYTES;

/** The digits of at most HEX_STEP_BYTES bytes. */
function hexOf(bytes: Uint8Array, from: number): string {
  const end = Math.min(from + HEX_STEP_BYTES, bytes.length);
  const codes: number[] = [];
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
    codes.push(HEX_DIGITS[byte >> 4] ?? 0, HEX_DIGITS[byte & 15] ?? 0);
  }
  return String.fromCharCode(...codes);
}

/** Value of the hex digit at `at`: "0" is 0x30, "A" 0x41, "a" 0x61. Roots are read by the ten thousand. */
function nibble(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return (unit & 0xf) + (unit > 0x39 ? 9 : 0);
}

function parseHex256(text: string): string {
  if (!HEX_256.test(text)) {
    throw new Failure("object.bad-name", { found: text.slice(0, 80), expected: "64 lowercase hex digits" });
  }
  return text;
}
