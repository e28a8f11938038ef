/** Who is asking, by IP. Cloudflare sets CF-Connecting-IP and takes away what a client wrote there. */
import type { Env } from "./env.ts";

/**
 * The client's IP as text. An edge that listens on loopback only is told the one address its clients have
 * (cli/edge/dev.ts), because nothing in front of it overwrites the header.
 */
export function clientAddress(request: Request, env: Env): string {
  return env.CLIENT_ADDRESS ?? request.headers.get("cf-connecting-ip") ?? "127.0.0.1";
}
