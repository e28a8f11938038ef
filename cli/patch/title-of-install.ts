/**
 * Which title an install is of. What is installed says it: with the title.json of another title, a patch would take
 * every file of the game for one that is no longer wanted. Where that comes from is the title.json that is named on the
 * command line, or the one that the install remembers.
 */
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { STATE_FOLDER } from "../../manifests/paths.ts";
import { type TitleFile, parseTitleFile, writeTitleFile } from "../../manifests/trust/title-file.ts";
import { sha256 } from "../trust/crypto.ts";
import { isBadPath, readIfThere, replaceFile } from "../trust/store.ts";
import { readTitleFile } from "../trust/title.ts";
import { Install } from "./install.ts";
import { titleInState } from "./state.ts";

/** Where an install remembers its title, below the install's folder. */
const REMEMBERED = path.join(STATE_FOLDER, "title.json");

/**
 * The title.json of an install: the named one, else the remembered one. Throws: usage.bad-title-file, also when the
 * named one is of another title than is installed; install.title-lost when none is named, and the remembered one is
 * gone, rotten or of another title; install.not-found when there is no install either; install.unreadable,
 * path.unusable.
 */
export async function titleOfInstall(install: string, named: string | undefined): Promise<TitleFile> {
  const given = named === undefined ? undefined : await readTitleFile(named);
  const remembered = await rememberedTitle(install);
  const installed = await titleInState(new Install(install));
  const expected = installed ?? (remembered === "rotten" ? undefined : remembered?.title);
  if (given !== undefined) {
    if (given.title === (expected ?? given.title)) return given;
    throw new Failure("usage.bad-title-file", { file: named, found: given.title, expected });
  }
  if (remembered === undefined && installed === undefined) throw new Failure("install.not-found", { folder: install });
  if (remembered !== undefined && remembered !== "rotten" && remembered.title === expected) return remembered;
  const found = remembered === undefined ? "none" : remembered === "rotten" ? "no title.json" : remembered.title;
  throw new Failure("install.title-lost", { file: path.join(install, REMEMBERED), found, expected });
}

/** Undefined before the first patch. Throws: path.unusable. */
async function rememberedTitle(install: string): Promise<TitleFile | "rotten" | undefined> {
  const file = path.join(install, REMEMBERED);
  const bytes = await readIfThere(file).catch((cause: unknown) => {
    // most often the folder itself, as it was named: too long a name, symbolic links that lead round
    if (!isBadPath(cause)) throw cause;
    throw new Failure("path.unusable", { folder: install, file, reason: (cause as Error).message }, { cause });
  });
  if (bytes === undefined) return undefined;
  try {
    return parseTitleFile(bytes, sha256, file);
  } catch (error) {
    if (error instanceof Failure && error.code === "usage.bad-title-file") return "rotten";
    throw error;
  }
}

/** Remembers the title in the install, so that `patchswarm patch <dir>` is enough from now on. */
export async function rememberTitle(install: string, title: TitleFile): Promise<void> {
  await replaceFile(path.join(install, REMEMBERED), writeTitleFile(title));
}
