/** Objects that fit in memory, as a whole, from one edge: proven by their names, over as many connections as it takes. */
import { type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { sha256 } from "./crypto.ts";
import { type CappedRequest, fetchCapped } from "./fetch-capped.ts";

/**
 * Wrong bytes are asked for once more, from their start and past the caches on the way. Which answers the rest comes from
 * need not be compared by their tags: whatever is not the object is found out.
 * Throws: object.not-found, object.mismatch, and what fetchCapped throws.
 */
export async function fetchObject(
  edge: string,
  title: string,
  id: ObjectId,
  request: Omit<CappedRequest, "init" | "isWhole" | "resumes">,
): Promise<Buffer> {
  let found: ObjectId | undefined;
  const isWhole = (body: Buffer): boolean => objectIdOf(body, sha256) === id;
  for (const headers of [{}, { "cache-control": "no-cache" }]) {
    const url = `${edge}/t/${title}/objects/${id}`;
    const body = await fetchCapped(url, { ...request, init: { headers }, isWhole, resumes: true });
    if (body === undefined) throw new Failure("object.not-found", { object: id });
    found = objectIdOf(body, sha256);
    if (found === id) return body;
  }
  throw new Failure("object.mismatch", { found, expected: id, url: edge });
}
