/** What is the player's and is in the way of the release: kept beside, under a name that is free. */
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { Disk } from "./disk.ts";
import type { Install } from "./install.ts";

/** "mods/a.txt" -> "mods/a.txt.local-1", or the first number that is free. @param taken  names that are given away; takes note */
export function freeName(disk: Disk, install: Install, path: SafePath, taken = new Set<string>()): SafePath {
  for (let number = 1; ; number++) {
    const name = parseSafePath(`${path}.local-${number}`);
    if (taken.has(name) || disk.look(install.file(name)) !== undefined) continue;
    taken.add(name);
    return name;
  }
}

/** Moves whatever is at a path beside it; nothing happens when nothing is. @param wish  the name it should get, when that is free */
export function moveAside(disk: Disk, install: Install, path: SafePath, wish?: SafePath): void {
  if (disk.look(install.file(path)) === undefined) return;
  const isFree = wish !== undefined && disk.look(install.file(wish)) === undefined;
  disk.rename(install.file(path), install.file(isFree ? wish : freeName(disk, install, path)));
}
