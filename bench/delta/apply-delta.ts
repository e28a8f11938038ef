/**
 * `apply-delta.ts CASE PATCH MADE`, a process of its own so that its time and memory can be seen: the delta of a case
 * (case.ts) applied as `patch` does it. Prints how many seconds it took, without starting Node.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { groupWork } from "../../cli/patch/group-work.ts";
import { toJson } from "../../cli/threads/as-json.ts";
import { applyDelta } from "../../cli/threads/jobs/apply-delta.ts";
import { parseReleaseDelta, spacesOf } from "../../manifests/delta/release-delta.ts";
import { readCase, treeOf } from "./case.ts";

const started = performance.now();
const [caseFile, patch, made] = process.argv.slice(2) as [string, string, string];
const { old, fresh } = readCase(caseFile);
const spaces = spacesOf(treeOf(old), treeOf(fresh));
const index = parseReleaseDelta(readFileSync(path.join(patch, "index")), spaces.old, spaces.fresh);
let start = 0;
for (const group of index.groups) {
  const objects = group.objects.map(({ id, bytes }) => ({ path: path.join(patch, id), offset: 0, bytes }));
  const work = groupWork(group, start, objects, {
    ...spaces,
    oldFile: () => old.file,
    newFile: () => made,
    isExec: () => false,
  });
  const { error, value } = applyDelta({ work: toJson(work) });
  if (error !== undefined || value?.refused !== undefined) throw new Error(value?.refused ?? JSON.stringify(error));
  start += group.bytes;
}
console.log((performance.now() - started) / 1000);
