/** Does the work of one group of a delta, in threads. What it leaves is not proven: staging hashes it. */
import { rm } from "node:fs/promises";
import pLimit from "p-limit";
import { Failure } from "../../manifests/failures.ts";
import { HASH_JOB_FILES, UNPACK_JOB_BYTES } from "../../manifests/limits.ts";
import { toJson } from "../threads/as-json.ts";
import { batchesOf } from "../threads/batches.ts";
import type { OnDisk } from "../threads/disk-error.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { diskFailure } from "./assembly.ts";
import type { GroupWork } from "./group-work.ts";

/**
 * Gives the files whose streams could not be put together: what a delta makes of a file that somebody changed fits no recipe.
 * @param arrival  tells how much of the delta is there (arrival.ts); without it all of it is
 * Throws: object.malformed when the delta, or what it is applied to, is not what it should be; install.no-space.
 */
export async function applyGroup(
  { unpack, apply, pack }: GroupWork,
  arrival?: SharedArrayBuffer,
): Promise<ReadonlySet<string>> {
  try {
    await inThreads(batches(unpack.streams), (streams) => runJob("unpackStreams", { streams, to: unpack.to }));
    done(await runJob("applyDelta", { work: toJson(apply), arrival }));
  } finally {
    if (unpack.streams.length > 0) await rm(unpack.to.path, { force: true });
  }
  const misfits = new Set<string>();
  for (const { from, streams, to } of pack) {
    await inThreads(batches(streams), async (batch) => {
      const outcome = await runJob("packStreams", { from, streams: batch, to });
      if (outcome.value?.refused !== undefined) misfits.add(to.path);
      return outcome.error === undefined ? { value: { refused: undefined } } : outcome;
    });
    await rm(from, { force: true });
  }
  return misfits;
}

function batches<Stream extends { readonly plainBytes: number }>(streams: readonly Stream[]): Stream[][] {
  return batchesOf(streams, ({ plainBytes }) => plainBytes, { bytes: UNPACK_JOB_BYTES, count: HASH_JOB_FILES });
}

type Outcome = OnDisk<{ readonly refused: string | undefined }>;

async function inThreads<Batch>(all: readonly Batch[], run: (batch: Batch) => Promise<Outcome>): Promise<void> {
  const limit = pLimit(2 * threadCount());
  await Promise.all(all.map((batch) => limit(async () => done(await run(batch)))));
}

function done({ value, error }: Outcome): void {
  if (error !== undefined) throw diskFailure(error);
  if (value?.refused !== undefined) throw new Failure("object.malformed", { kind: "delta", reason: value.refused });
}
