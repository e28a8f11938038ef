/**
 * title.json: the public file a publisher ships with the game. It pins the first root, and a floor below which a first
 * run accepts nothing, because a first run has no memory of its own: a stolen online key could show it an old state.
 */
import * as v from "valibot";
import { type Sha256 } from "../digest.ts";
import { Failure } from "../failures.ts";
import { ROOT_BYTES_MAX } from "../limits.ts";
import { parseChannelName, parseTitleName } from "../release.ts";
import { EnvelopeShape, type RootRole, type Signed, type UnixSeconds, encodeRole } from "./roles.ts";
import { parseRootRole } from "./verify.ts";

/** Nothing older than this is believed, whoever signed it. */
export interface Floor {
  /** Least version of the root and targets roles. */
  readonly root: number;
  readonly targets: number;
  /** Least release; 0 before the first. */
  readonly seq: number;
  /** It is later than this, Unix seconds, whatever the local clock says. */
  readonly time: UnixSeconds;
}

export interface TitleFile {
  readonly title: string;
  /** Base URLs without a trailing slash; the first that answers is used. */
  readonly edges: readonly string[];
  /** The channel of an install that was not told another. */
  readonly channel: string;
  readonly root: Signed<RootRole>;
  readonly floor: Floor;
}

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const TitleShape = v.object({
  v: v.literal(1),
  title: v.string(),
  edges: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(16)),
  channel: v.string(),
  root: EnvelopeShape,
  floor: v.object({ root: Count, targets: Count, seq: Count, time: Count }),
});

/**
 * Throws: usage.bad-title-file. Whether the root's signatures verify is the TUF client's to say, not this parser's.
 * @param file  where the bytes come from, for who reads the failure
 */
export function parseTitleFile(bytes: Uint8Array, sha256: Sha256, file?: string): TitleFile {
  try {
    if (bytes.length > ROOT_BYTES_MAX) throw new Failure("object.too-large", { found: bytes.length });
    const { title, edges, channel, root, floor } = v.parse(
      TitleShape,
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
    );
    return {
      title: parseTitleName(title),
      edges: edges.map(parseEdgeUrl),
      channel: parseChannelName(channel),
      root: { signed: parseRootRole(root.signed, sha256), signatures: root.signatures },
      floor: { ...floor, time: floor.time as UnixSeconds },
    };
  } catch (cause) {
    const reason = cause instanceof Failure ? cause.what : (cause as Error).message;
    throw new Failure("usage.bad-title-file", { file, reason }, { cause });
  }
}

export function writeTitleFile(file: TitleFile): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify({ v: 1, ...file }, null, 2)}\n`);
}

/** The pinned root as a metadata file. */
export function pinnedRoot(file: TitleFile): Uint8Array<ArrayBuffer> {
  return encodeRole(file.root);
}

/** An edge's base URL without its trailing slash. Throws: usage.bad-flag. */
export function parseEdgeUrl(text: string): string {
  // no credentials, query or fragment: paths are appended to it
  if (!/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/.test(text)) {
    throw new Failure("usage.bad-flag", { found: text.slice(0, 200), expected: "the http or https URL of an edge" });
  }
  return text.replace(/\/+$/, "");
}
