/**
 * `apply-delta.ts CASE PATCH MADE`, a process of its own so that its time and memory can be seen: the delta of a case
 * (case.ts) applied as `patch` does it. Prints how many seconds it took, without starting Node.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { type GroupWork, groupWork } from "../../cli/patch/group-work.ts";
import { toJson } from "../../cli/threads/as-json.ts";
import { inflate } from "../../cli/threads/delta-codecs.ts";
import type { OnDisk } from "../../cli/threads/disk-error.ts";
import { applyDelta } from "../../cli/threads/jobs/apply-delta.ts";
import { packStreams, unpackStreams } from "../../cli/threads/jobs/unpack-streams.ts";
import { checkFit, parseReleaseDelta, spacesOf } from "../../manifests/delta/release-delta.ts";
import { unpackSides } from "../../manifests/delta/unpack.ts";
import { PIECE_BYTES_MIN } from "../../manifests/limits.ts";
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
    // the others do not hash what they make
    isWanted: () => false,
    pieceLength: PIECE_BYTES_MIN,
    isWhole: () => true,
  });
  await applyInOneThread(work);
  start += group.bytes;
}
console.log((performance.now() - started) / 1000);

/** What apply-group.ts gives to threads, here one job after another: there is one core. */
async function applyInOneThread({ unpack, apply, pack }: GroupWork): Promise<void> {
  if (unpack.streams.length > 0) done(await unpackStreams(unpack));
  done(applyDelta({ work: toJson(apply) }));
  for (const job of pack) done(packStreams(job));
}

function done({ error, value }: OnDisk<{ readonly refused: string | undefined }>): void {
  if (error !== undefined || value?.refused !== undefined) throw new Error(value?.refused ?? JSON.stringify(error));
}
