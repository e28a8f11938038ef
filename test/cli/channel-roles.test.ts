/** What a publisher builds the next role upon. */
import { expect, test } from "vitest";
import { channelRoles, nextSeq } from "../../cli/publish/channel-roles.ts";
import { type UnixSeconds, buildChannel, encodeRole, signRole } from "../../manifests/trust/roles.ts";
import { onStage } from "../support/player.ts";
import { START, type TestRepository } from "../support/tuf-repo.ts";

const DAY = 86_400;

/**
 * Another role of stable's newest version, signed by stable's key; of any length, or as long as the one it replaces.
 */
async function replaceStable(repository: TestRepository, isAsLong: boolean): Promise<void> {
  const key = repository.keys.channels["stable"];
  if (key === undefined) throw new Error("no key for stable");
  const releases = repository.releases["stable"]?.map((release) => ({ ...release, bytes: release.bytes ^ 1 })) ?? [];
  const { version } = repository.metaOf("stable");
  const role = buildChannel({ version, expires: (START + DAY) as UnixSeconds, releases: isAsLong ? releases : [] });
  const bytes = encodeRole(await signRole(role, [key]));
  expect(bytes.length === repository.bytesOf("stable").length).toBe(isAsLong);
  repository.files.set(`${version}.stable.json`, bytes);
}

test("the next role is built upon those that the snapshot names, an expired one too", async () => {
  await onStage(async ({ repository, player }) => {
    await repository.publish("beta", 2, "2.0.0-beta");
    player.now = repository.now = (START + 181 * DAY) as UnixSeconds;
    await repository.signChannel("stable");
    await repository.signOnline();
    const roles = channelRoles(await player.refreshed());
    expect([...roles].map(([name, { releases }]) => [name, releases.map(({ seq }) => seq)])).toEqual([
      ["stable", [1]],
      ["beta", [2]],
    ]);
    expect(nextSeq(roles)).toBe(3);
  });
});

test.each([["another length", false] as const, ["the same length", true] as const])(
  "a role of the right version and signature, but of %s and another hash, is not built upon",
  async (_, isAsLong) => {
    await onStage(async ({ repository, player }) => {
      await replaceStable(repository, isAsLong);
      const title = await player.refreshed();
      expect(() => channelRoles(title)).toThrow(expect.objectContaining({ code: "metadata.invalid" }));
    });
  },
);
