/**
 * Range headers (RFC 9110 section 14), read by ourselves: R2 answers an unsatisfiable or multiple range with
 * everything.
 */

/** One range as the client wrote it; its bounds are known only with the size. */
export type RangeWish =
  | { readonly kind: "from"; readonly first: number; readonly last: number | undefined }
  | { readonly kind: "suffix"; readonly bytes: number };

/** A range that lies inside the representation. */
export interface ByteRange {
  readonly offset: number;
  /** At least 1. */
  readonly length: number;
}

/** Beyond every object, and still a number to reckon with, which R2 takes. */
const RANGE_BOUND_MAX = 2 ** 48;
const FROM = /^(\d+)-(\d*)$/;
const SUFFIX = /^-(\d+)$/;

/**
 * The one range a header asks for. Undefined means "send it all": no header, another unit, a malformed range or several
 * ranges, all of which a server may ignore (section 14.2); the whole representation is never a wrong answer.
 */
export function parseRange(header: string | null): RangeWish | undefined {
  const ranges = header?.trim().match(/^bytes\s*=\s*(.*)$/i)?.[1];
  if (ranges === undefined) return undefined;
  const from = FROM.exec(ranges);
  if (from !== null) {
    const first = boundOf(from[1]);
    const last = from[2] === "" ? undefined : boundOf(from[2]);
    return last !== undefined && last < first ? undefined : { kind: "from", first, last };
  }
  const suffix = SUFFIX.exec(ranges);
  return suffix === null ? undefined : { kind: "suffix", bytes: boundOf(suffix[1]) };
}

/** Digits of any number: a bound that is beyond every object is beyond this one. */
function boundOf(digits: string | undefined): number {
  return Math.min(Number(digits), RANGE_BOUND_MAX);
}

/** Where the wish lies in `size` bytes; undefined when nothing of it does (416). */
export function resolveRange(wish: RangeWish, size: number): ByteRange | undefined {
  if (wish.kind === "suffix") {
    const length = Math.min(wish.bytes, size);
    return length === 0 ? undefined : { offset: size - length, length };
  }
  if (wish.first >= size) return undefined;
  const end = wish.last === undefined ? size : Math.min(wish.last + 1, size);
  return { offset: wish.first, length: end - wish.first };
}

/** "bytes 0-99/1000". */
export function contentRange(range: ByteRange, size: number): string {
  return `bytes ${range.offset}-${range.offset + range.length - 1}/${size}`;
}

/** Whether an If-None-Match or If-Match list names this entity tag (weak comparison, RFC 9110 section 8.8.3.2). */
export function namesTag(header: string | null, tag: string): boolean {
  if (header === null) return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((listed) => listed.trim().replace(/^W\//, "") === tag);
}

/** Whether Range still applies: without If-Range, or when it names exactly this tag (RFC 9110 section 13.1.5). */
export function rangeApplies(ifRange: string | null, tag: string): boolean {
  return ifRange === null || ifRange.trim() === tag;
}
