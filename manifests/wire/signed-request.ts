/**
 * What a publisher's signature on an HTTP request covers (RFC 9421, Ed25519): the agreement between cli/publish, which
 * signs, and the worker, which checks. `http-message-sig` does both; only the particulars that must not drift live
 * here.
 *
 *   Content-Digest:  sha-256=:<base64 of SHA-256 of the body>:                                (RFC 9530)
 *   Signature-Input: patchswarm=("@method" "@authority" "@path" "content-digest");created=…;keyid="…";nonce="…";alg="ed25519";tag="patchswarm"
 *   Signature:       patchswarm=:<base64 of 64 bytes>:
 */
import { fromBase64, toBase64 } from "../base64.ts";
import { Failure } from "../failures.ts";
import { REQUEST_SKEW_S } from "../limits.ts";
import { type UnixSeconds } from "../trust/roles.ts";

/**
 * RFC 9421 §2: what is signed. The body through its digest, so the server must recompute that from the bytes. The edge
 * by the name that the client calls it (the Host header, §2.2.3): without it a request to one edge would be good at
 * every other that holds the title, and each remembers nonces of its own. A proxy before an edge must pass Host on;
 * what it may say in other headers is not looked at, because anyone could write those.
 */
export const SIGNED_COMPONENTS = ["@method", "@authority", "@path", "content-digest"] as const;
/** RFC 9421 §2.3: what a signature must say of itself. */
export const SIGNED_PARAMETERS = ["created", "keyid", "nonce", "alg", "tag"] as const;
export const SIGNATURE_ALGORITHM = "ed25519";
/** Names the application (RFC 9421 §2.3), so that a signature made for another protocol is no use here. */
export const SIGNATURE_TAG = "patchswarm";
/** The label in both header dictionaries. */
export const SIGNATURE_LABEL = "patchswarm";
/** Random bytes of a nonce, as hex in the header. */
export const REQUEST_NONCE_BYTES = 16;

const NONCE = /^[0-9a-f]{32,128}$/;

export interface SignedRequestParameters {
  readonly created: number;
  /** TUF key id of a key that holds root, targets or a channel of the title. */
  readonly keyid: string;
  readonly nonce: string;
}

/** Publisher: the parameters of one attempt. A retry takes a new nonce: the edge may have used up the first. */
export function requestParameters(
  keyid: string,
  nonce: string,
  now: UnixSeconds,
): { created: number; keyid: string; nonce: string; alg: string; tag: string } {
  return { created: now, keyid, nonce, alg: SIGNATURE_ALGORITHM, tag: SIGNATURE_TAG };
}

/**
 * Edge: the parameters of a signature whose bytes verified, checked against the clock.
 * Throws: request.unauthorized on a missing or foreign parameter and on a signature that has expired;
 * request.clock-skew for a `created` outside the window.
 */
export function checkRequestParameters(
  parameters: Readonly<Record<string, unknown>>,
  now: UnixSeconds,
): SignedRequestParameters {
  const { created, expires, keyid, nonce, alg, tag } = parameters;
  if (alg !== SIGNATURE_ALGORITHM || tag !== SIGNATURE_TAG || typeof keyid !== "string") {
    throw new Failure("request.unauthorized", { reason: "signature made for something else" });
  }
  if (typeof nonce !== "string" || !NONCE.test(nonce)) {
    throw new Failure("request.unauthorized", { reason: "nonce must be 32 to 128 lowercase hex digits" });
  }
  if (typeof created !== "number" || !Number.isFinite(created)) {
    throw new Failure("request.unauthorized", { reason: "does not say when it was signed" });
  }
  if (Math.abs(now - created) > REQUEST_SKEW_S) {
    throw new Failure("request.clock-skew", { secondsAhead: created - now, atMost: REQUEST_SKEW_S });
  }
  // ours do not say; what does is taken at its word (RFC 9421 section 2.3)
  if (expires !== undefined && !(typeof expires === "number" && expires >= now)) {
    throw new Failure("request.unauthorized", { reason: "the signature has expired" });
  }
  return { created, keyid, nonce };
}

/** When a nonce seen now may be forgotten: no later request can carry it inside its window. */
export function nonceExpiry(created: number): UnixSeconds {
  return (created + 2 * REQUEST_SKEW_S) as UnixSeconds;
}

/** SHA-256 of a body -> the value of its Content-Digest header (RFC 9530 §2). */
export function contentDigest(sha256OfBody: Uint8Array): string {
  return `sha-256=:${toBase64(sha256OfBody)}:`;
}

/**
 * Content-Digest header -> the 32 bytes it names. Only the one form that `contentDigest` writes is understood. Throws:
 * request.malformed.
 */
export function parseContentDigest(header: string): Uint8Array<ArrayBuffer> {
  const text = /^sha-256=:([A-Za-z0-9+/]{43}=):$/.exec(header)?.[1];
  if (text === undefined) {
    throw new Failure("request.malformed", { found: header.slice(0, 100), expected: "Content-Digest: sha-256=:…:" });
  }
  return fromBase64(text);
}
