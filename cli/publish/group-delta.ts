/**
 * One group of a delta: old and new bytes in shared memory -> the bytes of its delta, all threads busy; and whether it
 * makes them.
 */
import pLimit from "p-limit";
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
import { collectDropped } from "../threads/collect-garbage.ts";
import type { DeltaSource } from "../threads/jobs/make-delta.ts";
import { runJob, threadCount } from "../threads/pool.ts";

declare const checked: unique symbol;

/**
 * A delta in memory that threads share: it is checked there, and what it is spent on is counted. Good until the memory
 * that its group was made with is used again.
 */
export interface UncheckedDelta {
  readonly delta: Uint8Array<SharedArrayBuffer>;
  /** Where its objects begin: between sections, about DELTA_OBJECT_BYTES apart. */
  readonly starts: readonly number[];
}

/** One that was applied: it makes what it was made from. */
export interface GroupDelta extends UncheckedDelta {
  readonly [checked]: true;
}

export interface GroupWorld {
  readonly signal: AbortSignal;
  /** New bytes that were scanned since the last call. */
  readonly onScanned: (bytes: number) => void;
  /** For the index, and then for the delta; where groups follow each other, the same for all of them. */
  readonly memory: GroupMemory;
}

/**
 * Shared memory for one group after another. What is dropped instead stays: V8 does not count it, and collects it in
 * the main thread and in every other one whenever these have reasons of their own.
 */
export class GroupMemory {
  #buffer = new SharedArrayBuffer(0);

  /** So many bytes with whatever was in them; those that were given before are no longer good. */
  take(bytes: number): Uint8Array<SharedArrayBuffer> {
    if (this.#buffer.byteLength < bytes) this.#buffer = new SharedArrayBuffer(bytes);
    return new Uint8Array(this.#buffer, 0, bytes);
  }

  /** The same of zeros. New memory is nothing else, and best touched first by the threads that fill it. */
  takeZeros(bytes: number): Uint8Array<SharedArrayBuffer> {
    const isNew = this.#buffer.byteLength < bytes;
    const taken = this.take(bytes);
    return isNew ? taken : taken.fill(0);
  }
}

/** The delta of a group. */
export async function makeGroupDelta(input: DeltaSource, world: GroupWorld): Promise<UncheckedDelta> {
  const header = writeDeltaHeader(input.oldBytes, input.source.length - input.oldBytes);
  const made = joinedIn(world.memory, [header, ...(await sectionsOf(input, world))]);
  collectDropped(made.delta.length); // the sections
  return made;
}

/**
 * Applies a delta and compares. Throws when it does not make what it was made from, a bug of ours or of the machine:
 * players would fetch it, find it wrong and fetch the rest again.
 */
export async function checkGroupDelta(
  input: DeltaSource,
  made: UncheckedDelta,
  signal: AbortSignal,
): Promise<GroupDelta> {
  if (await runJob("checkDelta", { ...input, delta: made.delta }, { signal })) return made as GroupDelta;
  throw new Error("a delta that does not make what it was made from");
}

/** Its objects, one at a time, each in memory of its own. */
export function* cutObjects({ delta, starts }: GroupDelta): Generator<Uint8Array<ArrayBuffer>> {
  for (const [i, start] of starts.entries()) {
    const object = new Uint8Array(delta.subarray(start, starts[i + 1]));
    yield object;
    collectDropped(object.length); // the one before it at least
  }
}

async function sectionsOf(input: DeltaSource, world: GroupWorld): Promise<Uint8Array<ArrayBuffer>[]> {
  const { signal, onScanned } = world;
  const parts = await index(input, world);
  const limit = pLimit(2 * threadCount());
  const scans = segmentsOf(input.source.length - input.oldBytes).map((segment) => {
    const scan = limit(async () => {
      const result = await runJob("scanSource", { parts, segment }, { signal });
      onScanned(result.bytes);
      return result;
    });
    scan.catch(() => {}); // heard of in its turn
    return scan;
  });
  return await storeSections(scans, signal);
}

/** Every thread fills a share. */
async function index({ source, oldBytes }: DeltaSource, { signal, memory }: GroupWorld): Promise<IndexParts> {
  const parts = emptyIndex(source, oldBytes, (length) => {
    const { buffer } = memory.takeZeros(4 * length);
    return new Int32Array(buffer, 0, length);
  });
  const shares = threadCount();
  const filling = Array.from({ length: shares }, (_, share) =>
    runJob("fillIndexShare", { parts, share, shares }, { signal }),
  );
  await Promise.all(filling);
  return parts;
}

/**
 * Each section as soon as its last segment is scanned: compressing its longest stream takes as long as scanning does.
 */
async function storeSections(
  scans: Promise<ScannedSegments>[],
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
  // taken off the list: what was scanned is not kept beside what is stored of it
  for (let scan = scans.shift(); scan !== undefined; scan = scans.shift()) store(joiner.add(await scan));
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
  const written = writeSection(section, Object.fromEntries(stored) as Record<StreamName, StoredStream>);
  // what came from threads and went to them
  collectDropped(written.length);
  return written;
}

function joinedIn(memory: GroupMemory, parts: readonly Uint8Array[]): UncheckedDelta {
  const delta = memory.take(parts.reduce((sum, { length }) => sum + length, 0));
  const starts: number[] = [];
  let at = 0;
  for (const part of parts) {
    if (at >= (starts.at(-1) ?? Number.NEGATIVE_INFINITY) + DELTA_OBJECT_BYTES) starts.push(at);
    delta.set(part, at);
    at += part.length;
  }
  return { delta, starts };
}
