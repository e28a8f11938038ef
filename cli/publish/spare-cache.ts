/**
 * A second cache folder, for a run that needs two builds of one title at once. It does not stay: its name says whose it is,
 * so that the next run takes away what a killed one left, which may be a whole game.
 *
 *   <cache>/diff-<host>-<process id>
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { isAlive } from "../patch/lock.ts";

const NAME = /^diff-(.+)-(\d+)$/;

/** This process's own, empty. */
export async function openSpareCache(cacheDir: string): Promise<string> {
  const folder = path.join(cacheDir, `diff-${hostname()}-${process.pid}`);
  await mkdir(folder, { recursive: true });
  return folder;
}

/** To be called before this process opens its own. */
export async function dropAbandonedCaches(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir).catch((): string[] => [])) {
    if (!isAbandoned(name)) continue;
    // what cannot be removed is in nobody's way
    await rm(path.join(cacheDir, name), { recursive: true, force: true }).catch(() => {});
  }
}

/** Of processes on other hosts nobody here can tell. One with our number was there before us: in a container that began again. */
function isAbandoned(name: string): boolean {
  const [, host, pid] = NAME.exec(name) ?? [];
  return host === hostname() && (Number(pid) === process.pid || !isAlive(Number(pid)));
}
