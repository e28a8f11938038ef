/** Many small things in as few jobs as make sense. */
import pLimit from "p-limit";
import { Failure } from "../../manifests/failures.ts";
import { threadCount } from "./pool.ts";

/** In order, each up to so many bytes and, where that is said, so many things; a thing that is larger is alone. */
export function batchesOf<Thing>(
  things: readonly Thing[],
  bytesOf: (thing: Thing) => number,
  most: { readonly bytes: number; readonly count?: number },
): Thing[][] {
  const batches: Thing[][] = [];
  let room = -1;
  for (const thing of things) {
    const bytes = bytesOf(thing);
    const last = batches.at(-1);
    if (last !== undefined && bytes <= room && last.length < (most.count ?? Number.POSITIVE_INFINITY)) last.push(thing);
    else {
      batches.push([thing]);
      room = most.bytes;
    }
    room -= bytes;
  }
  return batches;
}

/** Bytes of a batch, from the bytes of a thing. */
export function sumOf<Thing>(bytesOf: (thing: Thing) => number): (things: readonly Thing[]) => number {
  return (things) => things.reduce((sum, thing) => sum + bytesOf(thing), 0);
}

/**
 * What the jobs give, in the order of the batches. The largest are begun first, so that none is left alone at the end.
 */
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

/**
 * Runs jobs, all threads busy. When one fails no other is begun, and those that run are waited for: nobody writes to a
 * file that is deleted. Throws: what the first threw that failed; source.interrupted.
 */
export async function runAllOrStop<Job>(
  jobs: readonly Job[],
  signal: AbortSignal,
  run: (job: Job) => Promise<void>,
): Promise<void> {
  const limit = pLimit(2 * threadCount());
  let failure: unknown;
  await Promise.all(
    jobs.map((job) =>
      limit(async () => {
        if (signal.aborted) failure ??= new Failure("source.interrupted");
        if (failure !== undefined) return;
        await run(job).catch((error: unknown) => (failure ??= error));
      }),
    ),
  );
  if (failure !== undefined) throw failure;
}

/** What a job made of each thing, or the file that is gone or shorter than it was. */
export interface OfEach<Value> {
  readonly values: readonly Value[];
  readonly unread: string | undefined;
}

/** Streams or files with what jobs make of each, in order. Throws: build.changed when a file cannot be read. */
export async function eachInThreads<Thing, Value>(
  batches: readonly (readonly Thing[])[],
  bytesOf: (thing: Thing) => number,
  run: (batch: readonly Thing[]) => Promise<OfEach<Value>>,
): Promise<(readonly [Thing, Value])[]> {
  return await inThreads(batches, sumOf(bytesOf), async (batch) => {
    const { values, unread } = await run(batch);
    if (unread !== undefined) throw new Failure("build.changed", { path: unread });
    return batch.map((thing, i) => [thing, values[i] as Value] as const);
  });
}

/** What jobs give, in their order. */
export async function* inOrder<Value>(jobs: readonly Promise<Value>[]): AsyncGenerator<Value> {
  // once one fails, or whoever takes them has had enough, nobody hears of the others: a failure would end the process
  for (const job of jobs) job.catch(() => {});
  for (const job of jobs) yield await job;
}
