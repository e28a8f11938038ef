/** The one mistake that cannot be undone: `publish .` in a folder that holds the signing keys. */
import { resolve, sep } from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { REFUSED_NAMED_MAX } from "../../manifests/limits.ts";
import { type SourceFile } from "./walk.ts";

/** Throws: build.refused when files of the keys' folder are among those to publish. */
export function refuseOwnKeys(
  files: readonly SourceFile[],
  { folder, keysDir }: { readonly folder: string; readonly keysDir: string },
): void {
  const keys = resolve(keysDir) + sep;
  const refused = files.map(({ path }) => path).filter((path) => resolve(folder, path).startsWith(keys));
  if (refused.length === 0) return;
  throw new Failure("build.refused", {
    count: refused.length,
    refused: refused
      .slice(0, REFUSED_NAMED_MAX)
      .map((path) => `${JSON.stringify(path)} (in the folder of signing keys)`),
  });
}
