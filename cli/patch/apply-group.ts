/**
 * Does the work of one group of a delta, in threads. What it leaves is not proven: it gives hashes, or staging hashes
 * it.
 */
import { rm } from "node:fs/promises";
import { SHA256_BYTES } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { HASH_JOB_FILES, UNPACK_JOB_BYTES } from "../../manifests/limits.ts";
import { toJson } from "../threads/as-json.ts";
import { batchesOf, runAllOrStop } from "../threads/batches.ts";
import type { OnDisk } from "../threads/disk-error.ts";
import type { AppliedDelta, DeltaWork } from "../threads/jobs/apply-delta.ts";
import type { StreamToPack } from "../threads/jobs/unpack-streams.ts";
import { runJob } from "../threads/pool.ts";
import { diskFailure } from "./disk-failure.ts";
import type { GroupWork } from "./group-work.ts";
import type { Written } from "./staging.ts";

export interface Applied {
  /**
   * Files whose streams could not be put together: what a delta makes of a file that somebody changed fits no recipe.
   */
  readonly misfits: ReadonlySet<string>;
  /** What is known of files that were hashed while they were written. */
  readonly written: ReadonlyMap<string, Written>;
}

/**
 * @param arrival  tells how much of the delta is there (arrival.ts); without it all of it is
 * @param onPacked  plain bytes that were put together up to now, and how many there are: where there are any, most of
 *   the time
 * Throws: object.malformed when the delta, or what it is applied to, is not what it should be; install.no-space;
 * source.interrupted. No job runs on afterwards.
 */
export async function applyGroup(
  { unpack, apply, pack }: GroupWork,
  signal: AbortSignal,
  arrival?: SharedArrayBuffer,
  onPacked: (done: number, total: number) => void = () => {},
): Promise<Applied> {
  let written: Map<string, Written>;
  try {
    await runAllOrStop(
      batches(unpack.streams, ({ runs }) => runs.reduce((sum, { bytes }) => sum + bytes, 0)),
      signal,
      async (streams) => {
        unlessRefused(await runJob("unpackStreams", { streams, to: unpack.to }));
      },
    );
    written = writtenBy(apply, unlessRefused(await runJob("applyDelta", { work: toJson(apply), arrival })));
  } finally {
    if (unpack.streams.length > 0) await rm(unpack.to.path, { force: true });
  }
  const misfits = new Set<string>();
  const total = plainBytesOf(pack.flatMap(({ streams }) => streams));
  let packed = 0;
  const jobs = pack.flatMap(({ from, streams, to }) =>
    batches(streams, ({ plainBytes }) => plainBytes).map((batch) => ({ from, streams: batch, to })),
  );
  await runAllOrStop(jobs, signal, async (job) => {
    const { value, error } = await runJob("packStreams", job);
    if (error !== undefined) throw diskFailure(error);
    if (value?.refused !== undefined) misfits.add(job.to.path);
    onPacked((packed += plainBytesOf(job.streams)), total);
  });
  for (const { from } of pack) await rm(from, { force: true });
  return { misfits, written };
}

/** What the job says of the runs that it hashed, by their files. */
export function writtenBy(
  { fresh, pieceLength }: Pick<DeltaWork, "fresh" | "pieceLength">,
  { hashes, mtimesNs }: Pick<AppliedDelta, "hashes" | "mtimesNs">,
): Map<string, Written> {
  let at = 0;
  const hashed = fresh.filter(({ toHash }) => toHash);
  return new Map(
    hashed.map(({ path, bytes }, index) => {
      const from = at;
      at += Math.ceil(bytes / pieceLength) * SHA256_BYTES;
      return [path, { hashes: hashes.subarray(from, at), mtimeNs: mtimesNs[index] }];
    }),
  );
}

function plainBytesOf(streams: readonly StreamToPack[]): number {
  return streams.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
}

function batches<Stream>(streams: readonly Stream[], bytesOf: (stream: Stream) => number): Stream[][] {
  return batchesOf(streams, bytesOf, { bytes: UNPACK_JOB_BYTES, count: HASH_JOB_FILES });
}

/** What a job gives. Throws: object.malformed, install.no-space. */
function unlessRefused<Value extends { readonly refused: string | undefined }>({ value, error }: OnDisk<Value>): Value {
  if (error !== undefined) throw diskFailure(error);
  if (value?.refused !== undefined) throw new Failure("object.malformed", { kind: "delta", reason: value.refused });
  return value as Value;
}
