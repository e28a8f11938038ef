/**
 * TUF 1.0.31 metadata as plain JSON: the shape of each role, how to build it, how to sign it. One repository a title.
 *
 *   root (offline, 2 of 3) ─┬─ targets (offline) ─┬─ <channel> (publisher)   <channel>/<seq>.json
 *                           │                     └─ live (edge)             live/<channel>.json
 *                           ├─ snapshot (edge)
 *                           └─ timestamp (edge)
 *
 * Checking what arrives is verify.ts. No clock, no randomness and no crypto here: all of it is passed in.
 */
import * as v from "valibot";
import { type ObjectId, type Sha256, fromHex, toHex } from "../digest.ts";
import { canonicalJson } from "./canonical.ts";
import { type LiveChannel } from "./live.ts";

declare const unixSeconds: unique symbol;
/** Whole seconds since 1970, UTC. A brand, because a millisecond count here would switch every expiry check off. */
export type UnixSeconds = number & { readonly [unixSeconds]: true };

/** Milliseconds (`Date.now()`) -> whole seconds. */
export function toUnixSeconds(milliseconds: number): UnixSeconds {
  return Math.floor(milliseconds / 1000) as UnixSeconds;
}

const SPEC_VERSION = "1.0.31";
/** Signatures and keys of one role; more than anyone needs, few enough to verify each. */
const KEYS_MAX = 32;

// --- Shapes --------------------------------------------------------------------------------------------------------

const Hex256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Version = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const Expires = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
  v.check((text) => !Number.isNaN(Date.parse(text))),
);
const common = { spec_version: v.pipe(v.string(), v.regex(/^1\.\d+(\.\d+)?$/)), version: Version, expires: Expires };

/** Strict: an extra field would change the key id, and with it how often one key counts. */
export const KeyShape = v.strictObject({
  keytype: v.literal("ed25519"),
  scheme: v.literal("ed25519"),
  keyval: v.strictObject({ public: Hex256 }),
});
const Keys = v.record(Hex256, KeyShape);
const holders = {
  keyids: v.pipe(
    v.array(Hex256),
    v.minLength(1),
    v.maxLength(KEYS_MAX),
    v.check((ids) => new Set(ids).size === ids.length),
  ),
  threshold: Version,
};
const Holders = v.object(holders);
const Hashes = v.object({ sha256: Hex256 });
const MetaFileShape = v.object({ version: Version, length: Count, hashes: Hashes });
const TargetFileShape = v.object({ length: Count, hashes: Hashes, custom: v.optional(v.unknown()) });

export const RootShape = v.object({
  _type: v.literal("root"),
  ...common,
  consistent_snapshot: v.literal(true),
  keys: Keys,
  roles: v.object({ root: Holders, targets: Holders, snapshot: Holders, timestamp: Holders }),
});
export const TargetsShape = v.object({
  _type: v.literal("targets"),
  ...common,
  targets: v.record(v.string(), TargetFileShape),
  delegations: v.optional(
    v.object({
      keys: Keys,
      roles: v.array(v.object({ name: v.string(), ...holders, terminating: v.boolean(), paths: v.array(v.string()) })),
    }),
  ),
});
export const SnapshotShape = v.object({
  _type: v.literal("snapshot"),
  ...common,
  meta: v.record(v.string(), MetaFileShape),
});
export const TimestampShape = v.object({
  _type: v.literal("timestamp"),
  ...common,
  meta: v.object({ "snapshot.json": MetaFileShape }),
});
/**
 * Takes no envelope that a player's tuf-js refuses: of roots there is no second try, and players walk them one by one.
 * `signed` is left as it came, because v.record drops "constructor" and "prototype", and their signatures with them.
 */
export const EnvelopeShape = v.object({
  signed: v.custom<Record<string, unknown>>((value) => isRecord(value), "not an object"),
  signatures: v.pipe(
    v.array(v.object({ keyid: Hex256, sig: v.pipe(v.string(), v.regex(/^[0-9a-f]{128}$/)) })),
    v.maxLength(KEYS_MAX),
    v.check((all) => new Set(all.map(({ keyid }) => keyid)).size === all.length, "a key that signed twice"),
  ),
});

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A public key as TUF writes it. */
export type Key = v.InferOutput<typeof KeyShape>;
/** Key id -> key. */
export type KeyTable = Readonly<Record<string, Key>>;
/** Who signs a role: key ids, and how many of them it takes. */
export type RoleHolders = v.InferOutput<typeof Holders>;
/** Version, length and hash of a metadata file, as snapshot and timestamp list it. */
export type MetaFile = v.InferOutput<typeof MetaFileShape>;
export type RootRole = v.InferOutput<typeof RootShape>;
/** `targets`, every channel and `live` share this shape. */
export type TargetsRole = v.InferOutput<typeof TargetsShape>;
export type SnapshotRole = v.InferOutput<typeof SnapshotShape>;
export type TimestampRole = v.InferOutput<typeof TimestampShape>;
export type AnyRole = RootRole | TargetsRole | SnapshotRole | TimestampRole;

export interface Signature {
  readonly keyid: string;
  /** Ed25519, 128 hex digits. */
  readonly sig: string;
}

export interface Signed<T> {
  readonly signed: T;
  readonly signatures: readonly Signature[];
}

// --- Keys ----------------------------------------------------------------------------------------------------------

/** Signs with one Ed25519 key, wherever the private half lies. */
export interface RoleSigner {
  readonly keyid: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Message -> 64 bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

export interface NamedKey {
  readonly keyid: string;
  readonly key: Key;
}

/** 32 public bytes -> TUF key and its id, SHA-256 of the key's canonical JSON (as securesystemslib computes it). */
export function keyOf(publicKey: Uint8Array, sha256: Sha256): NamedKey {
  const key: Key = { keytype: "ed25519", scheme: "ed25519", keyval: { public: toHex(publicKey) } };
  return { keyid: keyIdOf(key, sha256), key };
}

export function keyIdOf(key: Key, sha256: Sha256): string {
  return toHex(sha256(canonicalJson(key)));
}

/** The 32 bytes of a key. */
export function publicBytes(key: Key): Uint8Array<ArrayBuffer> {
  return fromHex(key.keyval.public);
}

// --- Building ------------------------------------------------------------------------------------------------------

export interface RoleDates {
  readonly version: number;
  /** First second at which the role is no longer accepted. */
  readonly expires: UnixSeconds;
}

/** Who holds a role, as builders take it. */
export interface Holding {
  readonly keys: readonly NamedKey[];
  readonly threshold: number;
}

export interface RootPlan extends RoleDates {
  readonly root: Holding;
  readonly targets: Holding;
  /** The edge's keys: they hold snapshot and timestamp. Any one of them suffices. */
  readonly online: readonly NamedKey[];
}

export function buildRoot({ version, expires, root, targets, online }: RootPlan): RootRole {
  const edge = holdersOf({ keys: online, threshold: 1 });
  return {
    _type: "root",
    ...commonOf(version, expires),
    consistent_snapshot: true,
    keys: keyTable([...root.keys, ...targets.keys, ...online]),
    roles: { root: holdersOf(root), targets: holdersOf(targets), snapshot: edge, timestamp: edge },
  };
}

export interface TargetsPlan extends RoleDates {
  /** Channel name -> who signs its releases. */
  readonly channels: Readonly<Record<string, Holding>>;
  /** The edge's keys: they hold `live`. */
  readonly online: readonly NamedKey[];
}

/** The name of the delegated role that the edge holds; never a channel's name. */
export const LIVE_ROLE = "live";

/** The top-level targets role: it lists nothing itself and delegates every channel, and `live`. */
export function buildTargets({ version, expires, channels, online }: TargetsPlan): TargetsRole {
  const all: [string, Holding][] = [...Object.entries(channels), [LIVE_ROLE, { keys: online, threshold: 1 }]];
  return {
    _type: "targets",
    ...commonOf(version, expires),
    targets: {},
    delegations: {
      keys: keyTable(all.flatMap(([, holding]) => holding.keys)),
      roles: all.map(([name, holding]) => ({
        name,
        ...holdersOf(holding),
        terminating: true,
        paths: [`${name}/*`],
      })),
    },
  };
}

/** One release as its channel's role lists it: enough to choose, to show and to fetch it. */
export interface SignedRelease {
  readonly channel: string;
  /** `<channel>/<seq>.json` */
  readonly path: string;
  readonly seq: number;
  readonly version: string;
  readonly files: number;
  readonly bytes: number;
  /** BitTorrent v1, 40 hex digits. */
  readonly infohash: string;
  readonly torrent: ObjectId;
  /** The torrent for clients that read no hybrid one, and its info hash. */
  readonly v1?: { readonly torrent: ObjectId; readonly infohash: string };
  /** ISO 8601, UTC, whole seconds. */
  readonly created: string;
  /** The release document (manifests/release.ts): an object, and its exact length. */
  readonly document: { readonly sha256: ObjectId; readonly bytes: number };
}

export interface ChannelPlan extends RoleDates {
  readonly releases: readonly SignedRelease[];
}

export function buildChannel({ version, expires, releases }: ChannelPlan): TargetsRole {
  return {
    _type: "targets",
    ...commonOf(version, expires),
    targets: Object.fromEntries(
      releases.map(({ path, document, version, files, bytes, infohash, torrent, v1, created }) => [
        path,
        {
          length: document.bytes,
          hashes: { sha256: document.sha256 },
          custom: { version, files, bytes, infohash, torrent, ...(v1 === undefined ? {} : { v1 }), created },
        },
      ]),
    ),
  };
}

export interface LivePlan extends RoleDates {
  /** Channel name -> what is current there. */
  readonly channels: Readonly<Record<string, LiveChannel>>;
}

/** The edge's own role. A target's content is the canonical JSON of its `custom`, so nothing needs fetching. */
export function buildLive({ version, expires, channels }: LivePlan, sha256: Sha256): TargetsRole {
  return {
    _type: "targets",
    ...commonOf(version, expires),
    targets: Object.fromEntries(
      Object.entries(channels).map(([channel, live]) => {
        const bytes = canonicalJson(live);
        return [livePath(channel), { length: bytes.length, hashes: { sha256: toHex(sha256(bytes)) }, custom: live }];
      }),
    ),
  };
}

/** The target path under which `live` speaks of a channel. */
export function livePath(channel: string): string {
  return `${LIVE_ROLE}/${channel}.json`;
}

export interface SnapshotPlan extends RoleDates {
  /** Role name (targets, live and every channel) -> its current file. */
  readonly roles: Readonly<Record<string, MetaFile>>;
}

export function buildSnapshot({ version, expires, roles }: SnapshotPlan): SnapshotRole {
  return {
    _type: "snapshot",
    ...commonOf(version, expires),
    meta: Object.fromEntries(Object.entries(roles).map(([name, meta]) => [`${name}.json`, meta])),
  };
}

export interface TimestampPlan extends RoleDates {
  readonly snapshot: MetaFile;
}

export function buildTimestamp({ version, expires, snapshot }: TimestampPlan): TimestampRole {
  return { _type: "timestamp", ...commonOf(version, expires), meta: { "snapshot.json": snapshot } };
}

/** What snapshot and timestamp say of a metadata file. */
export function metaOf(version: number, bytes: Uint8Array, sha256: Sha256): MetaFile {
  return { version, length: bytes.length, hashes: { sha256: toHex(sha256(bytes)) } };
}

/** `<version>.<role>.json`; the timestamp alone has no version in its name (TUF 1.0.31 §6.2, consistent snapshots). */
export function metadataFileName(role: string, version: number): string {
  return role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;
}

// --- Signing -------------------------------------------------------------------------------------------------------

/** Signs the canonical form with every signer, one signature each. */
export async function signRole<T>(signed: T, signers: readonly RoleSigner[]): Promise<Signed<T>> {
  const message = canonicalJson(signed);
  const signatures = await Promise.all(
    signers.map(async (signer) => ({ keyid: signer.keyid, sig: toHex(await signer.sign(message)) })),
  );
  return { signed, signatures };
}

/** The file form of signed metadata: ordinary JSON. Signatures cover the canonical form, so spacing is free. */
export function encodeRole(role: Signed<unknown>): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(role));
}

// --- Dates ---------------------------------------------------------------------------------------------------------

/** Seconds -> "2026-11-22T10:00:00Z". */
export function formatTime(seconds: UnixSeconds): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

/** "2026-11-22T10:00:00Z" -> seconds. The shapes above have already checked the form. */
export function parseTime(text: string): UnixSeconds {
  return toUnixSeconds(Date.parse(text));
}

/** A moment so many seconds (limits.ts ROLE_LIFETIME_S) after another. */
export function after(now: UnixSeconds, seconds: number): UnixSeconds {
  return (now + seconds) as UnixSeconds;
}

function commonOf(version: number, expires: UnixSeconds): { spec_version: string; version: number; expires: string } {
  return { spec_version: SPEC_VERSION, version, expires: formatTime(expires) };
}

function holdersOf({ keys, threshold }: Holding): RoleHolders {
  return { keyids: keys.map(({ keyid }) => keyid), threshold };
}

function keyTable(keys: readonly NamedKey[]): Record<string, Key> {
  return Object.fromEntries(keys.map(({ keyid, key }) => [keyid, key]));
}
