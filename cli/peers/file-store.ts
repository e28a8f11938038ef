/**
 * Ranges of plain files, with a bounded number of them open. Knows nothing of pieces, padding or trust: what to read or
 * write, and whether to believe it, is the board's.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import { Failure } from "../../manifests/failures.ts";
import { FILE_CALLS_MAX, OPEN_FILES_MAX } from "../../manifests/limits.ts";

/** A link in the last place would let a write land elsewhere. Windows has no such flag. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

interface OpenFile {
  readonly handle: Promise<FileHandle>;
  users: number;
}

/** What a file must still look like to be read as what was verified. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeNs: bigint;
}

export class FileStore {
  readonly #flags: number;
  readonly #openMax: number;
  /** Least recently used first. */
  readonly #files = new Map<string, OpenFile>();
  readonly #folders = new Map<string, Promise<unknown>>();
  readonly #limit = pLimit(FILE_CALLS_MAX);
  #closed = false;

  /** @param mode  `write` creates files and folders as they are needed, and reads too */
  constructor(mode: "read" | "write", openMax = OPEN_FILES_MAX) {
    this.#flags = (mode === "write" ? constants.O_RDWR | constants.O_CREAT : constants.O_RDONLY) | NO_FOLLOW;
    this.#openMax = openMax;
  }

  /**
   * @param path  absolute
   * @param stamp  when given, the file must still have it after the read
   * Throws: install.damaged when the file is shorter or was changed; what the system throws.
   */
  async read(path: string, offset: number, bytes: number, stamp?: FileStamp): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#use(path, async (handle) => {
      const buffer = new Uint8Array(bytes);
      for (let at = 0; at < bytes;) {
        const { bytesRead } = await handle.read(buffer, at, bytes - at, offset + at);
        if (bytesRead === 0)
          throw new Failure("install.damaged", { path, expected: offset + bytes, found: offset + at });
        at += bytesRead;
      }
      if (stamp !== undefined) {
        const { size, mtimeNs } = await handle.stat({ bigint: true });
        if (mtimeNs !== stamp.mtimeNs || size !== BigInt(stamp.size)) throw new Failure("install.damaged", { path });
      }
      return buffer;
    });
  }

  /** Throws: what the system throws; ENOSPC among others. */
  async write(path: string, offset: number, bytes: Uint8Array): Promise<void> {
    await this.#use(path, async (handle) => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
        at += bytesWritten;
      }
    });
  }

  /** Makes sure that the file exists; an empty file needs nothing more. */
  async create(path: string): Promise<void> {
    await this.#use(path, async () => {});
  }

  /** Closes every file; calls under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const files = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(files.map((file) => closeQuietly(file)));
  }

  #use<Result>(path: string, act: (handle: FileHandle) => Promise<Result>): Promise<Result> {
    return this.#limit(async () => {
      const file = this.#open(path);
      file.users++;
      try {
        return await act(await file.handle);
      } finally {
        file.users--;
        // evicted while it was in use
        if (file.users === 0 && this.#files.get(path) !== file) await closeQuietly(file);
      }
    });
  }

  #open(path: string): OpenFile {
    if (this.#closed) throw new Error("the store is closed");
    const known = this.#files.get(path);
    if (known !== undefined) {
      this.#files.delete(path);
      this.#files.set(path, known);
      return known;
    }
    const file: OpenFile = { handle: this.#openHandle(path), users: 0 };
    this.#files.set(path, file);
    file.handle.catch(() => {
      if (this.#files.get(path) === file) this.#files.delete(path);
    });
    this.#evict();
    return file;
  }

  async #openHandle(path: string): Promise<FileHandle> {
    if ((this.#flags & constants.O_CREAT) !== 0) await this.#makeFolder(dirname(path));
    return await open(path, this.#flags);
  }

  /** Each folder once; concurrent files in it wait for the same call. */
  async #makeFolder(folder: string): Promise<void> {
    let made = this.#folders.get(folder);
    if (made === undefined) {
      made = mkdir(folder, { recursive: true });
      this.#folders.set(folder, made);
    }
    await made;
  }

  #evict(): void {
    for (const [path, file] of this.#files) {
      if (this.#files.size <= this.#openMax) return;
      this.#files.delete(path);
      if (file.users === 0) void closeQuietly(file);
    }
  }
}

/** Errors of a close say nothing that the reads and writes before it did not. */
async function closeQuietly(file: OpenFile): Promise<void> {
  try {
    await (await file.handle).close();
  } catch {
    // not opened, or closed already
  }
}
