/**
 * What contents of new paths were before, in titles too large to be compared as a whole: a folder for each version and
 * names with a hash in them are usual, so names do not tell.
 */
import { matchSketches, type Sketch } from "../../manifests/sketch.ts";
import { isOneGroup, type SpaceContent } from "../../manifests/delta/release-delta.ts";
import {
  HASH_JOB_BYTES,
  HASH_JOB_FILES,
  RESEMBLANCE_BYTES_WORTH,
  RESEMBLANCE_FILES_MAX,
  SKETCH_FRONT_BYTES,
} from "../../manifests/limits.ts";
import { batchesOf, eachInThreads, sumOf } from "../threads/batches.ts";
import { runJob } from "../threads/pool.ts";
import type { ReadableSpace } from "./space-reader.ts";

/**
 * The old content that each new one of a new path resembles, where one does. Looks at the fronts of files, and only
 * when the answer matters. Throws: build.changed when a file cannot be read.
 */
export async function resemblances(
  old: ReadableSpace,
  fresh: ReadableSpace,
  signal: AbortSignal,
): Promise<Map<SpaceContent, SpaceContent>> {
  const paths = new Set(old.space.contents.map(({ path }) => path));
  const moved = fresh.space.contents.filter(({ path }) => !paths.has(path));
  const isWorth = sumOf<SpaceContent>(({ size }) => size)(moved) >= RESEMBLANCE_BYTES_WORTH;
  const isMany = Math.max(moved.length, old.space.contents.length) > RESEMBLANCE_FILES_MAX;
  if (isOneGroup(old.space, fresh.space) || !isWorth || isMany) return new Map();
  const [before, after] = await Promise.all([
    sketch(old.space.contents, old.fileOf, signal),
    sketch(moved, fresh.fileOf, signal),
  ]);
  const matches = matchSketches(before, after);
  const pairs = moved.flatMap((content, i) => {
    const match = old.space.contents[matches[i] ?? -1];
    return match === undefined ? [] : [[content, match] as const];
  });
  return new Map(pairs);
}

async function sketch(
  contents: readonly SpaceContent[],
  fileOf: ReadableSpace["fileOf"],
  signal: AbortSignal,
): Promise<Sketch[]> {
  const files = contents.map((content) => ({ path: fileOf(content), bytes: content.fileBytes }));
  const bytesRead = ({ bytes }: { readonly bytes: number }): number => Math.min(bytes, SKETCH_FRONT_BYTES);
  const batches = batchesOf(files, bytesRead, { bytes: HASH_JOB_BYTES, count: HASH_JOB_FILES });
  const sketched = await eachInThreads(batches, bytesRead, (batch) => runJob("sketchFiles", batch, { signal }));
  return sketched.map(([, sketch]) => sketch);
}
