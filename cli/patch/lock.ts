/**
 * One patcher an install at a time. `proper-lockfile` keeps a lock by touching it; a patcher that was killed would
 * leave the install busy until its lock is old, so we also note whose lock it is, and age the lock of a process that is
 * gone.
 */
import fs, { type NoParamCallback, type PathLike, type Stats } from "node:fs";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import lockfile from "proper-lockfile";
import * as v from "valibot";
import { Failure } from "../../manifests/failures.ts";
import { DISK_TIME_STEP_MS, LOCK_FOLDER_TRIES, LOCK_STALE_MS, TURN_RETRY_MS } from "../../manifests/limits.ts";
import { makeFolder, removeIfEmpty } from "../make-folder.ts";
import { isAlive } from "../processes.ts";
import { failureOfDisk } from "./disk-failure.ts";
import type { Install } from "./install.ts";
import { whereWeRun } from "./where.ts";

const Owner = v.object({
  pid: v.pipe(v.number(), v.safeInteger()),
  host: v.string(),
  /** Missing in locks of earlier programs. */
  where: v.optional(v.string()),
});
type Owner = v.InferOutput<typeof Owner>;

/**
 * Locks that this process holds. An owner with our place and pid and none of these is an earlier process of that
 * number.
 */
const ours = new Set<string>();

/** How long it takes to find out whether a holder lives. */
export interface LockWait {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly sleep?: (time: number) => Promise<unknown>;
}

export interface LockOptions extends LockWait {
  /** Called when another took the lock over. */
  readonly onLost?: (cause: Error) => void;
  /** Given each folder that had to be made for the install, the uppermost first. */
  readonly onMade?: (folder: string) => void;
}

/**
 * Does the work while it holds the install. Should another take the lock over (we slept past its age), the signal that
 * the work got is aborted; `checkLock`, which throws then, sees it sooner, and whatever else has aborted the signal
 * before. When the work fails, the folders that were made for it go again, as far as they are empty.
 * Throws: install.busy, also when the lock was lost on the way; source.interrupted; whatever the work throws, as a
 * failure when it is what a disk says.
 */
export async function whileLocked<T>(
  install: Install,
  signal: AbortSignal,
  work: (signal: AbortSignal, checkLock: () => void) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const made: string[] = [];
  try {
    const onLost = (cause: Error): void => lost.abort(busy(install, undefined, cause));
    const held = await holdInstall(install, { onLost, signal, onMade: (folder) => void made.push(folder) });
    const checkLock = (): void => {
      lost.signal.throwIfAborted();
      if (!held.isOurs()) throw busy(install, undefined, undefined);
    };
    try {
      return await work(AbortSignal.any([signal, lost.signal]), checkLock);
    } finally {
      await held.unlock();
    }
  } catch (error) {
    await removeIfEmpty(made);
    throw lost.signal.aborted ? lost.signal.reason : failureOfDisk(error, install.folder);
  }
}

/**
 * Does work that only looks, and leaves no lock: not a byte is written. Throws: install.busy; source.interrupted; what
 * the work throws.
 */
export async function whileFree<T>(install: Install, wait: LockWait, work: () => Promise<T>): Promise<T> {
  try {
    await checkFree(install, wait);
    return await work();
  } catch (error) {
    throw failureOfDisk(error, install.folder);
  }
}

/** Throws: install.busy while a process that lives, or may live, holds the install. */
async function checkFree(install: Install, wait: LockWait): Promise<void> {
  await refuseSleeper(install, wait);
  if (!(await isFresh(install))) return;
  const owner = await readOwner(install);
  if (await mayLive(owner, install, wait)) throw busy(install, owner?.pid, undefined);
}

/** Whether somebody touched the lock in the last LOCK_STALE_MS. */
async function isFresh(install: Install): Promise<boolean> {
  const options = { lockfilePath: install.own("lock"), stale: LOCK_STALE_MS, realpath: false };
  return await lockfile.check(install.folder, options);
}

/** Locks the install; gives the way to unlock it. Throws: install.busy; source.interrupted. */
export async function lockInstall(install: Install, options?: LockOptions): Promise<() => Promise<void>> {
  return (await holdInstall(install, options)).unlock;
}

interface Held {
  readonly unlock: () => Promise<void>;
  /** Looks whether another has taken the lock over, which we are told of only when our timer has its turn. */
  readonly isOurs: () => boolean;
}

/** Throws: install.busy; source.interrupted. */
async function holdInstall(install: Install, { onLost, onMade, ...wait }: LockOptions = {}): Promise<Held> {
  const lock = install.own("lock");
  let isLost = false;
  const whenLost = (cause: Error): void => {
    isLost = true;
    ours.delete(lock);
    onLost?.(cause);
  };
  const times = new OwnTimes();
  const release = await takeInFolder(install, { onLost: whenLost, times, wait }, onMade);
  ours.add(lock);
  try {
    const where = await whereWeRun();
    await writeFile(install.own("owner.json"), JSON.stringify({ pid: process.pid, host: hostname(), where }));
  } catch (error) {
    ours.delete(lock);
    await release();
    throw error;
  }
  const unlock = async (): Promise<void> => {
    if (isLost) return; // lock and owner.json are another's now
    ours.delete(lock);
    await rm(install.own("owner.json"), { force: true });
    await release();
  };
  const isOurs = (): boolean => {
    if (!isLost && !times.areOf(lock)) {
      isLost = true;
      ours.delete(lock);
    }
    return !isLost;
  };
  return { unlock, isOurs };
}

interface Taking {
  readonly onLost: (cause: Error) => void;
  readonly times: OwnTimes;
  readonly wait: LockWait;
}

/** Makes the folder for the lock and takes it there; both again when the folder is gone in between. */
async function takeInFolder(
  install: Install,
  taking: Taking,
  onMade: LockOptions["onMade"],
): Promise<() => Promise<void>> {
  for (let tries = 1; ; tries++) {
    try {
      await makeFolder(install.own(), undefined, onMade);
      return await take(install, taking);
    } catch (error) {
      if (!isFolderGone(error) || tries === LOCK_FOLDER_TRIES) throw error;
    }
  }
}

/** Of a lock, or of a folder that was to be made in one that was there just before. */
function isFolderGone(error: unknown): boolean {
  return (
    (error as NodeJS.ErrnoException).code === "ENOENT" || (error instanceof Failure && error.code === "path.unusable")
  );
}

async function take(install: Install, taking: Taking): Promise<() => Promise<void>> {
  const { wait } = taking;
  await refuseSleeper(install, wait);
  const seen = await touched(install);
  try {
    return await tryTake(install, taking);
  } catch (error) {
    if (!isHeld(error)) throw error;
    const owner = await readOwner(install);
    if (await mayLive(owner, install, wait)) throw busy(install, owner?.pid, error);
    // others may have found the same dead owner: who moves the file away is the heir, unless the lock is another's by
    // now
    const will = install.own("owner-gone.json");
    await rename(install.own("owner.json"), will).catch((cause: unknown) => {
      throw busy(install, undefined, cause);
    });
    if (seen === undefined || (await touched(install)) !== seen) {
      await rename(will, install.own("owner.json"));
      throw busy(install, undefined, error);
    }
    await rm(will, { force: true });
    await utimes(install.own("lock"), 0, 0);
    return await tryTake(install, taking).catch((cause: unknown) => {
      throw isHeld(cause) ? busy(install, undefined, cause) : cause;
    });
  }
}

/**
 * An old lock is anybody's, but its holder may only have slept, as the whole machine does: a process that runs here is
 * given the time to touch it. Who hangs does not, nor does another program that has its number by now, so neither keeps
 * the install for good.
 * Throws: install.busy; source.interrupted.
 */
async function refuseSleeper(install: Install, wait: LockWait): Promise<void> {
  if ((await touched(install)) === undefined || (await isFresh(install))) return;
  const owner = await readOwner(install);
  if (owner === undefined || owner.host !== hostname() || !(await isOfOurPlace(owner))) return;
  if (!isRunning(owner.pid, install)) return;
  if (!(await isTouched(install, wait, () => Promise.resolve(true)))) return;
  // perhaps another's by now
  throw busy(install, (await readOwner(install))?.pid, undefined);
}

/** When the lock was last touched; undefined when there is none. */
async function touched(install: Install): Promise<number | undefined> {
  return (await stat(install.own("lock")).catch(() => undefined))?.mtimeMs;
}

async function tryTake(install: Install, { onLost, times }: Taking): Promise<() => Promise<void>> {
  return await lockfile.lock(install.folder, {
    lockfilePath: install.own("lock"),
    stale: LOCK_STALE_MS,
    realpath: false,
    fs: times.calls,
    // the default throws out of a timer
    onCompromised: onLost,
  });
}

/**
 * The times that we gave one lock. Whoever takes the lock over touches it long after we did. Where a time may come back
 * in steps, proper-lockfile would take that for another's touch.
 */
class OwnTimes {
  #given: Date | undefined;
  /** On its way to the disk: the lock has this time or the one before. */
  #next: Date | undefined;

  /** What proper-lockfile keeps the lock with. */
  readonly calls = {
    mkdir: fs.mkdir,
    rmdir: fs.rmdir,
    // as the process ends
    rmdirSync: (path: string) => {
      if (this.areOf(path)) fs.rmdirSync(path);
    },
    utimes: (path: PathLike, atime: Date, mtime: Date, done: NoParamCallback) => {
      this.#next = mtime;
      fs.utimes(path, atime, mtime, (error) => {
        if (error === null) this.#given = mtime;
        done(error);
      });
    },
    stat: (path: PathLike, done: (error: Error | null, stats?: Stats) => void) => {
      fs.stat(path, (error, stats) => {
        if (error !== null) return done(error);
        done(null, isSame(this.#given, stats) ? Object.assign(stats, { mtime: this.#given }) : stats);
      });
    },
  };

  /** Whether the lock still has one of them. */
  areOf(lock: string): boolean {
    const stats = fs.statSync(lock, { throwIfNoEntry: false });
    return stats !== undefined && (isSame(this.#given, stats) || isSame(this.#next, stats));
  }
}

function isSame(given: Date | undefined, { mtimeMs }: Stats): boolean {
  return given !== undefined && Math.abs(mtimeMs - given.getTime()) <= DISK_TIME_STEP_MS;
}

function busy(install: Install, process: number | undefined, cause: unknown): Failure {
  return new Failure("install.busy", { folder: install.folder, process }, { cause });
}

/** proper-lockfile says that someone holds the lock. */
function isHeld(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "ELOCKED";
}

async function readOwner(install: Install): Promise<Owner | undefined> {
  try {
    return v.parse(Owner, JSON.parse(await readFile(install.own("owner.json"), "utf8")));
  } catch {
    return undefined; // being written just now, or cut short: its lock will grow old by itself
  }
}

/** Of processes on other hosts nobody here can tell: a lock of theirs has to grow old. */
async function mayLive(owner: Owner | undefined, install: Install, wait: LockWait): Promise<boolean> {
  if (owner === undefined || owner.host !== hostname()) return true;
  if (!(await isOfOurPlace(owner))) return await isTouched(install, wait, () => isFresh(install));
  return isRunning(owner.pid, install);
}

async function isOfOurPlace({ where }: Owner): Promise<boolean> {
  return where === undefined || where === (await whereWeRun());
}

/**
 * Whether somebody touches the lock in the time in which a holder that lives does. Our own container before its restart
 * has our host's name and another place; so has a container that lives. Throws: source.interrupted.
 * @param isWorthWaiting  asked before each look
 */
async function isTouched(
  install: Install,
  { signal, sleep = setTimeout }: LockWait,
  isWorthWaiting: () => Promise<boolean>,
): Promise<boolean> {
  const seen = await touched(install);
  for (let waited = 0; waited < LOCK_STALE_MS && (await isWorthWaiting()); waited += TURN_RETRY_MS) {
    await sleep(TURN_RETRY_MS);
    if (signal?.aborted === true) throw new Failure("source.interrupted");
    const now = await touched(install);
    if (now === undefined) return false;
    if (now !== seen) return true;
  }
  return false;
}

function isRunning(pid: number, install: Install): boolean {
  return pid === process.pid ? ours.has(install.own("lock")) : isAlive(pid);
}
