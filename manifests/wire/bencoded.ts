/**
 * Bencoding of small replies, as one binary string. The tracker never reads bencoding, and its replies are made of
 * binary strings already, so this is all there is to it.
 */

/** Strings are binary strings (one character a byte). */
export type Bencodable = number | string | readonly Bencodable[] | { readonly [key: string]: Bencodable | undefined };

/** Keys are sorted as BEP 3 asks; a key whose value is undefined is left out. Integers only. */
export function bencoded(value: Bencodable): string {
  if (typeof value === "string") return `${value.length}:${value}`;
  if (typeof value === "number") return `i${value}e`;
  if (isList(value)) return `l${value.map(bencoded).join("")}e`;
  let entries = "";
  for (const key of Object.keys(value).toSorted()) {
    const entry = value[key];
    if (entry !== undefined) entries += bencoded(key) + bencoded(entry);
  }
  return `d${entries}e`;
}

/** Array.isArray does not narrow a readonly array. */
function isList(value: Exclude<Bencodable, number | string>): value is readonly Bencodable[] {
  return Array.isArray(value);
}
