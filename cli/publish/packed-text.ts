/**
 * Which base64 in the texts of two releases a delta unpacks. Text that is compared as it is finds what it has in common with
 * other text where both begin alike, and that costs nothing to say; so base64 is unpacked where what it says is like what
 * other base64 says, or where it is like no other text.
 */
import { matchSketches } from "../../manifests/sketch.ts";
import { BASE64_BYTES_WORTH, DELTA_STREAMS_MAX } from "../../manifests/limits.ts";
import { eachInThreads, sumOf } from "../threads/batches.ts";
import type { TextSketches } from "../threads/jobs/find-streams.ts";
import { runJob } from "../threads/pool.ts";
import { batchesOfStreams, bytesOf, type SearchedStream, type Side, toRead } from "./searched-streams.ts";

/**
 * @param found  base64: what the old side has, of which the longest are looked at, and what of the new side it does not have
 * @param shared  digests of the old base64 that the new side has as well: there it stays text
 * Throws: build.changed when a file cannot be read.
 */
export async function textToUnpack(
  { old, fresh }: { readonly old: Side; readonly fresh: Side },
  found: { readonly old: readonly SearchedStream[]; readonly fresh: readonly SearchedStream[] },
  shared: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<{ readonly old: SearchedStream[]; readonly fresh: SearchedStream[] }> {
  const nothing = { old: [], fresh: [] };
  if (!isTextWorth(found.fresh)) return nothing;
  // one of each is enough to copy from
  const distinct = [...new Map(found.old.map((stream) => [stream.sha1, stream])).values()];
  const olds = longest(distinct, DELTA_STREAMS_MAX);
  const [before, after] = [await sketch(old, olds, signal), await sketch(fresh, found.fresh, signal)];
  const match = (of: keyof TextSketches): (number | undefined)[] =>
    matchSketches(
      before.map((sketches) => sketches[of]),
      after.map((sketches) => sketches[of]),
    );
  const [alike, saidAlike] = [match("text"), match("said")];
  const isShared = (i: number): boolean => shared.has(olds[i]?.sha1 ?? "");
  // what is copied from old text needs it as text
  const needed = new Set(alike.filter((_, i) => saidAlike[i] === undefined || isShared(saidAlike[i])));
  const unpacked: { readonly stream: SearchedStream; readonly from?: number }[] = [];
  for (const [i, stream] of found.fresh.entries()) {
    const from = saidAlike[i];
    if (from !== undefined && !needed.has(from) && !isShared(from)) unpacked.push({ stream, from });
    // like no text: only when that is sure
    else if (alike[i] === undefined && olds.length === distinct.length) unpacked.push({ stream });
  }
  const froms = new Set(unpacked.map(({ from }) => from));
  return { old: olds.filter((_, i) => froms.has(i)), fresh: unpacked.map(({ stream }) => stream) };
}

/** Whether new base64 is long enough for all that unpacking it takes. */
export function isTextWorth(fresh: readonly SearchedStream[]): boolean {
  return sumOf(bytesOf)(fresh) >= BASE64_BYTES_WORTH;
}

/** So many of them, in their order. */
function longest(streams: readonly SearchedStream[], count: number): readonly SearchedStream[] {
  if (streams.length <= count) return streams;
  const kept = new Set(streams.toSorted((a, b) => bytesOf(b) - bytesOf(a)).slice(0, count));
  return streams.filter((stream) => kept.has(stream));
}

async function sketch(side: Side, streams: readonly SearchedStream[], signal: AbortSignal): Promise<TextSketches[]> {
  const sketched = await eachInThreads(batchesOfStreams(streams), bytesOf, (batch) => {
    return runJob("sketchText", toRead(side, batch), { signal });
  });
  return sketched.map(([, sketches]) => sketches);
}
