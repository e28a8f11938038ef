/** What a folder holds, for comparing an install with the build it came from. */
import { createHash, hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readFile, readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import pLimit from "p-limit";

/** Files read at once. */
const READS = 8;
/** Larger files are streamed. */
const WHOLE_BYTES_MAX = 1024 * 1024;

/** Path -> "size sha256 [x]" of every file below `root`, the patcher's own folder left out. */
export async function folderContents(root: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith(".patchswarm"))
    .toSorted();
  const descriptions = await pLimit(READS).map(paths, (path) => describe(join(root, path)));
  for (const [index, path] of paths.entries()) contents.set(path, descriptions[index] ?? "");
  return contents;
}

/** Paths that differ, or are in only one of the two folders. */
export async function differences(a: string, b: string): Promise<string[]> {
  const [left, right] = await Promise.all([folderContents(a), folderContents(b)]);
  const paths = new Set([...left.keys(), ...right.keys()]);
  return [...paths].filter((path) => left.get(path) !== right.get(path)).toSorted();
}

/** How everything below `root` looks, the patcher's own folder too: whatever is written shows. */
export async function looksOf(root: string): Promise<Record<string, string>> {
  const looks: Record<string, string> = {};
  for (const name of ["", ...(await readdir(root, { recursive: true }))]) {
    const { mode, size, mtimeNs, ctimeNs } = await lstat(join(root, name), { bigint: true });
    looks[name] = [mode, size, mtimeNs, ctimeNs].join(" ");
  }
  return looks;
}

async function describe(path: string): Promise<string> {
  const { size, mode } = await stat(path);
  const digest = size <= WHOLE_BYTES_MAX ? hash("sha256", await readFile(path)) : await hashStream(path);
  return `${size} ${digest}${(mode & 0o100) === 0 ? "" : " x"}`;
}

async function hashStream(path: string): Promise<string> {
  const digest = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: WHOLE_BYTES_MAX }), digest);
  return digest.digest("hex");
}
