/** Streams that were found in the files of two releases, and how threads look at them: a batch a job. */
import pLimit from "p-limit";
import type { Space, SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { Coding, PackedStream } from "../../manifests/delta/unpack.ts";
import { Failure } from "../../manifests/failures.ts";
import { HASH_JOB_FILES, TAKE_APART_JOB_BYTES } from "../../manifests/limits.ts";
import { batchesOf } from "../threads/batches.ts";
import type { PlacedStream } from "../threads/jobs/unpack-streams.ts";
import { threadCount } from "../threads/pool.ts";

/** A side's space, and where the file of a content lies. */
export interface Side {
  readonly space: Space;
  readonly fileOf: (content: SpaceContent) => string;
}

export type Placed = Pick<PackedStream, "content" | "pieces">;

/** A stream where a file was searched. */
export interface FoundStream extends Placed {
  readonly coding: Coding;
  readonly sha1: string;
  /** Of base64; of the others it is not known yet. */
  readonly plainBytes: number;
}

export function toRead({ space, fileOf }: Side, streams: readonly Placed[]): PlacedStream[] {
  return streams.map(({ content, pieces }) => {
    const file = space.contents[content];
    return { path: file === undefined ? "" : fileOf(file), pieces };
  });
}

export function batchesOfStreams<Stream extends Placed>(streams: readonly Stream[]): Stream[][] {
  return batchesOf(streams, bytesOf, { bytes: TAKE_APART_JOB_BYTES, count: HASH_JOB_FILES });
}

/** Packed. */
export function bytesOf({ pieces }: Placed): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function sumOf<Thing>(bytesOf: (thing: Thing) => number): (things: readonly Thing[]) => number {
  return (things) => things.reduce((sum, thing) => sum + bytesOf(thing), 0);
}

/** What the jobs give, in the order of the batches. The largest are begun first, so that none is left alone at the end. */
export async function inThreads<Batch, Result>(
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
export function paired<Stream, Value>(
  streams: readonly Stream[],
  values: readonly Value[],
  unread: string | undefined,
): (readonly [Stream, Value])[] {
  if (unread !== undefined) throw new Failure("build.changed", { path: unread });
  return streams.map((stream, i) => [stream, values[i] as Value] as const);
}
