/** Which title an install is of: the title.json named on the command line, or the one that the install remembers. */
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { type TitleFile, parseTitleFile, writeTitleFile } from "../../manifests/trust/title-file.ts";
import { sha256 } from "../trust/crypto.ts";
import { isBadPath, readIfThere, replaceFile } from "../trust/store.ts";
import { readTitleFile } from "../trust/title.ts";
import { Install } from "./install.ts";
import { readState } from "./state.ts";

/** Where an install remembers its title, below the install's folder. */
const REMEMBERED = path.join(".patchswarm", "title.json");

/** The title an install belongs to; undefined before its first patch. Throws: usage.bad-title-file, path.unusable. */
async function rememberedTitle(install: string): Promise<TitleFile | undefined> {
  const file = path.join(install, REMEMBERED);
  const bytes = await readIfThere(file).catch((cause: unknown) => {
    // most often the folder itself, as it was named: too long a name, symbolic links that lead round
    if (!isBadPath(cause)) throw cause;
    throw new Failure("path.unusable", { folder: install, file, reason: (cause as Error).message }, { cause });
  });
  return bytes === undefined ? undefined : parseTitleFile(bytes, sha256, file);
}

/** Remembers the title in the install, so that `patchswarm patch <dir>` is enough from now on. */
export async function rememberTitle(install: string, title: TitleFile): Promise<void> {
  await replaceFile(path.join(install, REMEMBERED), writeTitleFile(title));
}

/**
 * The title of an install: the named title.json, else the remembered one. When one is named that may have rotted: what
 * is installed says of which title it is, too. Throws: usage.bad-title-file, also when the two are of different titles;
 * install.not-found when there is neither; install.unreadable.
 */
export async function titleOfInstall(install: string, named: string | undefined): Promise<TitleFile> {
  if (named === undefined) {
    const remembered = await rememberedTitle(install);
    if (remembered === undefined) throw new Failure("install.not-found", { folder: install });
    return remembered;
  }
  const given = await readTitleFile(named);
  const remembered = await rememberedTitle(install).catch((error: unknown) => {
    // to name another is what that failure tells people to do; the patch writes it anew
    if (error instanceof Failure && error.code === "usage.bad-title-file") return readState(new Install(install));
    throw error;
  });
  if (remembered !== undefined && remembered.title !== given.title) {
    throw new Failure("usage.bad-title-file", { file: named, found: given.title, expected: remembered.title });
  }
  return given;
}
