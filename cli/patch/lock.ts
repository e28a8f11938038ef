/**
 * One patcher an install at a time. `proper-lockfile` keeps a lock by touching it; a patcher that was killed would leave
 * the install busy until its lock is old, so we also note whose lock it is, and age the lock of a process that is gone.
 */
import { mkdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import lockfile from "proper-lockfile";
import * as v from "valibot";
import { Failure } from "../../manifests/failures.ts";
import { LOCK_STALE_MS } from "../../manifests/limits.ts";
import type { Install } from "./install.ts";

const Owner = v.object({ pid: v.pipe(v.number(), v.safeInteger()), host: v.string() });

/** Locks the install; gives the way to unlock it. Throws: install.busy. */
export async function lockInstall(install: Install): Promise<() => Promise<void>> {
  await mkdir(install.own(), { recursive: true });
  const release = await take(install);
  await writeFile(install.own("owner.json"), JSON.stringify({ pid: process.pid, host: hostname() }));
  return async () => {
    await rm(install.own("owner.json"), { force: true });
    await release();
  };
}

async function take(install: Install): Promise<() => Promise<void>> {
  try {
    return await tryTake(install);
  } catch (error) {
    if (!isHeld(error)) throw error;
    const owner = await readOwner(install);
    if (owner === undefined || owner.host !== hostname() || isRunning(owner.pid))
      throw busy(install, owner?.pid, error);
    await utimes(install.own("lock"), 0, 0);
    return await tryTake(install).catch((cause: unknown) => {
      throw isHeld(cause) ? busy(install, undefined, cause) : cause;
    });
  }
}

async function tryTake(install: Install): Promise<() => Promise<void>> {
  return await lockfile.lock(install.folder, {
    lockfilePath: install.own("lock"),
    stale: LOCK_STALE_MS,
    realpath: false,
  });
}

function busy(install: Install, process: number | undefined, cause: unknown): Failure {
  return new Failure("install.busy", { folder: install.folder, process }, { cause });
}

/** proper-lockfile says that someone holds the lock. */
function isHeld(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "ELOCKED";
}

async function readOwner(install: Install): Promise<{ pid: number; host: string } | undefined> {
  try {
    return v.parse(Owner, JSON.parse(await readFile(install.own("owner.json"), "utf8")));
  } catch {
    return undefined; // being written just now, or cut short: its lock will grow old by itself
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
