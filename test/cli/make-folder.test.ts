import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeFolder } from "../../cli/make-folder.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "make-folder-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test("those above it are made too, all with the mode, and it may be there already", async () => {
  const inner = path.join(folder, "a", "b", "c");
  await makeFolder(inner, 0o700);
  await makeFolder(inner, 0o700);
  expect(statSync(path.join(folder, "a", "b")).mode & 0o777).toBe(0o700);
  expect(statSync(inner).isDirectory()).toBe(true);
});

test("two at once make one folder", async () => {
  const inner = path.join(folder, "a", "b", "c");
  await Promise.all([makeFolder(inner), makeFolder(inner), makeFolder(path.join(folder, "a"))]);
  expect(statSync(inner).isDirectory()).toBe(true);
});

test("a file in its way is said", async () => {
  const file = path.join(folder, "file");
  writeFileSync(file, "");
  await expect(makeFolder(file)).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeFolder(path.join(file, "inner"))).rejects.toMatchObject({ code: "ENOTDIR" });
});

test.skipIf(!existsSync("/proc/self"))("a file system that makes no folders is said, not waited for", async () => {
  await expect(makeFolder("/proc/games/mine")).rejects.toMatchObject({ code: "path.unusable" });
});
