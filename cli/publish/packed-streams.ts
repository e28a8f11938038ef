/**
 * Which packed streams of two releases a delta unpacks: those of changed files that are not, byte for byte, on the
 * other side too, and can be made again. Everything is read in threads, a batch of streams a job.
 */
import pLimit from "p-limit";
import { type Sketch, matchSketches } from "../../manifests/deflate/sketch.ts";
import type { Space, SpaceContent, SpaceSpan } from "../../manifests/delta/release-delta.ts";
import { type Coding, type PackedStream, unpackedBytesMax } from "../../manifests/delta/unpack.ts";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_OLD_STREAMS_PER_NEW_MAX,
  DELTA_PIECES_MAX,
  DELTA_RECIPES_BYTES_MAX,
  DELTA_STREAMS_MAX,
  HASH_JOB_BYTES,
  HASH_JOB_FILES,
  TAKE_APART_JOB_BYTES,
  TAKE_APART_JOB_STREAMS,
} from "../../manifests/limits.ts";
import type { PlacedStream } from "../threads/jobs/unpack-streams.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { batchesOf } from "../threads/batches.ts";

/** A stream of the new release, with what makes it again of its plain bytes. */
export interface RemadeStream extends PackedStream {
  readonly recipe: Uint8Array;
}

/** The same, and the old stream that resembles it, by its place in the list of those that were measured. */
interface TakenStream extends RemadeStream {
  readonly resembles: number | undefined;
}

/** A stream of the old release, and what its front is like. */
interface MeasuredStream extends PackedStream {
  readonly sketch: Sketch;
}

/** By content, within one by place: the order in which a space unpacks them. */
export interface StreamsToUnpack {
  readonly old: readonly PackedStream[];
  readonly fresh: readonly RemadeStream[];
}

/** A side's space, and where the file of a content lies. */
export interface Side {
  readonly space: Space;
  readonly fileOf: (content: SpaceContent) => string;
}

/**
 * @param kept  contents of the old release that the new one has too: what is packed there did not change
 * Throws: build.changed when a file cannot be read.
 */
export async function streamsToUnpack(
  { old, fresh, kept }: { readonly old: Side; readonly fresh: Side; readonly kept: ReadonlySet<PiecesRoot> },
  signal: AbortSignal,
): Promise<StreamsToUnpack> {
  const [foundFresh, foundOld] = await Promise.all([
    search(fresh, () => true, signal),
    search(old, ({ root }) => !kept.has(root), signal),
  ]);
  const changed = notIn(foundFresh, foundOld);
  if (changed.length === 0) return { old: [], fresh: [] };
  // members may come from an archive that is still there
  const foundKept = await search(old, ({ root }) => kept.has(root), signal);
  const wanted = capped(notIn(changed, foundKept));
  const resembled = counterpartsOf(wanted, old.space, fresh.space);
  const worth = capped(notIn(foundOld, foundFresh).filter(({ content }) => resembled.has(content)));
  const deflated = await deflateToUnpack(
    { old, fresh },
    { old: of("deflate", worth), fresh: of("deflate", wanted) },
    signal,
  );
  const text = { old: of("base64", worth).map(asText), fresh: of("base64", wanted).map(asText) };
  return merged(deflated, isFew(text.old, text.fresh) ? text : { old: [], fresh: text.fresh });
}

/** Whether so many old streams may be told for so many new ones. */
function isFew(old: readonly unknown[], fresh: readonly unknown[]): boolean {
  return old.length <= DELTA_OLD_STREAMS_PER_NEW_MAX * fresh.length;
}

/** What base64 says is shorter than itself: the rest is for what is inflated. */
function inflatedBytesMax({ bytes }: Space): number {
  return unpackedBytesMax(bytes) - bytes;
}

function of(coding: Coding, streams: readonly Found[]): Found[] {
  return streams.filter((stream) => stream.coding === coding);
}

/** Base64 always is what it says: there is nothing to find out. */
function asText({ coding, content, pieces, plainBytes }: Found): RemadeStream {
  return { coding, content, pieces, plainBytes, recipe: new Uint8Array(0), recipeBytes: 0 };
}

/** Both by content, within one by place. */
function merged(
  deflated: StreamsToUnpack,
  text: { readonly old: readonly PackedStream[]; readonly fresh: readonly RemadeStream[] },
): StreamsToUnpack {
  const old = inOrder([...deflated.old, ...text.old]);
  const places = new Map(old.map((stream, place) => [stream, place]));
  const placeOf = (guide: number | undefined): number | undefined => {
    const stream = guide === undefined ? undefined : deflated.old[guide];
    return stream && places.get(stream);
  };
  const guided = deflated.fresh.map((stream) => ({ ...stream, guide: placeOf(stream.guide) }));
  return { old, fresh: inOrder([...guided, ...text.fresh]) };
}

function inOrder<Stream extends Placed>(streams: readonly Stream[]): Stream[] {
  const startOf = ({ pieces }: Placed): number => pieces[0]?.offset ?? 0;
  return streams.toSorted((a, b) => a.content - b.content || startOf(a) - startOf(b));
}

/** Of the deflate streams that were found on both sides. */
async function deflateToUnpack(
  { old, fresh }: { readonly old: Side; readonly fresh: Side },
  found: { readonly old: readonly Found[]; readonly fresh: readonly Found[] },
  signal: AbortSignal,
): Promise<StreamsToUnpack> {
  const measured = await measure(old, found.old, signal);
  const guides = matchSketches(
    measured.map(({ sketch }) => sketch),
    await sketch(fresh, found.fresh, signal),
  );
  const remade = await takeApart(
    fresh,
    found.fresh.map((stream, i) => ({ ...stream, guide: guides[i] })),
    toRead(old, measured),
    signal,
  );
  const counterparts = isFew(measured, remade) ? counterpartsOf(remade, old.space, fresh.space) : new Set<number>();
  return usefulOf(remade, measured, counterparts);
}

/**
 * Without old streams that no new one resembles, but for those in `counterparts`; and without new ones that resemble nothing,
 * when there are no counterparts that they could be compared with.
 */
function usefulOf(
  fresh: readonly TakenStream[],
  old: readonly PackedStream[],
  counterparts: ReadonlySet<number>,
): StreamsToUnpack {
  const resembled = new Set(fresh.map(({ resembles }) => resembles));
  const kept = [...old.keys()].filter((i) => resembled.has(i) || counterparts.has(old[i]?.content ?? -1));
  const places = new Map(kept.map((i, place) => [i, place]));
  return {
    old: kept.map((i) => old[i] as PackedStream),
    fresh: fresh.flatMap((stream) =>
      stream.resembles === undefined && counterparts.size === 0
        ? []
        : [{ ...stream, guide: stream.guide === undefined ? undefined : places.get(stream.guide) }],
    ),
  };
}

/** The old contents that new streams may resemble: of the files that hold them, and of those that are gone. */
function counterpartsOf(streams: readonly Pick<Found, "content">[], old: Space, fresh: Space): Set<number> {
  const paths = new Set(fresh.contents.map(({ path }) => path));
  const unpacked = new Set(streams.map(({ content }) => fresh.contents[content]?.path));
  return new Set(
    old.contents.flatMap(({ path }, content) => (unpacked.has(path) || !paths.has(path) ? [content] : [])),
  );
}

/** As many as a player can hold, from the first on. */
function capped(streams: readonly Found[]): Found[] {
  let pieces = 0;
  return streams.slice(0, DELTA_STREAMS_MAX).filter((stream) => {
    const isFitting = pieces + stream.pieces.length <= DELTA_PIECES_MAX;
    if (isFitting) pieces += stream.pieces.length;
    return isFitting;
  });
}

type Placed = Pick<PackedStream, "content" | "pieces">;

interface Found extends Placed {
  readonly coding: Coding;
  readonly sha1: string;
  /** Of base64; of the others it is not known yet. */
  readonly plainBytes: number;
}

async function search(
  { space, fileOf }: Side,
  isSearched: (content: SpaceContent) => boolean,
  signal: AbortSignal,
): Promise<Found[]> {
  const files = space.contents.flatMap((file, content) =>
    isSearched(file) ? [{ content, path: fileOf(file), bytes: file.fileBytes }] : [],
  );
  const batches = batchesOf(files, ({ bytes }) => bytes, { bytes: HASH_JOB_BYTES, count: HASH_JOB_FILES });
  const bytesOfFiles = sumOf<{ readonly bytes: number }>(({ bytes }) => bytes);
  return await inThreads(batches, bytesOfFiles, async (batch) => {
    const job = batch.map(({ path, bytes }) => ({ path, bytes }));
    const { streams, unread } = await runJob("searchFiles", job, { signal });
    if (unread !== undefined) throw new Failure("build.changed", { path: unread });
    return streams.map(({ file, ...stream }) => ({ ...stream, content: batch[file]?.content ?? 0 }));
  });
}

function notIn(streams: readonly Found[], others: readonly Found[]): Found[] {
  const known = new Set(others.map(({ sha1 }) => sha1));
  return streams.filter(({ sha1 }) => !known.has(sha1));
}

/**
 * A few batches at a time, so that no more recipes are held than may be kept.
 * @param found  `guide`: one of `guides`
 */
async function takeApart(
  side: Side,
  found: readonly (Found & { readonly guide: number | undefined })[],
  guides: readonly PlacedStream[],
  signal: AbortSignal,
): Promise<TakenStream[]> {
  const plainBytesMax = inflatedBytesMax(side.space);
  let recipesBytes = 0;
  let unpacked = 0;
  const remade: TakenStream[] = [];
  const batches = batchesOf(found, bytesOf, { bytes: TAKE_APART_JOB_BYTES, count: TAKE_APART_JOB_STREAMS });
  for (let next = 0; next < batches.length; next += BATCHES_AT_ONCE) {
    const taken = await inThreads(batches.slice(next, next + BATCHES_AT_ONCE), sumOf(bytesOf), async (batch) => {
      const streams = toRead(side, batch).map((stream, i) => ({ ...stream, guide: guides[batch[i]?.guide ?? -1] }));
      const { values, unread } = await runJob("takeStreamsApart", { streams, plainBytesMax }, { signal });
      return paired(batch, values, unread);
    });
    for (const [{ content, pieces, guide }, apart] of taken) {
      if (apart === undefined) continue;
      const { recipe, plainBytes, compressedBytes, isGuided } = apart;
      if (unpacked + plainBytes + recipe.length > plainBytesMax) continue;
      if (recipesBytes + recipe.length > DELTA_RECIPES_BYTES_MAX) continue;
      recipesBytes += recipe.length;
      unpacked += plainBytes + recipe.length;
      remade.push({
        coding: "deflate",
        content,
        pieces: cut(pieces, compressedBytes),
        plainBytes,
        recipe,
        recipeBytes: recipe.length,
        guide: isGuided ? guide : undefined,
        resembles: guide,
      });
    }
  }
  return remade;
}

/** Enough to keep eight threads busy. */
const BATCHES_AT_ONCE = 32;

async function measure(side: Side, found: readonly Found[], signal: AbortSignal): Promise<MeasuredStream[]> {
  const measured = await inThreads(batchesOfStreams(found), sumOf(bytesOf), async (batch) => {
    const { values, unread } = await runJob("measureStreams", toRead(side, batch), { signal });
    return paired(batch, values, unread);
  });
  const room = inflatedBytesMax(side.space);
  let unpacked = 0;
  const streams: MeasuredStream[] = [];
  for (const [{ content, pieces }, found] of measured) {
    if (found === undefined || found.plainBytes === 0 || unpacked + found.plainBytes > room) continue;
    const { plainBytes, packedBytes, sketch } = found;
    unpacked += plainBytes;
    streams.push({ coding: "deflate", content, pieces: cut(pieces, packedBytes), plainBytes, recipeBytes: 0, sketch });
  }
  return streams;
}

async function sketch(side: Side, streams: readonly Placed[], signal: AbortSignal): Promise<Sketch[]> {
  return await inThreads(batchesOfStreams(streams), sumOf(bytesOf), async (batch) => {
    const { values, unread } = await runJob("sketchStreams", toRead(side, batch), { signal });
    return paired(batch, values, unread).map(([, sketch]) => sketch);
  });
}

function toRead({ space, fileOf }: Side, streams: readonly Placed[]): PlacedStream[] {
  return streams.map(({ content, pieces }) => {
    const file = space.contents[content];
    return { path: file === undefined ? "" : fileOf(file), pieces };
  });
}

/** The first `bytes` of the pieces. */
function cut(pieces: readonly SpaceSpan[], bytes: number): SpaceSpan[] {
  let left = bytes;
  return pieces.flatMap(({ offset, bytes: length }) => {
    const kept = Math.min(length, left);
    left -= kept;
    return kept === 0 ? [] : [{ offset, bytes: kept }];
  });
}

function batchesOfStreams<Stream extends Placed>(streams: readonly Stream[]): Stream[][] {
  return batchesOf(streams, bytesOf, { bytes: TAKE_APART_JOB_BYTES, count: HASH_JOB_FILES });
}

/** Packed. */
function bytesOf({ pieces }: Placed): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}

function sumOf<Thing>(bytesOf: (thing: Thing) => number): (things: readonly Thing[]) => number {
  return (things) => things.reduce((sum, thing) => sum + bytesOf(thing), 0);
}

/** What the jobs give, in the order of the batches. The largest are begun first, so that none is left alone at the end. */
async function inThreads<Batch, Result>(
  batches: readonly Batch[],
  bytesOf: (batch: Batch) => number,
  run: (batch: Batch) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const limit = pLimit(2 * threadCount());
  const bySize = [...batches.entries()].toSorted(([, a], [, b]) => bytesOf(b) - bytesOf(a));
  const results: (readonly Result[])[] = [];
  await Promise.all(bySize.map(([index, batch]) => limit(async () => (results[index] = await run(batch)))));
  return results.flat();
}

/** Streams with what was made of them. Throws: build.changed for a file that could not be read. */
function paired<Stream, Value>(
  streams: readonly Stream[],
  values: readonly Value[],
  unread: string | undefined,
): (readonly [Stream, Value])[] {
  if (unread !== undefined) throw new Failure("build.changed", { path: unread });
  return streams.map((stream, i) => [stream, values[i] as Value] as const);
}
