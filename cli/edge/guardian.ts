/**
 * Ends workerd when we die without having ended it (SIGKILL, a crash): a shell that reads, from a pipe of ours, which
 * process is to be ended once that pipe closes. Miniflare ends workerd on every orderly way out, but an orphan would
 * keep the port and the database; and it starts another when one has ended, of which it does not tell us. Windows has
 * no such shell; there the orphan stays.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type ChildProcess, spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { platform } from "node:process";
import { startOf } from "../processes.ts";

/**
 * Reads until end of file, deaf to Ctrl-C, then ends the process that the last line names: its number, and when it
 * began as far as somebody says, for another may have that number by now. An empty line names nobody.
 */
export const SCRIPT = `
trap '' INT TERM HUP
while read -r pid start; do last=$pid since=$start; done
[ -n "$last" ] || exit 0
if [ -n "$since" ]; then
  read -r stat <"/proc/$last/stat" || exit 0
  set -- \${stat##*) } # from the third field on: the second, in brackets, is a name
  [ "\${20}" = "$since" ] || exit 0
fi
kill -9 "$last"
`;

export interface Guardian {
  /** Does the work. What it starts of the program is guarded, be it long after. */
  guarding<T>(work: () => Promise<T>): Promise<T>;
  close(): void;
}

/**
 * @param program  what the file name of those that are guarded holds; one at a time
 * @param onEnd  called when one has ended: by which signal, or with which exit code
 */
export function openGuardian(program: string, onEnd: (how: string) => void): Guardian {
  const shell = platform === "win32" ? undefined : startShell();
  const ours = new AsyncLocalStorage<true>(); // there may be other edges in this process
  const onSpawn = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess };
    if (ours.getStore() === undefined) return;
    // told of before it is started
    child.once("spawn", () => {
      if (!child.spawnfile.includes(program) || child.pid === undefined) return;
      shell?.name(`${child.pid} ${startOf(child.pid) ?? ""}`);
      child.once("exit", (code, signal) => {
        // its number is free from now on, and the next one is not started before
        shell?.name("");
        onEnd(signal ?? `exit code ${code}`);
      });
    });
  };
  subscribe("child_process", onSpawn);
  return {
    guarding: (work) => ours.run(true, work),
    close() {
      unsubscribe("child_process", onSpawn);
      shell?.end();
    },
  };
}

/** It must not keep us alive; one that cannot start costs only the guarantee. */
function startShell(): { name(line: string): void; end(): void } {
  const shell = spawn("/bin/sh", ["-c", SCRIPT, "guardian"], { stdio: ["pipe", "ignore", "ignore"] });
  shell.on("error", () => {});
  shell.stdin.on("error", () => {});
  shell.unref();
  return { name: (line) => void shell.stdin.write(`${line}\n`), end: () => void shell.kill("SIGKILL") };
}
