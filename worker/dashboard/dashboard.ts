/** GET /: one page for people. It names no title; whoever knows a title's name can look at its stats. */
import page from "./page.ts";

/** Everything on the page is its own; scripts and styles are inline. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

export function dashboard(): Response {
  return new Response(page, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "public, max-age=300",
      "content-security-policy": `${POLICY}; base-uri 'none'; frame-ancestors 'none'`,
    },
  });
}
