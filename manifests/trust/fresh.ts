/**
 * The freshness statement: the edge's answer to "what is current, now?", bound to a nonce the player just drew. TUF
 * trusts the local clock; with a slow clock it takes a frozen timestamp for a current one. This statement does not age
 * well by design: it proves that the edge, holding the timestamp key, saw this nonce and this timestamp.
 */
import * as v from "valibot";
import { Failure } from "../failures.ts";
import { type RoleSigner, type UnixSeconds, encodeRole, signRole } from "./roles.ts";
import { parseShape } from "./shape.ts";
import { type Authority, type VerifyEd25519, openThreshold } from "./verify.ts";

/** Hex digits of a nonce: 16 to 64 bytes. */
const NONCE = /^[0-9a-f]{32,128}$/;
/** Largest statement, bytes: five short fields and a few signatures. */
export const FRESH_BYTES_MAX = 8192;

const FreshShape = v.object({
  /** Keeps a statement from ever passing for a role signed by the same key. */
  _type: v.literal("fresh"),
  title: v.string(),
  nonce: v.pipe(v.string(), v.regex(NONCE)),
  /** Unix seconds by the edge's clock. */
  now: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** SHA-256 of the bytes of the current timestamp.json. */
  timestamp: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

const RequestShape = v.object({ nonce: v.pipe(v.string(), v.regex(NONCE)) });

export interface FreshStatement {
  readonly title: string;
  readonly nonce: string;
  readonly now: UnixSeconds;
  readonly timestamp: string;
}

/** The body of POST /fresh, parsed. Throws: request.malformed. */
export function parseFreshRequest(body: unknown): { readonly nonce: string } {
  const parsed = v.safeParse(RequestShape, body);
  if (!parsed.success) throw new Failure("request.malformed", { expected: "nonce of 32 to 128 lowercase hex digits" });
  return parsed.output;
}

/** Edge: the signed statement as bytes. */
export async function signFresh(statement: FreshStatement, signers: readonly RoleSigner[]): Promise<Uint8Array> {
  return encodeRole(await signRole({ _type: "fresh", ...statement }, signers));
}

/**
 * Player: opens the answer to its own question.
 * @param asked  the title asked about and the nonce drawn for this one request
 * Throws: metadata.invalid when it is not signed by the timestamp role, or answers another question.
 */
export async function openFresh(
  bytes: Uint8Array,
  asked: { readonly title: string; readonly nonce: string },
  timestampAuthority: Authority,
  verify: VerifyEd25519,
): Promise<FreshStatement> {
  const signed = await openThreshold(bytes, "fresh", timestampAuthority, verify, FRESH_BYTES_MAX);
  const { title, nonce, now, timestamp } = parseShape(FreshShape, signed, "fresh");
  if (nonce !== asked.nonce) throw new Failure("metadata.invalid", { role: "fresh", reason: "another nonce" });
  if (title !== asked.title)
    throw new Failure("metadata.invalid", { role: "fresh", found: title, expected: asked.title });
  return { title, nonce, now: now as UnixSeconds, timestamp };
}
