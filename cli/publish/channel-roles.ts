/**
 * What the publisher signed for each channel so far, as the base of the next version. Unlike a player, the publisher may
 * build on a role that has expired: signing the next version is how it is renewed.
 */
import { Failure } from "../../manifests/failures.ts";
import { ROLE_BYTES_MAX } from "../../manifests/limits.ts";
import { type SignedRelease, type TargetsRole, metadataFileName } from "../../manifests/trust/roles.ts";
import { channelsOf, openDelegated, releasesOf } from "../../manifests/trust/verify.ts";
import { type TrustedTitle } from "../trust/client.ts";
import { machineCrypto } from "../trust/crypto.ts";
import { type Fetch, fetchCapped } from "../trust/fetch-capped.ts";

export interface ChannelRole {
  readonly version: number;
  /** Oldest first. */
  readonly releases: readonly SignedRelease[];
}

/** Channel -> its role, of every channel. Throws: metadata.invalid, edge.unreachable, edge.busy. */
export async function channelRoles(
  title: TrustedTitle,
  fetch: Fetch,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ChannelRole>> {
  const roles = new Map<string, ChannelRole>();
  for (const channel of channelsOf(title.roles.targets)) {
    const trusted = title.roles.channels.get(channel);
    const role =
      trusted === undefined || trusted instanceof Failure ? await reopen(title, channel, fetch, signal) : trusted;
    roles.set(channel, { version: role.version, releases: releasesOf(role, channel) });
  }
  return roles;
}

/** The number of the next release: numbers grow over all channels of a title. */
export function nextSeq(roles: ReadonlyMap<string, ChannelRole>): number {
  return 1 + Math.max(0, ...[...roles.values()].map(({ releases }) => releases.at(-1)?.seq ?? 0));
}

/** The role that the verified snapshot names, its signatures checked, its expiry not. */
async function reopen(title: TrustedTitle, channel: string, fetch: Fetch, signal?: AbortSignal): Promise<TargetsRole> {
  const version = title.roles.snapshot.meta[`${channel}.json`]?.version;
  if (version === undefined) throw new Failure("metadata.invalid", { role: "snapshot", reason: `lacks ${channel}` });
  const url = `${title.edge}/t/${title.title}/metadata/${metadataFileName(channel, version)}`;
  const bytes = await fetchCapped(url, { fetch, signal, bytesMax: ROLE_BYTES_MAX });
  if (bytes === undefined)
    throw new Failure("metadata.invalid", { role: channel, reason: "the edge has lost it", url });
  const role = await openDelegated(bytes, channel, title.roles.targets, machineCrypto);
  if (role.version !== version) {
    throw new Failure("metadata.rollback", { role: channel, found: role.version, expected: `version ${version}` });
  }
  return role;
}
