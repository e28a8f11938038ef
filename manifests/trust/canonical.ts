/**
 * OLPC canonical JSON: the one byte form of a value that TUF signatures cover (TUF 1.0.31 §4.2.1). It is for signing
 * and hashing, not for storing: control characters stay raw in strings, so the output is not always JSON.
 */
import { Failure } from "../failures.ts";

/** Deepest value we walk; TUF metadata needs 6. Hostile nesting must not end in a stack overflow. */
const DEPTH_MAX = 32;

/**
 * The canonical bytes of a JSON value: keys sorted by UTF-16 unit, no spaces, only `\` and `"` escaped, integers only.
 * Throws: metadata.invalid for fractions, unsafe integers, undefined, functions, or nesting past 32 levels.
 */
export function canonicalJson(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(canonicalText(value, 0));
}

function canonicalText(value: unknown, depth: number): string {
  if (depth > DEPTH_MAX) throw new Failure("metadata.invalid", { reason: "nested too deep" });
  if (typeof value === "string") return canonicalString(value);
  if (typeof value === "boolean" || value === null || Number.isSafeInteger(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalText(item, depth + 1)).join(",")}]`;
  if (typeof value === "object") {
    const members = Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${canonicalString(name)}:${canonicalText(member, depth + 1)}`);
    return `{${members.join(",")}}`;
  }
  throw new Failure("metadata.invalid", { reason: `canonical JSON cannot hold this ${typeof value}` });
}

function canonicalString(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
