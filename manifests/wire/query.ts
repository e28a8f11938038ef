/**
 * Query strings as trackers need them: byte-exact. `URLSearchParams` decodes as UTF-8 and turns the byte %ff of an info
 * hash into U+FFFD, so the raw text is taken apart here.
 */
import { Failure } from "../failures.ts";
import { QUERY_CHARS_MAX } from "../limits.ts";

/** Every value of every parameter, percent-decoded to binary strings, in the order they came. */
export type Query = ReadonlyMap<string, readonly string[]>;

/** `query`: what follows the `?`, hostile. Throws: announce.malformed when too long or badly escaped. */
export function parseQuery(query: string): Query {
  if (query.length > QUERY_CHARS_MAX) {
    throw new Failure("announce.malformed", { field: "query", limit: QUERY_CHARS_MAX, found: query.length });
  }
  const values = new Map<string, string[]>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? "" : decode(pair.slice(equals + 1));
    const earlier = values.get(name);
    if (earlier === undefined) values.set(name, [value]);
    else earlier.push(value);
  }
  return values;
}

/** The only value of a parameter. Throws: announce.malformed when it came twice, since then someone is confused. */
export function only(query: Query, name: string): string | undefined {
  const values = query.get(name);
  if (values !== undefined && values.length > 1) {
    throw new Failure("announce.malformed", { field: name, reason: "given more than once" });
  }
  return values?.[0];
}

/**
 * A count of bytes or peers: decimal digits, capped at the largest exact integer.
 * Throws: announce.malformed on a sign, a fraction, an exponent or anything else.
 */
export function parseCount(field: string, text: string): number {
  if (!/^\d{1,20}$/.test(text)) {
    throw new Failure("announce.malformed", { field, expected: "digits", found: text.slice(0, 40) });
  }
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
}

/** A binary string, escaped so that every client and server reads the same bytes. */
export function escapeBinary(binary: string): string {
  let escaped = "";
  for (let at = 0; at < binary.length; at++) {
    const char = binary.charAt(at);
    escaped += UNRESERVED.test(char) ? char : `%${binary.charCodeAt(at).toString(16).padStart(2, "0")}`;
  }
  return escaped;
}

/** RFC 3986 section 2.3. */
const UNRESERVED = /[A-Za-z0-9._~-]/;

/** `+` is a space: Java's and Python's encoders write the byte 0x20 so, and no client leaves a `+` unescaped. */
function decode(text: string): string {
  let binary = "";
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === "%") {
      const digits = text.slice(at + 1, at + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) {
        throw new Failure("announce.malformed", { field: "query", reason: "a % without two hex digits" });
      }
      binary += String.fromCharCode(Number.parseInt(digits, 16));
      at += 2;
    } else if (char === "+") {
      binary += " ";
    } else if (text.charCodeAt(at) > 0x7e) {
      throw new Failure("announce.malformed", { field: "query", reason: "an unescaped character" });
    } else {
      binary += char;
    }
  }
  return binary;
}
