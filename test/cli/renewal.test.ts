/** What a publish renews and warns of is enough for who publishes a finished game's last build once a quarter. */
import { expect, test } from "vitest";
import { expiryWarnings, renewalOf } from "../../cli/publish/renewal.ts";
import type { TrustedTitle } from "../../cli/trust/client.ts";
import { ROLE_LIFETIME_S } from "../../manifests/limits.ts";
import { after, formatTime, toUnixSeconds } from "../../manifests/trust/roles.ts";

/** Each day of a year. */
const DAYS = Array.from({ length: 365 }, (_, day) => new Date(Date.UTC(2027, 0, 1 + day)));

/** The first days of the quarters from a date on, as a timer runs a publish. */
function quartersFrom(date: Date): Date[] {
  const quarters = Array.from({ length: 12 }, (_, quarter) => new Date(Date.UTC(2027, 3 * quarter, 1)));
  return quarters.filter((quarter) => quarter >= date);
}

const secondsOf = (date: Date) => toUnixSeconds(date.getTime());

test("released on any day, a channel is signed again by one of these runs before it lapses", () => {
  const lapsed = DAYS.filter((released) => {
    let expires = after(secondsOf(released), ROLE_LIFETIME_S.channel);
    return quartersFrom(released).some((run) => {
      if (secondsOf(run) >= expires) return true;
      expires = renewalOf({ version: 1, releases: [], expires }, run)?.now ?? expires;
      return false;
    });
  });
  expect(lapsed).toEqual([]);
});

test("whatever day root ends on, one of these runs says so in time", () => {
  const [signed] = DAYS as [Date];
  const unsaid = DAYS.map((day) => after(secondsOf(day), ROLE_LIFETIME_S.root)).filter((end) => {
    const role = { expires: formatTime(end) };
    const title = { title: "demo", edge: "https://edge.test", roles: { root: role, targets: role } };
    const runs = quartersFrom(signed).filter((run) => secondsOf(run) < end);
    return runs.every((run) => [...expiryWarnings(title as unknown as TrustedTitle, run)].length === 0);
  });
  expect(unsaid).toEqual([]);
});
