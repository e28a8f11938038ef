/**
 * Web seed (BEP 19): the plain files of a release at /t/:title/seed/:seq/<torrent name>/<path…>, stitched from packs,
 * so that any BitTorrent client can fill the gaps of its swarm over HTTP.
 */
import type { Context } from "hono";
import { Failure } from "../../manifests/failures.ts";
import { PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import { parseTitleName } from "../../manifests/release.ts";
import type { Edge } from "../env.ts";
import { logFault } from "../log.ts";
import { type ByteRange, contentRange, namesTag, parseRange, rangeApplies, resolveRange } from "./range.ts";
import { findFile, recipeOf, requireRelease } from "./release-files.ts";
import { countServed } from "./served.ts";
import { plainParts, readsFor } from "./stitch.ts";

/** Padding between files (BEP 47): `.pad/<bytes>`, all zeros. */
const PADDING = /^\.pad\/(\d{1,10})$/;
/** Zeros written at once. */
const ZEROS_BYTES = 256 * 1024;

/** What a path of the torrent leads to. */
interface SeedFile {
  readonly size: number;
  readonly tag: string;
  /** Whether its bytes are the game's, and count as served. */
  readonly isContent: boolean;
  /** The plain bytes of a range that lies inside the file. */
  readonly read: (range: ByteRange) => AsyncIterable<Uint8Array>;
}

/** GET and HEAD. Throws: request.malformed, request.not-found, title.not-found, release.not-found, and as findFile. */
export async function getSeedFile(c: Context<Edge>): Promise<Response> {
  const title = parseTitleName(c.req.param("title") ?? "");
  const request = c.req.raw;
  const file = await openSeedFile(c, title, parseSeq(c.req.param("seq") ?? ""), pathInTorrent(request.url));
  const headers = {
    "content-type": "application/octet-stream",
    "cache-control": "public, max-age=31536000, immutable",
    "accept-ranges": "bytes",
    etag: file.tag,
  };
  if (namesTag(request.headers.get("if-none-match"), file.tag)) return new Response(null, { status: 304, headers });
  if (request.method === "HEAD") {
    return new Response(null, { headers: { ...headers, "content-length": String(file.size) } });
  }
  const applies = rangeApplies(request.headers.get("if-range"), file.tag);
  const wish = applies ? parseRange(request.headers.get("range")) : undefined;
  const range = wish === undefined ? { offset: 0, length: file.size } : resolveRange(wish, file.size);
  if (range === undefined) {
    return new Response(null, {
      status: 416,
      headers: { ...headers, "cache-control": "no-store", "content-range": `bytes */${file.size}` },
    });
  }
  if (file.isContent) countServed(c, title, range.length);
  const part = wish === undefined ? {} : { "content-range": contentRange(range, file.size) };
  return new Response(streamOf(c, file, range), {
    status: wish === undefined ? 200 : 206,
    headers: { ...headers, ...part, "content-length": String(range.length) },
  });
}

async function openSeedFile(c: Context<Edge>, title: string, seq: number, path: string): Promise<SeedFile> {
  const padding = PADDING.exec(path)?.[1];
  if (padding !== undefined) {
    await requireRelease(c.env, title, seq);
    return paddingOf(Number(padding));
  }
  const file = await findFile(c.env, title, seq, pathOfFile(path));
  if (file === undefined) throw new Failure("request.not-found", { found: path });
  const recipe = await recipeOf(c.env, title, file);
  return {
    size: file.size,
    tag: `"${file.root}"`,
    isContent: true,
    read: (range) => plainParts(c.env.ORIGIN, title, readsFor(recipe.from(range.offset), range)),
  };
}

/** No release has a file whose path is unsafe. Throws: request.not-found. */
function pathOfFile(path: string): SafePath {
  try {
    return parseSafePath(path);
  } catch (cause) {
    if (!(cause instanceof Failure && cause.code === "path.unsafe")) throw cause;
    throw new Failure("request.not-found", { found: path.slice(0, 80) }, { cause });
  }
}

function paddingOf(size: number): SeedFile {
  // padding never reaches the end of its piece
  if (size >= PIECE_BYTES_MAX) throw new Failure("request.not-found", { found: `.pad/${size}` });
  return { size, tag: `"pad-${size}"`, isContent: false, read: ({ length }) => zeros(length) };
}

async function* zeros(length: number): AsyncGenerator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS_BYTES) yield new Uint8Array(Math.min(left, ZEROS_BYTES));
}

/** A stream of known length, filled as fast as the client reads. */
function streamOf(c: Context<Edge>, file: SeedFile, range: ByteRange): ReadableStream | null {
  if (range.length === 0) return null;
  const { readable, writable } = new FixedLengthStream(range.length);
  c.executionCtx.waitUntil(fill(writable, file.read(range)));
  return readable;
}

async function fill(writable: WritableStream<Uint8Array>, parts: AsyncIterable<Uint8Array>): Promise<void> {
  const writer = writable.getWriter();
  try {
    for await (const part of parts) await writer.write(part);
    await writer.close();
  } catch (error) {
    // the status is sent: all that is left is to break the stream off; a client that went away does not read even that
    if (error instanceof Failure) logFault(error);
    await writer.abort(error).catch(() => {});
  }
}

function parseSeq(text: string): number {
  if (!/^[1-9]\d{0,15}$/.test(text)) throw new Failure("release.not-found", { found: text.slice(0, 40) });
  return Number(text);
}

/** Segments before the torrent's own name: "", t, <title>, seed, <seq>. */
const SEGMENTS_BEFORE_NAME = 5;

/**
 * The path inside the torrent, from the URL as it came: each segment is decoded by itself, so that %2F never becomes a
 * separator, and `#`, `%` and spaces in names survive. Throws: request.malformed.
 */
function pathInTorrent(url: string): string {
  const { pathname } = new URL(url);
  return pathname
    .split("/")
    .slice(SEGMENTS_BEFORE_NAME + 1)
    .map(decodeSegment)
    .join("/");
}

function decodeSegment(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch (cause) {
    throw new Failure(
      "request.malformed",
      { found: segment.slice(0, 80), expected: "percent-encoded UTF-8" },
      { cause },
    );
  }
  if (text.includes("/")) throw new Failure("request.not-found", { found: text.slice(0, 80) });
  return text;
}
