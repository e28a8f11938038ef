/**
 * The part of `fetch` that the player's side uses, over node:http. The real one loads 60 ms of undici into every start of
 * the program, as much as everything else a run with nothing to do takes (measured).
 */
import type { IncomingMessage } from "node:http";
import type { Fetch } from "../trust/fetch-capped.ts";
import { http, https, type Agents } from "./node-http.ts";

/** Connections are kept for the next request; they do not keep the program alive. */
const AGENTS: Agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };

/**
 * Understands method, headers, a text body and a signal. The answer has `status`, `ok`, `url`, and a `body` that can be
 * iterated once and cancelled; no redirects, which an edge never sends.
 */
export const lightFetch: Fetch = async (input, init = {}) => {
  const url = new URL(typeof input === "object" && "url" in input ? input.url : input);
  const secure = url.protocol === "https:";
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = (secure ? https : http).request(url, {
      method: init.method ?? "GET",
      headers: Object.fromEntries(Object.entries((init.headers ?? {}) as Record<string, string>)),
      agent: secure ? AGENTS.https : AGENTS.http,
      ...(init.signal === undefined || init.signal === null ? {} : { signal: init.signal }),
    });
    request.on("response", resolve);
    request.on("error", reject);
    request.end(typeof init.body === "string" ? init.body : undefined);
  });
  const status = answer.statusCode ?? 0;
  return {
    status,
    ok: status >= 200 && status < 300,
    url: url.href,
    body: {
      [Symbol.asyncIterator]: () => answer[Symbol.asyncIterator](),
      cancel: () => Promise.resolve(void answer.destroy()),
    },
  } as unknown as Response;
};
