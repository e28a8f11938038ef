/** What `verify` says of an install that it may only look at. */
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import lockfile from "proper-lockfile";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { verifyInstall } from "../../cli/patch/verify.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { newPlayer, type Player } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);
afterEach(() => void vi.restoreAllMocks());

const verify = ({ folder }: Player) =>
  verifyInstall(new Install(folder), { output: { progress() {} }, signal: new AbortController().signal });

/** As it is on a disk that is mounted for reading, or in another user's folder: not even root is let through. */
function refuseLocks(code: string): void {
  const refused = Object.assign(new Error(`${code}: refused, mkdir`), { code });
  vi.spyOn(lockfile, "lock").mockRejectedValue(refused);
}

test.each(["EACCES", "EROFS", "ENOSPC"])(
  "where no lock can be made (%s), an install is verified all the same",
  async (code) => {
    await using publisher = await Publisher.start();
    publisher.publish("1.0.0", { files: { "a.txt": "one", "tool.sh": "#!" }, exec: ["tool.sh"] });
    await using player = await newPlayer(publisher);
    await player.patch();
    refuseLocks(code);
    expect(await verify(player)).toMatchObject({ version: "1.0.0", missing: [], damaged: [] });
    await writeFile(player.at("a.txt"), "eno");
    expect(await verify(player)).toMatchObject({ damaged: ["a.txt"] });
  },
);

test("what stands in the way of a patch is told as before", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  refuseLocks("EROFS");
  await expect(player.patch()).rejects.toMatchObject({ code: "install.unwritable" });
});

test("a patch that is at work while nobody holds the lock yet is what is verified", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "a.txt": "two" } });
  const { lock } = lockfile;
  vi.spyOn(lockfile, "lock").mockImplementationOnce(async (...args) => {
    await player.patch();
    return await lock(...args);
  });
  expect(await verify(player)).toMatchObject({ version: "2.0.0", missing: [], damaged: [] });
});

test("a lock that cannot say whose it is, is given back", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await rm(player.at(".patchswarm", "owner.json"), { force: true });
  await mkdir(player.at(".patchswarm", "owner.json"));
  await expect(player.patch()).rejects.toMatchObject({ code: "install.obstructed" });
  await expect(stat(player.at(".patchswarm", "lock"))).rejects.toMatchObject({ code: "ENOENT" });
});
