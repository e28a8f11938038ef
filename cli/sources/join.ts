/** Asks an edge to let this player into the title's swarm: announce URLs with a token, and what may be uploaded. */
import * as v from "valibot";
import { JOIN_BYTES_MAX, JOIN_URL_CHARS_MAX, JOIN_URLS_MAX } from "../../manifests/limits.ts";
import { type IceServers, IceServersShape } from "../../manifests/wire/ice-servers.ts";
import { type Fetch, fetchCapped, parseJson } from "../trust/fetch-capped.ts";

const Rate = v.pipe(v.number(), v.minValue(0));
const AnnounceUrl = v.pipe(v.string(), v.maxLength(JOIN_URL_CHARS_MAX), v.regex(/^(https?|wss?):\/\//));
const Shape = v.object({
  announce: v.pipe(v.array(AnnounceUrl), v.maxLength(JOIN_URLS_MAX)),
  upload: v.object({ allowed: v.boolean(), limit: v.nullable(Rate) }),
  origin: v.object({ fastEnough: Rate }),
  iceServers: v.optional(IceServersShape, []),
});

export interface JoinTerms {
  /** Announce URLs, http(s) and ws(s). */
  readonly announce: readonly string[];
  /** Whether this player may give; bytes a second, null without a limit. */
  readonly upload: { readonly allowed: boolean; readonly limit: number | null };
  /** The origin rests while peers deliver this, bytes a second. */
  readonly origin: { readonly fastEnough: number };
  /** STUN and TURN servers for WebRTC; empty when the operator named none. */
  readonly iceServers: IceServers;
}

/**
 * Undefined when the edge has no tracker for us. Throws: edge.unreachable, edge.busy, source.interrupted.
 * @param peer  our peer id, 40 hex digits; the announce token is good for no other
 */
export async function joinTitle(
  edge: string,
  title: string,
  peer: string,
  world: { readonly fetch: Fetch; readonly signal: AbortSignal },
): Promise<JoinTerms | undefined> {
  const body = await fetchCapped(`${edge}/t/${title}/join`, {
    ...world,
    bytesMax: JOIN_BYTES_MAX,
    init: { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ peer }) },
  });
  if (body === undefined) return undefined;
  const parsed = v.safeParse(Shape, parseJson(body));
  return parsed.success && parsed.output.announce.length > 0 ? parsed.output : undefined;
}
