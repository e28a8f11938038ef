/** What the disk of Windows says of a file that another program holds; here no disk says it. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { realDisk } from "../../cli/patch/disk.ts";
import { LOCKED_FILE_TRIES, LOCKED_FILE_WAIT_MS } from "../../manifests/limits.ts";

/** How often the file will still be held, and the pauses that were made. */
const holder = vi.hoisted(() => ({ times: 0, naps: [] as number[] }));

vi.mock(import("node:fs"), async (importOriginal) => {
  const fs = await importOriginal();
  const unlessHeld = <Args extends unknown[], Value>(call: (...args: Args) => Value) => {
    return (...args: Args): Value => {
      if (holder.times-- > 0) throw Object.assign(new Error("EBUSY: held"), { code: "EBUSY" });
      return call(...args);
    };
  };
  return { ...fs, renameSync: unlessHeld(fs.renameSync), unlinkSync: unlessHeld(fs.unlinkSync) };
});
vi.mock(import("node:timers/promises"), async (importOriginal) => ({
  ...(await importOriginal()),
  setTimeout: (ms) => Promise.resolve(void holder.naps.push(ms ?? 0)) as never,
}));

const { platform } = process;
let folder: string;
beforeEach(() => {
  Object.defineProperty(process, "platform", { value: "win32" });
  folder = mkdtempSync(join(tmpdir(), "patchswarm-disk-"));
  writeFileSync(join(folder, "a"), "");
  holder.naps = [];
});
afterEach(() => {
  Object.defineProperty(process, "platform", { value: platform });
  rmSync(folder, { recursive: true });
});

const ACTS = [
  ["renamed", () => realDisk.rename(join(folder, "a"), join(folder, "b")), ["b"]],
  ["removed", () => realDisk.remove(join(folder, "a")), []],
] as const;

test.each(ACTS)(
  "a file that is held for a moment is %s later, and others have their turn until then",
  async (_, act, after) => {
    holder.times = 2;
    const waiting = act();
    expect(readdirSync(folder)).toEqual(["a"]);
    await waiting;
    expect(readdirSync(folder)).toEqual(after);
    expect(holder.naps).toEqual([LOCKED_FILE_WAIT_MS, LOCKED_FILE_WAIT_MS]);
    holder.times = 0;
  },
);

test.each(ACTS)("a file that stays held is not %s, and that is said after some tries", async (_, act) => {
  holder.times = LOCKED_FILE_TRIES;
  await expect(act()).rejects.toThrow("EBUSY");
  expect(readdirSync(folder)).toEqual(["a"]);
  expect([holder.times, holder.naps.length]).toEqual([0, LOCKED_FILE_TRIES - 1]);
});

test.each(ACTS)("a file that nobody holds is %s at once", (_, act, after) => {
  holder.times = 0;
  expect(act()).toBeUndefined();
  expect(readdirSync(folder)).toEqual(after);
});
