/**
 * The part of `fetch` that this program uses, over node:http. The real one loads 60 ms of undici into every start of
 * the program, as much as everything else a run with nothing to do takes; and it keeps two or three copies of a body
 * that is sent: 80 MB for the torrents of a title of 60,000 files (measured).
 */
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { pipeline } from "node:stream/promises";
import { HTTP_SILENCE_S, PROBLEM_BYTES_MAX } from "../../manifests/limits.ts";
import { passedBy } from "../threads/collect-garbage.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { http, https, type Agents } from "./node-http.ts";
import { watchHandshake } from "./slow-handshake.ts";

/** Connections are kept for the next request; they do not keep the program alive. */
const AGENTS: Agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };

/** What is read of an answer that nobody wants, a problem document at most. */
const DRAINED_BYTES_MAX = PROBLEM_BYTES_MAX;

/** What may be sent. A Blob is read while it is sent. */
type Body = string | Uint8Array | Blob;

/**
 * Understands method, headers, a body of text, bytes or a Blob, and a signal; gives up after HTTP_SILENCE_S without a
 * byte in either direction. The answer has `status`, `ok`, `url`, of `headers` a `get`, and a `body` that can be
 * iterated once and cancelled; no redirects, which an edge never sends. Throws also when something between gave a good
 * answer that is not the edge's.
 */
export const lightFetch: Fetch = async (input, init = {}) => {
  const url = new URL(typeof input === "object" && "url" in input ? input.url : input);
  const secure = url.protocol === "https:";
  const body = (init.body ?? undefined) as Body | undefined;
  const [request, answer] = await new Promise<[ClientRequest, IncomingMessage]>((resolve, reject) => {
    const request = (secure ? https : http).request(url, {
      method: init.method ?? "GET",
      headers: {
        // without it, any encoding will do (RFC 9110 section 12.5.3)
        "accept-encoding": "identity",
        ...headersOf(init.headers),
        ...(body instanceof Blob ? { "content-length": body.size } : {}),
      },
      agent: secure ? AGENTS.https : AGENTS.http,
      timeout: HTTP_SILENCE_S * 1000,
      ...(init.signal === undefined || init.signal === null ? {} : { signal: init.signal }),
    });
    if (secure) watchHandshake(request, url);
    request.on("response", (answer) => resolve([request, answer]));
    request.on("timeout", () => request.destroy(new Error(`silent for ${HTTP_SILENCE_S} s`)));
    // also what ends a body that is being sent; once there is an answer nobody minds
    request.on("error", reject);
    if (body instanceof Blob) sendBlob(body, request);
    else request.end(body);
  });
  const status = answer.statusCode ?? 0;
  const ok = status >= 200 && status < 300;
  const foreign = ok ? notOfTheEdge(answer) : undefined;
  if (foreign !== undefined) {
    answer.destroy();
    throw new Error(foreign);
  }
  return {
    status,
    ok,
    url: url.href,
    headers: { get: (name: string) => answer.headers[name]?.toString() ?? null },
    body: {
      [Symbol.asyncIterator]: () => answer[Symbol.asyncIterator](),
      cancel: () => Promise.resolve(leave(request, answer)),
    },
  } as unknown as Response;
};

/** Why an answer cannot be the edge's own: it sends programs no page, and packs nothing. */
function notOfTheEdge({ headers }: IncomingMessage): string | undefined {
  // names of types and of encodings are of any case (RFC 9110 sections 8.3.1 and 8.4.1)
  if (headers["content-type"]?.toLowerCase().startsWith("text/html") === true) {
    return "a web page came instead; a network may want you to log in first";
  }
  const encoding = headers["content-encoding"] ?? "identity";
  return encoding.toLowerCase() === "identity" ? undefined : `something on the way packed the answer (${encoding})`;
}

/** Naming the class Headers, to look whether it is one, would load what is to be left out. */
function headersOf(headers: RequestInit["headers"] = {}): OutgoingHttpHeaders {
  return Symbol.iterator in headers ? Object.fromEntries(headers as Iterable<[string, string]>) : headers;
}

/** What fails is told by the request. */
function sendBlob(blob: Blob, request: ClientRequest): void {
  const slices = async function* (): AsyncGenerator<Uint8Array> {
    for await (const slice of blob.stream()) {
      passedBy(slice.length);
      yield slice;
    }
  };
  pipeline(slices, request).catch((error: unknown) => request.destroy(error as Error));
}

/**
 * Reads the little that is left of an answer, so that the next request need not connect again; more than that, and it
 * is left alone. Of a body that was answered before all of it was sent, no more is sent.
 */
function leave(request: ClientRequest, answer: IncomingMessage): void {
  // nobody waits for it
  answer.on("error", () => {});
  if (!request.writableFinished) {
    request.destroy();
    return;
  }
  let left = DRAINED_BYTES_MAX;
  answer.on("data", (bytes: Uint8Array) => {
    if ((left -= bytes.length) < 0) answer.destroy();
  });
  answer.socket.unref();
}
