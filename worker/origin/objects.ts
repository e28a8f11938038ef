/**
 * Objects by digest: R2 behind HTTP. Reading never touches a Durable Object, because a player's whole download passes
 * here; whether a title exists need not be known to find nothing under its name.
 */
import type { Context } from "hono";
import { type ObjectId, parseObjectId, toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { OBJECT_BYTES_MAX } from "../../manifests/limits.ts";
import { parseTitleName } from "../../manifests/release.ts";
import type { Edge } from "../env.ts";
import { requireRoom } from "../room.ts";
import { countServed } from "./served.ts";
import { objectKey } from "./keys.ts";
import { type RangeWish, contentRange, namesTag, parseRange, rangeApplies, resolveRange } from "./range.ts";

/** An object never changes: caches may keep it for a year, the longest that is customary. */
const IMMUTABLE = "public, max-age=31536000, immutable";
/** R2's errors carry their number in the message only: "put: The SHA-256 checksum you specified … (10037)". */
const R2_BAD_DIGEST = "(10037)";

/** GET and HEAD /t/:title/objects/:sha256. Throws: name.invalid, object.bad-name, object.not-found. */
export async function getObject(c: Context<Edge>): Promise<Response> {
  const title = parseTitleName(c.req.param("title") ?? "");
  const id = parseObjectId(c.req.param("sha256") ?? "");
  const request = c.req.raw;
  const tag = `"${id}"`;
  const key = objectKey(title, id);
  const unchanged = namesTag(request.headers.get("if-none-match"), tag);
  if (request.method === "HEAD" || unchanged) {
    const head = await c.env.ORIGIN.head(key);
    if (head === null) throw new Failure("object.not-found", { found: id });
    if (unchanged) return new Response(null, { status: 304, headers: objectHeaders(tag) });
    return new Response(null, { headers: { ...objectHeaders(tag), "content-length": String(head.size) } });
  }
  const wish = rangeApplies(request.headers.get("if-range"), tag)
    ? parseRange(request.headers.get("range"))
    : undefined;
  const object = await read(c.env.ORIGIN, key, wish);
  if (object === null) throw new Failure("object.not-found", { found: id });
  if (wish === undefined) {
    countServed(c, title, object.size);
    return new Response(bodyOf(object), {
      headers: { ...objectHeaders(tag), "content-length": String(object.size) },
    });
  }
  const range = resolveRange(wish, object.size);
  if (range === undefined) {
    if ("body" in object) await object.body.cancel();
    return new Response(null, {
      status: 416,
      headers: { ...objectHeaders(tag), "cache-control": "no-store", "content-range": `bytes */${object.size}` },
    });
  }
  countServed(c, title, range.length);
  return new Response(bodyOf(object), {
    status: 206,
    headers: {
      ...objectHeaders(tag),
      "content-length": String(range.length),
      "content-range": contentRange(range, object.size),
    },
  });
}

/**
 * PUT /t/:title/objects/:sha256, after the signature was checked (title/sender.ts). The bytes stream into R2, which
 * hashes them on the way and keeps nothing that does not match the name; of an object that is there they are hashed
 * here. No nonce is used up: an object is its content, so a replayed request could only store the same bytes again.
 * Throws: object.bad-name, object.too-large, object.mismatch, request.malformed, edge.no-space.
 */
export async function putObject(c: Context<Edge>): Promise<Response> {
  const id = parseObjectId(c.req.param("sha256") ?? "");
  const key = objectKey(c.req.param("title") ?? "", id);
  const { body, headers } = c.req.raw;
  const length = headers.get("content-length");
  if (length === null || !/^\d{1,15}$/.test(length)) {
    throw new Failure("request.malformed", { expected: "a Content-Length header" });
  }
  if (Number(length) > OBJECT_BYTES_MAX) {
    throw new Failure("object.too-large", { found: Number(length), expected: OBJECT_BYTES_MAX });
  }
  if ((await c.env.ORIGIN.head(key)) !== null) {
    await requireNamed(id, body);
    return c.json({ object: id, stored: false }, 200);
  }
  await requireRoom(c.env, Number(length));
  try {
    await c.env.ORIGIN.put(key, body ?? new Uint8Array(), { sha256: id });
  } catch (error) {
    if (error instanceof Error && error.message.includes(R2_BAD_DIGEST))
      throw new Failure("object.mismatch", { expected: id }, { cause: error });
    throw error;
  }
  return c.json({ object: id, stored: true }, 201);
}

/** Throws: object.mismatch when the bytes are others than the name says. */
async function requireNamed(id: ObjectId, body: ReadableStream<Uint8Array> | null): Promise<void> {
  const hash = new crypto.DigestStream("SHA-256");
  await (body ?? new Blob().stream()).pipeTo(hash);
  if (toHex(new Uint8Array(await hash.digest)) !== id) throw new Failure("object.mismatch", { expected: id });
}

/** The object with a body, or (for a range that lies outside it) only its size; null when there is none. */
async function read(
  bucket: R2Bucket,
  key: string,
  wish: RangeWish | undefined,
): Promise<R2ObjectBody | R2Object | null> {
  if (wish === undefined) return await bucket.get(key);
  try {
    return await bucket.get(key, { range: r2Range(wish) });
  } catch (error) {
    // R2 has several ways to say that a range lies outside; the size settles it
    const head = await bucket.head(key);
    if (head !== null && resolveRange(wish, head.size) !== undefined) throw error;
    return head;
  }
}

function r2Range(wish: RangeWish): R2Range {
  if (wish.kind === "suffix") return { suffix: wish.bytes };
  return wish.last === undefined ? { offset: wish.first } : { offset: wish.first, length: wish.last - wish.first + 1 };
}

/** Null when only the head was asked for. */
export function bodyOf(object: R2ObjectBody | R2Object): ReadableStream | null {
  return "body" in object ? object.body : null;
}

function objectHeaders(tag: string): Record<string, string> {
  return {
    "content-type": "application/octet-stream",
    "cache-control": IMMUTABLE,
    "accept-ranges": "bytes",
    etag: tag,
  };
}

/** Whether the title has the object. */
export async function hasObject(bucket: R2Bucket, title: string, id: ObjectId): Promise<boolean> {
  return (await bucket.head(objectKey(title, id))) !== null;
}
