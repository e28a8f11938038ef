/** Whom the guardian of workerd ends once we are gone, which is when its standard input ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { SCRIPT, openGuardian } from "../../cli/edge/guardian.ts";
import { startOf } from "../../cli/processes.ts";

/** Whether a process that runs is ended by a guardian that was told this. */
async function isEnded(tell: (pid: number, start: string) => string): Promise<boolean> {
  const guarded = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  const ended = once(guarded, "exit");
  await once(guarded, "spawn");
  const guardian = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["pipe", "ignore", "ignore"] });
  const { pid = 0 } = guarded;
  guardian.stdin.end(tell(pid, startOf(pid) ?? ""));
  await once(guardian, "exit");
  // who was not killed ends of itself, when there is no more to read
  guarded.stdin.end();
  const [, signal] = (await ended) as [number | null, string | null];
  return signal === "SIGKILL";
}

const ONE_TICK = 1;

test.skipIf(process.platform === "win32").each<[string, boolean, (pid: number, start: string) => string]>([
  ["the one that it was told of last", true, (pid, start) => `1 1\n\n${pid} ${start}\n`],
  ["one of which nobody says when it began", true, (pid) => `${pid} \n`],
  ["nobody when the last one has ended", false, (pid, start) => `${pid} ${start}\n\n`],
  ["nobody when it was told nothing", false, () => ""],
])("a guardian ends %s", async (_whom, expected, tell) => {
  expect(await isEnded(tell)).toBe(expected);
});

test.runIf(process.platform === "linux")("a process that only has the number by now is not ended", async () => {
  expect(await isEnded((pid, start) => `${pid} ${Number(start) - ONE_TICK}\n`)).toBe(false);
});

test.skipIf(process.platform === "win32")(
  "of two guardians, each has what its own work starts, also later",
  async () => {
    const ends: string[] = [];
    const mine = openGuardian("cat", (how) => ends.push(`mine: ${how}`));
    const other = openGuardian("cat", (how) => ends.push(`another's: ${how}`));
    const startLater = async (): Promise<ChildProcess> => {
      await setImmediate();
      return spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
    };
    const { later } = await mine.guarding(() => Promise.resolve({ later: startLater() }));
    const child = await later;
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(ends).toEqual(["mine: SIGKILL"]);
    mine.close();
    other.close();
  },
);
