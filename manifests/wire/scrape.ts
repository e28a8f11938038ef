/**
 * Scrape over HTTP (BEP 48, with the `downloaders` of BEP 21): counts without peers.
 * Clients derive the URL: they replace `announce` at the start of the announce URL's last path segment by `scrape`.
 */
import { dict, encodeBencode } from "../bencode.ts";
import type { BencodeInput } from "../bencode.ts";
import { Failure } from "../failures.ts";
import { ANNOUNCE_INTERVAL_MIN_S, SCRAPE_HASHES_MAX } from "../limits.ts";
import { parseInfoHash } from "./names.ts";
import type { InfoHash } from "./names.ts";
import { escapeBinary, parseQuery } from "./query.ts";

export interface SwarmCounts {
  /** Players that have all of it. */
  readonly complete: number;
  /** Players that do not, partial seeds among them. */
  readonly incomplete: number;
  /** Players that still want something: incomplete without the partial seeds. */
  readonly downloaders: number;
  /** Downloads completed so far. */
  readonly downloaded: number;
}

/** The info hashes asked for; none means all (BEP 48). Throws: announce.malformed. */
export function parseScrape(query: string): readonly InfoHash[] {
  return parseScraped(parseQuery(query).get("info_hash") ?? []);
}

/** A hostile list of info hashes -> the same, each once. Throws: announce.malformed. */
export function parseScraped(infoHashes: readonly unknown[]): readonly InfoHash[] {
  if (infoHashes.length > SCRAPE_HASHES_MAX) {
    throw new Failure("announce.malformed", { field: "info_hash", limit: SCRAPE_HASHES_MAX, found: infoHashes.length });
  }
  return [...new Set(infoHashes.map(parseInfoHash))];
}

/** The inverse of parseScrape: the query a client sends. */
export function writeScrape(infoHashes: readonly InfoHash[]): string {
  return infoHashes.map((infoHash) => `info_hash=${escapeBinary(infoHash)}`).join("&");
}

/** The bencoded body. Info hashes we do not track are simply not in it. */
export function writeScrapeReply(swarms: ReadonlyMap<InfoHash, SwarmCounts>): Uint8Array<ArrayBuffer> {
  const files = new Map<string, BencodeInput>();
  for (const [infoHash, counts] of swarms) files.set(infoHash, dict({ ...counts }));
  return encodeBencode(dict({ files, flags: dict({ min_request_interval: ANNOUNCE_INTERVAL_MIN_S }) }));
}
