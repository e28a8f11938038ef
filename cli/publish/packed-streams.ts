/**
 * Which compressed streams of two releases a delta unpacks: those of changed files that are not, byte for byte, on the
 * other side too, and can be made again. Everything is read in threads, a batch of streams a job.
 */
import pLimit from "p-limit";
import type { Space, SpaceSpan } from "../../manifests/delta/release-delta.ts";
import { type PackedStream, unpackedBytesMax } from "../../manifests/delta/unpack.ts";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_RECIPES_BYTES_MAX,
  DELTA_STREAMS_MAX,
  HASH_JOB_BYTES,
  HASH_JOB_FILES,
  UNPACK_JOB_BYTES,
} from "../../manifests/limits.ts";
import type { StreamToTake } from "../threads/jobs/find-streams.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { batchesOf } from "../threads/batches.ts";

/** A stream of the new release, with what makes it again of its plain bytes. */
export interface RemadeStream extends PackedStream {
  readonly recipe: Uint8Array;
}

/** By content, within one by place: the order in which a space unpacks them. */
export interface StreamsToUnpack {
  readonly old: readonly PackedStream[];
  readonly fresh: readonly RemadeStream[];
}

/** A side's space, and where the file of a content lies. */
export interface Side {
  readonly space: Space;
  readonly fileOf: (content: Space["contents"][number]) => string;
}

/**
 * @param kept  contents of the old release that the new one has too: what is packed there did not change
 * Throws: build.changed when a file cannot be read.
 */
export async function streamsToUnpack(
  { old, fresh, kept }: { readonly old: Side; readonly fresh: Side; readonly kept: ReadonlySet<PiecesRoot> },
  signal: AbortSignal,
): Promise<StreamsToUnpack> {
  const foundFresh = await search(fresh, new Set(), signal);
  if (foundFresh.length === 0) return { old: [], fresh: [] };
  const foundOld = await search(old, kept, signal);
  const remade = await takeApart(fresh, notIn(foundFresh, foundOld), signal);
  if (remade.length === 0) return { old: [], fresh: [] };
  return { old: await measure(old, notIn(foundOld, foundFresh), signal), fresh: remade };
}

interface Found {
  /** The content's place in the space. */
  readonly content: number;
  readonly pieces: readonly SpaceSpan[];
  readonly sha1: string;
}

async function search(
  { space, fileOf }: Side,
  without: ReadonlySet<PiecesRoot>,
  signal: AbortSignal,
): Promise<Found[]> {
  const files = space.contents.flatMap((file, content) =>
    without.has(file.root) ? [] : [{ content, path: fileOf(file), bytes: file.fileBytes }],
  );
  const batches = batchesOf(files, ({ bytes }) => bytes, { bytes: HASH_JOB_BYTES, count: HASH_JOB_FILES });
  const found = await inThreads(batches, async (batch) => {
    const job = batch.map(({ path, bytes }) => ({ path, bytes }));
    const { streams, unread } = await runJob("searchFiles", job, { signal });
    if (unread !== undefined) throw new Failure("build.changed", { path: unread });
    return streams.map(({ file, pieces, sha1 }) => ({ content: batch[file]?.content ?? 0, pieces, sha1 }));
  });
  return found.slice(0, DELTA_STREAMS_MAX);
}

function notIn(streams: readonly Found[], others: readonly Found[]): Found[] {
  const known = new Set(others.map(({ sha1 }) => sha1));
  return streams.filter(({ sha1 }) => !known.has(sha1));
}

async function takeApart(side: Side, found: readonly Found[], signal: AbortSignal): Promise<RemadeStream[]> {
  const plainBytesMax = unpackedBytesMax(side.space.bytes);
  const taken = await inThreads(batchesOfStreams(found), async (batch) => {
    const job = { streams: toRead(side, batch), plainBytesMax };
    return zip(batch, await runJob("takeStreamsApart", job, { signal }));
  });
  let recipeBytes = 0;
  let unpacked = 0;
  const remade: RemadeStream[] = [];
  for (const [{ content, pieces }, apart] of taken) {
    if (apart === undefined) continue;
    const { recipe, plainBytes, compressedBytes } = apart;
    if (unpacked + plainBytes + recipe.length > plainBytesMax) continue;
    if (recipeBytes + recipe.length > DELTA_RECIPES_BYTES_MAX) continue;
    recipeBytes += recipe.length;
    unpacked += plainBytes + recipe.length;
    remade.push({ content, pieces: cut(pieces, compressedBytes), plainBytes, recipe, recipeBytes: recipe.length });
  }
  return remade;
}

async function measure(side: Side, found: readonly Found[], signal: AbortSignal): Promise<PackedStream[]> {
  const measured = await inThreads(batchesOfStreams(found), async (batch) =>
    zip(batch, await runJob("measureStreams", toRead(side, batch), { signal })),
  );
  const room = unpackedBytesMax(side.space.bytes);
  let unpacked = 0;
  const streams: PackedStream[] = [];
  for (const [{ content, pieces }, size] of measured) {
    if (size === undefined || size.plainBytes === 0 || unpacked + size.plainBytes > room) continue;
    unpacked += size.plainBytes;
    streams.push({ content, pieces: cut(pieces, size.packedBytes), plainBytes: size.plainBytes, recipeBytes: 0 });
  }
  return streams;
}

function toRead({ space, fileOf }: Side, streams: readonly Found[]): StreamToTake[] {
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

function batchesOfStreams(streams: readonly Found[]): Found[][] {
  const bytesOf = ({ pieces }: Found): number => pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  return batchesOf(streams, bytesOf, { bytes: UNPACK_JOB_BYTES, count: HASH_JOB_FILES });
}

/** What the jobs give, in the order of the batches. */
async function inThreads<Batch, Result>(
  batches: readonly Batch[],
  run: (batch: Batch) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const limit = pLimit(2 * threadCount());
  return (await Promise.all(batches.map((batch) => limit(() => run(batch))))).flat();
}

function zip<A, B>(some: readonly A[], others: readonly B[]): (readonly [A, B])[] {
  return some.map((one, i) => [one, others[i] as B] as const);
}
