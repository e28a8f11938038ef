/**
 * A second cache folder, for a run that needs two builds of one title at once. It does not stay: its name says whose it
 * is, so that the next run takes away what a killed one left, which may be a whole game.
 *
 *   <cache>/diff-<where>-<process id>-<start>
 *
 * Containers may share a cache, the name of their host and the numbers of their processes: `where` tells them apart.
 * When a process began tells it from an earlier one of the same number.
 */
import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { CACHE_DAYS, DAY_MS } from "../../manifests/limits.ts";
import { makeFolder } from "../make-folder.ts";
import { whereWeRun } from "../patch/where.ts";
import { isAlive, startOf } from "../processes.ts";

const NAME = /^diff-(.+)-(\d+)-(\d+)$/;
const PREFIX = "diff-";

/** This process's own, empty. */
export async function openSpareCache(cacheDir: string): Promise<string> {
  const folder = path.join(cacheDir, `${PREFIX}${await whereWeRun()}-${process.pid}-${startOf(process.pid) ?? 0}`);
  await makeFolder(folder);
  return folder;
}

/** To be called before this process opens its own. @param now  milliseconds since 1970 */
export async function dropAbandonedCaches(cacheDir: string, now: number): Promise<void> {
  for (const name of await readdir(cacheDir).catch((): string[] => [])) {
    const folder = path.join(cacheDir, name);
    if (!name.startsWith(PREFIX) || !((await isAbandoned(name)) || (await isOld(folder, now)))) continue;
    // what cannot be removed is in nobody's way
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** Of processes elsewhere nobody here can tell. */
async function isAbandoned(name: string): Promise<boolean> {
  const [, where, id, start] = NAME.exec(name) ?? [];
  if (where !== (await whereWeRun())) return false;
  const pid = Number(id);
  if (!isAlive(pid)) return true;
  const found = startOf(pid);
  // unknown: not on Linux, or of a user whose processes we may not see. One with our own number was there before us
  return found === undefined ? pid === process.pid : found !== start;
}

async function isOld(folder: string, now: number): Promise<boolean> {
  const made = await stat(folder).catch(() => undefined);
  return made !== undefined && now - made.mtimeMs > CACHE_DAYS * DAY_MS;
}
