/** Two publishes of one version at once: it goes to the first, and the other says so, or finds its own build there. */
import { afterAll, expect, test } from "vitest";
import { closePool } from "../../cli/threads/pool.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { type Press, pressForEachTest, urlOf } from "../support/press.ts";

let press: Press;
pressForEachTest((opened) => (press = opened));
afterAll(closePool);

/** Lets somebody act when the first role is on its way to the edge. */
function overtakenBy(act: () => Promise<unknown>): Fetch {
  let isOvertaken = false;
  return async (input, init) => {
    if (!isOvertaken && urlOf(input).endsWith("/roles/stable")) {
      isOvertaken = true;
      await act();
    }
    return await fetch(input, init);
  };
}

const releases = async (): Promise<[number, string][]> =>
  (await press.title()).releases("stable").map(({ seq, version }) => [seq, version]);

test("overtaken by another build of the same version, it says that the version is taken", async () => {
  const mine = await press.build("mine", { "a.txt": "mine" });
  const theirs = await press.build("theirs", { "a.txt": "theirs" });
  const line = overtakenBy(() => press.publish(theirs, "1.4.0"));
  await expect(press.publish(mine, "1.4.0", { fetch: line })).rejects.toMatchObject({
    code: "release.version-taken",
    facts: { version: "1.4.0", channel: "stable", seq: 1 },
  });
  expect(await releases()).toEqual([[1, "1.4.0"]]);
});

test("overtaken by the same build of the same version, there is nothing left to do", async () => {
  const folder = await press.build("build", { "a.txt": "the same" });
  const before = await press.build("before", { "a.txt": "before" });
  const line = overtakenBy(async () => {
    // takes the number; a role with the same release under the same one would be the same role
    await press.publish(before, "1.3.0");
    await press.publish(folder, "1.4.0");
  });
  expect(await press.publish(folder, "1.4.0", { fetch: line })).toMatchObject({ outcome: "unchanged", seq: 2 });
  expect(await releases()).toEqual([
    [1, "1.3.0"],
    [2, "1.4.0"],
  ]);
});

test("overtaken on another channel, the version is still to be had on this one", async () => {
  const folder = await press.build("build", { "a.txt": "the same" });
  const line = overtakenBy(() => press.publish(folder, "1.4.0", { channel: "beta" }));
  expect(await press.publish(folder, "1.4.0", { fetch: line })).toMatchObject({ outcome: "published", seq: 2 });
  expect(await releases()).toEqual([[2, "1.4.0"]]);
});
