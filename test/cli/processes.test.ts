/** Who is taken for a process that lives, and for one that holds a lock. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { whileStateIsOurs } from "../../cli/edge/state-folder.ts";
import { Install } from "../../cli/patch/install.ts";
import { whereWeRun } from "../../cli/patch/where.ts";
import { isAlive, startOf } from "../../cli/processes.ts";
import { openZombie } from "../support/processes.ts";

test("a process that runs lives, one of a number that nobody has does not", () => {
  expect([process.pid, process.ppid, 2 ** 30].map(isAlive)).toEqual([true, true, false]);
});

test.runIf(process.platform === "linux")("what began before us began at another time", () => {
  expect(Number(startOf(process.ppid))).toBeLessThanOrEqual(Number(startOf(process.pid)));
  expect(startOf(2 ** 30)).toBeUndefined();
});

test.runIf(process.platform === "linux")(
  "a process that was killed is dead, though its parent does not ask about it, and holds no state folder",
  async () => {
    await using zombie = await openZombie();
    expect(isAlive(zombie.pid)).toBe(false);
    const install = new Install(await mkdtemp(join(tmpdir(), "patchswarm-zombie-")));
    await mkdir(install.own("lock"), { recursive: true });
    const owner = { pid: zombie.pid, host: hostname(), where: await whereWeRun() };
    await writeFile(install.own("owner.json"), JSON.stringify(owner));
    let isHeld = false;
    await whileStateIsOurs(install.folder, new AbortController().signal, () => {
      isHeld = true;
      return Promise.resolve();
    });
    expect(isHeld).toBe(true);
    await rm(install.folder, { recursive: true });
  },
);
