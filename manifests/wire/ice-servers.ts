/** The STUN and TURN servers that an operator gives to players for WebRTC: an edge's setting, and a field of `join`. */
import * as v from "valibot";
import { ICE_SERVERS_MAX, ICE_TEXT_CHARS_MAX } from "../limits.ts";

const Text = v.pipe(v.string(), v.maxLength(ICE_TEXT_CHARS_MAX));
/** RFC 7064 and RFC 7065. */
const Url = v.pipe(Text, v.regex(/^(stuns?|turns?):[^\s]+$/));

/** As WebRTC's RTCIceServer; with credentials for TURN. */
export const IceServersShape = v.pipe(
  v.array(
    v.object({
      urls: v.union([Url, v.pipe(v.array(Url), v.maxLength(ICE_SERVERS_MAX))]),
      username: v.exactOptional(Text),
      credential: v.exactOptional(Text),
    }),
  ),
  v.maxLength(ICE_SERVERS_MAX),
);

export type IceServers = v.InferOutput<typeof IceServersShape>;

/** JSON text -> servers; undefined when it is not a list of them. */
export function parseIceServers(json: string): IceServers | undefined {
  try {
    return v.parse(IceServersShape, JSON.parse(json));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof v.ValiError) return undefined;
    throw error;
  }
}
