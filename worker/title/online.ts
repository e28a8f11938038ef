/**
 * What the edge signs by itself: live, over it snapshot, over that timestamp. Only what changed or runs out is signed
 * again, so that a player's cached copies stay good.
 */
import { equalBytes } from "../../manifests/digest.ts";
import { ONLINE_RESIGN_BEFORE_S, ROLE_LIFETIME_S, TIMESTAMP_RESIGN_BEFORE_S } from "../../manifests/limits.ts";
import { canonicalJson } from "../../manifests/trust/canonical.ts";
import { type LiveChannel } from "../../manifests/trust/live.ts";
import {
  LIVE_ROLE,
  type MetaFile,
  type RoleDates,
  type RoleSigner,
  type SnapshotRole,
  type TargetsRole,
  type UnixSeconds,
  after,
  buildLive,
  buildSnapshot,
  buildTimestamp,
  encodeRole,
  metaOf,
  signRole,
} from "../../manifests/trust/roles.ts";
import { signedPart } from "../../manifests/trust/verify.ts";
import { sha256 } from "../crypto.ts";
import { type RoleFile, type RoleRow } from "./store.ts";

type OnlineRole = "live" | "snapshot" | "timestamp";

/** What there is to sign about. */
export interface OnlineState {
  /** targets and every channel, as snapshot shall list them. */
  readonly publisherRoles: Readonly<Record<string, MetaFile>>;
  readonly live: Readonly<Record<string, LiveChannel>>;
  /** The current file of an online role. */
  readonly held: (role: OnlineRole) => RoleRow | undefined;
  readonly drawVersion: (role: OnlineRole) => number;
}

/** When an online role is due, seconds before it expires. */
const RESIGN_BEFORE_S: Readonly<Record<OnlineRole, number>> = {
  live: ONLINE_RESIGN_BEFORE_S,
  snapshot: ONLINE_RESIGN_BEFORE_S,
  timestamp: TIMESTAMP_RESIGN_BEFORE_S,
};

/** The files that are new, in the order in which they may be published: what is named before what names it. */
export async function signOnline(state: OnlineState, signer: RoleSigner, now: UnixSeconds): Promise<RoleFile[]> {
  const renewed: RoleFile[] = [];

  /** The role as it has to be: the file that is held when it says the same and lasts, or a new one. */
  async function renew(name: OnlineRole, build: (dates: RoleDates) => object): Promise<MetaFile> {
    const held = state.held(name);
    if (held !== undefined && held.expires - now > RESIGN_BEFORE_S[name] && saysTheSame(held, build)) return held.meta;
    const version = state.drawVersion(name);
    const expires = after(now, ROLE_LIFETIME_S[name]);
    const bytes = encodeRole(await signRole(build({ version, expires }), [signer]));
    renewed.push({ name, version, bytes, expires });
    return metaOf(version, bytes, sha256);
  }

  const live = await renew("live", (dates) => buildLive({ ...dates, channels: state.live }, sha256));
  const roles = { ...state.publisherRoles, [LIVE_ROLE]: live };
  const snapshot = await renew("snapshot", (dates) => buildSnapshot({ ...dates, roles }));
  await renew("timestamp", (dates) => buildTimestamp({ ...dates, snapshot }));
  return renewed;
}

function saysTheSame(held: RoleRow, build: (dates: RoleDates) => object): boolean {
  if (held.bytes === undefined) return false;
  const wanted = build({ version: held.meta.version, expires: held.expires });
  return equalBytes(canonicalJson(signedPart(held.bytes)), canonicalJson(wanted));
}

/** targets and channels as the snapshot lists them now: what stays published while a new set is not complete. */
export function publisherRolesOf(snapshot: RoleRow): Record<string, MetaFile> {
  const { meta } = signedPart(snapshot.bytes ?? new Uint8Array()) as unknown as SnapshotRole;
  return Object.fromEntries(
    Object.entries(meta)
      .map(([file, role]) => [file.replace(/\.json$/, ""), role] as const)
      .filter(([name]) => name !== LIVE_ROLE),
  );
}

/** What the live role says of each channel now. */
export function liveChannelsOf(live: RoleRow): OnlineState["live"] {
  const { targets } = signedPart(live.bytes ?? new Uint8Array()) as unknown as TargetsRole;
  return Object.fromEntries(
    Object.entries(targets).map(([path, { custom }]) => [
      path.slice(`${LIVE_ROLE}/`.length, -".json".length),
      custom as LiveChannel,
    ]),
  );
}

/** When the next of them is due. */
export function nextDue(held: OnlineState["held"]): UnixSeconds | undefined {
  const due = (["live", "snapshot", "timestamp"] as const).flatMap((name) => {
    const row = held(name);
    return row === undefined ? [] : [row.expires - RESIGN_BEFORE_S[name]];
  });
  return due.length === 0 ? undefined : (Math.min(...due) as UnixSeconds);
}
