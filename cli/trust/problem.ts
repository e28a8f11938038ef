/** An HTTP answer that is not the one wanted -> a Failure. The edge's own codes come through (RFC 9457 documents). */
import * as v from "valibot";
import { FAILURES, Failure, type FailureCode, type FailureFacts } from "../../manifests/failures.ts";
import { PROBLEM_BYTES_MAX, PROBLEM_FACTS_MAX, PROBLEM_FACT_CHARS_MAX } from "../../manifests/limits.ts";
import { readCapped } from "./fetch-capped.ts";

const ProblemShape = v.object({
  code: v.pipe(
    v.string(),
    v.check((code) => Object.hasOwn(FAILURES, code)),
  ),
  facts: v.optional(v.record(v.string(), v.unknown()), {}),
});

/** Reads the body, at most 64 KiB of it. */
export async function problemOf(response: Response): Promise<Failure> {
  const fallback = new Failure(statusCode(response.status), {
    status: response.status,
    url: response.url || undefined,
  });
  try {
    const bytes = await readCapped(response, { bytesMax: PROBLEM_BYTES_MAX });
    const parsed = v.safeParse(ProblemShape, JSON.parse(new TextDecoder().decode(bytes)));
    return parsed.success ? new Failure(parsed.output.code as FailureCode, factsOf(parsed.output.facts)) : fallback;
  } catch {
    // no problem document, or half of one: the status has to do
    return fallback;
  }
}

function statusCode(status: number): FailureCode {
  if (status === 404) return "request.not-found";
  if (status === 401 || status === 403) return "request.unauthorized";
  if (status === 429 || status === 503) return "edge.busy";
  return status >= 500 ? "edge.unreachable" : "request.malformed";
}

function factsOf(facts: Readonly<Record<string, unknown>>): FailureFacts {
  return Object.fromEntries(
    Object.entries(facts)
      .slice(0, PROBLEM_FACTS_MAX)
      .map(([name, value]) => [
        printable(name),
        typeof value === "number" || typeof value === "boolean" ? value : printable(value),
      ]),
  );
}

/** Control, formatting and bidi characters would let an edge write what it likes on a terminal. */
function printable(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.replaceAll(/\p{C}/gu, "").slice(0, PROBLEM_FACT_CHARS_MAX);
}
