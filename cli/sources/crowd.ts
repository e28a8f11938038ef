/** Asks the tracker how many others there are, before anything of a BitTorrent client is loaded for them. */
import { decodeBencode } from "../../manifests/bencode.ts";
import { Failure } from "../../manifests/failures.ts";
import { HTTP_RETRY_MS, SCRAPE_BYTES_MAX, SCRAPE_TIMEOUT_S } from "../../manifests/limits.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import { writeScrape } from "../../manifests/wire/scrape.ts";
import { type Fetch, fetchCapped } from "../trust/fetch-capped.ts";

/** One short try: a patch must not wait for a tracker that hangs. */
const PATIENCE = { idleSeconds: SCRAPE_TIMEOUT_S, tries: 1, retryMs: HTTP_RETRY_MS };

/** Seeds and leeches of a release; 0 when the tracker cannot be asked: nobody then misses it either. */
export async function countPlayers(
  edge: string,
  title: string,
  infohash: string,
  world: { readonly fetch: Fetch; readonly signal: AbortSignal },
): Promise<number> {
  const hash = infoHashFromHex(infohash);
  try {
    const url = `${edge}/t/${title}/scrape?${writeScrape([hash])}`;
    const body = await fetchCapped(url, { ...world, bytesMax: SCRAPE_BYTES_MAX, patience: PATIENCE });
    const files = body === undefined ? undefined : entryOf(decodeBencode(body), "files");
    const counts = entryOf(files, hash);
    return count(entryOf(counts, "complete")) + count(entryOf(counts, "incomplete"));
  } catch (error) {
    if (error instanceof Failure && error.family !== "interrupted") return 0;
    throw error;
  }
}

function entryOf(value: unknown, key: string): unknown {
  return value instanceof Map ? value.get(key) : undefined;
}

function count(value: unknown): number {
  return typeof value === "number" && value > 0 ? value : 0;
}
