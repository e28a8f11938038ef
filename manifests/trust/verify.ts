/**
 * Bytes from anywhere -> metadata we may act on. Used by the edge on what a publisher sends, and by the player for what
 * tuf-js does not look at. Ed25519 is passed in (WebCrypto in both worlds), because `verifyDelegate` of @tufjs/models
 * always fails in workerd, whose node:crypto refuses a key in that form.
 */
import * as v from "valibot";
import { type ObjectId, type Sha256, fromHex, objectIdOf, parseObjectId } from "../digest.ts";
import { Failure } from "../failures.ts";
import { ROLE_BYTES_MAX, ROOT_BYTES_MAX } from "../limits.ts";
import { type Release, parseChannelName, parseRelease, parseReleasePath } from "../release.ts";
import { canonicalJson } from "./canonical.ts";
import {
  type AnyRole,
  EnvelopeShape,
  type Key,
  KeyShape,
  type KeyTable,
  LIVE_ROLE,
  type NamedKey,
  RootShape,
  type RoleHolders,
  type RootRole,
  type SignedRelease,
  SnapshotShape,
  type SnapshotRole,
  TargetsShape,
  type TargetsRole,
  TimestampShape,
  type TimestampRole,
  type UnixSeconds,
  keyIdOf,
  parseTime,
  publicBytes,
} from "./roles.ts";
import { parseShape } from "./shape.ts";

/** (32 B public key, 64 B signature, message) -> whether it verifies. Never throws on bad input: false. */
export type VerifyEd25519 = (publicKey: Uint8Array, signature: Uint8Array, message: Uint8Array) => Promise<boolean>;

/** The hash and the signature check of this machine. */
export interface Crypto {
  readonly sha256: Sha256;
  readonly verify: VerifyEd25519;
}

/** Who may sign: the keys, which of them hold the role, and how many it takes. */
export interface Authority extends RoleHolders {
  readonly keys: KeyTable;
}

/** The signed part of the bytes, once enough distinct keys vouch for it. Nothing inside has been parsed yet. */
export type OpenedRole = Readonly<Record<string, unknown>>;

/**
 * Arbitrary software attack (TUF 1.0.31 §5.4.2): opens an envelope only when `threshold` distinct public keys of the
 * authority signed it. Keys are told apart by their bytes, so one key under two ids, or signing twice, counts once.
 * @param role  what it is opened as, for the failure
 * Throws: metadata.invalid.
 */
export async function openThreshold(
  bytes: Uint8Array,
  role: string,
  authority: Authority,
  verify: VerifyEd25519,
  bytesMax: number = ROLE_BYTES_MAX,
): Promise<OpenedRole> {
  const { signed, signatures } = parseEnvelope(bytes, bytesMax);
  const message = canonicalJson(signed);
  const vouching = new Set<string>();
  for (const { keyid, sig } of signatures) {
    const key = authority.keyids.includes(keyid) ? ownKey(authority.keys, keyid) : undefined;
    if (key === undefined || vouching.has(key.keyval.public)) continue;
    if (await verify(publicBytes(key), fromHex(sig), message)) vouching.add(key.keyval.public);
  }
  if (vouching.size < authority.threshold) {
    throw new Failure("metadata.invalid", {
      role,
      reason: `signed by ${vouching.size} of the ${authority.threshold} keys it takes`,
    });
  }
  return signed;
}

// --- Opening each role ---------------------------------------------------------------------------------------------

/**
 * A root, signed by itself and, unless it is the first, by the root before it, whose version it follows by one.
 * Throws: metadata.invalid, metadata.rollback.
 */
export async function openRoot(bytes: Uint8Array, trusted: RootRole | undefined, crypto: Crypto): Promise<RootRole> {
  const claimed = parseRootRole(parseEnvelope(bytes, ROOT_BYTES_MAX).signed, crypto.sha256);
  if (trusted !== undefined) {
    await openThreshold(bytes, "root", authorityOf(trusted, "root"), crypto.verify, ROOT_BYTES_MAX);
    checkVersion("root", claimed.version, { exactly: trusted.version + 1 });
  }
  await openThreshold(bytes, "root", authorityOf(claimed, "root"), crypto.verify, ROOT_BYTES_MAX);
  return claimed;
}

/** The top-level targets role under this root. Throws: metadata.invalid. */
export async function openTargets(bytes: Uint8Array, root: RootRole, crypto: Crypto): Promise<TargetsRole> {
  const signed = await openThreshold(bytes, "targets", authorityOf(root, "targets"), crypto.verify);
  const targets = parseTargetsRole(signed, "targets", crypto.sha256);
  if (Object.keys(targets.targets).length > 0 || targets.delegations === undefined) {
    throw new Failure("metadata.invalid", { role: "targets", reason: "must delegate, and list nothing itself" });
  }
  for (const { name, paths } of targets.delegations.roles) {
    if (name !== LIVE_ROLE) asInvalid("targets", () => parseChannelName(name));
    if (paths.length !== 1 || paths[0] !== `${name}/*`) {
      throw new Failure("metadata.invalid", {
        role: name,
        reason: "must be delegated its own folder and nothing else",
      });
    }
  }
  return targets;
}

/** A channel's role (or `live`) as `targets` delegates it. Throws: metadata.invalid. */
export async function openDelegated(
  bytes: Uint8Array,
  name: string,
  targets: TargetsRole,
  crypto: Crypto,
): Promise<TargetsRole> {
  const signed = await openThreshold(bytes, name, delegateOf(targets, name), crypto.verify);
  const role = parseTargetsRole(signed, name, crypto.sha256);
  if (role.delegations !== undefined || Object.keys(role.targets).some((path) => !path.startsWith(`${name}/`))) {
    throw new Failure("metadata.invalid", { role: name, reason: "speaks of what was not delegated to it" });
  }
  return role;
}

/** Throws: metadata.invalid. */
export async function openSnapshot(bytes: Uint8Array, root: RootRole, crypto: Crypto): Promise<SnapshotRole> {
  const signed = await openThreshold(bytes, "snapshot", authorityOf(root, "snapshot"), crypto.verify);
  return parseShape(SnapshotShape, signed, "snapshot");
}

/** Throws: metadata.invalid. */
export async function openTimestamp(bytes: Uint8Array, root: RootRole, crypto: Crypto): Promise<TimestampRole> {
  const signed = await openThreshold(bytes, "timestamp", authorityOf(root, "timestamp"), crypto.verify);
  return parseShape(TimestampShape, signed, "timestamp");
}

// --- Parsing (bytes whose signatures tuf-js, the edge's own storage or openThreshold has checked) -------------------

/** Signed JSON -> RootRole. Throws: metadata.invalid, also for a key under an id that is not its own. */
export function parseRootRole(signed: unknown, sha256: Sha256): RootRole {
  const root = parseShape(RootShape, signed, "root");
  checkKeyTable(root.keys, Object.values(root.roles), "root", sha256);
  return root;
}

/** Signed JSON -> TargetsRole. Throws: metadata.invalid. */
export function parseTargetsRole(signed: unknown, name: string, sha256: Sha256): TargetsRole {
  const role = parseShape(TargetsShape, signed, name);
  if (role.delegations !== undefined) {
    const { keys, roles } = role.delegations;
    checkKeyTable(keys, roles, name, sha256);
    if (new Set(roles.map((delegate) => delegate.name)).size !== roles.length) {
      throw new Failure("metadata.invalid", { role: name, reason: "delegates to one name twice" });
    }
  }
  return role;
}

/** A public key as JSON, under its own id. Throws: metadata.invalid. */
export function parseKey(value: unknown, sha256: Sha256): NamedKey {
  const key = parseShape(KeyShape, value, "key");
  return { keyid: keyIdOf(key, sha256), key };
}

/** The signed part of an envelope, signatures unchecked: only for bytes that were checked before they were stored. */
export function signedPart(bytes: Uint8Array, bytesMax: number = ROLE_BYTES_MAX): OpenedRole {
  return parseEnvelope(bytes, bytesMax).signed;
}

const Infohash = v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/));
const ObjectName = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/), v.transform(parseObjectId));
const ReleaseCustom = v.object({
  version: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  files: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  infohash: Infohash,
  torrent: ObjectName,
  v1: v.exactOptional(v.object({ torrent: ObjectName, infohash: Infohash })),
  created: v.pipe(v.string(), v.maxLength(32)),
});

/** The releases a channel's role lists, oldest first. Throws: metadata.invalid. */
export function releasesOf(role: TargetsRole, channel: string): SignedRelease[] {
  return Object.entries(role.targets)
    .map(([path, target]) => {
      const named = asInvalid(channel, () => parseReleasePath(path));
      if (named.channel !== channel) {
        throw new Failure("metadata.invalid", { role: channel, reason: "lists a release of another channel", path });
      }
      const custom = parseShape(ReleaseCustom, target.custom, channel);
      return {
        channel,
        path,
        seq: named.seq,
        ...custom,
        document: { sha256: parseObjectId(target.hashes.sha256), bytes: target.length },
      };
    })
    .toSorted((a, b) => a.seq - b.seq);
}

// --- Who, which way, how old ---------------------------------------------------------------------------------------

/** Who holds a top-level role. */
export function authorityOf(root: RootRole, role: keyof RootRole["roles"]): Authority {
  return { keys: root.keys, ...root.roles[role] };
}

/** Who holds a delegated role. Throws: metadata.invalid when it is not delegated. */
export function delegateOf(targets: TargetsRole, name: string): Authority {
  const found = targets.delegations?.roles.find((role) => role.name === name);
  if (targets.delegations === undefined || found === undefined) {
    throw new Failure("metadata.invalid", { role: name.slice(0, 80), reason: "not delegated by targets" });
  }
  return { keys: targets.delegations.keys, keyids: found.keyids, threshold: found.threshold };
}

/** The channels that targets delegates, in its order. */
export function channelsOf(targets: TargetsRole): string[] {
  return (targets.delegations?.roles ?? []).map(({ name }) => name).filter((name) => name !== LIVE_ROLE);
}

/** Every key that may sign requests for the title: holders of root, targets and channels, never the edge's own. */
export function publisherKeys(root: RootRole, targets: TargetsRole | undefined): Map<string, Key> {
  const authorities = [authorityOf(root, "root"), authorityOf(root, "targets")];
  if (targets !== undefined) authorities.push(...channelsOf(targets).map((channel) => delegateOf(targets, channel)));
  const held = new Map<string, Key>();
  for (const { keys, keyids } of authorities) {
    for (const keyid of keyids) {
      const key = ownKey(keys, keyid);
      if (key !== undefined) held.set(keyid, key);
    }
  }
  return held;
}

/**
 * The ids of the keys that may send requests about a role, and about the releases of a channel: who holds root or
 * targets may about all of them, a channel's keys about that channel only.
 */
export function requestersFor(name: string, root: RootRole, targets: TargetsRole | undefined): ReadonlySet<string> {
  const own = targets !== undefined && channelsOf(targets).includes(name) ? delegateOf(targets, name).keyids : [];
  return new Set([...root.roles.root.keyids, ...root.roles.targets.keyids, ...own]);
}

/** Rollback (TUF 1.0.31 §5.4.3). Throws: metadata.rollback when the version is not the one, or not above the last. */
export function checkVersion(
  role: string,
  found: number,
  wanted: { readonly exactly: number } | { readonly above: number } | { readonly atLeast: number },
): void {
  const [fine, expected] =
    "exactly" in wanted
      ? [found === wanted.exactly, `${wanted.exactly}`]
      : "above" in wanted
        ? [found > wanted.above, `above ${wanted.above}`]
        : [found >= wanted.atLeast, `at least ${wanted.atLeast}`];
  if (!fine) throw new Failure("metadata.rollback", { role, found, expected: `version ${expected}` });
}

/** Freeze (TUF 1.0.31 §5.4.4). Throws: metadata.expired. */
export function checkNotExpired(name: string, role: Pick<AnyRole, "expires">, now: UnixSeconds): void {
  if (parseTime(role.expires) <= now) throw new Failure("metadata.expired", { role: name, expired: role.expires });
}

// --- Releases ------------------------------------------------------------------------------------------------------

declare const verifiedRelease: unique symbol;
/**
 * A release document whose hash a channel's role vouches for. Only `verifyRelease` makes one; a patch reads the tree
 * that it plans by from one alone, and by the tree's hash in it (patch/wanted-tree.ts).
 */
export type VerifiedRelease = Release & {
  readonly channel: string;
  readonly document: ObjectId;
  readonly [verifiedRelease]: true;
};

/**
 * Bytes of a release document -> a release we may act on. Order matters: which bytes, then what they say, then whether
 * they say it of this title and this release.
 * Throws: object.mismatch, object.malformed, metadata.invalid.
 */
export function verifyRelease(
  bytes: Uint8Array,
  title: string,
  wanted: SignedRelease,
  sha256: Sha256,
): VerifiedRelease {
  const found = objectIdOf(bytes, sha256);
  if (found !== wanted.document.sha256) {
    throw new Failure("object.mismatch", { found, expected: wanted.document.sha256 });
  }
  const release = parseRelease(bytes);
  checkSame("title", release.title, title);
  checkSame("seq", release.seq, wanted.seq);
  checkSame("version", release.version, wanted.version);
  checkSame("files", release.files, wanted.files);
  checkSame("bytes", release.bytes, wanted.bytes);
  checkSame("torrent", release.torrent.sha256, wanted.torrent);
  checkSame("infohash", release.torrent.infohash, wanted.infohash);
  // a role that an earlier publisher wrote again has lost it; the document's own hash still vouches for the document
  if (wanted.v1 !== undefined) {
    checkSame("torrent.v1", release.torrent.v1?.sha256, wanted.v1.torrent);
    checkSame("torrent.v1.infohash", release.torrent.v1?.infohash, wanted.v1.infohash);
  }
  return { ...release, channel: wanted.channel, document: wanted.document.sha256 } as VerifiedRelease;
}

function checkSame(field: string, found: string | number | undefined, expected: string | number): void {
  if (found !== expected) {
    throw new Failure("metadata.invalid", { reason: `release document and role differ in ${field}`, found, expected });
  }
}

// --- Envelope and shapes -------------------------------------------------------------------------------------------

function parseEnvelope(bytes: Uint8Array, bytesMax: number): v.InferOutput<typeof EnvelopeShape> {
  if (bytes.length > bytesMax) {
    throw new Failure("metadata.invalid", {
      reason: "too large",
      found: bytes.length,
      expected: `at most ${bytesMax}`,
    });
  }
  return parseShape(EnvelopeShape, parseJson(bytes), "envelope");
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Failure("metadata.invalid", { reason: "not JSON" }, { cause });
  }
}

/** A parser's refusal of something inside signed metadata is a refusal of the metadata. */
function asInvalid<T>(role: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Failure(
      "metadata.invalid",
      { role, reason: cause instanceof Failure ? cause.what : (cause as Error).message },
      { cause },
    );
  }
}

function checkKeyTable(keys: KeyTable, roles: readonly RoleHolders[], role: string, sha256: Sha256): void {
  for (const [keyid, key] of Object.entries(keys)) {
    if (keyIdOf(key, sha256) !== keyid) {
      throw new Failure("metadata.invalid", { role, reason: "a key is listed under an id that is not its own", keyid });
    }
  }
  for (const { keyids, threshold } of roles) {
    if (keyids.some((keyid) => !Object.hasOwn(keys, keyid)) || threshold > keyids.length) {
      throw new Failure("metadata.invalid", { role, reason: "a role that its keys can never sign" });
    }
  }
}

function ownKey(keys: KeyTable, keyid: string): Key | undefined {
  return Object.hasOwn(keys, keyid) ? keys[keyid] : undefined;
}
