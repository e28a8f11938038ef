/** Processes of this machine, known by their numbers: whether one lives, and which one it is. */
import { readFileSync } from "node:fs";

/** States of a process that has ended, and that nobody has asked about yet: it keeps its number, and does nothing. */
const ENDED: ReadonlySet<string> = new Set(["Z", "X"]);

/**
 * Whether a process of this host has this id, whoever may run it. One that has ended lives no more, though its parent
 * has not asked about it yet, nor ever may: only Linux says which are so.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const state = stateOf(pid);
  return state === undefined || !ENDED.has(state);
}

/** When a process began, in ticks since the host did; undefined where nobody says. */
export function startOf(pid: number): string | undefined {
  return statOf(pid)?.[22 - 3];
}

function stateOf(pid: number): string | undefined {
  return statOf(pid)?.[0];
}

/** What Linux says of a process, from the third field on (proc(5), /proc/pid/stat). */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // the second field is the program's name, in brackets, and may hold anything
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // not Linux, gone meanwhile, or of a user whose processes we may not see
  }
}
