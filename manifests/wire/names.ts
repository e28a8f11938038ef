/**
 * The two 20-byte names of the tracker's world. Both travel as binary strings: one character (0 to 255) a byte, which
 * is what the WebTorrent JSON carries, what a percent-decoded query gives, and what a Map can look up.
 */
import { bytesOfKey, keyOfBytes } from "../bencode.ts";
import { fromHex, toHex } from "../digest.ts";
import { Failure } from "../failures.ts";

declare const infoHash: unique symbol;
declare const peerId: unique symbol;

/** BEP 3 info hash, or a BEP 52 one cut to 20 bytes; 20 characters, one a byte. */
export type InfoHash = string & { readonly [infoHash]: true };
/**
 * What a client calls itself for one session (BEP 20); 20 characters, one a byte. Not secret, and anyone may claim it.
 */
export type PeerId = string & { readonly [peerId]: true };

export const NAME_BYTES = 20;

/** `text` is hostile. Throws: announce.malformed unless it is 20 characters, each one byte. */
export function parseInfoHash(text: unknown): InfoHash {
  return parseName("info_hash", text) as InfoHash;
}

/** `text` is hostile. Throws: announce.malformed unless it is 20 characters, each one byte. */
export function parsePeerId(text: unknown, field = "peer_id"): PeerId {
  return parseName(field, text) as PeerId;
}

/** 20 bytes in a binary string, whatever they mean. Throws: announce.malformed. */
export function parseName(field: string, text: unknown): string {
  if (typeof text !== "string") throw new Failure("announce.malformed", { field, reason: "missing" });
  if (text.length !== NAME_BYTES) {
    throw new Failure("announce.malformed", { field, expected: `${NAME_BYTES} bytes`, found: text.length });
  }
  if (!isBinary(text)) throw new Failure("announce.malformed", { field, reason: "a character above 255" });
  return text;
}

/** v1 (40 digits) or v2 (64 digits, cut to 20 bytes as BEP 52 says for trackers). Throws: object.bad-name. */
export function infoHashFromHex(hex: string): InfoHash {
  return parseInfoHash(binaryOf(fromHex(hex).subarray(0, NAME_BYTES)));
}

/** A binary string -> lowercase hex, for people and logs. */
export function hexOf(binary: string): string {
  return toHex(bytesOf(binary));
}

/** Bytes <-> a binary string; the keys of bencode are binary strings too. */
export const binaryOf = keyOfBytes;
export const bytesOf = bytesOfKey;

function isBinary(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0xff) return false;
  return true;
}
