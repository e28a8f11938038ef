/** Second cache folders: one that a killed run left is taken away, one that is in use is not, whoever uses it. */
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dropAbandonedCaches, openSpareCache } from "../../cli/publish/spare-cache.ts";
import { startOf } from "../../cli/processes.ts";
import { CACHE_DAYS } from "../../manifests/limits.ts";
import { openZombie } from "../support/processes.ts";

let cache: string;
let own: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "patchswarm-spare-"));
  own = basename(await openSpareCache(cache));
});
afterEach(() => rm(cache, { recursive: true, force: true }));

/** What is left of these folders, made besides our own. */
async function leftOf(names: readonly string[], now = Date.now()): Promise<string[]> {
  for (const name of names) await mkdir(join(cache, name));
  await dropAbandonedCaches(cache, now);
  return (await readdir(cache)).toSorted();
}

/** The parts of our own folder's name, some of them changed. */
function named(change: { where?: string; pid?: number; start?: string }): string {
  const [, where, pid, start] = own.split("-");
  return `diff-${change.where ?? where}-${change.pid ?? pid}-${change.start ?? start}`;
}

test("a folder of a process that lives stays, also where another container's process has its number", async () => {
  const others = [named({ where: "0123456789ab" }), named({ where: "0123456789ab", pid: 1, start: "1" })];
  expect(await leftOf(others)).toEqual([own, ...others].toSorted());
});

test("a folder of a process that is gone goes", async () => {
  expect(await leftOf([named({ pid: 2 ** 30 })])).toEqual([own]);
});

test.runIf(process.platform === "linux")(
  "a folder of an earlier process with the number of one that lives goes",
  async () => {
    expect(await leftOf([named({ start: "1" }), named({ pid: process.ppid, start: "1" })])).toEqual([own]);
  },
);

test.runIf(process.platform === "linux")(
  "a folder of a process that was killed and has its number still goes",
  async () => {
    await using zombie = await openZombie();
    expect(await leftOf([named({ pid: zombie.pid, start: String(startOf(zombie.pid)) })])).toEqual([own]);
  },
);

test("whose it is or was, in the end a folder goes; what else lies in the cache stays", async () => {
  const days = CACHE_DAYS * 86_400_000;
  expect(await leftOf(["diff-host-1", "builds"], Date.now() + days / 2)).toEqual(
    ["builds", "diff-host-1", own].toSorted(),
  );
  expect(await leftOf([], Date.now() + 2 * days)).toEqual(["builds"]);
});
