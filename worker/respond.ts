/** What went wrong -> an HTTP answer: RFC 9457 problem documents carrying the same `code` as the command line. */
import { FAILURES, Failure, type FailureCode } from "../manifests/failures.ts";
import { logFault } from "./log.ts";

const PROBLEM_TYPE = "application/problem+json";

/** Any thrown thing -> a response. A Failure explains itself; anything else is our fault: logged, and said plainly. */
export function problemFor(error: unknown): Response {
  if (error instanceof Failure) return problem(error);
  logFault(error);
  return Response.json(
    { type: "about:blank", title: "The edge failed", status: 500, detail: "The edge failed; its log says why." },
    { status: 500, headers: { "content-type": PROBLEM_TYPE, "cache-control": "no-store" } },
  );
}

function problem(failure: Failure): Response {
  const { code, family, status, message, facts } = failure;
  return Response.json(
    { type: problemPath(code), title: FAILURES[code].title, status, detail: message, code, family, facts },
    { status, headers: { "content-type": PROBLEM_TYPE, "cache-control": "no-store", ...headersOf(failure) } },
  );
}

/** Where the edge explains a code to people; a URI reference relative to the edge (RFC 9457 section 3.1.1). */
function problemPath(code: FailureCode): string {
  return `/problems/${code}`;
}

/** RFC 9110 sections 15.5.2 and 15.5.6: a 401 says how to authenticate, a 405 which methods there are. */
function headersOf({ code, facts: { expected } }: Failure): Record<string, string> {
  if (code === "request.unauthorized") return { "www-authenticate": "Bearer, Signature" };
  return code === "request.bad-method" && Array.isArray(expected) ? { allow: expected.join(", ") } : {};
}

/** GET /problems/:code: what the code means and what to do, as plain text. Throws: request.not-found. */
export function explainProblem(code: string): Response {
  if (!Object.hasOwn(FAILURES, code)) throw new Failure("request.not-found", { found: code });
  const { title, remedy, family, status } = FAILURES[code as FailureCode];
  return new Response(`${code}\n\n${title}.\n${remedy}\n\nFamily: ${family}. HTTP status: ${status}.\n`, {
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "public, max-age=3600" },
  });
}
