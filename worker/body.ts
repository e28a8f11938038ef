/** Request bodies, capped while they are read: Content-Length is what the client says, not what it sends. */
import type { Context, Next } from "hono";
import { concatBytes } from "../manifests/digest.ts";
import { Failure } from "../manifests/failures.ts";
import { OBJECT_BYTES_MAX } from "../manifests/limits.ts";
import type { Edge } from "./env.ts";

/** Throws: object.too-large once more than `bytesMax` have come. */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw new Failure("object.too-large", { kind: "request body", expected: bytesMax });
    parts.push(part);
  }
  return concatBytes(parts);
}

/**
 * Middleware: reads what a handler left of the request's body, so that its answer arrives. A connection closed in the
 * middle of an upload is reset, and the client never sees why it was refused.
 */
export async function drainBody(c: Context<Edge>, next: Next): Promise<void> {
  await next();
  const { body, bodyUsed } = c.req.raw;
  if (body === null || bodyUsed) return;
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > OBJECT_BYTES_MAX) return;
  }
}

/** A JSON object, or {} for an empty body. Throws: request.malformed. */
export function parseFields(body: Uint8Array): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new Failure("request.malformed", { expected: "a JSON object" }, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Failure("request.malformed", { expected: "a JSON object" });
  }
  return value as Readonly<Record<string, unknown>>;
}
