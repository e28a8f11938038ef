/**
 * Which base64 in the texts of two releases a delta unpacks. Text that is compared as it is finds what it has in common with
 * other text where both begin alike, and that costs nothing to say; so base64 is unpacked where what it says is like what
 * other base64 says, or where it is like no other text.
 */
import { matchSketches } from "../../manifests/deflate/sketch.ts";
import type { TextSketches } from "../threads/jobs/find-streams.ts";
import { runJob } from "../threads/pool.ts";
import { BASE64_BYTES_WORTH, DELTA_OLD_STREAMS_PER_NEW_MAX } from "../../manifests/limits.ts";
import {
  batchesOfStreams,
  bytesOf,
  type FoundStream,
  inThreads,
  paired,
  type Side,
  sumOf,
  toRead,
} from "./found-streams.ts";

/**
 * @param found  base64; of the old side all of it, of the new one what the old side does not have
 * @param shared  digests of the old base64 that the new side has as well: there it stays text
 * Throws: build.changed when a file cannot be read.
 */
export async function textToUnpack(
  { old, fresh }: { readonly old: Side; readonly fresh: Side },
  found: { readonly old: readonly FoundStream[]; readonly fresh: readonly FoundStream[] },
  shared: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<{ readonly old: FoundStream[]; readonly fresh: FoundStream[] }> {
  if (sumOf(bytesOf)(found.fresh) < BASE64_BYTES_WORTH) return { old: [], fresh: [] };
  const olds = largest(found.old, Math.max(OLD_RUNS_LOOKED_AT_MIN, DELTA_OLD_STREAMS_PER_NEW_MAX * found.fresh.length));
  const [before, after] = [await sketch(old, olds, signal), await sketch(fresh, found.fresh, signal)];
  const match = (of: keyof TextSketches): (number | undefined)[] =>
    matchSketches(
      before.map((sketches) => sketches[of]),
      after.map((sketches) => sketches[of]),
    );
  const [alike, saidAlike] = [match("text"), match("said")];
  // what is copied from old text needs it as text
  const needed = new Set(alike.filter((_, i) => saidAlike[i] === undefined));
  const isLeft = (i: number | undefined): boolean =>
    i === undefined || needed.has(i) || shared.has(olds[i]?.sha1 ?? "");
  const unpacked = found.fresh.flatMap((stream, i) => {
    const from = saidAlike[i];
    if (!isLeft(from)) return [{ stream, from }];
    return alike[i] === undefined ? [{ stream, from: undefined }] : [];
  });
  const froms = new Set(unpacked.map(({ from }) => from));
  return { old: olds.filter((_, i) => froms.has(i)), fresh: unpacked.map(({ stream }) => stream) };
}

/** However few new ones there are. */
const OLD_RUNS_LOOKED_AT_MIN = 1000;

/** So many of them, in their order. */
function largest(streams: readonly FoundStream[], count: number): readonly FoundStream[] {
  if (streams.length <= count) return streams;
  const kept = new Set(streams.toSorted((a, b) => bytesOf(b) - bytesOf(a)).slice(0, count));
  return streams.filter((stream) => kept.has(stream));
}

async function sketch(side: Side, streams: readonly FoundStream[], signal: AbortSignal): Promise<TextSketches[]> {
  return await inThreads(batchesOfStreams(streams), sumOf(bytesOf), async (batch) => {
    const { values, unread } = await runJob("sketchText", toRead(side, batch), { signal });
    return paired(batch, values, unread).map(([, sketches]) => sketches);
  });
}
