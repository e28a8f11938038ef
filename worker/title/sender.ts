/**
 * Who sent a request: checks of signatures (RFC 9421) and of the admin token. The signature is checked here, in front
 * of the Title object; whether the key still holds a role, and whether the nonce is new, only the object can say.
 */
import { SignatureError, verifySignature, webcrypto } from "http-message-sig";
import { equalBytes } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { type Key, publicBytes, toUnixSeconds } from "../../manifests/trust/roles.ts";
import {
  SIGNATURE_ALGORITHM,
  SIGNATURE_LABEL,
  SIGNED_COMPONENTS,
  SIGNED_PARAMETERS,
  type SignedRequestParameters,
  checkRequestParameters,
  parseContentDigest,
} from "../../manifests/wire/signed-request.ts";
import { sha256 } from "../crypto.ts";
import { type Env } from "../env.ts";
import { askFacts, factsOf } from "./known-titles.ts";

const ED25519 = { name: "Ed25519" };

/**
 * Checks that a key of the title signed this request over a body with this digest. Order matters: the body that was
 * signed is the body that came; a key of the title; the signature; the clock.
 * @param digest  SHA-256 of the body as it came, or as R2 will insist that it comes
 * Throws: request.unauthorized, request.clock-skew, request.malformed, object.mismatch, title.not-found.
 */
export async function requireSigned(
  request: Request,
  env: Env,
  title: string,
  digest: Uint8Array,
): Promise<SignedRequestParameters> {
  const header = request.headers.get("content-digest");
  if (header === null || !request.headers.has("signature")) {
    throw new Failure("request.unauthorized", { reason: "not signed" });
  }
  if (!equalBytes(parseContentDigest(header), digest)) {
    throw new Failure("object.mismatch", { reason: "Content-Digest is not the digest of the body" });
  }
  try {
    const { parameters } = await verifySignature(request, {
      label: SIGNATURE_LABEL,
      policy: {
        algorithms: [SIGNATURE_ALGORITHM],
        requiredComponents: SIGNED_COMPONENTS,
        requiredParameters: SIGNED_PARAMETERS,
        // the library's own is 0: a publisher's clock may be ahead; `created` and `expires` are checked below
        clockSkew: Number.MAX_SAFE_INTEGER,
      },
      resolveVerifier: async ({ parameters: { keyid } }) =>
        webcrypto.verifier(await importKey(await keyNamed(env, title, keyid ?? ""))),
    });
    return checkRequestParameters(parameters, toUnixSeconds(Date.now()));
  } catch (error) {
    if (!(error instanceof SignatureError)) throw error;
    // a Failure of ours, thrown while the key was looked for
    if (error.cause instanceof Failure) throw error.cause;
    throw new Failure("request.unauthorized", { reason: error.code }, { cause: error });
  }
}

/** The key with this id among those who may sign for the title. One we do not know may be new: then we ask again. */
async function keyNamed(env: Env, title: string, keyid: string): Promise<Key> {
  const key = own(await factsOf(env, title), keyid) ?? own(await askFacts(env, title), keyid);
  if (key === undefined) throw new Failure("request.unauthorized", { reason: "not a key of this title", keyid });
  return key;
}

function own({ publisherKeys }: { publisherKeys: Readonly<Record<string, Key>> }, keyid: string): Key | undefined {
  return Object.hasOwn(publisherKeys, keyid) ? publisherKeys[keyid] : undefined;
}

async function importKey(key: Key): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", publicBytes(key), ED25519, false, ["verify"]);
}

/** Whether the request carries the admin token; compared as digests, so that time tells nothing. */
export function isAdmin(request: Request, env: Env): boolean {
  const sent = /^Bearer (\S+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  if (sent === undefined || env.ADMIN_TOKEN === "") return false;
  const encoder = new TextEncoder();
  return equalBytes(sha256(encoder.encode(sent)), sha256(encoder.encode(env.ADMIN_TOKEN)));
}

/** Throws: request.unauthorized. */
export function requireAdmin(request: Request, env: Env): void {
  if (isAdmin(request, env)) return;
  const reason = request.headers.has("authorization") ? "another token than the edge's" : "no admin token";
  throw new Failure("request.unauthorized", { reason, expected: "Authorization: Bearer <token>" });
}
