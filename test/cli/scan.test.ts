/** What a scan makes of disks that cannot tell files that can be run from others, and of what changes meanwhile. */
import { rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { keepsExecBits } from "../../cli/patch/disk.ts";
import { Install } from "../../cli/patch/install.ts";
import { lookAt, scan } from "../../cli/patch/scan.ts";
import { closePool } from "../../cli/threads/pool.ts";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { PIECE_BYTES_MIN } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";

let install: Install;
beforeEach(async () => {
  install = new Install(await mkdtemp(join(tmpdir(), "patchswarm-scan-")));
  await mkdir(install.own());
  return () => rm(install.folder, { recursive: true });
});
afterAll(closePool);

const GAME = "game" as SafePath;
const DATA = "data" as SafePath;
const ROOT = "1".repeat(64) as PiecesRoot;

/** Whether each file can be run, of a release of one that can and one that cannot. */
async function execOf(keeps: boolean): Promise<unknown> {
  const files = [GAME, DATA].map((path) => ({ path, size: 1, root: ROOT, exec: path === GAME }));
  const owned = new Map(files.map((file) => [file.path, { ...file, ...lookAt(install.file(file.path)) }]));
  const { have } = await scan({
    install,
    owned,
    want: { files: files.map((file) => ({ ...file, recipe: null })) },
    ...{ pieceLength: PIECE_BYTES_MIN, force: false, signal: new AbortController().signal, onProgress: () => {} },
    keepsExecBits: () => keeps,
  });
  return Object.fromEntries([...have.files.values()].map(({ path, exec }) => [path, exec]));
}

test.each([0o644, 0o755])("where every file has mode %o, none is wrong", async (mode) => {
  for (const path of [GAME, DATA]) {
    await writeFile(install.file(path), "x");
    await chmod(install.file(path), mode);
  }
  expect(await execOf(false)).toEqual({ game: true, data: false });
  const isExec = mode === 0o755;
  expect(await execOf(true)).toEqual({ game: isExec, data: isExec });
});

test("this disk keeps the bits, and the probe leaves nothing behind", async () => {
  expect(keepsExecBits(install.own())).toBe(true);
  expect(await readdir(install.own())).toEqual([]);
});

test("a folder that becomes a file meanwhile holds nothing", async () => {
  const inside = "data/a" as SafePath;
  await mkdir(install.file(DATA));
  await writeFile(install.file(inside), "x");
  const file = { path: inside, size: 1, root: ROOT, exec: false };
  const scanned = scan({
    install,
    owned: new Map([[inside, { ...file, ...lookAt(install.file(inside)) }]]),
    want: { files: [{ ...file, recipe: null }] },
    ...{ pieceLength: PIECE_BYTES_MIN, force: false, signal: new AbortController().signal, onProgress: () => {} },
  });
  // by now it has looked at the folder, and at nothing in it
  rmSync(install.file(DATA), { recursive: true });
  writeFileSync(install.file(DATA), "y");
  const { have } = await scanned;
  expect([...have.files.keys()]).toEqual([]);
});
