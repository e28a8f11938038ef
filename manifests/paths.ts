/**
 * What a safe relative path is; the only place that decides. One policy on every system, so that what a publisher can
 * publish on Linux every player can install on Windows and macOS. Unsafe paths are refused, never repaired: a repaired
 * name is a name that nobody signed. Symbolic links are the shell's business: it refuses a parent that is one.
 */
import { Failure } from "./failures.ts";
import { PATH_BYTES_MAX, PATH_DEPTH_MAX, PATH_SEGMENT_BYTES_MAX } from "./limits.ts";

declare const safePath: unique symbol;

/** A relative path with `/` between segments that can be created, under this very name, on every system. */
export type SafePath = string & { readonly [safePath]: true };

interface Check {
  /** Why the path is refused; ends up in the failure. */
  readonly reason: string;
  readonly refuses: (text: string) => boolean;
}

/** The patcher's own folder in an install. */
export const STATE_FOLDER = ".patchswarm";
/** Where hybrid torrents keep the padding between files (BEP 47); a real file there would collide with it. */
const PADDING_FOLDER = ".pad";

/** On the whole path, in the order that is the argument: text that can be compared, then shape, then size. */
const PATH_CHECKS: readonly Check[] = [
  { reason: "empty", refuses: (path) => path === "" },
  { reason: "a lone surrogate, which UTF-8 cannot carry", refuses: (path) => !path.isWellFormed() },
  { reason: "a control character", refuses: (path) => /\p{Cc}/u.test(path) },
  // Bidirectional and invisible characters make two names look like one. Variation selectors belong to emoji and Han
  // text and are allowed, but do not count when names are compared.
  {
    reason: "an invisible or bidirectional character",
    refuses: (path) => /[[\p{Bidi_Control}\p{Default_Ignorable_Code_Point}]--\p{Variation_Selector}]/v.test(path),
  },
  {
    reason: "not in Unicode normal form C, which macOS would change",
    refuses: (path) => path.normalize("NFC") !== path,
  },
  { reason: "a backslash, the separator on Windows", refuses: (path) => path.includes("\\") },
  { reason: "absolute", refuses: (path) => path.startsWith("/") },
  { reason: "a drive of Windows", refuses: (path) => /^[A-Za-z]:/.test(path) },
  { reason: 'a character that Windows refuses (< > : " | ? *)', refuses: (path) => /[<>:"|?*]/.test(path) },
  { reason: `over ${PATH_BYTES_MAX} bytes`, refuses: (path) => isLonger(path, PATH_BYTES_MAX) },
  { reason: `deeper than ${PATH_DEPTH_MAX} segments`, refuses: (path) => path.split("/").length > PATH_DEPTH_MAX },
  {
    reason: `under ${PADDING_FOLDER}, which torrents use for padding (BEP 47)`,
    refuses: (path) => foldPath(path.split("/", 1)[0] ?? "") === foldPath(PADDING_FOLDER),
  },
];

/** On each segment. */
const SEGMENT_CHECKS: readonly Check[] = [
  { reason: "an empty segment", refuses: (segment) => segment === "" },
  { reason: "a segment that climbs or stays (.. or .)", refuses: (segment) => segment === ".." || segment === "." },
  { reason: "a trailing dot or space, which Windows drops", refuses: (segment) => /[. ]$/.test(segment) },
  // Windows takes the name before the first dot, without trailing spaces: "nul .txt" is the device too.
  {
    reason: "a device name of Windows",
    refuses: (segment) => /^(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/i.test(segment),
  },
  {
    reason: "the form of an 8.3 short name, which on Windows may mean another file",
    refuses: (segment) => /^(?=[^.]{3,8}(?:\.|$))[^.]+~[0-9]+(?:\.[^.]{0,3})?$/.test(segment),
  },
  {
    reason: `a segment over ${PATH_SEGMENT_BYTES_MAX} bytes`,
    refuses: (segment) => isLonger(segment, PATH_SEGMENT_BYTES_MAX),
  },
  {
    reason: `${STATE_FOLDER}, the patcher's own folder`,
    refuses: (segment) => foldPath(segment) === STATE_FOLDER_FOLDED,
  },
];

/**
 * Nearly every path there is: short, ASCII letters, digits and `_ - .` only, no segment that starts or ends with a dot
 * or is named like a device. No check refuses such a path, so none has to be run: a tree of 20,000 files is read in
 * half the time.
 */
const PLAIN_PATH = /^(?:(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\/|$))[\w-](?:[\w.-]*[\w-])?(?:\/(?!$)|$))+$/i;
const PLAIN_PATH_CHARS_MAX = 2 * PATH_DEPTH_MAX;

/** Untrusted text -> a path that may be joined to an install's folder. Throws: path.unsafe {path, reason}. */
export function parseSafePath(text: string): SafePath {
  if (text.length <= PLAIN_PATH_CHARS_MAX && PLAIN_PATH.test(text)) return text as SafePath;
  const segments = text.split("/");
  const refusal =
    PATH_CHECKS.find((check) => check.refuses(text)) ??
    SEGMENT_CHECKS.find((check) => segments.some((segment) => check.refuses(segment)));
  if (refusal !== undefined) throw unsafe(text, refusal.reason);
  return text as SafePath;
}

/**
 * Refuses a set of files that not every system can hold at once: two that are one file where case or Unicode form do
 * not count, or a file where another one needs a folder. Throws: path.unsafe {path, reason, other}.
 */
export function checkPathSet(paths: readonly SafePath[]): void {
  const files = new Map<string, SafePath>();
  for (const path of paths) {
    const folded = foldPath(path);
    const other = files.get(folded);
    if (other !== undefined) throw unsafe(path, "the same file as another path, but for case or Unicode form", other);
    files.set(folded, path);
  }
  const seen = new Set<string>();
  for (const [folded, path] of files) {
    // Stops at a folder that was seen: its own parents were looked at then.
    for (let end = folded.lastIndexOf("/"); end > 0; end = folded.lastIndexOf("/", end - 1)) {
      const folder = folded.slice(0, end);
      if (seen.has(folder)) break;
      seen.add(folder);
      const other = files.get(folder);
      if (other !== undefined) throw unsafe(path, "inside another path that is a file", other);
    }
  }
}

/** Order of UTF-8 bytes, which is the order of code points (and not of `<`, which compares UTF-16). */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return byteRank(x) - byteRank(y);
  }
  return a.length - b.length;
}

/**
 * What is left of a name where case and Unicode form do not count: NFKD, then full case folding. JavaScript has no
 * casefold(), so: up, down, up again. Up turns ß into SS; down and up reach ẞ and the rest; ending up settles σ and ς.
 * The dot that down leaves of İ is dropped, and ı goes up to I, so that i, I, ı and İ are one letter.
 */
function foldPath(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toUpperCase();
  return (
    text
      .replace(/\p{Default_Ignorable_Code_Point}/gu, "")
      // apart first: of a letter with two marks, up turns the lower one into a letter behind the other
      .normalize("NFKD")
      .toUpperCase()
      .toLowerCase()
      .toUpperCase()
      .normalize("NFD")
      .replaceAll("I\u0307", "I")
      .normalize("NFKC")
  );
}

const STATE_FOLDER_FOLDED = foldPath(STATE_FOLDER);

const encoder = new TextEncoder();

/** Whether the text is longer than this in UTF-8, where a UTF-16 unit is 1 to 3 bytes: short paths are not encoded. */
function isLonger(text: string, bytesMax: number): boolean {
  return 3 * text.length > bytesMax && encoder.encode(text).length > bytesMax;
}

/** Surrogates stand for code points above every other UTF-16 unit; shift U+E000..U+FFFF below them. */
function byteRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

function unsafe(path: string, reason: string, other?: string): Failure {
  return new Failure("path.unsafe", { path: path.slice(0, 1100), reason, other });
}
