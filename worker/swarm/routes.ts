/**
 * Announce and scrape: HTTP on this side, the title's Swarm object on the other. What is malformed never gets there.
 */
import type { Context } from "hono";
import { Failure } from "../../manifests/failures.ts";
import { parseTitleName } from "../../manifests/release.ts";
import { toUnixSeconds } from "../../manifests/trust/roles.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import { parseAnnounce, writeFailureReply } from "../../manifests/wire/announce.ts";
import type { Announce } from "../../manifests/wire/announce.ts";
import { hexOf } from "../../manifests/wire/names.ts";
import { parseScrape } from "../../manifests/wire/scrape.ts";
import { clientAddress } from "../client-address.ts";
import type { Edge, Env } from "../env.ts";
import { verifyToken } from "../title/token.ts";

type TrackerContext = Context<Edge, "/t/:title/announce" | "/t/:title/scrape">;

/**
 * GET /t/:title/announce: BEP 3, or the WebTorrent protocol when the client asks for a WebSocket. HEAD changes nothing
 * (RFC 9110 section 9.2.1): nobody joins a swarm by it.
 */
export async function announceRoute(c: TrackerContext): Promise<Response> {
  const { env } = c;
  const request = c.req.raw;
  if (request.method === "HEAD") return plain(new Uint8Array(0));
  return await bencodedReply(async () => {
    const title = parseTitleName(c.req.param("title"));
    const swarm = env.SWARMS.getByName(title);
    const ip = parseIp(clientAddress(request, env));
    if (isForWebSocket(request)) return await swarm.fetch(request);
    const announce = parseAnnounce(queryOf(request));
    const tokened = await isTokened(announce, title, env);
    return await swarm.announce(announce, ip, tokened);
  });
}

/** GET /t/:title/scrape: BEP 48. */
export async function scrapeRoute(c: TrackerContext): Promise<Response> {
  const { env } = c;
  return await bencodedReply(async () => {
    const swarm = env.SWARMS.getByName(parseTitleName(c.req.param("title")));
    return await swarm.scrape(parseScrape(queryOf(c.req.raw)));
  });
}

function isForWebSocket({ headers }: Request): boolean {
  return headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** Throws: announce.bad-token when there is one and it is not good. */
async function isTokened({ token, peerId }: Announce, title: string, env: Env): Promise<boolean> {
  if (token === undefined) return false;
  const holder = { title, peer: hexOf(peerId) };
  const now = toUnixSeconds(Date.now());
  if (await verifyToken(env.KEY_WRAP_SECRET, token, holder, now)) return true;
  throw new Failure("announce.bad-token", { peer: holder.peer });
}

/** What follows the `?`, byte for byte. */
function queryOf({ url }: Request): string {
  const mark = url.indexOf("?");
  return mark === -1 ? "" : url.slice(mark + 1);
}

/** BEP 3: a refusal is a 200 with a reason. Our own faults are not refusals; the router answers them. */
async function bencodedReply(call: () => Promise<Uint8Array<ArrayBuffer> | Response>): Promise<Response> {
  try {
    const reply = await call();
    return reply instanceof Response ? reply : plain(reply);
  } catch (error) {
    if (error instanceof Failure) return plain(writeFailureReply(error));
    throw error;
  }
}

function plain(bytes: Uint8Array<ArrayBuffer>): Response {
  return new Response(bytes, { headers: { "content-type": "text/plain", "cache-control": "no-store" } });
}
