/** Published TUF metadata, straight from the bucket: the Title object wrote it there and need not wake. */
import type { Context } from "hono";
import { Failure } from "../../manifests/failures.ts";
import { parseTitleName } from "../../manifests/release.ts";
import type { Edge } from "../env.ts";
import { metadataKey } from "./keys.ts";
import { bodyOf } from "./objects.ts";

const TIMESTAMP = "timestamp.json";
/** `<version>.<role>.json`, or the timestamp. */
const FILE = /^(?:timestamp|[1-9]\d{0,15}\.[a-z0-9][a-z0-9-]{0,62})\.json$/;

/**
 * GET and HEAD /t/:title/metadata/:file. A versioned file never changes; the timestamp is what says so, and is asked
 * for every time. Throws: request.not-found, title.not-found, object.not-found.
 */
export async function getMetadata(c: Context<Edge>): Promise<Response> {
  const title = parseTitleName(c.req.param("title") ?? "");
  const file = c.req.param("file") ?? "";
  if (!FILE.test(file)) throw new Failure("request.not-found", { found: file.slice(0, 80) });
  const key = metadataKey(title, file);
  const object = c.req.method === "HEAD" ? await c.env.ORIGIN.head(key) : await c.env.ORIGIN.get(key);
  if (object === null) {
    throw file === TIMESTAMP
      ? new Failure("title.not-found", { title })
      : new Failure("object.not-found", { kind: "metadata", found: file });
  }
  return new Response(bodyOf(object), {
    headers: {
      "content-type": "application/json",
      "content-length": String(object.size),
      "cache-control": file === TIMESTAMP ? "no-store" : "public, max-age=31536000, immutable",
    },
  });
}
