/**
 * Ends workerd when we die without having ended it (SIGKILL, a crash): a shell that waits for its standard input, which
 * is a pipe from us, to close. Miniflare ends workerd on every orderly way out, but an orphan would keep the port and
 * the database. Windows has no such shell; there the orphan stays.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { platform } from "node:process";

/** Reads nothing until end of file, deaf to Ctrl-C, then ends the process it guards. */
const SCRIPT = "trap '' INT TERM HUP; read -r _; kill -9 \"$1\" 2>/dev/null";

/** Runs `start` and gives the process it spawned whose file name holds `program`; Miniflare does not tell us. */
export async function watchSpawn<T>(program: string, start: () => Promise<T>): Promise<[T, ChildProcess | undefined]> {
  const spawned: ChildProcess[] = [];
  const onSpawn = (message: unknown): void => void spawned.push((message as { process: ChildProcess }).process);
  subscribe("child_process", onSpawn);
  try {
    const value = await start();
    return [value, spawned.find((child) => child.spawnfile?.includes(program))];
  } finally {
    unsubscribe("child_process", onSpawn);
  }
}

/** Guards the process until the returned function is called. */
export function guard(child: ChildProcess | undefined): () => void {
  if (child?.pid === undefined || platform === "win32") return () => {};
  const guardian = spawn("/bin/sh", ["-c", SCRIPT, "guardian", String(child.pid)], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  // it must not keep us alive; a guardian that cannot start costs only the guarantee
  guardian.on("error", () => {});
  guardian.unref();
  return () => void guardian.kill("SIGKILL");
}
