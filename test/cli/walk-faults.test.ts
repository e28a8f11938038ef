/** What a walk says of a folder that changes under it, or does not let it in. Only the moment is chosen. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { walk } from "../../cli/publish/walk.ts";
import { writeFiles } from "../support/studio.ts";

/** Called before a folder is listed, and after it was. */
const moments = vi.hoisted(() => ({
  before: (_folder: string): Promise<void> | void => {},
  after: (_folder: string): Promise<void> | void => {},
}));

vi.mock("node:fs/promises", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs/promises")>();
  const readdir = async (folder: string, options: never) => {
    await moments.before(folder);
    const entries = await fs.readdir(folder, options);
    await moments.after(folder);
    return entries;
  };
  return { ...fs, readdir };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-walk-"));
  await writeFiles(folder, { "a/b.bin": "b", "c.bin": "c" });
});
afterEach(async () => {
  moments.before = moments.after = () => {};
  await rm(folder, { recursive: true, force: true });
});

test("a file that is gone once it was listed has changed", async () => {
  moments.after = async (listed) => {
    if (listed === folder) await rm(join(folder, "c.bin"));
  };
  await expect(walk(folder, [])).rejects.toMatchObject({ code: "build.changed", facts: { path: "c.bin" } });
});

test("a folder that is gone, or a file by now, has changed", async () => {
  moments.after = async (listed) => {
    if (listed === folder) await rm(join(folder, "a"), { recursive: true });
  };
  await expect(walk(folder, [])).rejects.toMatchObject({ code: "build.changed", facts: { path: "a" } });
  await writeFiles(folder, { "a/b.bin": "b" });
  moments.after = async (listed) => {
    if (listed !== folder) return;
    await rm(join(folder, "a"), { recursive: true });
    await writeFile(join(folder, "a"), "");
  };
  await expect(walk(folder, [])).rejects.toMatchObject({ code: "build.changed", facts: { path: "a" } });
});

test("a folder that may not be listed is named, the build's own and one inside of it", async () => {
  let forbidden = join(folder, "a/");
  moments.before = (listed) => {
    // who runs the tests may be allowed to read everything
    if (listed === forbidden) throw Object.assign(new Error("permission denied"), { code: "EACCES" });
  };
  await expect(walk(folder, [])).rejects.toMatchObject({ code: "build.unreadable", facts: { path: "a" } });
  forbidden = folder;
  await expect(walk(folder, [])).rejects.toMatchObject({ code: "build.unreadable", facts: { path: folder } });
});

test("what is ignored is not listed", async () => {
  moments.before = (listed) => {
    if (listed !== folder) throw Object.assign(new Error("permission denied"), { code: "EACCES" });
  };
  expect((await walk(folder, ["a"])).map(({ path }) => path)).toEqual(["c.bin"]);
});
