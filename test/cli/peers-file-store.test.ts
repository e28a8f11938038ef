/** Ranges of many files with few of them open. */
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileStore } from "../../cli/peers/file-store.ts";

let root: string;
let store: FileStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "patchswarm-files-"));
  store = new FileStore("write", 8);
});
afterEach(async () => {
  await store.close();
  await rm(root, { recursive: true, force: true });
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

test("what was written anywhere in a file is read back, and folders come by themselves", async () => {
  await store.write(join(root, "a/b/c"), 5, bytes("world"));
  await store.write(join(root, "a/b/c"), 0, bytes("hello"));
  expect(await store.read(join(root, "a/b/c"), 3, 4)).toEqual(bytes("lowo"));
});

test("300 files at once are written with eight of them open", async () => {
  const before = openDescriptors();
  const paths = Array.from({ length: 300 }, (_, i) => join(root, `${i % 7}`, `${i}`));
  await Promise.all(paths.map((path, i) => store.write(path, 0, bytes(`${i}`))));
  await Promise.all(paths.map((path, i) => store.write(path, 4, bytes(`${i}`))));
  expect(openDescriptors() - before).toBeLessThanOrEqual(8 + 4);
  for (const [i, path] of paths.entries()) expect((await readFile(path, "latin1")).startsWith(`${i}`)).toBe(true);
  await store.close();
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});

test("an empty file is made, and one that is there stays as it is", async () => {
  await store.create(join(root, "new/empty"));
  expect((await stat(join(root, "new/empty"))).size).toBe(0);
  await writeFile(join(root, "old"), "kept");
  await store.create(join(root, "old"));
  expect(await readFile(join(root, "old"), "utf8")).toBe("kept");
});

test("a file that is shorter than it should be is damage, not zeros", async () => {
  await writeFile(join(root, "short"), "12345");
  await expect(store.read(join(root, "short"), 3, 5)).rejects.toMatchObject({ code: "install.damaged" });
});

test("a file that changed since it was proven is not given", async () => {
  const path = join(root, "game.pak");
  await writeFile(path, "proven bytes");
  const { size, mtimeNs } = await stat(path, { bigint: true });
  const stamp = { size: Number(size), mtimeNs };
  expect(await store.read(path, 0, 6, stamp)).toEqual(bytes("proven"));
  const late = { ...stamp, mtimeNs: stamp.mtimeNs - 1n };
  await expect(store.read(path, 0, 6, late)).rejects.toMatchObject({ code: "install.damaged" });
});

test("a link in the place of a file is not followed", async () => {
  await writeFile(join(root, "elsewhere"), "outside");
  await symlink(join(root, "elsewhere"), join(root, "link"));
  await expect(store.write(join(root, "link"), 0, bytes("x"))).rejects.toMatchObject({ code: "ELOOP" });
  expect(await readFile(join(root, "elsewhere"), "utf8")).toBe("outside");
});

test("reading creates nothing, and a closed store gives nothing", async () => {
  const reader = new FileStore("read");
  await expect(reader.read(join(root, "none"), 0, 1)).rejects.toMatchObject({ code: "ENOENT" });
  expect(existsSync(join(root, "none"))).toBe(false);
  await reader.close();
  await expect(reader.read(join(root, "none"), 0, 1)).rejects.toThrow("closed");
});
