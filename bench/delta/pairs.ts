/** The releases that bench:delta compares: real packages, and packs whose members are files of these. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { packageFolder } from "../../test/support/registry.ts";

const PACKER = fileURLToPath(new URL("pack-content.py", import.meta.url));

/** Two releases of a package. `pack`: each becomes one file of this kind, its members deflated. */
export interface Pair {
  readonly from: string;
  readonly to: string;
  readonly pack?: "zip" | "pak";
}

export const PAIRS: Readonly<Record<string, Pair>> = {
  playcanvas: { from: "playcanvas@2.23.2", to: "playcanvas@2.23.3" },
  phaser: { from: "phaser@4.2.0", to: "phaser@4.2.1" },
  workerd: { from: "@cloudflare/workerd-linux-64@1.20261110.1", to: "@cloudflare/workerd-linux-64@1.20261117.1" },
  minecraft: { from: "minecraft-assets@1.17.0", to: "minecraft-assets@1.19.0" },
  "phaser-zip": { from: "phaser@4.2.0", to: "phaser@4.2.1", pack: "zip" },
  "playcanvas-pak": { from: "playcanvas@2.23.2", to: "playcanvas@2.23.3", pack: "pak" },
};

/** The build folders of both releases. Made once, and kept beside what npm fetched. */
export async function foldersOf({ from, to, pack }: Pair): Promise<readonly [string, string]> {
  const [before, after] = [await packageFolder(from), await packageFolder(to)];
  return pack === undefined ? [before, after] : [packed(before, pack), packed(after, pack)];
}

function packed(folder: string, kind: string): string {
  const target = `${folder}.${kind}`;
  if (existsSync(target)) return target;
  const work = `${target}.work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  execFileSync("python3", [PACKER, kind, folder, path.join(work, `content.${kind}`)]);
  renameSync(work, target);
  return target;
}

/**
 * Two folders as two files, which is all that the other tools take: everything the old release holds, and what the new
 * one holds that the old one does not.
 */
export function writeContents([before, after]: readonly [string, string], old: string, fresh: string): void {
  const known = new Set<string>();
  writeFileSync(old, contents(before, known));
  writeFileSync(fresh, contents(after, known));
}

/** Every file whose content was not seen yet, one after another, sorted by path. */
function contents(folder: string, known: Set<string>): Buffer {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => path.join(entry.parentPath, entry.name)).toSorted();
  const fresh: Buffer[] = [];
  for (const file of paths) {
    const bytes = readFileSync(file);
    const hash = createHash("sha256").update(bytes).digest("hex");
    if (!known.has(hash)) fresh.push(bytes);
    known.add(hash);
  }
  return Buffer.concat(fresh);
}
