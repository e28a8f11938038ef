/**
 * One published build, as the publisher signs it: a TUF target `<channel>/<seq>.json`. Unlike the tree it may carry
 * fields that this version does not know: patchers in the field are older than the publisher's tools.
 */
import { parseObjectId, type ObjectId } from "./digest.ts";
import { Failure } from "./failures.ts";
import { PIECE_BYTES_MAX, PIECE_BYTES_MIN, RELEASE_BYTES_MAX } from "./limits.ts";

/** The tree object, and its bytes as stored. */
export interface ReleaseTreeRef {
  readonly sha256: ObjectId;
  readonly bytes: number;
  /**
   * What it holds when it is not compressed, so that it can also be made of an older one. Missing in releases of
   * earlier publishers.
   */
  readonly plain?: { readonly sha256: ObjectId; readonly bytes: number };
}

export interface Release {
  readonly title: string;
  /** Grows with every release of the title, over all channels. At least 1. */
  readonly seq: number;
  /** For people. */
  readonly version: string;
  /** When it was published, RFC 3339 in UTC with whole seconds. */
  readonly created: string;
  readonly tree: ReleaseTreeRef;
  readonly files: number;
  /** Of all files together. */
  readonly bytes: number;
  readonly torrent: {
    /** The .torrent object. */
    readonly sha256: ObjectId;
    /** BitTorrent v1, 40 hex digits. */
    readonly infohash: string;
    /** BitTorrent v2, 64 hex digits. */
    readonly infohashV2: string;
    /** Bytes. */
    readonly pieceLength: number;
    /** The same files for clients that read no hybrid torrent. Missing in releases of earlier publishers. */
    readonly v1?: { readonly sha256: ObjectId; readonly infohash: string };
  };
  /** The seq whose tree this release brings back, or null. */
  readonly rollbackOf: number | null;
  readonly notes: string;
}

/**
 * No channel may be called so. Players keep a channel's role in `<channel>.json`, beside the roles of TUF and of the
 * edge and their own memory; and Windows takes `con.json` for the console.
 */
const RESERVED_CHANNELS =
  /^(?:root|targets|snapshot|timestamp|live|memory|constructor|prototype|con|prn|aux|nul|(?:com|lpt)\d)$/;

/** As many as both patterns take. */
const NAME_CHARS_MAX = 63;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const VERSION = /^[A-Za-z0-9](?:[A-Za-z0-9.+_-]{0,61}[A-Za-z0-9])?$/;
const INFOHASH = /^[0-9a-f]{40}$/;
const CREATED = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** 1 to 63 lowercase letters, digits and hyphens. Throws: name.invalid. */
export function parseTitleName(text: string): string {
  return parseName(text, NAME, "title");
}

/** As a title's name, and not a reserved one. Throws: name.invalid. */
export function parseChannelName(text: string): string {
  if (RESERVED_CHANNELS.test(text))
    throw new Failure("name.invalid", { kind: "channel", found: text, reason: "reserved" });
  return parseName(text, NAME, "channel");
}

/** Whether a channel may be called so. */
export function isChannelName(text: string): boolean {
  return NAME.test(text) && !RESERVED_CHANNELS.test(text);
}

/** 1 to 63 letters, digits and . + _ - with a letter or digit at both ends. Throws: name.invalid. */
export function parseVersion(text: string): string {
  return parseName(text, VERSION, "version");
}

/** The TUF target path of a release. */
export function releasePath(channel: string, seq: number): string {
  return `${parseChannelName(channel)}/${seq}.json`;
}

/** The other way. Throws: object.malformed; name.invalid for a channel that may not be called so. */
export function parseReleasePath(path: string): { channel: string; seq: number } {
  const match = /^([^/]+)\/([1-9][0-9]{0,15})\.json$/.exec(path);
  const seq = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seq))
    throw malformed("not the path of a release", { path: path.slice(0, 100) });
  return { channel: parseChannelName(match[1] ?? ""), seq };
}

/** Release -> the bytes that get signed. Throws: object.malformed when the release could not be read back. */
export function writeRelease(release: Release): Uint8Array<ArrayBuffer> {
  const { tree, torrent } = release;
  // The order of keys is fixed, so that the same release is always the same object.
  const bytes = encoder.encode(
    JSON.stringify({
      title: release.title,
      seq: release.seq,
      version: release.version,
      created: release.created,
      tree: {
        sha256: tree.sha256,
        bytes: tree.bytes,
        ...(tree.plain === undefined ? {} : { plain: { sha256: tree.plain.sha256, bytes: tree.plain.bytes } }),
      },
      files: release.files,
      bytes: release.bytes,
      torrent: {
        sha256: torrent.sha256,
        infohash: torrent.infohash,
        infohashV2: torrent.infohashV2,
        pieceLength: torrent.pieceLength,
        ...(torrent.v1 === undefined ? {} : { v1: { sha256: torrent.v1.sha256, infohash: torrent.v1.infohash } }),
      },
      rollbackOf: release.rollbackOf,
      notes: release.notes,
    }),
  );
  parseRelease(bytes);
  return bytes;
}

/** Bytes -> release; fields that are not known are dropped. Throws: object.malformed, object.too-large. */
export function parseRelease(bytes: Uint8Array): Release {
  if (bytes.length > RELEASE_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "release", bytes: bytes.length, limit: RELEASE_BYTES_MAX });
  }
  const fields = parseJson(bytes);
  const tree = recordOf(fields["tree"], "tree");
  const torrent = recordOf(fields["torrent"], "torrent");
  try {
    return {
      title: parseTitleName(textOf(fields["title"], "title")),
      seq: countOf(fields["seq"], "seq", 1),
      version: parseVersion(textOf(fields["version"], "version")),
      created: patternOf(fields["created"], "created", CREATED),
      tree: {
        sha256: parseObjectId(textOf(tree["sha256"], "tree.sha256")),
        bytes: countOf(tree["bytes"], "tree.bytes", 0),
        ...(tree["plain"] === undefined ? {} : { plain: plainOf(recordOf(tree["plain"], "tree.plain")) }),
      },
      files: countOf(fields["files"], "files", 0),
      bytes: countOf(fields["bytes"], "bytes", 0),
      torrent: {
        sha256: parseObjectId(textOf(torrent["sha256"], "torrent.sha256")),
        infohash: patternOf(torrent["infohash"], "torrent.infohash", INFOHASH),
        infohashV2: patternOf(torrent["infohashV2"], "torrent.infohashV2", /^[0-9a-f]{64}$/),
        pieceLength: pieceLengthOf(torrent["pieceLength"]),
        ...(torrent["v1"] === undefined ? {} : { v1: torrentV1Of(recordOf(torrent["v1"], "torrent.v1")) }),
      },
      rollbackOf: fields["rollbackOf"] === null ? null : countOf(fields["rollbackOf"], "rollbackOf", 1),
      notes: textOf(fields["notes"], "notes"),
    };
  } catch (error) {
    if (error instanceof Failure && error.code !== "object.malformed") throw malformed(error.message, {}, error);
    throw error;
  }
}

function plainOf(plain: Readonly<Record<string, unknown>>): NonNullable<ReleaseTreeRef["plain"]> {
  return {
    sha256: parseObjectId(textOf(plain["sha256"], "tree.plain.sha256")),
    bytes: countOf(plain["bytes"], "tree.plain.bytes", 0),
  };
}

function torrentV1Of(v1: Readonly<Record<string, unknown>>): NonNullable<Release["torrent"]["v1"]> {
  return {
    sha256: parseObjectId(textOf(v1["sha256"], "torrent.v1.sha256")),
    infohash: patternOf(v1["infohash"], "torrent.v1.infohash", INFOHASH),
  };
}

function parseName(text: string, pattern: RegExp, kind: string): string {
  if (pattern.test(text)) return text;
  const reason = text.length > NAME_CHARS_MAX ? `${text.length} characters` : undefined;
  throw new Failure("name.invalid", { kind, found: text.slice(0, 80), reason });
}

function parseJson(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw malformed("not JSON in UTF-8", {}, cause);
  }
  return recordOf(value, "release");
}

function recordOf(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(`${field} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function textOf(value: unknown, field: string): string {
  if (typeof value !== "string") throw malformed(`${field} is not text`);
  return value;
}

function patternOf(value: unknown, field: string, pattern: RegExp): string {
  const text = textOf(value, field);
  if (!pattern.test(text)) throw malformed(`${field} has the wrong form`, { found: text.slice(0, 80) });
  return text;
}

function countOf(value: unknown, field: string, least: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) {
    throw malformed(`${field} is not a whole number of at least ${least}`);
  }
  return value;
}

function pieceLengthOf(value: unknown): number {
  const length = countOf(value, "torrent.pieceLength", PIECE_BYTES_MIN);
  if (length > PIECE_BYTES_MAX || !Number.isInteger(Math.log2(length))) {
    throw malformed("torrent.pieceLength is not a power of two within the caps");
  }
  return length;
}

function malformed(reason: string, facts: Readonly<Record<string, string>> = {}, cause?: unknown): Failure {
  return new Failure("object.malformed", { kind: "release", reason, ...facts }, { cause });
}
