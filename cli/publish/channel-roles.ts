/**
 * What the publisher signed for each channel so far, as the base of the next version. Unlike a player, the publisher
 * may build on a role that has expired: signing the next version is how it is renewed. Only on one that the snapshot
 * names, by its version, length and hash: an edge that offers another one of the same version is not built upon.
 */
import { type SignedRelease, type UnixSeconds } from "../../manifests/trust/roles.ts";
import { type TrustedTitle } from "../trust/client.ts";

export interface ChannelRole {
  readonly version: number;
  readonly expires: UnixSeconds;
  /** Oldest first. */
  readonly releases: readonly SignedRelease[];
}

/** Channel -> its role, of every channel. Throws: metadata.* when one of them is not sound. */
export function channelRoles(title: TrustedTitle): ReadonlyMap<string, ChannelRole> {
  return new Map(title.channels().map((channel) => [channel, title.channelState(channel)]));
}

/** The number of the next release: numbers grow over all channels of a title. */
export function nextSeq(roles: ReadonlyMap<string, ChannelRole>): number {
  return 1 + Math.max(0, ...[...roles.values()].map(({ releases }) => releases.at(-1)?.seq ?? 0));
}
