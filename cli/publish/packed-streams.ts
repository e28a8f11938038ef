/**
 * Which packed streams of two releases a delta unpacks: of new content those that are not, byte for byte, on the other
 * side too and can be made again, and of old content those that these are like. Everything is read in threads, a batch
 * of streams a job.
 */
import { type Sketch, matchSketches } from "../../manifests/sketch.ts";
import { isOneGroup, type Space, type SpaceContent, type SpaceSpan } from "../../manifests/delta/release-delta.ts";
import {
  type Coding,
  type PackedStream,
  unpackedBytesMax,
  unpackedSpace,
  withTexts,
} from "../../manifests/delta/unpack.ts";
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
import { batchesOf, eachInThreads, inThreads, sumOf } from "../threads/batches.ts";
import { runJob } from "../threads/pool.ts";
import {
  batchesOfStreams,
  byOuter,
  bytesOf,
  type FoundText,
  type Placed,
  type SearchedStream,
  type Side,
  toRead,
} from "./searched-streams.ts";
import { type InflatedSide, isTextWorth, searchInside, textToUnpack } from "./packed-text.ts";

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
  const changed = notIn(foundFresh.streams, foundOld.streams);
  // only where all old text is at hand is it known what new text is like
  const isWhole = isOneGroup(old.space, fresh.space) && !foundFresh.hasMoreText && !foundOld.hasMoreText;
  const isTextLookedAt = isWhole && isTextWorth(withCoding("base64", changed));
  if (!isTextLookedAt && withCoding("deflate", changed).length === 0) return { old: [], fresh: [] };
  // members may come from an archive that is still there
  const foundKept = await search(old, ({ root }) => kept.has(root), signal);
  const wanted = notIn(changed, foundKept.streams);
  const inflating = capped(withCoding("deflate", wanted));
  const resembled = counterpartsOf(inflating, old.space, fresh.space);
  const worth = notIn(foundOld.streams, foundFresh.streams).filter(({ content }) => resembled.has(content));
  const deflated = await deflateToUnpack(
    { old, fresh },
    { old: capped(withCoding("deflate", worth)), fresh: inflating },
    signal,
  );
  if (!isWhole || foundKept.hasMoreText) return deflated;
  const sides = { old: { ...old, streams: deflated.old }, fresh: { ...fresh, streams: deflated.fresh } };
  const inside = await textInside(sides, withCoding("base64", wanted), signal);
  const oldText = [...withCoding("base64", [...foundOld.streams, ...foundKept.streams]), ...inside.old];
  const freshText = notIn([...withCoding("base64", wanted), ...inside.fresh], oldText);
  const shared = new Set([...foundFresh.streams, ...inside.fresh].map(({ sha1 }) => sha1));
  return merged(deflated, await textToUnpack(sides, { old: oldText, fresh: freshText }, shared, signal));
}

/**
 * The base64 in what the deflate streams of both sides inflate to; none where it is not worth it, or all that is too
 * much to be compared as a whole.
 * @param others  new base64 besides
 */
async function textInside(
  { old, fresh }: { readonly old: InflatedSide; readonly fresh: InflatedSide },
  others: readonly SearchedStream[],
  signal: AbortSignal,
): Promise<{ readonly old: readonly FoundText[]; readonly fresh: readonly FoundText[] }> {
  const none = { old: [], fresh: [] };
  if (!isOneGroup(unpackedSpace(old.space, old.streams), unpackedSpace(fresh.space, fresh.streams))) return none;
  const inFresh = await searchInside(fresh, signal);
  if (inFresh === undefined || inFresh.length === 0 || !isTextWorth([...others, ...inFresh])) return none;
  const inOld = await searchInside(old, signal);
  return inOld === undefined ? none : { old: inOld, fresh: inFresh };
}

/** What base64 says is shorter than itself: the rest is for what is inflated. */
function inflatedBytesMax({ bytes }: Space): number {
  return unpackedBytesMax(bytes) - bytes;
}

function withCoding(coding: Coding, streams: readonly SearchedStream[]): SearchedStream[] {
  return streams.filter((stream) => stream.coding === coding);
}

/** Base64 is made again of what it says, without a recipe. */
function unpackedText({ coding, content, pieces, plainBytes }: SearchedStream): RemadeStream {
  return { coding, content, pieces, plainBytes, recipe: new Uint8Array(0), recipeBytes: 0 };
}

/** Both by content, within one by place; base64 inside of deflate streams is theirs. */
function merged(
  deflated: StreamsToUnpack,
  text: { readonly old: readonly FoundText[]; readonly fresh: readonly FoundText[] },
): StreamsToUnpack {
  const inflatedOld = decoded(deflated.old, text.old);
  const old = inOrder([...inflatedOld, ...inFiles(text.old)]);
  const places = new Map(old.map((stream, place) => [stream, place]));
  const placeOf = (guide: number | undefined): number | undefined => {
    const stream = guide === undefined ? undefined : inflatedOld[guide];
    return stream && places.get(stream);
  };
  const guided = decoded(deflated.fresh, text.fresh).map((stream) => ({ ...stream, guide: placeOf(stream.guide) }));
  return { old, fresh: inOrder([...guided, ...inFiles(text.fresh)]) };
}

/** Deflate streams with these runs of what they inflate to decoded. */
function decoded<Stream extends PackedStream>(streams: readonly Stream[], texts: readonly FoundText[]): Stream[] {
  const inside = byOuter(texts);
  return streams.map((stream, place) => {
    const runs = (inside.get(place) ?? []).flatMap(({ pieces, plainBytes }) =>
      pieces.map(({ offset, bytes }) => ({ offset, bytes, plainBytes })),
    );
    return withTexts(stream, runs);
  });
}

function inFiles(texts: readonly FoundText[]): RemadeStream[] {
  return texts.filter(({ outer }) => outer === undefined).map(unpackedText);
}

function inOrder<Stream extends Placed>(streams: readonly Stream[]): Stream[] {
  const startOf = ({ pieces }: Placed): number => pieces[0]?.offset ?? 0;
  return streams.toSorted((a, b) => a.content - b.content || startOf(a) - startOf(b));
}

/** Of the deflate streams that were found on both sides. */
async function deflateToUnpack(
  { old, fresh }: { readonly old: Side; readonly fresh: Side },
  found: { readonly old: readonly SearchedStream[]; readonly fresh: readonly SearchedStream[] },
  signal: AbortSignal,
): Promise<StreamsToUnpack> {
  if (found.fresh.length === 0) return { old: [], fresh: [] };
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
  const isFew = measured.length <= DELTA_OLD_STREAMS_PER_NEW_MAX * remade.length;
  const counterparts = isFew ? counterpartsOf(remade, old.space, fresh.space) : new Set<number>();
  return usefulOf(remade, measured, counterparts);
}

/**
 * Without old streams that no new one resembles, but for those in `counterparts`; and without new ones that resemble
 * nothing, when there are no counterparts that they could be compared with.
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
function counterpartsOf(streams: readonly Pick<SearchedStream, "content">[], old: Space, fresh: Space): Set<number> {
  const paths = new Set(fresh.contents.map(({ path }) => path));
  const unpacked = new Set(streams.map(({ content }) => fresh.contents[content]?.path));
  return new Set(
    old.contents.flatMap(({ path }, content) => (unpacked.has(path) || !paths.has(path) ? [content] : [])),
  );
}

/** As many as a player can hold, from the first on. */
function capped<Stream extends Placed>(streams: readonly Stream[]): Stream[] {
  let pieces = 0;
  return streams.slice(0, DELTA_STREAMS_MAX).filter((stream) => {
    const isFitting = pieces + stream.pieces.length <= DELTA_PIECES_MAX;
    if (isFitting) pieces += stream.pieces.length;
    return isFitting;
  });
}

/** What there is in the files of a side. */
interface Searched {
  readonly streams: readonly SearchedStream[];
  /** A file has more base64 than is looked at, and none of it is here. */
  readonly hasMoreText: boolean;
}

async function search(
  { space, fileOf }: Side,
  isSearched: (content: SpaceContent) => boolean,
  signal: AbortSignal,
): Promise<Searched> {
  const files = space.contents.flatMap((file, content) =>
    isSearched(file) ? [{ content, path: fileOf(file), bytes: file.fileBytes }] : [],
  );
  const batches = batchesOf(files, ({ bytes }) => bytes, { bytes: HASH_JOB_BYTES, count: HASH_JOB_FILES });
  const bytesOfFiles = sumOf<{ readonly bytes: number }>(({ bytes }) => bytes);
  let hasMoreText = false;
  const streams = await inThreads(batches, bytesOfFiles, async (batch) => {
    const job = batch.map(({ path, bytes }) => ({ path, bytes }));
    const { unread, ...found } = await runJob("searchFiles", job, { signal });
    if (unread !== undefined) throw new Failure("build.changed", { path: unread });
    hasMoreText ||= found.hasMoreText;
    return found.streams.map(({ file, ...stream }) => ({ ...stream, content: batch[file]?.content ?? 0 }));
  });
  return { streams, hasMoreText };
}

function notIn<Stream extends SearchedStream>(streams: readonly Stream[], others: readonly SearchedStream[]): Stream[] {
  const known = new Set(others.map(({ sha1 }) => sha1));
  return streams.filter(({ sha1 }) => !known.has(sha1));
}

/**
 * A few batches at a time, so that no more recipes are held than may be kept.
 * @param found  `guide`: one of `guides`
 */
async function takeApart(
  side: Side,
  found: readonly (SearchedStream & { readonly guide: number | undefined })[],
  guides: readonly PlacedStream[],
  signal: AbortSignal,
): Promise<TakenStream[]> {
  const plainBytesMax = inflatedBytesMax(side.space);
  let recipesBytes = 0;
  let unpacked = 0;
  const remade: TakenStream[] = [];
  const batches = batchesOf(found, bytesOf, { bytes: TAKE_APART_JOB_BYTES, count: TAKE_APART_JOB_STREAMS });
  for (let next = 0; next < batches.length; next += BATCHES_AT_ONCE) {
    const taken = await eachInThreads(batches.slice(next, next + BATCHES_AT_ONCE), bytesOf, (batch) => {
      const streams = toRead(side, batch).map((stream, i) => ({ ...stream, guide: guides[batch[i]?.guide ?? -1] }));
      return runJob("takeStreamsApart", { streams, plainBytesMax }, { signal });
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

async function measure(side: Side, found: readonly SearchedStream[], signal: AbortSignal): Promise<MeasuredStream[]> {
  const measured = await eachInThreads(batchesOfStreams(found), bytesOf, (batch) => {
    return runJob("measureStreams", toRead(side, batch), { signal });
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
  const sketched = await eachInThreads(batchesOfStreams(streams), bytesOf, (batch) => {
    return runJob("sketchStreams", toRead(side, batch), { signal });
  });
  return sketched.map(([, sketch]) => sketch);
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
