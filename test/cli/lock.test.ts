/** A lock on a disk that keeps times in steps of two seconds, as FAT32 does. */
import { mkdtemp, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { lockInstall } from "../../cli/patch/lock.ts";
import { DISK_TIME_STEP_MS, LOCK_STALE_MS } from "../../manifests/limits.ts";

/** How often a time was set. Before anything is imported that would keep the real call. */
const touches = vi.hoisted(() => {
  const count = { made: 0 };
  const fs = process.getBuiltinModule("node:fs");
  const real = fs.utimes;
  const inSteps = (time: unknown): Date => new Date(Math.floor(Number(time) / 2000) * 2000);
  fs.utimes = Object.assign(
    (path: Parameters<typeof real>[0], atime: unknown, mtime: unknown, done: Parameters<typeof real>[3]) => {
      real(path, inSteps(atime), inSteps(mtime), (error) => {
        done(error);
        count.made += 1;
      });
    },
    { __promisify__: real.__promisify__ },
  );
  return count;
});

afterEach(() => void vi.useRealTimers());

async function locked(act: (lock: { file: string; touch: () => Promise<void>; losses: unknown[] }) => Promise<void>) {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: 1_764_000_001_234 });
  const install = new Install(await mkdtemp(join(tmpdir(), "patchswarm-lock-")));
  const losses: unknown[] = [];
  const unlock = await lockInstall(install, { onLost: (cause) => void losses.push(cause) });
  const touch = async (): Promise<void> => {
    const before = touches.made;
    vi.advanceTimersByTime(LOCK_STALE_MS / 2);
    while (touches.made === before && losses.length === 0) await setImmediate();
  };
  await act({ file: install.own("lock"), touch, losses });
  await unlock();
  await rm(install.folder, { recursive: true });
}

test("a lock is ours for as long as nobody else touches it", async () => {
  await locked(async ({ file, touch, losses }) => {
    for (let times = 0; times < 6; times++) {
      await touch();
      expect(losses).toEqual([]);
      // it is kept fresh
      expect(Date.now() - (await stat(file)).mtimeMs).toBeLessThanOrEqual(DISK_TIME_STEP_MS);
    }
  });
});

test("another's touch is told from our own", async () => {
  await locked(async ({ file, touch, losses }) => {
    await touch();
    const later = new Date(Date.now() + LOCK_STALE_MS);
    await utimes(file, later, later);
    await touch();
    expect(losses).toMatchObject([{ code: "ECOMPROMISED" }]);
  });
});
