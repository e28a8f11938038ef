/**
 * The bytes of a space (manifests/delta/release-delta.ts), read from files that hold its contents, all threads busy.
 */
import pLimit from "p-limit";
import {
  contentsIn,
  partsIn,
  type PlacedPart,
  type Space,
  type SpaceContent,
  type SpaceSpan,
} from "../../manifests/delta/release-delta.ts";
import { plainStreamAt, recipeStreamAt, type UnpackedStream } from "../../manifests/delta/unpack.ts";
import { Failure } from "../../manifests/failures.ts";
import { HASH_JOB_BYTES, HASH_JOB_FILES, PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { hashFiles } from "../patch/scan.ts";
import type { PartToRead } from "../threads/jobs/unpack-streams.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { batchesOf } from "../threads/batches.ts";

/** A space with its streams unpacked, and what that takes. */
export interface ReadableSpace {
  readonly space: Space;
  readonly streams: readonly (UnpackedStream & { readonly recipe?: Uint8Array })[];
  readonly fileOf: (content: SpaceContent) => string;
}

/**
 * Fills `target`, in shared memory, with the bytes of the space from `start` on.
 * Throws: build.changed when a file is gone or shorter than it was.
 */
export async function readSpace(
  readable: ReadableSpace,
  start: number,
  target: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const parts: PartToRead[] = [];
  for (const part of partsIn(readable.space, start, target.length)) {
    const at = part.offset - start;
    if (part.of === "recipe") {
      const { recipe, recipeAt } = recipeStreamAt(readable.streams, part.from);
      const skipped = part.from - recipeAt;
      target.set(recipe?.subarray(skipped, skipped + part.bytes) ?? [], at);
    } else parts.push(...toRead(readable, part, at));
  }
  const limit = pLimit(2 * threadCount());
  const batches = batchesOf(parts, ({ bytes }) => bytes, { bytes: HASH_JOB_BYTES, count: HASH_JOB_FILES });
  await Promise.all(
    batches.map((batch) =>
      limit(async () => {
        const { changed } = await runJob("readParts", { parts: batch, target }, { signal });
        if (changed !== undefined) throw new Failure("build.changed", { path: changed });
      }),
    ),
  );
}

/** Large runs of a file in several jobs' worth; a stream is always one. */
function* toRead({ streams, fileOf }: ReadableSpace, part: PlacedPart, at: number): Generator<PartToRead> {
  const path = fileOf(part.content);
  const { from, bytes } = part;
  if (part.of === "plain") {
    const { coding, pieces, plainBytes, texts, plainAt } = plainStreamAt(streams, from);
    yield { of: "plain", coding, path, pieces, plainBytes, texts, at, skipped: from - plainAt, bytes };
    return;
  }
  for (let done = 0; done < bytes; done += HASH_JOB_BYTES) {
    yield { of: "file", path, offset: from + done, bytes: Math.min(HASH_JOB_BYTES, bytes - done), at: at + done };
  }
}

/** The contents of which anything was read: bytes in these spans, or streams that were unpacked. */
export function contentsRead(
  { space, streams }: Pick<ReadableSpace, "space" | "streams">,
  spans: readonly SpaceSpan[],
): SpaceContent[] {
  const inSpans = spans.flatMap(({ offset, bytes }) => contentsIn(space, offset, bytes));
  const unpacked = new Set(streams.map(({ content }) => content));
  const read = new Set([...inSpans, ...space.contents.filter((_, index) => unpacked.has(index))]);
  return space.contents.filter((content) => read.has(content));
}

/** Checks that the files are still what their contents are named by. Throws: build.changed, source.interrupted. */
export async function proveContents(
  contents: readonly SpaceContent[],
  fileOf: ReadableSpace["fileOf"],
  signal: AbortSignal,
): Promise<void> {
  const files = contents.map((content) => ({ path: content.path, size: content.fileBytes, at: fileOf(content) }));
  // a root does not depend on the length of pieces
  const roots = await hashFiles({ pieceLength: PIECE_BYTES_MAX, signal, onProgress: () => {} }, files);
  const changed = contents.find(({ path, root }) => roots.get(path) !== root);
  if (changed !== undefined) throw new Failure("build.changed", { path: fileOf(changed) });
}
