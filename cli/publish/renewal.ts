/**
 * Signatures that run out. A channel's own key signs its role again, with what it says now; root and targets are of
 * keys that a publish does not have, so that it can only say in time when they end.
 */
import { CHANNEL_RESIGN_BEFORE_S, EXPIRY_WARNING_S, ROLE_LIFETIME_S } from "../../manifests/limits.ts";
import { type UnixSeconds, after, formatTime, parseTime, toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type TrustedTitle } from "../trust/client.ts";
import { signChannel } from "./sign-release.ts";
import { type PublisherAccess } from "./publisher-access.ts";
import { type ChannelRole } from "./channel-roles.ts";

/** Until when a channel's releases were signed, and until when they are. */
export interface Renewal {
  readonly before: UnixSeconds;
  readonly now: UnixSeconds;
}

/** What a renewal comes to; undefined while enough is left of the role's life. */
export function renewalOf({ expires }: ChannelRole, date: Date): Renewal | undefined {
  const now = toUnixSeconds(date.getTime());
  if (expires - now >= CHANNEL_RESIGN_BEFORE_S) return undefined;
  return { before: expires, now: after(now, ROLE_LIFETIME_S.channel) };
}

/** Signs the channel's role again, with the same releases, when it is time for that. Throws: what the edge says. */
export async function renewChannel(
  channel: string,
  role: ChannelRole,
  access: PublisherAccess,
  date: Date,
): Promise<Renewal | undefined> {
  const renewal = renewalOf(role, date);
  if (renewal !== undefined) await signChannel(channel, role, role.releases, renewal.now, access);
  return renewal;
}

/** What to say of each role of other keys that ends soon: when, what that does, and what can be done. */
export function* expiryWarnings({ title, edge, roles }: TrustedTitle, date: Date): Generator<string> {
  for (const name of ["root", "targets"] as const) {
    const { expires } = roles[name];
    if (parseTime(expires) - toUnixSeconds(date.getTime()) >= EXPIRY_WARNING_S) continue;
    yield (
      `The title's ${name} expires on ${dayOf(parseTime(expires))}; from then on nobody can install, update or publish. ` +
        `No command signs it again yet: its keys must sign a next version by other means, sent to ` +
        `POST ${edge}/t/${title}/roles/${name}. Else the game needs a new title, ` +
        "by `patchswarm init` under another name, that players install anew."
    );
  }
}

/** "2026-11-22", for people. */
export function dayOf(time: UnixSeconds): string {
  return formatTime(time).slice(0, "2026-11-22".length);
}
