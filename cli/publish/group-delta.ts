/** One group of a delta: old and new bytes in shared memory -> the bytes of its delta, all threads busy. */
import pLimit from "p-limit";
import { concatBytes } from "../../manifests/digest.ts";
import {
  SectionJoiner,
  segmentsOf,
  writeDeltaHeader,
  writeSection,
  type ScannedSegments,
} from "../../manifests/delta/encode.ts";
import { STREAMS, type StreamName } from "../../manifests/delta/format.ts";
import type { StoredStream } from "../../manifests/delta/encode.ts";
import { emptyIndex, type IndexParts } from "../../manifests/delta/source-index.ts";
import { DELTA_OBJECT_BYTES } from "../../manifests/limits.ts";
import type { DeltaSource } from "../threads/jobs/make-delta.ts";
import { runJob, threadCount } from "../threads/pool.ts";

/**
 * The delta, cut between sections into objects of about DELTA_OBJECT_BYTES. Applied and compared before it is returned.
 * @param onScanned  new bytes that were scanned since the last call
 */
export async function makeGroupDelta(
  input: DeltaSource,
  { signal, onScanned }: { readonly signal: AbortSignal; readonly onScanned: (bytes: number) => void },
): Promise<Uint8Array<ArrayBuffer>[]> {
  const newBytes = input.source.length - input.oldBytes;
  const parts = await index(input, signal);
  const limit = pLimit(2 * threadCount());
  const scans = segmentsOf(newBytes).map((segment) =>
    limit(async () => {
      const result = await runJob("scanSource", { parts, segment }, { signal });
      onScanned(result.bytes);
      return result;
    }),
  );
  const [sections] = await Promise.all([storeSections(scans, signal), ...scans]);
  const objects = joinedUntil([writeDeltaHeader(input.oldBytes, newBytes), ...sections], DELTA_OBJECT_BYTES);
  // a bug of ours, or a machine that miscalculates: players would fetch it, find it wrong and fetch the rest again
  if (!(await runJob("checkDelta", { ...input, delta: concatBytes(objects) }, { signal }))) {
    throw new Error("a delta that does not make what it was made from");
  }
  return objects;
}

/** Every thread fills a share. */
async function index({ source, oldBytes }: DeltaSource, signal: AbortSignal): Promise<IndexParts> {
  const parts = emptyIndex(source, oldBytes, (length) => new Int32Array(new SharedArrayBuffer(4 * length)));
  const shares = threadCount();
  const filling = Array.from({ length: shares }, (_, share) =>
    runJob("fillIndexShare", { parts, share, shares }, { signal }),
  );
  await Promise.all(filling);
  return parts;
}

/** Each section as soon as its last segment is scanned: compressing its longest stream takes as long as scanning does. */
async function storeSections(
  scans: readonly Promise<ScannedSegments>[],
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const joiner = new SectionJoiner();
  const storing: Promise<Uint8Array<ArrayBuffer>>[] = [];
  const store = (section: ScannedSegments | undefined): void => {
    if (section === undefined) return;
    const stored = storeSection(section, signal);
    // when a later scan fails, nobody waits for it any more
    stored.catch(() => {});
    storing.push(stored);
  };
  for (const scan of scans) store(joiner.add(await scan));
  store(joiner.rest());
  return await Promise.all(storing);
}

/** Compresses the streams side by side; the longest is begun first, for it ends last. */
async function storeSection(section: ScannedSegments, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const stored = await Promise.all(
    STREAMS.toSorted((a, b) => section.streams[b].length - section.streams[a].length).map(
      async (name): Promise<[StreamName, StoredStream]> => {
        return [name, await runJob("compressStream", { plain: section.streams[name], name }, { signal })];
      },
    ),
  );
  return writeSection(section, Object.fromEntries(stored) as Record<StreamName, StoredStream>);
}

function joinedUntil(parts: readonly Uint8Array[], bytesWanted: number): Uint8Array<ArrayBuffer>[] {
  const groups: Uint8Array[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const part of parts) {
    if (bytes >= bytesWanted) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(part);
    bytes += part.length;
  }
  return groups.map((group) => concatBytes(group));
}
