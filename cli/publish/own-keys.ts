/**
 * The one mistake that cannot be undone: publishing the keys that sign. Told in two ways, each enough: by where a file
 * lies, and by what it holds, since a copy, a hard link or a mount may be anywhere.
 */
import { readFileSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Failure } from "../../manifests/failures.ts";
import { KEY_FILE_BYTES_MAX, REFUSED_NAMED_MAX } from "../../manifests/limits.ts";
import type { RootRole, TargetsRole } from "../../manifests/trust/roles.ts";
import { keyIdsIn } from "./keys.ts";
import { type SourceFile } from "./walk.ts";

/** Files looked at in a row. */
const FILES_A_TURN = 500;

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
  refuse(inside, "in the folder of signing keys");
}

/** Throws: build.refused when a file holds a private key of the title. */
export async function refuseTitleKeys(
  files: readonly SourceFile[],
  folder: string,
  { root, targets }: { readonly root: RootRole; readonly targets: TargetsRole },
  signal?: AbortSignal,
): Promise<void> {
  const known = new Set([...Object.keys(root.keys), ...Object.keys(targets.delegations?.keys ?? {})]);
  const keys: SourceFile[] = [];
  for (const [i, file] of files.entries()) {
    // an interruption is heard between turns
    if (i % FILES_A_TURN === 0) await setImmediate(undefined, { signal });
    if (file.size <= KEY_FILE_BYTES_MAX && holdsKey(join(folder, file.path), known)) keys.push(file);
  }
  refuse(keys, "a private key of this title");
}

function holdsKey(file: string, known: ReadonlySet<string>): boolean {
  return keyIdsIn(readText(file)).some((keyid) => known.has(keyid));
}

/** Synchronous: of 20,000 small files that takes half a second, a third of what promises take (measured). */
function readText(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    // told of when the build is read
    return "";
  }
}

function refuse(files: readonly SourceFile[], reason: string): void {
  if (files.length === 0) return;
  throw new Failure("build.refused", {
    count: files.length,
    refused: files.slice(0, REFUSED_NAMED_MAX).map(({ path }) => `${JSON.stringify(path)} (${reason})`),
  });
}
