/**
 * Whether the edge takes a role that a publisher sends. The checks stand in the order that is the argument: signed by
 * those who hold the role, which way, how old; then what only the edge can see.
 */
import { AUTHORITY_BYTES_MAX, RELEASE_SEQ_JUMP_MAX } from "../../manifests/limits.ts";
import { Failure } from "../../manifests/failures.ts";
import { type LiveChannel, ROLLOUT_ALL } from "../../manifests/trust/live.ts";
import {
  LIVE_ROLE,
  type RootRole,
  type SignedRelease,
  type TargetsRole,
  type UnixSeconds,
  parseTime,
} from "../../manifests/trust/roles.ts";
import {
  checkNotExpired,
  checkVersion,
  delegateOf,
  openDelegated,
  openRoot,
  openTargets,
  releasesOf,
} from "../../manifests/trust/verify.ts";
import { CRYPTO } from "../crypto.ts";
import { type ReleaseRow, type RoleFile } from "./store.ts";

/** @param trusted  the current root; undefined before the first */
export async function acceptRoot(
  bytes: Uint8Array,
  trusted: RootRole | undefined,
  onlineKeyid: string,
  now: UnixSeconds,
): Promise<RoleFile> {
  checkFitsRow("root", bytes);
  const root = await openRoot(bytes, trusted, CRYPTO);
  if (trusted === undefined) checkVersion("root", root.version, { exactly: 1 });
  checkNotExpired("root", root, now);
  for (const role of ["snapshot", "timestamp"] as const) checkEdgeHolds(role, root.roles[role], onlineKeyid);
  return roleFile("root", root, bytes);
}

/** @param above  version of the current targets; 0 before the first */
export async function acceptTargets(
  bytes: Uint8Array,
  root: RootRole,
  above: number,
  onlineKeyid: string,
  now: UnixSeconds,
): Promise<RoleFile> {
  checkFitsRow("targets", bytes);
  const targets = await openTargets(bytes, root, CRYPTO);
  checkVersion("targets", targets.version, { above });
  checkNotExpired("targets", targets, now);
  checkEdgeHolds(LIVE_ROLE, delegateOf(targets, LIVE_ROLE), onlineKeyid);
  return roleFile("targets", targets, bytes);
}

/** What is known of the title's releases when a channel's role arrives. */
export interface KnownReleases {
  readonly newestSeq: number;
  /** What this channel gives. */
  readonly live: LiveChannel | undefined;
  readonly find: (seq: number) => ReleaseRow | undefined;
}

export async function acceptChannel(
  bytes: Uint8Array,
  channel: string,
  targets: TargetsRole,
  above: number,
  known: KnownReleases,
  now: UnixSeconds,
): Promise<{ file: RoleFile; releases: readonly SignedRelease[] }> {
  const role = await openDelegated(bytes, channel, targets, CRYPTO);
  checkVersion(channel, role.version, { above });
  checkNotExpired(channel, role, now);
  const releases = releasesOf(role, channel);
  for (const release of releases) checkRelease(release, known);
  const dropped = givenSeqs(known.live).find((given) => !releases.some(({ seq }) => seq === given));
  if (dropped !== undefined) {
    throw new Failure("metadata.invalid", { role: channel, reason: `drops release ${dropped}, which players get` });
  }
  return { file: roleFile(channel, role, bytes), releases };
}

/** Releases that some player gets: what is live, and what those get whom the rollout leaves out. */
function givenSeqs(live: LiveChannel | undefined): number[] {
  if (live === undefined) return [];
  const forEveryone = live.rollout === ROLLOUT_ALL && !live.hold;
  return forEveryone || live.previous === null ? [live.seq] : [live.seq, live.previous];
}

/** A release never changes, and a new one is above every release of the title, but not far above. */
function checkRelease(release: SignedRelease, known: KnownReleases): void {
  const before = known.find(release.seq);
  if (before === undefined) {
    const most = known.newestSeq + RELEASE_SEQ_JUMP_MAX;
    if (release.seq > most) {
      throw new Failure("metadata.invalid", {
        role: release.channel,
        reason: "numbers a release far above the newest of the title",
        found: release.seq,
        expected: `at most ${most}`,
      });
    }
    if (release.seq > known.newestSeq) return;
    throw new Failure("release.not-newest", { found: release.seq, expected: `above ${known.newestSeq}` });
  }
  if (before.channel === release.channel && before.document.sha256 === release.document.sha256) return;
  throw new Failure("release.not-newest", { found: release.seq, reason: "the number is another release's" });
}

/**
 * The edge signs with one key; a role that it could not sign would stop the title. Other edges' keys may stand beside
 * it.
 */
function checkEdgeHolds(role: string, holders: { keyids: readonly string[]; threshold: number }, keyid: string): void {
  if (holders.threshold === 1 && holders.keyids.includes(keyid)) return;
  throw new Failure("metadata.invalid", { role, reason: "the edge's key must suffice for it", expected: keyid });
}

function checkFitsRow(role: string, bytes: Uint8Array): void {
  if (bytes.length <= AUTHORITY_BYTES_MAX) return;
  throw new Failure("object.too-large", { kind: role, found: bytes.length, expected: AUTHORITY_BYTES_MAX });
}

function roleFile(name: string, role: { version: number; expires: string }, bytes: Uint8Array): RoleFile {
  return { name, version: role.version, bytes, expires: parseTime(role.expires) };
}
