/**
 * GET /metrics: Prometheus text. Counters of the isolate that answers; on one machine that is the whole edge, and on
 * Cloudflare the platform's own metrics are the better source. No title is named: the list of titles is not public.
 */
import type { Context, Next } from "hono";
import type { Edge } from "./env.ts";

let sentBytes = 0;
const requests = new Map<string, number>();

/** Content bytes that responses promised to send. */
export function countSent(bytes: number): void {
  sentBytes += bytes;
}

/** Middleware: counts every request by method and status. */
export async function countRequests(c: Context<Edge>, next: Next): Promise<void> {
  await next();
  const labels = `method="${METHODS.has(c.req.method) ? c.req.method : "other"}",status="${c.res.status}"`;
  requests.set(labels, (requests.get(labels) ?? 0) + 1);
}

/** Any other method is a label that a client could choose. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "POST", "OPTIONS"]);

export function metrics(): Response {
  const lines = [
    "# HELP patchswarm_requests_total Requests answered by this isolate.",
    "# TYPE patchswarm_requests_total counter",
    ...Array.from(requests, ([labels, count]) => `patchswarm_requests_total{${labels}} ${count}`),
    "# HELP patchswarm_sent_bytes_total Content bytes sent by this isolate.",
    "# TYPE patchswarm_sent_bytes_total counter",
    `patchswarm_sent_bytes_total ${sentBytes}`,
  ];
  return new Response(`${lines.join("\n")}\n`, {
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" },
  });
}
