/** HTTP requests a publisher signs (RFC 9421), tried again while the edge is silent or busy. */
import { createHash, randomBytes } from "node:crypto";
import { type Signer, appendSignature, createSignature } from "http-message-sig";
import { EDGE_RETRY_MS, EDGE_TRIES } from "../../manifests/limits.ts";
import { type RoleSigner, type UnixSeconds, toUnixSeconds } from "../../manifests/trust/roles.ts";
import {
  REQUEST_NONCE_BYTES,
  SIGNATURE_ALGORITHM,
  SIGNATURE_LABEL,
  SIGNED_COMPONENTS,
  contentDigest,
  requestParameters,
} from "../../manifests/wire/signed-request.ts";
import { connectionFailure } from "../sources/no-connection.ts";
import { type Fetch, type Patience, retrying } from "../trust/fetch-capped.ts";
import { problemOf } from "../trust/problem.ts";

export interface SignedRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly url: string;
  /** A Blob (`fs.openAsBlob`) is streamed from its file on every try. */
  readonly body?: Uint8Array | Blob | undefined;
  /** SHA-256 of the body, 32 bytes; needed for a Blob, computed here for bytes when it is not given. */
  readonly digest?: Uint8Array | undefined;
  readonly contentType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The response to a request that worked (2xx). Throws: what the edge said; edge.unreachable, edge.busy,
 * edge.wrong-protocol, edge.bad-certificate, source.interrupted.
 */
export type SignedFetch = (request: SignedRequest) => Promise<Response>;

export interface SignedFetchOptions {
  readonly fetch: Fetch;
  /** A key of the channel that is spoken of, or of root or targets; for objects any of the title's. */
  readonly signer: RoleSigner;
  /** Read once a try: an upload may outlast the window that the edge allows. */
  readonly clock?: () => UnixSeconds;
  readonly patience?: Pick<Patience, "tries" | "retryMs">;
}

/** Each try is signed afresh: the edge may have used up the nonce of one whose answer was lost. */
export function createSignedFetch({
  fetch,
  signer,
  clock = () => toUnixSeconds(Date.now()),
  patience = { tries: EDGE_TRIES, retryMs: EDGE_RETRY_MS },
}: SignedFetchOptions): SignedFetch {
  const messageSigner: Signer = { algorithm: SIGNATURE_ALGORITHM, sign: (base) => signer.sign(base) };
  return async (request) => {
    const digest = contentDigest(request.digest ?? digestOf(request.body));
    return retrying({ ...patience, signal: request.signal }, async () => {
      const headers = await signHeaders(request, digest, requestNonce(signer.keyid, clock()), messageSigner);
      const response = await send(fetch, request, headers);
      if (response.ok) return response;
      throw await problemOf(response);
    });
  };
}

function requestNonce(keyid: string, now: UnixSeconds) {
  return requestParameters(keyid, randomBytes(REQUEST_NONCE_BYTES).toString("hex"), now);
}

async function signHeaders(
  { method, url, contentType }: SignedRequest,
  digest: string,
  parameters: ReturnType<typeof requestNonce>,
  signer: Signer,
): Promise<Headers> {
  const headers = new Headers({ "content-digest": digest });
  if (contentType !== undefined) headers.set("content-type", contentType);
  const fields = [{ name: "content-digest", value: digest }];
  const signature = await createSignature(
    // as fetch will send it, so that both ends see the same host and path
    { kind: "request", method, targetUri: new URL(url).href, fields },
    { label: SIGNATURE_LABEL, components: SIGNED_COMPONENTS, parameters, signer },
  );
  return appendSignature(headers, signature);
}

async function send(fetch: Fetch, { method, url, body, signal }: SignedRequest, headers: Headers): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers,
      // undici takes any bytes; its types ask for an ArrayBuffer of their own
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> | Blob }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    throw connectionFailure(url, cause);
  }
}

function digestOf(body: Uint8Array | Blob | undefined): Uint8Array {
  if (body instanceof Blob) throw new TypeError("a Blob's digest must be given: it is not read twice");
  return createHash("sha256")
    .update(body ?? "")
    .digest();
}
