/** The one reading of a build: which piece and chunk sizes it takes, and the reading itself. */
import { type ChunkSizes, chunkSizesFor } from "../../manifests/chunker.ts";
import { CHUNK_BYTES, CHUNK_BYTES_LARGE } from "../../manifests/limits.ts";
import { pieceLengthFor } from "../../manifests/torrent.ts";
import { type ChunkSink, type IngestedFile, ingest } from "./ingest.ts";
import { type KnownContent } from "./known-content.ts";
import { type PublishMeter } from "./meter.ts";
import { type OwnKeys } from "./own-keys.ts";
import { type SourceFile } from "./walk.ts";

/** What has to be settled before the first byte is read. */
export interface ReadingPlan {
  readonly files: readonly SourceFile[];
  /** Of all files together. */
  readonly bytes: number;
  readonly pieceLength: number;
  readonly sizes: ChunkSizes;
  readonly ownKeys: OwnKeys;
}

/** @param ownKeys  what no file may hold */
export function planReading(files: readonly SourceFile[], known: KnownContent, ownKeys: OwnKeys): ReadingPlan {
  const sizes = files.map(({ size }) => size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { files, bytes, pieceLength: pieceLengthFor(sizes), sizes: chunkSizesOf(bytes, known), ownKeys };
}

/** A title keeps the chunk sizes that it began with: on the day it outgrew them, everything would be sent again. */
function chunkSizesOf(bytes: number, { table }: KnownContent): ChunkSizes {
  if (table.count === 0) return chunkSizesFor(bytes);
  return table.largest > CHUNK_BYTES.max ? CHUNK_BYTES_LARGE : CHUNK_BYTES;
}

export interface ReadingOptions {
  readonly folder: string;
  readonly known: KnownContent;
  /** Where new chunks go. */
  readonly sink: ChunkSink;
  readonly meter: PublishMeter;
  readonly signal?: AbortSignal | undefined;
}

/** Throws: build.changed, build.refused, build.unreadable, install.no-space, and whatever the sink throws. */
export async function readBuild(plan: ReadingPlan, options: ReadingOptions): Promise<readonly IngestedFile[]> {
  const { folder, known, sink, meter, signal } = options;
  return await ingest(plan.files, {
    folder,
    sink,
    signal,
    pieceLength: plan.pieceLength,
    sizes: plan.sizes,
    ownKeys: plan.ownKeys,
    table: known.table,
    isKnownFile: (root) => known.recipes.has(root),
    onRead: (bytes) => meter.read(bytes),
  });
}
