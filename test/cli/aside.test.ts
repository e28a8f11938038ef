/** Names under which the player's own files are kept beside those of a release. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freeName } from "../../cli/patch/aside.ts";
import { realDisk } from "../../cli/patch/disk.ts";
import { Install } from "../../cli/patch/install.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { put } from "../support/patching.ts";

const DEEP = `${"d".repeat(99)}/`.repeat(10);

test.each([
  ["a.txt", "a.txt.local-1"],
  ["taken", "taken.local-2"],
  [`mods/${"n".repeat(250)}`, `mods/${"n".repeat(247)}.local-1`],
  // two bytes a letter, four a face: none is cut
  ["ö".repeat(127), `${"ö".repeat(123)}.local-1`],
  [`n${"😀".repeat(63)}`, `n${"😀".repeat(61)}.local-1`],
  [`${DEEP}${"n".repeat(24)}`, `${DEEP}${"n".repeat(16)}.local-1`],
  [`${DEEP}${"m".repeat(15)}/${"n".repeat(8)}`, `${DEEP}${"n".repeat(8)}.local-1`],
])("%s is kept under a name that is no longer than names may be", async (path, name) => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-aside-"));
  await put(folder, { "taken.local-1": "" });
  expect(freeName(realDisk, new Install(folder), parseSafePath(path))).toBe(name);
  await rm(folder, { recursive: true });
});
