/** What is the player's and is in the way of the release: kept beside, under a name that is free. */
import { KEPT_NAMED_MAX, PATH_BYTES_MAX, PATH_SEGMENT_BYTES_MAX } from "../../manifests/limits.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { Output } from "../output.ts";
import type { Disk } from "./disk.ts";
import type { Install } from "./install.ts";

/**
 * "mods/a.txt" -> "mods/a.txt.local-1", or the first number that is free.
 * @param taken  names that are given away; takes note
 */
export function freeName(disk: Disk, install: Install, path: SafePath, taken = new Set<string>()): SafePath {
  for (let number = 1; ; number++) {
    const name = parseSafePath(withSuffix(path, `.local-${number}`));
    if (taken.has(name) || disk.look(install.file(name)) !== undefined) continue;
    taken.add(name);
    return name;
  }
}

/** What was in the way, and where it is kept now; a path that was taken again meanwhile is there twice. */
export type KeptAside = (readonly [path: SafePath, name: SafePath])[];

/** Tells people of what is theirs, and lies elsewhere now. */
export function tellKept(output: Pick<Output, "log">, kept: Readonly<KeptAside>): void {
  if (kept.length === 0) return;
  const named = kept.slice(0, KEPT_NAMED_MAX).map(([path, name]) => `${path} is ${name} now`);
  const more = kept.length > named.length ? `, and ${kept.length - named.length} more` : "";
  output.log(`Not of the release and in its way, so kept beside: ${named.join(", ")}${more}.`);
}

/**
 * Moves whatever is at a path beside it; nothing happens when nothing is.
 * @param kept  takes note
 * @param wish  the name it should get, when that is free
 */
export async function moveAside(
  disk: Disk,
  install: Install,
  kept: KeptAside,
  path: SafePath,
  wish?: SafePath,
): Promise<void> {
  if (disk.look(install.file(path)) === undefined) return;
  const isFree = wish !== undefined && disk.look(install.file(wish)) === undefined;
  const name = isFree ? wish : freeName(disk, install, path);
  await disk.rename(install.file(path), install.file(name));
  kept.push([path, name]);
}

/** Of a name that would be too long, as much as fits; of a folder too deep for any, the one above it. */
function withSuffix(path: string, suffix: string): string {
  const at = path.lastIndexOf("/") + 1;
  const folder = path.slice(0, at);
  const room = Math.min(PATH_SEGMENT_BYTES_MAX, PATH_BYTES_MAX - Buffer.byteLength(folder)) - suffix.length;
  const stem = beginning(path.slice(at), room);
  if (stem !== "" || at === 0) return `${folder}${stem}${suffix}`;
  const above = path.lastIndexOf("/", at - 2) + 1;
  return withSuffix(path.slice(0, above) + path.slice(at), suffix);
}

/** As many whole characters of a text as fit. @param room  bytes of UTF-8 */
function beginning(text: string, room: number): string {
  let fits = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > room) break;
    fits += character;
  }
  return fits;
}
