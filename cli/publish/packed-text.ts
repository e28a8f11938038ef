/**
 * Which base64 in the texts of two releases a delta unpacks, in files and in what their deflate streams inflate to.
 * Text that is compared as it is finds what it has in common with other text where both begin alike, and that costs
 * nothing to say; so base64 is unpacked where what it says is like what other base64 says, or where it is like no other
 * text.
 */
import { matchSketches } from "../../manifests/sketch.ts";
import type { PackedStream } from "../../manifests/delta/unpack.ts";
import {
  BASE64_BYTES_WORTH,
  BASE64_RUNS_MAX,
  DELTA_PIECES_MAX,
  DELTA_STREAMS_MAX,
  SKETCH_FRONT_BYTES,
} from "../../manifests/limits.ts";
import { eachInThreads, sumOf } from "../threads/batches.ts";
import type { TextSketches } from "../threads/jobs/find-streams.ts";
import type { PlainRun } from "../threads/jobs/unpack-streams.ts";
import { runJob } from "../threads/pool.ts";
import {
  batchesOfStreams,
  byOuter,
  bytesOf,
  type FoundText,
  type SearchedStream,
  type Side,
  toInflate,
  toRead,
} from "./searched-streams.ts";

/** A side, and its deflate streams that are unpacked. */
export interface InflatedSide extends Side {
  readonly streams: readonly PackedStream[];
}

/**
 * @param found  base64: what the old side has, and what of the new side it does not have; of both the longest are
 *   looked at, as many as a delta can unpack beside the deflate streams
 * @param shared  digests of the old base64 that the new side has as well: there it stays text
 * Throws: build.changed when a file cannot be read.
 */
export async function textToUnpack(
  { old, fresh }: { readonly old: InflatedSide; readonly fresh: InflatedSide },
  found: { readonly old: readonly FoundText[]; readonly fresh: readonly FoundText[] },
  shared: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<{ readonly old: FoundText[]; readonly fresh: FoundText[] }> {
  const nothing = { old: [], fresh: [] };
  if (!isTextWorth(found.fresh)) return nothing;
  // one of each is enough to copy from
  const distinct = [...new Map(found.old.map((stream) => [stream.sha1, stream])).values()];
  const [olds, news] = [longest(distinct, roomIn(old)), longest(found.fresh, roomIn(fresh))];
  const [before, after] = [await sketch(old, olds, signal), await sketch(fresh, news, signal)];
  const match = (of: keyof TextSketches): (number | undefined)[] =>
    matchSketches(
      before.map((sketches) => sketches[of]),
      after.map((sketches) => sketches[of]),
    );
  const [alike, saidAlike] = [match("text"), match("said")];
  const isShared = (i: number): boolean => shared.has(olds[i]?.sha1 ?? "");
  // what is copied from old text needs it as text
  const needed = new Set(alike.filter((_, i) => saidAlike[i] === undefined || isShared(saidAlike[i])));
  const unpacked: { readonly stream: FoundText; readonly from?: number }[] = [];
  for (const [i, stream] of news.entries()) {
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

/** How many more streams of a side a delta can unpack. */
function roomIn({ streams }: InflatedSide): number {
  const pieces = streams.reduce((sum, stream) => sum + stream.pieces.length, 0);
  return Math.max(0, Math.min(DELTA_STREAMS_MAX - streams.length, DELTA_PIECES_MAX - pieces));
}

/** So many of them, in their order. */
function longest(streams: readonly FoundText[], count: number): readonly FoundText[] {
  if (streams.length <= count) return streams;
  const kept = new Set(streams.toSorted((a, b) => bytesOf(b) - bytesOf(a)).slice(0, count));
  return streams.filter((stream) => kept.has(stream));
}

async function sketch(side: InflatedSide, texts: readonly FoundText[], signal: AbortSignal): Promise<TextSketches[]> {
  const inFiles = texts.filter(({ outer }) => outer === undefined);
  const sketched = await eachInThreads(batchesOfStreams(inFiles), bytesOf, (batch) => {
    return runJob("sketchText", toRead(side, batch), { signal });
  });
  const sketches = new Map<FoundText, TextSketches>(sketched);
  const outers = [...byOuter(texts)].map(([outer, inside]) => ({ ...(side.streams[outer] as PackedStream), inside }));
  const inStreams = await eachInThreads(batchesOfStreams(outers), bytesOf, (batch) => {
    const streams = toInflate(side, batch).map((stream, i) => ({ ...stream, runs: frontsOf(batch[i]?.inside ?? []) }));
    return runJob("sketchTextsInside", streams, { signal });
  });
  for (const [{ inside }, some] of inStreams) {
    for (const [i, text] of inside.entries()) sketches.set(text, some[i] as TextSketches);
  }
  return texts.map((text) => sketches.get(text) as TextSketches);
}

function frontsOf(texts: readonly FoundText[]): PlainRun[] {
  return texts.flatMap(({ pieces }) =>
    pieces.map(({ offset, bytes }) => ({ skipped: offset, bytes: Math.min(bytes, SKETCH_FRONT_BYTES), at: 0 })),
  );
}

/**
 * The base64 in what the streams of a side inflate to; undefined when there is more of it than is looked at.
 * Throws: build.changed when a file is not what it was.
 */
export async function searchInside(side: InflatedSide, signal: AbortSignal): Promise<FoundText[] | undefined> {
  let count = 0;
  const outers = side.streams.map((stream, outer) => ({ ...stream, outer }));
  const searched = await eachInThreads(batchesOfStreams(outers), bytesOf, async (batch) => {
    if (count > BASE64_RUNS_MAX) return { values: [], unread: undefined };
    const { values, unread } = await runJob("searchTextsInside", toInflate(side, batch), { signal });
    for (const { texts, hasMore } of values) count += hasMore ? Number.POSITIVE_INFINITY : texts.length;
    // what is not used is not held
    return { values: count > BASE64_RUNS_MAX ? [] : values, unread };
  });
  if (count > BASE64_RUNS_MAX) return undefined;
  return searched.flatMap(([{ content, outer }, { texts }]) =>
    texts.map(({ offset, bytes, plainBytes, sha1 }): FoundText => {
      return { coding: "base64", content, pieces: [{ offset, bytes }], plainBytes, sha1, outer };
    }),
  );
}
