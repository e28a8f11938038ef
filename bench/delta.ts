/**
 * `npm run bench:delta [pair ...]`: one delta between two real releases against bsdiff, xdelta3 and zstd --patch-from, in
 * bytes and in the time of making it. All sides get the same two files: everything the old release holds, and what the new
 * one holds that the old one does not. Each side's output is applied and compared before its figures count.
 *
 * One run a side: bsdiff takes minutes on the larger pairs, and bytes do not vary.
 */
import { createHash } from "node:crypto";
import {
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compress, inflate } from "../cli/threads/delta-codecs.ts";
import { decodeDelta } from "../manifests/delta/decode.ts";
import { encodeDelta } from "../manifests/delta/encode.ts";
import { SourceIndex } from "../manifests/delta/source-index.ts";
import { packageFolder } from "../test/support/registry.ts";
import { type Measured, measure, printMachine } from "./measure.ts";

const PAIRS: Readonly<Record<string, readonly [string, string]>> = {
  playcanvas: ["playcanvas@2.23.2", "playcanvas@2.23.3"],
  phaser: ["phaser@4.2.0", "phaser@4.2.1"],
  workerd: ["@cloudflare/workerd-linux-64@1.20261110.1", "@cloudflare/workerd-linux-64@1.20261117.1"],
  minecraft: ["minecraft-assets@1.17.0", "minecraft-assets@1.19.0"],
};
const SELF = fileURLToPath(import.meta.url);

/** How one side makes a patch and applies it: argument lists of commands. */
interface Side {
  readonly name: string;
  readonly make: (old: string, fresh: string, patch: string) => readonly [string, ...string[]];
  readonly apply: (old: string, patch: string, made: string, newBytes: number) => readonly [string, ...string[]];
}

const SIDES: readonly Side[] = [
  {
    name: "patchswarm",
    make: (old, fresh, patch) => [process.execPath, SELF, "make", old, fresh, patch],
    apply: (old, patch, made, newBytes) => [process.execPath, SELF, "apply", old, patch, made, `${newBytes}`],
  },
  {
    name: "bsdiff",
    make: (old, fresh, patch) => ["bsdiff", old, fresh, patch],
    apply: (old, patch, made) => ["bspatch", old, made, patch],
  },
  {
    name: "xdelta3 -9 -S lzma",
    make: (old, fresh, patch) => ["xdelta3", "-e", "-9", "-S", "lzma", "-B", "1073741824", "-s", old, fresh, patch],
    apply: (old, patch, made) => ["xdelta3", "-d", "-B", "1073741824", "-s", old, patch, made],
  },
  {
    name: "zstd -19 --patch-from --long=31",
    make: (old, fresh, patch) => ["zstd", "-q", "-19", "--long=31", `--patch-from=${old}`, fresh, "-o", patch],
    apply: (old, patch, made) => ["zstd", "-q", "-d", "--long=31", `--patch-from=${old}`, patch, "-o", made],
  },
];

const [verb, ...rest] = process.argv.slice(2);
if (verb === "make") make(rest as [string, string, string]);
else if (verb === "apply") apply(rest as [string, string, string, string]);
else await compareAll(verb === undefined ? Object.keys(PAIRS) : [verb, ...rest]);

function make([old, fresh, patch]: [string, string, string]): void {
  const [oldBytes, newBytes] = [statSync(old).size, statSync(fresh).size];
  const source = new Uint8Array(oldBytes + newBytes);
  readSync(openSync(old, "r"), source, 0, oldBytes, 0);
  readSync(openSync(fresh, "r"), source, oldBytes, newBytes, 0);
  writeFileSync(patch, encodeDelta(SourceIndex.build(source, oldBytes), compress));
}

function apply([old, patch, made, newBytes]: [string, string, string, string]): void {
  const [before, after] = [openSync(old, "r"), openSync(made, "w+")];
  const delta = openSync(patch, "r");
  const pieces = decodeDelta({
    oldBytes: fstatSync(before).size,
    newBytes: Number(newBytes),
    deltaBytes: fstatSync(delta).size,
    readDelta: (offset, bytes) => {
      const read = new Uint8Array(bytes);
      readSync(delta, read, 0, bytes, offset);
      return read;
    },
    readOld: (offset, target) => void readSync(before, target, 0, target.length, offset),
    readMade: (offset, target) => void readSync(after, target, 0, target.length, offset),
    inflate,
  });
  for (const piece of pieces) writeSync(after, piece);
}

async function compareAll(names: readonly string[]): Promise<void> {
  printMachine("npm run bench:delta", {});
  for (const name of names) {
    const pair = PAIRS[name];
    if (pair === undefined) throw new Error(`no pair is called ${name}; there are ${Object.keys(PAIRS).join(", ")}`);
    const folder = mkdtempSync(path.join(tmpdir(), "bench-delta-"));
    try {
      await comparePair(name, pair, folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}

async function comparePair(name: string, [before, after]: readonly [string, string], folder: string): Promise<void> {
  const at = (file: string): string => path.join(folder, file);
  const known = new Set<string>();
  writeFileSync(at("old"), contents(await packageFolder(before), known));
  writeFileSync(at("new"), contents(await packageFolder(after), known));
  console.log(`\n### ${name}: ${statSync(at("old")).size} B old, ${statSync(at("new")).size} B of new content\n`);
  console.log("| | bytes | of bsdiff's | make s | peak MB | apply s | peak MB |\n|---|---|---|---|---|---|---|");
  const rows: { name: string; bytes: number; made: Measured; applied: Measured }[] = [];
  for (const [i, side] of SIDES.entries()) {
    const [maker, ...makeArgs] = side.make(at("old"), at("new"), at(`patch${i}`));
    const made = await measure(maker, makeArgs);
    const [applier, ...applyArgs] = side.apply(at("old"), at(`patch${i}`), at(`made${i}`), statSync(at("new")).size);
    const applied = await measure(applier, applyArgs);
    if (!readFileSync(at("new")).equals(readFileSync(at(`made${i}`)))) throw new Error(`${side.name} made other bytes`);
    rows.push({ name: side.name, bytes: statSync(at(`patch${i}`)).size, made, applied });
  }
  const yardstick = rows.find((row) => row.name === "bsdiff")?.bytes ?? Number.NaN;
  for (const row of rows) {
    const { made, applied } = row;
    const cells = [made, applied].map((m) => `${m.wallSeconds.toFixed(1)} | ${(m.peakBytes / 1e6).toFixed(0)}`);
    console.log(`| ${row.name} | ${row.bytes} | ${(row.bytes / yardstick).toFixed(2)} | ${cells.join(" | ")} |`);
  }
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
