/**
 * An edge on one machine that is asked over TLS, by a URL with an s too much, takes the greeting for the beginning of a
 * long request: workerd says nothing for 15 seconds and hangs up, which looks like a network that fails and is tried
 * again. Nothing is trusted that is said without TLS: all it can do is to end a request that had no answer so far.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { Failure } from "../../manifests/failures.ts";
import { TLS_SLOW_MS } from "../../manifests/limits.ts";
import { http } from "./node-http.ts";

/** When the handshake of this request takes long, asks without TLS; the request fails when an edge answers that. */
export function watchHandshake(request: ClientRequest, url: URL): void {
  request.once("socket", (socket) => {
    if (!socket.connecting) return; // kept from a request before
    const asking = new AbortController();
    const timer = setTimeout(() => {
      askWithoutTls(url, asking.signal, () => request.destroy(plainOnly(url)));
    }, TLS_SLOW_MS);
    const stop = (): void => {
      clearTimeout(timer);
      asking.abort();
    };
    socket.once("secureConnect", stop);
    request.once("close", stop);
  });
}

function askWithoutTls({ hostname, port }: URL, signal: AbortSignal, onEdge: () => void): void {
  const options = { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: port || 443, path: "/healthz", agent: false };
  const probe = http.get({ ...options, signal, timeout: TLS_SLOW_MS }, (answer) => {
    // hostile: it may have no end
    probe.destroy();
    if (isOfAnEdge(answer)) onEdge();
  });
  // then it was right to wait
  probe.on("error", () => {});
  probe.on("timeout", () => probe.destroy());
}

/** A server that wants TLS may say so in HTTP, with a 400; a network to sign in to has a page for every question. */
function isOfAnEdge({ statusCode, headers }: IncomingMessage): boolean {
  return statusCode === 200 && headers["content-type"]?.startsWith("application/json") === true;
}

/** Names no URL without the s: who can cut TLS off could have one recommended. */
function plainOnly({ href }: URL): Failure {
  return new Failure("edge.wrong-protocol", { url: href, reason: "an edge answers there without TLS" });
}
