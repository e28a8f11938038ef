/**
 * Methods beside those that the routes name: OPTIONS, what pages of other sites may do (CORS, Fetch standard section
 * 3.2), and 405 for the rest.
 */
import type { Context, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { Failure } from "../manifests/failures.ts";
import { PREFLIGHT_LIFETIME_S } from "../manifests/limits.ts";
import type { Edge } from "./env.ts";

/**
 * For any site, because nothing here depends on who asks: there are no cookies, and what needs a signature or the admin
 * token is not opened. Any header: one answer to a preflight then serves for all ranges of a URL.
 */
const FOR_ANY_SITE = {
  origin: "*",
  allowHeaders: ["*"],
  exposeHeaders: ["Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Retry-After"],
  maxAge: PREFLIGHT_LIFETIME_S,
};

export const pagesMayRead = pagesMay(["GET", "HEAD"]);
export const pagesMayCall = pagesMay(["POST"]);

/** An OPTIONS that is no preflight asks for the URL's methods: it is answered as elsewhere. */
function pagesMay(allowMethods: string[]): MiddlewareHandler<Edge> {
  const allow = cors({ ...FOR_ANY_SITE, allowMethods });
  return async (c, next) => {
    const isPreflight = c.req.method === "OPTIONS" && c.req.header("access-control-request-method") !== undefined;
    if (isPreflight || allowMethods.includes(c.req.method)) return await allow(c, next);
    return await next();
  };
}

/** A URL that is one of ours, and a method that is none of its. Throws: request.bad-method. */
export function answerOtherMethod(c: Context<Edge>, routed: readonly string[]): Response {
  const methods = [...new Set([...routed, "OPTIONS"])];
  if (c.req.method !== "OPTIONS") throw new Failure("request.bad-method", { found: c.req.method, expected: methods });
  return new Response(null, { status: 204, headers: { allow: methods.join(", ") } });
}
