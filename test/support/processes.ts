/** Processes in states that a test needs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
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

/** The process that this one has started and that still runs, with this in its command line. Linux only. */
export function childOf(parent: number, word: string): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const child = pids.map(Number).find((pid) => {
    const [, ppid] = read(`/proc/${pid}/stat`)
      .replace(/^.*\) /s, "")
      .split(" ");
    return Number(ppid) === parent && read(`/proc/${pid}/cmdline`).includes(word);
  });
  if (child === undefined) throw new Error(`process ${parent} has no child "${word}"`);
  return child;
}

/** Nothing of a process that is gone by now. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
