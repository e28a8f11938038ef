/**
 * Objects this machine has read before, by their names: trees and recipes of the newest releases, which every publish
 * needs. Nothing here is trusted: readers check the hash. Deleting the folder costs a few downloads.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ObjectId } from "../../manifests/digest.ts";
import { CACHE_DAYS } from "../../manifests/limits.ts";

const DAY_MS = 86_400_000;

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
      await utimes(path, now, now); // in use: `prune` leaves it
      return bytes;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Keeps the bytes. Two processes may do so at once: each writes its own file and renames it. */
  async write(id: ObjectId, bytes: Uint8Array): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const draft = join(this.#folder, `.${randomBytes(8).toString("hex")}`);
    await writeFile(draft, bytes);
    await rename(draft, join(this.#folder, id));
  }

  /** Deletes what was not read for CACHE_DAYS, drafts of killed processes included. */
  async prune(now: number): Promise<void> {
    for (const name of await readdir(this.#folder).catch(missingIsEmpty)) {
      const path = join(this.#folder, name);
      const found = await stat(path).catch(missingIsUndefined);
      if (found !== undefined && now - found.mtimeMs > CACHE_DAYS * DAY_MS) {
        await rm(path, { force: true, recursive: true });
      }
    }
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function missingIsEmpty(error: unknown): string[] {
  if (isMissing(error)) return [];
  throw error;
}

function missingIsUndefined(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
