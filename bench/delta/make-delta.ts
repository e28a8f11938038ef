/**
 * `make-delta.ts CASE PATCH`, a process of its own so that its time and memory can be seen: the delta of a case
 * (case.ts) as `publish` makes it, with as many threads as it has cores; its objects and its index into the folder
 * PATCH.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { deltaBetween } from "../../cli/publish/deltas.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { writeReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { readCase, treeOf } from "./case.ts";

const [caseFile, patch] = process.argv.slice(2) as [string, string];
const { old, fresh } = readCase(caseFile);
rmSync(patch, { recursive: true, force: true });
mkdirSync(patch);
const { streams, groups } = await deltaBetween(treeOf(old), treeOf(fresh), {
  openOld: () => Promise.resolve({ fileOf: () => old.file, [Symbol.asyncDispose]: () => Promise.resolve() }),
  newFile: () => fresh.file,
  keep: (object) => {
    const id = objectIdOf(object, sha256);
    writeFileSync(path.join(patch, id), object);
    return Promise.resolve(id);
  },
  onScanned: () => {},
  signal: new AbortController().signal,
});
// nobody asks for these trees: any names of theirs will do
const [from, to] = [old, fresh].map(({ root }) => objectIdOf(new TextEncoder().encode(root), sha256)) as [never, never];
writeFileSync(path.join(patch, "index"), writeReleaseDelta({ from, to, streams, groups }));
await closePool();
