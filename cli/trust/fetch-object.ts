/**
 * Objects that fit in memory, as a whole, from one edge: proven by their names, over as many connections as it takes.
 */
import { type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { sha256 } from "./crypto.ts";
import { type CappedRequest, fetchCapped } from "./fetch-capped.ts";

/** What fetchObject throws when an edge has something else under the name. */
export const WRONG_OBJECT: ReadonlySet<string> = new Set(["object.mismatch", "object.too-large"]);

/**
 * Wrong bytes, and more than there may be, are asked for once more, from their start and past the caches on the way.
 * Which answers the rest comes from need not be compared by their tags: whatever is not the object is found out.
 * Throws: object.not-found, object.mismatch, and what fetchCapped throws.
 */
export async function fetchObject(
  edge: string,
  title: string,
  id: ObjectId,
  request: Omit<CappedRequest, "init" | "isWhole" | "resumes">,
): Promise<Buffer> {
  const ask = async (headers: Readonly<Record<string, string>>): Promise<Buffer> => {
    const isWhole = (body: Buffer): boolean => objectIdOf(body, sha256) === id;
    const url = `${edge}/t/${title}/objects/${id}`;
    const body = await fetchCapped(url, { ...request, init: { headers }, isWhole, resumes: true });
    if (body === undefined) throw new Failure("object.not-found", { object: id });
    const found = objectIdOf(body, sha256);
    if (found !== id) throw new Failure("object.mismatch", { found, expected: id, url: edge });
    return body;
  };
  try {
    return await ask({});
  } catch (error) {
    if (!(error instanceof Failure && WRONG_OBJECT.has(error.code))) throw error;
    return await ask({ "cache-control": "no-cache" });
  }
}
