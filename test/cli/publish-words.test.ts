/** What `publish` tells people, for each way in which it can end. */
import { expect, test } from "vitest";
import { describe as describePublish } from "../../cli/commands/publish.ts";
import { toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type PublishOptions, type PublishResult } from "../../cli/publish/publish.ts";

type Options = Partial<Pick<PublishOptions, "dryRun" | "rollout">>;

const NOTHING = { bytes: 0, files: [] };
const DELTA = { from: "1.3.0", bytes: 2_200_000, costs: NOTHING };

/** @param result  what differs from a build of 1,585 files that became release 2 and was sent as 2.9 MB */
function told(result: Partial<PublishResult>, { dryRun = false, rollout }: Options = {}): string[] {
  const options = { titleFile: { title: "demo" }, channel: "stable", version: "1.4.0", dryRun, rollout };
  const whole: PublishResult = {
    outcome: "published",
    seq: 2,
    files: 1585,
    bytes: { total: 147_000_000, uploaded: 2_900_000 },
    live: undefined,
    added: { chunks: 12, packs: 1 },
    lost: undefined,
    deltas: [],
    rollout: undefined,
    deltasFailed: undefined,
    renewed: undefined,
    ...result,
  };
  // of the title file, its name is told
  return describePublish(options as PublishOptions, whole, 4.2).split("\n");
}

const BUILD = "demo 1.4.0: 1585 files, 147 MB.";
const SAME = `${BUILD} Nothing changed: it is release 2 on stable already, and nothing was published.`;

test("a new release: its number, who gets it, what was sent, and the deltas to it", () => {
  const sent = "Sent 2.9 MB in 4.2 s.";
  expect(told({})).toEqual([`${BUILD} Published as release 2 on stable. ${sent}`]);
  expect(told({ deltas: [DELTA] }, { rollout: 10 })).toEqual([
    `${BUILD} Published as release 2 on stable for 10 % of the players. ${sent}`,
    "Players on 1.3.0 update with a delta of 2.2 MB.",
  ]);
});

test("a dry run says what would be, and that nothing was", () => {
  const counts = "12 new chunks in 1 pack";
  expect(told({ outcome: "dry-run", deltas: [DELTA] }, { dryRun: true })).toEqual([
    `${BUILD} Would become release 2 on stable and send 2.9 MB: ${counts}. Nothing was sent.`,
    "Players on 1.3.0 would update with a delta of 2.2 MB.",
  ]);
  expect(told({ outcome: "dry-run" }, { dryRun: true, rollout: 10 })).toEqual([
    `${BUILD} Would become release 2 on stable for 10 % of the players and send 2.9 MB: ${counts}. Nothing was sent.`,
  ]);
});

test("a build that is out already: that nothing changed, and what players get when that is another", () => {
  expect(told({ outcome: "unchanged", live: { seq: 2, version: "1.4.0" } })).toEqual([SAME]);
  expect(told({ outcome: "unchanged", live: { seq: 3, version: "1.5.0" } })).toEqual([
    SAME,
    "Players on stable get 1.5.0, release 3. To go back, publish this build under a new version.",
  ]);
});

test("another share of the players: from how many to how many, also when it only would", () => {
  const rollout = { before: 10, now: 100 };
  const live = { seq: 2, version: "1.4.0" };
  expect(told({ outcome: "unchanged", live, rollout, deltas: [DELTA] }, { rollout: 100 })).toEqual([
    `${BUILD} Release 2 on stable, which is out, goes to 100 % of the players, 10 % before.`,
    "Players on 1.3.0 update with a delta of 2.2 MB.",
  ]);
  expect(told({ outcome: "unchanged", live, rollout }, { rollout: 100, dryRun: true })).toEqual([
    `${BUILD} Release 2 on stable, which is out, would go to 100 % of the players, 10 % before.`,
  ]);
});

test("what the origin had lost and got again, counted; in a dry run only that it did", () => {
  const lost = { packs: 1, others: 2, bytes: 3_000_000 };
  expect(told({ outcome: "unchanged", lost }).slice(1)).toEqual([
    "The origin had lost some of it: nothing new; 1 pack and 2 other objects sent again (3 MB).",
  ]);
  expect(told({ outcome: "unchanged", lost: { ...lost, packs: 2, others: 0 } }).slice(1)).toEqual([
    "The origin had lost some of it: nothing new; 2 packs sent again (3 MB).",
  ]);
  expect(told({ outcome: "unchanged", lost: "some" }, { dryRun: true }).slice(1)).toEqual([
    "The origin has lost some of it; without --dry-run, that is sent again.",
  ]);
});

test("a channel that was signed again: until when it was signed, and until when it is or would be", () => {
  const renewed = { before: toUnixSeconds(Date.UTC(2027, 0, 30, 12)), now: toUnixSeconds(Date.UTC(2027, 4, 27)) };
  const now = "What is on stable was signed until 2027-01-30; it is signed again, until 2027-05-27.";
  expect(told({ outcome: "unchanged", renewed })).toEqual([SAME, now]);
  expect(told({ renewed }).slice(1)).toEqual([now]);
  expect(told({ outcome: "unchanged", renewed }, { dryRun: true }).slice(1)).toEqual([
    "What is on stable is signed until 2027-01-30; without --dry-run, that is signed again, until 2027-05-27.",
  ]);
  const rollout = { before: 10, now: 100 };
  expect(told({ outcome: "unchanged", rollout, renewed }).slice(1)).toEqual([now]);
});
