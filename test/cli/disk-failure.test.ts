/** What people are told when a disk refuses. */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { failureOfDisk } from "../../cli/patch/disk-failure.ts";
import { Install } from "../../cli/patch/install.ts";
import { whileLocked } from "../../cli/patch/lock.ts";
import { Failure } from "../../manifests/failures.ts";

const error = (code: string): Error => Object.assign(new Error(`${code}: refused`), { code, path: "/game/a.bin" });

test.each([
  ["ENOSPC", "linux", "install.no-space"],
  ["EDQUOT", "linux", "install.no-space"],
  ["EIO", "linux", "disk.failed"],
  ["ESTALE", "linux", "disk.failed"],
  ["EMFILE", "linux", "system.too-many-files"],
  ["ENFILE", "darwin", "system.too-many-files"],
  ["EROFS", "linux", "install.unwritable"],
  ["EACCES", "linux", "install.unwritable"],
  ["EPERM", "darwin", "install.unwritable"],
  ["ENOTDIR", "linux", "install.obstructed"],
  ["EFBIG", "linux", "install.unwritable"],
  ["EBUSY", "linux", "install.in-use"],
  ["EXDEV", "linux", "install.split"],
  ["EEXIST", "linux", "install.obstructed"],
  ["EISDIR", "darwin", "install.obstructed"],
  ["ENOTEMPTY", "linux", "install.obstructed"],
  // a game that runs holds its files open there
  ["EPERM", "win32", "install.in-use"],
  ["EACCES", "win32", "install.in-use"],
] as const)("%s on %s is %s", (code, platform, failure) => {
  expect(failureOfDisk(error(code), "/game", platform)).toMatchObject({
    code: failure,
    facts: { folder: "/game", file: "/game/a.bin", reason: `${code}: refused` },
  });
});

test.each([
  ["/game/.patchswarm/staging/1", "/game/data/b.bin"],
  ["/game/data/b.bin", "/game/.patchswarm/staging/1"],
])("of %s that cannot be moved to %s the file of the game is named", (path, dest) => {
  const moving = Object.assign(error("EXDEV"), { path, dest });
  expect(failureOfDisk(moving, "/game")).toMatchObject({ facts: { file: "/game/data/b.bin" } });
});

test("what is a failure already, or no word of the disk, stays what it is", () => {
  const failure = new Failure("install.busy", {});
  const bug = new TypeError("a bug");
  for (const each of [failure, bug, error("EINVAL"), "text", undefined]) {
    expect(failureOfDisk(each, "/game")).toBe(each);
  }
});

test("an install where a file stands is no bug", async () => {
  // not even root can make a folder in it
  const install = new Install(fileURLToPath(import.meta.url));
  const working = whileLocked(install, new AbortController().signal, () => Promise.resolve());
  await expect(working).rejects.toMatchObject({ code: "install.obstructed", family: "usage" });
});
