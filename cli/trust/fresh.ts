/**
 * Asks the edge what is current now, with a nonce of our own, because the local clock may be slow: by
 * such a clock a timestamp that somebody withholds the newer ones of never expires.
 */
import { randomBytes } from "node:crypto";
import { Failure } from "../../manifests/failures.ts";
import { FRESH_BYTES_MAX, type FreshStatement, openFresh } from "../../manifests/trust/fresh.ts";
import { type RootRole } from "../../manifests/trust/roles.ts";
import { authorityOf } from "../../manifests/trust/verify.ts";
import { machineCrypto } from "./crypto.ts";
import { type Fetch, type Patience, fetchCapped, isJson, refuseEndless } from "./fetch-capped.ts";

const NONCE_BYTES = 32;

/** Opens the answer, once it is known whose signature it has to bear. */
export type OpenAnswer = (root: RootRole) => Promise<FreshStatement | undefined>;

/**
 * The edge's statement; undefined when it cannot be asked, and then the caller goes by the newest time it knows. The
 * answer can be waited for beside other things; what opens it throws: metadata.invalid when it is not a true one.
 * Throws: metadata.invalid when it is longer than it may be, source.interrupted.
 */
export async function askFresh(
  edge: string,
  title: string,
  world: { readonly fetch: Fetch; readonly patience: Patience; readonly signal: AbortSignal | undefined },
): Promise<OpenAnswer> {
  const nonce = randomBytes(NONCE_BYTES).toString("hex");
  let answer: Buffer | undefined;
  try {
    answer = await fetchCapped(`${edge}/t/${title}/fresh`, {
      ...world,
      bytesMax: FRESH_BYTES_MAX,
      isWhole: isJson,
      init: { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ nonce }) },
    }).catch(refuseEndless);
  } catch (error) {
    if (!(error instanceof Failure && error.family === "unavailable")) throw error;
  }
  const stated = answer;
  return async (root) =>
    stated && (await openFresh(stated, { title, nonce }, authorityOf(root, "timestamp"), machineCrypto.verify));
}
