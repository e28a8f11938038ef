/** What a folder holds, for comparing an install with the build it came from. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";

/** Path -> "size sha256 [x]" of every file below `root`, the patcher's own folder left out. */
export async function folderContents(root: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith(".patchswarm"))
    .toSorted();
  for (const path of paths) contents.set(path, await describe(join(root, path)));
  return contents;
}

/** Paths that differ, or are in only one of the two folders. */
export async function differences(a: string, b: string): Promise<string[]> {
  const [left, right] = await Promise.all([folderContents(a), folderContents(b)]);
  const paths = new Set([...left.keys(), ...right.keys()]);
  return [...paths].filter((path) => left.get(path) !== right.get(path)).toSorted();
}

async function describe(path: string): Promise<string> {
  const { size, mode } = await stat(path);
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return `${size} ${hash.digest("hex")}${(mode & 0o100) === 0 ? "" : " x"}`;
}
