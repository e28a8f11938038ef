/** Processes in states that a test needs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";

/** A process that was killed, and whose parent does not ask about it: it keeps its number. Linux only. */
export async function openZombie(): Promise<AsyncDisposable & { readonly pid: number }> {
  // the shell becomes a program that knows of no child
  const parent = spawn("/bin/sh", ["-c", "sleep 1000 & echo $!; exec cat >/dev/null"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const [line] = (await once(createInterface({ input: parent.stdout }), "line")) as [string];
  const pid = Number(line);
  process.kill(pid, "SIGKILL");
  while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")) await setImmediate();
  return {
    pid,
    async [Symbol.asyncDispose]() {
      parent.stdin.end();
      await once(parent, "close");
    },
  };
}
