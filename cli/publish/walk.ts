/** A build folder -> the files to publish, in the order of the tree. Reads names and sizes, never content. */
import { type Dirent, lstatSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, posix } from "node:path";
import picomatch from "picomatch";
import { Failure } from "../../manifests/failures.ts";
import { REFUSED_NAMED_MAX, TREE_FILES_MAX } from "../../manifests/limits.ts";
import { STATE_FOLDER, type SafePath, checkPathSet, parseSafePath } from "../../manifests/paths.ts";
import { isBadPath } from "../trust/store.ts";

/** One file as the walk found it. Reading checks `stamp` again, so a file that changes meanwhile is noticed. */
export interface SourceFile {
  readonly path: SafePath;
  readonly size: number;
  readonly exec: boolean;
  readonly stamp: FileStamp;
}

/** What changes when somebody writes to a file or puts another in its place. Strings: bigint does not survive JSON. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeNs: string;
  readonly inode: string;
}

/** Something in the folder that cannot be installed safely on every player's system. */
interface Refused {
  readonly path: string;
  readonly reason: string;
}

/**
 * Every file under the folder that no glob ignores, sorted by the bytes of its path.
 * @param ignore  globs over paths relative to the folder, "/" between segments; one without a slash matches a name at
 *   any depth
 * Throws: usage.bad-flag (not a folder), build.refused (symlinks, special files and unsafe paths, each by name),
 * build.unreadable, build.changed (gone since it was listed), build.empty, build.too-large, path.unsafe (two paths
 * that are one on some system).
 */
export async function walk(folder: string, ignore: readonly string[]): Promise<readonly SourceFile[]> {
  if (!isFolder(folder)) throw new Failure("usage.bad-flag", { found: folder, expected: "a folder" });
  const isIgnored = ignoring(ignore);
  const files: SourceFile[] = [];
  const refused: Refused[] = [];
  for await (const found of walkFolder(folder, "", isIgnored)) {
    if ("reason" in found) refused.push(found);
    else files.push(found);
  }
  if (refused.length > 0) {
    const named = refused.slice(0, REFUSED_NAMED_MAX).map(({ path, reason }) => `${quoted(path)} (${reason})`);
    throw new Failure("build.refused", { count: refused.length, refused: named });
  }
  if (files.length === 0) throw new Failure("build.empty", { folder });
  if (files.length > TREE_FILES_MAX) {
    throw new Failure("build.too-large", { files: files.length, limit: TREE_FILES_MAX });
  }
  checkPathSet(files.map(({ path }) => path));
  return files;
}

/** In quotes, with what cannot be seen, turns or ends a line, or commands a terminal spelled out. */
export function quoted(path: string): string {
  return JSON.stringify(path).replaceAll(
    /[\p{Cf}\p{Cc}\p{Zl}\p{Zp}]/gu,
    (sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`,
  );
}

/** Throws: usage.bad-flag when one cannot look. */
export function isFolder(name: string): boolean {
  try {
    return statSync(name, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch (cause) {
    if (!isBadPath(cause)) throw cause;
    throw new Failure("usage.bad-flag", { found: name, reason: (cause as Error).message }, { cause });
  }
}

/** The stamp of a path now; symlinks are not followed. */
export function stampOf(stats: { size: bigint; mtimeNs: bigint; ino: bigint }): FileStamp {
  return { size: Number(stats.size), mtimeNs: String(stats.mtimeNs), inode: String(stats.ino) };
}

/** Depth first, each folder's entries in the order their files have in the tree. */
async function* walkFolder(
  folder: string,
  prefix: string,
  isIgnored: (path: string) => boolean,
): AsyncGenerator<SourceFile | Refused> {
  const entries = await looking(prefix.slice(0, -1) || folder, () =>
    readdir(join(folder, prefix), { withFileTypes: true, encoding: "buffer" }),
  );
  for (const entry of entries.toSorted((a, b) => Buffer.compare(sortKey(a), sortKey(b)))) {
    const name = decodeName(entry.name);
    const path = `${prefix}${name ?? entry.name.toString("latin1")}`;
    // the patcher's own state lies in an install's top folder; nobody means to publish it
    if (path === STATE_FOLDER || isIgnored(path)) continue;
    if (name === undefined) yield { path, reason: "name is not UTF-8" };
    else if (entry.isDirectory()) yield* walkFolder(folder, `${path}/`, isIgnored);
    else if (entry.isFile()) yield await sourceFile(folder, path);
    else yield { path, reason: kindOf(entry) };
  }
}

/** ENOENT: removed; ENOTDIR: a file now, or its folder is; ELOOP: a symbolic link that leads round. */
const GONE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

/** Throws: build.changed when what was listed is gone, build.unreadable when it may not be looked at. */
async function looking<T>(path: string, look: () => T | Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    const isGone = GONE.has(code);
    const reason = isGone ? "gone since it was listed" : code;
    throw new Failure(isGone ? "build.changed" : "build.unreadable", { path, reason }, { cause });
  }
}

async function sourceFile(folder: string, path: string): Promise<SourceFile | Refused> {
  const safe = safePath(path);
  if (typeof safe !== "string") return safe;
  const stats = await looking(safe, () => lstatSync(join(folder, path), { bigint: true }));
  // owner's bit: what decides whether the publisher could run it
  return { path: safe, size: Number(stats.size), exec: (stats.mode & 0o100n) !== 0n, stamp: stampOf(stats) };
}

function safePath(path: string): SafePath | Refused {
  try {
    return parseSafePath(path);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== "path.unsafe") throw error;
    return { path, reason: String(error.facts["reason"] ?? "unsafe") };
  }
}

/** A folder sorts as its files do: "a/b" comes after "a-b", because "/" is greater than "-". */
function sortKey(entry: Dirent<Buffer>): Buffer {
  return entry.isDirectory() ? Buffer.concat([entry.name, SLASH]) : entry.name;
}

const SLASH = Buffer.from("/");

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeName(name: Buffer): string | undefined {
  try {
    return strictUtf8.decode(name);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function kindOf(entry: Dirent<Buffer>): string {
  if (entry.isSymbolicLink()) return "symbolic link";
  if (entry.isFIFO()) return "named pipe";
  if (entry.isSocket()) return "socket";
  if (entry.isBlockDevice() || entry.isCharacterDevice()) return "device";
  return "not a regular file";
}

/** A glob with a slash is matched against the whole path, one without against the last segment. */
function ignoring(globs: readonly string[]): (path: string) => boolean {
  const tests = globs.map((glob) => {
    const pattern = glob.replace(/\/+$/, "");
    if (pattern === "") throw new Failure("usage.bad-flag", { option: "--ignore", found: glob, expected: "a glob" });
    const matches = picomatch(pattern.replace(/^\//, ""), { dot: true, nonegate: true });
    return pattern.includes("/") ? matches : (path: string) => matches(posix.basename(path));
  });
  return (path) => tests.some((test) => test(path));
}
