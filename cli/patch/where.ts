/** Where this process runs: what tells its number from the same one of another process. */
import { createHash } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";

/**
 * The host; on Linux also this boot of it, and the space that process ids are counted in: containers may share the name
 * of their host. 12 hex digits.
 */
export async function whereWeRun(): Promise<string> {
  const unknown = (): string => "";
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(unknown);
  const space = await readlink("/proc/self/ns/pid").catch(unknown);
  return createHash("sha256").update(`${hostname()}\n${boot}\n${space}`).digest("hex").slice(0, 12);
}
