/** Whole files copied into staging, by threads, on a real disk. */
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { Layout } from "../../cli/patch/layout.ts";
import { lookAt } from "../../cli/patch/scan.ts";
import { copyWholeFiles, type WholeFile } from "../../cli/patch/whole-files.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { COPY_JOB_FILES, PIECE_BYTES_MIN, SPREAD_BYTES_MAX } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { PartWriter } from "../../manifests/parts.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Content } from "../../manifests/plan.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const NO_PARTS = new PartWriter().write([], () => "pack");

let folder: string;
let install: Install;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "patchswarm-whole-"));
  install = new Install(folder);
  await mkdir(install.staged(""), { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));
afterAll(closePool);

const SIZES = { "an empty one": 0, "a small one": 40_000, "a large one": SPREAD_BYTES_MAX + 5 };

async function oldFile(name: string, bytes: Uint8Array, to: WholeFile["to"]): Promise<WholeFile> {
  const from = path.join(folder, name);
  await writeFile(from, bytes);
  const hasher = new FileHasher(sha256, PIECE_BYTES_MIN);
  hasher.update(bytes);
  return { root: hasher.finish().root, size: bytes.length, from, to, first: 0 };
}

/** Places of which every other file may be run. */
function places(count: number, prefix: string): WholeFile["to"] {
  return Array.from({ length: count }, (_, i) => ({ path: `${prefix}/${i}` as SafePath, exec: i % 2 === 1 }));
}

async function copy(files: readonly WholeFile[], signal = new AbortController().signal) {
  const contents = files.map(({ root, size, to }) => {
    return { root, size, places: to as Content["places"], source: { how: "build", parts: NO_PARTS } } as const;
  });
  return await copyWholeFiles(
    { install, layout: new Layout(contents, () => false), pieceLength: PIECE_BYTES_MIN, signal },
    files,
  );
}

test.each(Object.entries(SIZES))(
  "%s gets as many copies as it has places, and how they look is known",
  async (_, size) => {
    const bytes = pseudoRandomBytes(size, size);
    const others = await oldFile("other", pseudoRandomBytes(7, 100), places(3, "other"));
    const file = await oldFile("a", bytes, places(2 * COPY_JOB_FILES + 3, "a"));
    // left behind by an earlier run: longer, and with another mode
    await mkdir(install.staged("new/a"), { recursive: true });
    await writeFile(install.staged("new/a/1"), pseudoRandomBytes(1, 2 * SPREAD_BYTES_MAX), { mode: 0o600 });
    const { wrong, looks } = await copy([others, file]);
    expect(wrong.size).toBe(0);
    for (const { path: place, exec } of file.to) {
      const staged = install.staged(`new/${place}`);
      expect(Buffer.compare(await readFile(staged), bytes)).toBe(0);
      expect(((await stat(staged)).mode & 0o100) !== 0).toBe(exec);
      if (looks.has(place)) expect(looks.get(place)).toEqual(lookAt(staged));
    }
    // of large ones nobody looks
    expect(looks.size).toBe(others.to.length + (size > SPREAD_BYTES_MAX ? 0 : file.to.length));
  },
);

test.each(Object.entries(SIZES))("%s that cannot be read is as good as gone", async (_, size) => {
  const good = await oldFile("good", pseudoRandomBytes(3, size), places(1, "good"));
  const loop = await oldFile("loop", pseudoRandomBytes(4, size), places(2, "loop"));
  // not even root can open it
  await rm(loop.from);
  await symlink("loop", loop.from);
  const { wrong } = await copy([loop, good]);
  expect([...wrong]).toEqual([loop]);
  await stat(install.staged("new/good/0"));
});

test.each(Object.entries(SIZES))("%s that cannot be written is the disk's word", async (_, size) => {
  const file = await oldFile("a", pseudoRandomBytes(3, size), places(1, "a"));
  await mkdir(install.staged("new/a/0"), { recursive: true });
  await expect(copy([file])).rejects.toMatchObject({ code: "EISDIR" });
});

test.each(Object.entries(SIZES))(
  "%s that is not what it seemed, or is gone, is told, and the others are copied",
  async (_, size) => {
    const good = await oldFile("good", pseudoRandomBytes(3, size), places(1, "good"));
    const gone = await oldFile("gone", pseudoRandomBytes(4, size), places(1, "gone"));
    await rm(gone.from);
    const changed = await oldFile("changed", pseudoRandomBytes(5, size), places(2, "changed"));
    const shorter = await oldFile("shorter", pseudoRandomBytes(6, size + 1), places(1, "shorter"));
    await writeFile(shorter.from, pseudoRandomBytes(6, size));
    if (size > 0) await writeFile(changed.from, pseudoRandomBytes(8, size));
    const { wrong } = await copy([gone, changed, shorter, good]);
    expect([...wrong]).toEqual(size > 0 ? expect.arrayContaining([gone, changed, shorter]) : [gone, shorter]);
    expect(wrong.has(good)).toBe(false);
    expect(await readFile(install.staged("new/good/0"))).toHaveLength(size);
  },
);

test("a staged copy that cannot be written says why", async () => {
  const file = await oldFile("a", pseudoRandomBytes(1, 10), [{ path: "taken/a" as SafePath, exec: false }]);
  await writeFile(install.staged("new"), "a file where a folder should be");
  await expect(copy([file])).rejects.toMatchObject({ code: "ENOTDIR" });
});

test("once it is stopped, nothing is copied", async () => {
  const file = await oldFile("a", pseudoRandomBytes(1, 10), places(1, "a"));
  await expect(copy([file], AbortSignal.abort())).rejects.toMatchObject({ code: "source.interrupted" });
  await expect(stat(install.staged("new/a/0"))).rejects.toThrow("ENOENT");
});
