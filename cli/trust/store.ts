/**
 * Where verified metadata is remembered between runs. Every write is staged, fsynced and renamed, because tuf-js, which
 * writes in place, cannot start again from a root.json that a crash cut short (docs/decisions/0006).
 */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { isDiskFull } from "../threads/disk-error.ts";

export interface MetadataStore {
  /** The bytes last written under the name; undefined when there are none. */
  read(name: string): Promise<Buffer | undefined>;
  /** Old bytes or new ones, never a mixture, whatever happens meanwhile. */
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** `<dir>/<name>.json`. Throws: install.no-space when the disk is full. */
export function diskMetadata(dir: string): MetadataStore {
  const fileOf = (name: string): string => path.join(dir, `${name}.json`);
  return {
    read: (name) => readIfThere(fileOf(name)),
    write: (name, bytes) => replaceFile(fileOf(name), bytes),
  };
}

/** Forgets with the process: for looking at a title without an install. */
export function memoryMetadata(): MetadataStore {
  const held = new Map<string, Buffer>();
  return {
    read: (name) => Promise.resolve(held.get(name)),
    write: (name, bytes) => Promise.resolve(void held.set(name, Buffer.from(bytes))),
  };
}

/** Reads what the store holds and keeps what is written for this process alone. */
export function unwritten(store: MetadataStore): MetadataStore {
  const written = memoryMetadata();
  return {
    read: async (name) => (await written.read(name)) ?? (await store.read(name)),
    write: (name, bytes) => written.write(name, bytes),
  };
}

/**
 * A file's bytes; undefined when it is not there. What it throws has a path, also of a folder.
 * @param bytesMax  no more than its first so many
 */
export async function readIfThere(file: string, bytesMax?: number): Promise<Buffer | undefined> {
  try {
    return bytesMax === undefined ? await readFile(file) : await readHead(file, bytesMax);
  } catch (error) {
    // or a file stands where its folder should be
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw withPath(error, file);
  }
}

async function readHead(file: string, bytesMax: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytesMax), 0, bytesMax, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The error of a system call; Node names no file when one that is open cannot be read, as a folder cannot. */
export function withPath(error: unknown, file: string): unknown {
  return error instanceof Error && !("path" in error) ? Object.assign(error, { path: file }) : error;
}

/** Replaces a file as a whole, making its folder when needed. Throws: install.no-space. */
export async function replaceFile(file: string, bytes: Uint8Array): Promise<void> {
  const staged = `${file}.new`;
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await writeSynced(staged, bytes);
    await rename(staged, file);
    await syncFolder(path.dirname(file));
  } catch (cause) {
    if (isDiskFull(codeOf(cause))) throw new Failure("install.no-space", { file, bytes: bytes.length }, { cause });
    throw cause;
  }
}

async function writeSynced(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, "w");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes renames and new names in a folder last through a power cut. Windows has no such call and needs none. */
export async function syncFolder(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * A file where a folder should be, or the other way round, a socket, no permission, a disk that is only read, a name
 * that cannot be.
 */
const BAD_PATH: ReadonlySet<string | undefined> = new Set([
  "EACCES",
  "EEXIST",
  "EISDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "ENOTDIR",
  "ENXIO",
  "EPERM",
  "EROFS",
]);

/** Whether a path that somebody named cannot be what it was named for. */
export function isBadPath(error: unknown): boolean {
  return BAD_PATH.has(codeOf(error));
}

/** Of an error of the system. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
