/**
 * `apply-delta.ts CASE PATCH MADE`, a process of its own so that its time and memory can be seen: the delta of a case
 * (case.ts) applied as `patch` does it. Prints how many seconds it took, without starting Node.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { applyGroup } from "../../cli/patch/apply-group.ts";
import { groupWork } from "../../cli/patch/group-work.ts";
import { inflate } from "../../cli/threads/delta-codecs.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { checkFit, parseReleaseDelta, spacesOf } from "../../manifests/delta/release-delta.ts";
import { unpackSides } from "../../manifests/delta/unpack.ts";
import { readCase, treeOf } from "./case.ts";

const started = performance.now();
const [caseFile, patch, made] = process.argv.slice(2) as [string, string, string];
const { old, fresh } = readCase(caseFile);
const spaces = spacesOf(treeOf(old), treeOf(fresh));
const object = (id: string): string => path.join(patch, id);
const index = parseReleaseDelta(readFileSync(object("index")));
const table = index.streams === undefined ? undefined : readFileSync(object(index.streams.id));
const sides = unpackSides(spaces, table, inflate);
checkFit(index, sides.old, sides.fresh);
let start = 0;
for (const group of index.groups) {
  const objects = group.objects.map(({ id, bytes }) => ({ path: object(id), offset: 0, bytes }));
  const work = groupWork(group, start, objects, {
    ...sides,
    oldFile: () => old.file,
    newFile: () => made,
    oldScratch: `${made}.old`,
    newScratch: () => `${made}.new`,
    isExec: () => false,
  });
  await applyGroup(work);
  start += group.bytes;
}
await closePool();
console.log((performance.now() - started) / 1000);
