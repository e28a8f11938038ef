/**
 * Objects this machine has read before, by their names: trees and recipes of the newest releases, which every publish
 * needs. Nothing here is trusted: readers check the hash. Deleting the folder, or one that the disk refuses to read or
 * to write, costs a few downloads and is no error.
 */
import { randomBytes } from "node:crypto";
import { readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { CACHE_DAYS, DAY_MS } from "../../manifests/limits.ts";
import { makeFolder } from "../make-folder.ts";

export class ObjectCache {
  readonly #folder: string;

  /** @param folder  made on first use */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The bytes under this name, unchecked; undefined when they are not here. */
  async read(id: ObjectId): Promise<Uint8Array | undefined> {
    const path = join(this.#folder, id);
    try {
      const bytes = await readFile(path);
      const now = new Date();
      await utimes(path, now, now).catch(forgiveDisk); // in use: `prune` leaves it
      return bytes;
    } catch (error) {
      forgiveDisk(error);
      return undefined;
    }
  }

  /** Keeps the bytes. Two processes may do so at once: each writes its own file and renames it. */
  async write(id: ObjectId, bytes: Uint8Array): Promise<void> {
    const draft = join(this.#folder, `.${randomBytes(8).toString("hex")}`);
    try {
      await makeFolder(this.#folder);
      await writeFile(draft, bytes);
      await rename(draft, join(this.#folder, id));
    } catch (error) {
      forgiveDisk(error);
      await rm(draft, { force: true }).catch(forgiveDisk);
    }
  }

  /** Deletes what was not read for CACHE_DAYS, drafts of killed processes included. */
  async prune(now: number): Promise<void> {
    for (const name of await readdir(this.#folder).catch(nothing)) {
      const path = join(this.#folder, name);
      const found = await stat(path).catch(nothing);
      if (!("mtimeMs" in found) || now - found.mtimeMs <= CACHE_DAYS * DAY_MS) continue;
      await rm(path, { force: true, recursive: true }).catch(forgiveDisk);
    }
  }
}

/** Passes over what a disk says: it is not there, may not be touched, has no room. Throws anything else: a bug. */
function forgiveDisk(error: unknown): void {
  const said = error instanceof Failure ? error.cause : error;
  if ((said as NodeJS.ErrnoException | undefined)?.syscall === undefined) throw error;
}

function nothing(error: unknown): [] {
  forgiveDisk(error);
  return [];
}
