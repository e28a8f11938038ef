/**
 * The one mistake that cannot be undone: publishing the keys that sign. Told in two ways, each enough: by where a file
 * lies, and by what it holds, since a copy, a hard link or a mount may be anywhere.
 */
import { readFileSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { KEY_FILE_BYTES_MAX, REFUSED_NAMED_MAX } from "../../manifests/limits.ts";
import type { RootRole, TargetsRole } from "../../manifests/trust/roles.ts";
import { keyIdsIn } from "./keys.ts";
import { type SourceFile, quoted } from "./walk.ts";

/** Throws: build.refused when files of the keys' folder are among those to publish, by whatever path it was named. */
export async function refuseKeysFolder(
  files: readonly SourceFile[],
  { folder, keysDir }: { readonly folder: string; readonly keysDir: string },
): Promise<void> {
  // a folder that cannot be found has no files; whoever needs its keys says so
  const keys = await realpath(keysDir).catch(() => undefined);
  if (keys === undefined) return;
  const build = await realpath(folder);
  // the walk follows no symbolic links: below the real folder, paths are real
  const inside = files.filter(({ path }) => join(build, path).startsWith(keys + sep));
  if (inside.length > 0) throw refusal(inside, "in the folder of signing keys");
}

/**
 * The title's signing keys, which no file may hold. Told of each small file while it is read: see
 * threads/jobs/ingest.ts.
 */
export interface OwnKeys {
  readonly ids: readonly string[];
  /** Throws: build.refused, naming every file that holds one. @param found  a file that does */
  refuse(found: string): never;
}

/** The private keys of a title among these files, should one be found. */
export function ownKeysIn(
  files: readonly SourceFile[],
  folder: string,
  { root, targets }: { readonly root: RootRole; readonly targets: TargetsRole },
): OwnKeys {
  const ids = [...Object.keys(root.keys), ...Object.keys(targets.delegations?.keys ?? {})];
  return {
    ids,
    refuse(found) {
      const known = new Set(ids);
      const isKey = (file: SourceFile): boolean =>
        file.path === found || (mayHoldKey(file) && holdsKey(readText(join(folder, file.path)), known));
      throw refusal(files.filter(isKey), "a private key of this title");
    },
  };
}

/** Whether a file is looked at for keys. */
export function mayHoldKey({ size }: { readonly size: number }): boolean {
  return size <= KEY_FILE_BYTES_MAX;
}

/** Whether a text holds one of these keys. */
export function holdsKey(text: string, known: ReadonlySet<string>): boolean {
  return keyIdsIn(text).some((keyid) => known.has(keyid));
}

function readText(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // one that was found is enough
  }
}

function refusal(files: readonly SourceFile[], reason: string): Failure {
  return new Failure("build.refused", {
    count: files.length,
    refused: files.slice(0, REFUSED_NAMED_MAX).map(({ path }) => `${quoted(path)} (${reason})`),
  });
}
