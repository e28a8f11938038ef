/**
 * An edge on one machine that is asked over TLS, by a URL with an s too much, takes the greeting for the beginning of a long
 * request: workerd says nothing for 15 seconds and hangs up, which looks like a network that fails and is tried again.
 */
import type { ClientRequest } from "node:http";
import { Failure } from "../../manifests/failures.ts";
import { TLS_SLOW_MS } from "../../manifests/limits.ts";
import { http } from "./node-http.ts";

/** When the handshake of this request takes long, asks without TLS; the request fails when an edge answers that. */
export function watchHandshake(request: ClientRequest, url: URL): void {
  request.once("socket", (socket) => {
    if (!socket.connecting) return; // kept from a request before
    const timer = setTimeout(() => {
      askWithoutTls(url, () => request.destroy(plainOnly(url)));
    }, TLS_SLOW_MS);
    const stop = (): void => clearTimeout(timer);
    socket.once("secureConnect", stop);
    request.once("close", stop);
  });
}

function askWithoutTls({ hostname, port }: URL, onEdge: () => void): void {
  const options = { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: port || 443, path: "/healthz", agent: false };
  const probe = http.get({ ...options, timeout: TLS_SLOW_MS }, (answer) => {
    answer.resume();
    // a server that wants TLS may say so in HTTP, with a 400
    if (answer.statusCode === 200) onEdge();
  });
  // then it was right to wait
  probe.on("error", () => {});
  probe.on("timeout", () => probe.destroy());
}

function plainOnly({ href, host }: URL): Failure {
  return new Failure("edge.wrong-protocol", { url: href, reason: `an edge answers at http://${host}` });
}
