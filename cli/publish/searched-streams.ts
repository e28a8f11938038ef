/** Packed streams where the files of two releases were searched. */
import type { Space, SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { Coding, PackedStream } from "../../manifests/delta/unpack.ts";
import { HASH_JOB_FILES, TAKE_APART_JOB_BYTES } from "../../manifests/limits.ts";
import { batchesOf } from "../threads/batches.ts";
import type { StreamInFile } from "../threads/plain-bytes.ts";
import type { PlacedStream } from "../threads/jobs/unpack-streams.ts";

/** A side's space, and where the file of a content lies. */
export interface Side {
  readonly space: Space;
  readonly fileOf: (content: SpaceContent) => string;
}

/** Where a stream lies: in which content of its side's space, and where in that file. */
export type Placed = Pick<PackedStream, "content" | "pieces">;

/** What a search found; that it is a stream is not known of deflate yet. */
export interface SearchedStream extends Placed {
  readonly coding: Coding;
  /** Hex digits, of the packed bytes. */
  readonly sha1: string;
  /** Of base64; of the others it is not known yet. */
  readonly plainBytes: number;
}

/** Base64 in a file, or in what a deflate stream inflates to: then `pieces` lie in there. */
export interface FoundText extends SearchedStream {
  /** The stream, by its place in the list of those of its side that are unpacked. */
  readonly outer?: number;
}

/** Base64 in these streams, by their places, each stream's in order. */
export function byOuter(texts: readonly FoundText[]): ReadonlyMap<number, readonly FoundText[]> {
  const startOf = ({ pieces }: Placed): number => pieces[0]?.offset ?? 0;
  const inside = texts.filter(({ outer }) => outer !== undefined).toSorted((a, b) => startOf(a) - startOf(b));
  return Map.groupBy(inside, ({ outer = 0 }) => outer);
}

/** The same by the files that hold them, for threads, which know no contents. */
export function toRead({ space, fileOf }: Side, streams: readonly Placed[]): PlacedStream[] {
  return streams.map(({ content, pieces }) => {
    const file = space.contents[content];
    return { path: file === undefined ? "" : fileOf(file), pieces };
  });
}

/** Deflate streams to be inflated by threads, before any text in them is decoded. */
export function toInflate(side: Side, streams: readonly PackedStream[]): StreamInFile[] {
  return toRead(side, streams).map(({ path, pieces }, i) => {
    return { coding: "deflate", path, pieces, plainBytes: streams[i]?.plainBytes ?? 0 };
  });
}

/** As many as a thread looks at in one job. */
export function batchesOfStreams<Stream extends Placed>(streams: readonly Stream[]): Stream[][] {
  return batchesOf(streams, bytesOf, { bytes: TAKE_APART_JOB_BYTES, count: HASH_JOB_FILES });
}

/** Packed bytes of a stream. */
export function bytesOf({ pieces }: Placed): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}
