/**
 * The folder that a publish or a comparison keeps things in: there is always one, and not always from one run to the
 * next.
 */
import { constants } from "node:fs";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolder } from "../make-folder.ts";
import { isDiskFull } from "../threads/disk-error.ts";
import { isBadPath } from "../trust/store.ts";

/** A cache that can be written to. */
export interface WritableCache extends AsyncDisposable {
  readonly folder: string;
}

/**
 * The user's cache; where it cannot be written to, as in many containers, one that goes with the run.
 * @param onLog  is told of that
 */
export async function openCache(folder: string, onLog: (text: string) => void): Promise<WritableCache> {
  try {
    await makeFolder(folder);
    await access(folder, constants.W_OK | constants.X_OK);
    return { folder, [Symbol.asyncDispose]: () => Promise.resolve() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // ENOENT: a drive that is not there; path.unusable: no place for folders
    const isMissing = code === "ENOENT" || code === "path.unusable";
    if (!isBadPath(error) && !isDiskFull(code) && !isMissing) throw error;
    const spare = await mkdtemp(join(tmpdir(), "patchswarm-cache-"));
    onLog(
      `The cache folder cannot be used (${message}): what it would hold is fetched again. XDG_CACHE_HOME names another.`,
    );
    return { folder: spare, [Symbol.asyncDispose]: () => rm(spare, { recursive: true, force: true }) };
  }
}
