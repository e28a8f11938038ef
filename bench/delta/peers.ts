/** How each tool makes a patch of two files and applies it, as its manual has it. */
import { readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ENGINE = fileURLToPath(new URL("../../dist/bench/", import.meta.url));

/** Bundles our side as it ships: run from its sources, Node's type stripping would be a third of its memory. */
export async function buildEngine(): Promise<void> {
  await build({
    entryPoints: [
      ...["make-delta.ts", "apply-delta.ts"].map((file) => fileURLToPath(new URL(file, import.meta.url))),
      fileURLToPath(new URL("../../cli/threads/thread.ts", import.meta.url)),
    ],
    outdir: ENGINE,
    entryNames: "[name]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2024",
    platform: "node",
    packages: "external",
    logLevel: "warning",
  });
}

export type Command = readonly [string, ...string[]];

/** Where a pair lies. */
export interface Files {
  readonly old: string;
  readonly fresh: string;
  /** Describes both for the engine. */
  readonly engineCase: string;
  /** A folder for one tool's patch. */
  readonly patch: string;
  readonly made: string;
}

export interface Tool {
  readonly name: string;
  /** Whether it can use more than one core. */
  readonly isThreaded: boolean;
  /** Before it is timed: what the publisher has of the old release already. */
  readonly prepare?: (files: Files) => readonly Command[];
  readonly make: (files: Files) => Command;
  readonly apply: (files: Files) => Command;
  /** What a player has to fetch. */
  readonly bytes: (files: Files) => number;
  /** A player's whole way from an address under which the folder of the patch is served. Ours is `patchswarm patch`. */
  readonly update?: (files: Files, url: string) => Command;
}

const patchOf = ({ patch }: Files): string => path.join(patch, "patch");
const patchBytes = (files: Files): number => statSync(patchOf(files)).size;

/** A tool whose patch is one file. */
function onePatch(
  name: string,
  make: (files: Files, patch: string) => Command,
  apply: (files: Files, patch: string) => Command,
): Tool {
  return {
    name,
    isThreaded: false,
    make: (files) => make(files, patchOf(files)),
    apply: (files) => apply(files, patchOf(files)),
    bytes: patchBytes,
    update: (files, url) => {
      const fetched = `${files.made}.patch`;
      const fetchAndApply = `curl -sSf -o "$0" "$1" && shift && exec "$@"`;
      return ["sh", "-c", fetchAndApply, fetched, `${url}/patch`, ...apply(files, fetched)];
    },
  };
}

const chunksBefore = new Map<string, ReadonlySet<string>>();

export const OURS = "patchswarm";
export const YARDSTICK = "bsdiff";

export const TOOLS: readonly Tool[] = [
  {
    name: OURS,
    isThreaded: true,
    make: ({ engineCase, patch }) => [process.execPath, `${ENGINE}make-delta.js`, engineCase, patch],
    apply: ({ engineCase, patch, made }) => [process.execPath, `${ENGINE}apply-delta.js`, engineCase, patch, made],
    bytes: ({ patch }) => filesBelow(patch).reduce((sum, file) => sum + statSync(file).size, 0),
  },
  onePatch(
    YARDSTICK,
    ({ old, fresh }, patch) => ["bsdiff", old, fresh, patch],
    ({ old, made }, patch) => ["bspatch", old, made, patch],
  ),
  onePatch(
    "xdelta3 -9 -S lzma",
    ({ old, fresh }, patch) => ["xdelta3", "-e", "-f", "-9", "-S", "lzma", "-B", "1073741824", "-s", old, fresh, patch],
    ({ old, made }, patch) => ["xdelta3", "-d", "-f", "-B", "1073741824", "-s", old, patch, made],
  ),
  onePatch(
    "zstd -19 --patch-from --long=31",
    ({ old, fresh }, patch) => ["zstd", "-q", "-f", "-19", "--long=31", `--patch-from=${old}`, fresh, "-o", patch],
    ({ old, made }, patch) => ["zstd", "-q", "-f", "-d", "--long=31", `--patch-from=${old}`, patch, "-o", made],
  ),
  {
    name: "casync",
    isThreaded: false,
    prepare: (files) => [["casync", "make", `--store=${files.patch}/store`, `${files.patch}/old.caibx`, files.old]],
    make: (files) => {
      chunksBefore.set(files.patch, new Set(filesBelow(path.join(files.patch, "store"))));
      return ["casync", "make", `--store=${files.patch}/store`, `${files.patch}/new.caibx`, files.fresh];
    },
    apply: (files) => extract(files, files.patch),
    // compressed chunks that the old release does not have, and the index
    bytes: ({ patch }) => {
      const known = chunksBefore.get(patch);
      const added = filesBelow(path.join(patch, "store")).filter((file) => known?.has(file) !== true);
      return [...added, path.join(patch, "new.caibx")].reduce((sum, file) => sum + statSync(file).size, 0);
    },
    update: extract,
  },
];

/** @param place  folder or address of the store and the index */
function extract({ old, made }: Files, place: string): Command {
  // it would take what an earlier round made as another seed
  rmSync(made, { force: true });
  return ["casync", "extract", `--store=${place}/store`, `--seed=${old}`, `${place}/new.caibx`, made];
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => path.join(entry.parentPath, entry.name));
}
