/**
 * One group of a delta, and where contents lie on this disk -> what the threads do that apply it: unpack streams of old
 * files into a scratch file, decode the delta into new files and scratch files, put streams together from these.
 */
import {
  contentsIn,
  type GroupLayout,
  partsIn,
  type PlacedPart,
  type SpaceContent,
} from "../../manifests/delta/release-delta.ts";
import { plainStreamAt, type UnpackedSides, type UnpackedStream } from "../../manifests/delta/unpack.ts";
import type { DeltaWork, FileRun, OldRun, StagedRun } from "../threads/jobs/apply-delta.ts";
import type { StreamToPack, StreamToUnpack } from "../threads/jobs/unpack-streams.ts";

export interface GroupFiles extends UnpackedSides {
  /** Null when nobody has it: it reads as zeros. */
  readonly oldFile: (content: SpaceContent) => string | null;
  readonly newFile: (content: SpaceContent) => string;
  /** Where a new content's streams are kept until all of it is there. */
  readonly newScratch: (content: SpaceContent) => string;
  /** Where the group's old streams are kept. */
  readonly oldScratch: string;
  readonly isExec: (content: SpaceContent) => boolean;
}

export interface GroupWork {
  /** First, when there are any. */
  readonly unpack: { readonly streams: readonly StreamToUnpack[]; readonly to: ScratchFile };
  readonly apply: DeltaWork;
  /** Last: one a content that is complete with this group and has streams. */
  readonly pack: readonly ContentToPack[];
}

interface ScratchFile {
  readonly path: string;
  readonly fileBytes: number;
}

export interface ContentToPack {
  /** Not needed afterwards. */
  readonly from: string;
  readonly streams: readonly StreamToPack[];
  readonly to: ScratchFile & { readonly exec: boolean };
}

/**
 * @param start  where the group begins in the new space
 * @param delta  its objects
 */
export function groupWork(
  { old: spans, bytes }: GroupLayout,
  start: number,
  delta: readonly FileRun[],
  files: GroupFiles,
): GroupWork {
  const oldParts = spans.flatMap((span) => [...partsIn(files.old, span.offset, span.bytes)]);
  const unpack = oldStreams(oldParts, files);
  const old = oldParts.map(({ of, content, from, bytes: length }): OldRun => {
    const path = files.oldFile(content);
    return of === "file" || path === null
      ? { path, offset: from, bytes: length }
      : { path: files.oldScratch, offset: from - unpack.start, bytes: length };
  });
  const fresh = [...partsIn(files.fresh, start, bytes)].map((part): StagedRun => {
    const { of, content, from, bytes: length } = part;
    if (of === "file") return { ...newFile(content, files), offset: from, bytes: length };
    const { first, fileBytes } = scratchOf(content);
    return { path: files.newScratch(content), fileBytes, exec: false, offset: from - first, bytes: length };
  });
  const complete = contentsIn(files.fresh, start, bytes).filter(
    ({ offset, size, parts }) => parts !== undefined && offset + size <= start + bytes,
  );
  return { unpack, apply: { delta, old, fresh }, pack: complete.map((content) => contentToPack(content, files)) };
}

/** `start`: how much of what the old space unpacks comes before the group's scratch file. */
function oldStreams(parts: readonly PlacedPart[], { streams, oldFile, oldScratch }: GroupFiles) {
  const used = new Map<UnpackedStream, string>();
  for (const { of, from, content } of parts) {
    const path = of === "plain" ? oldFile(content) : null;
    if (path !== null) used.set(plainStreamAt(streams.old, from), path);
  }
  const start = Math.min(...[...used.keys()].map(({ plainAt }) => plainAt));
  const unpack = [...used].map(([{ pieces, plainBytes, plainAt }, path]): StreamToUnpack => {
    return { path, pieces, plainBytes, at: plainAt - start };
  });
  const fileBytes = unpack.reduce((end, { at, plainBytes }) => Math.max(end, at + plainBytes), 0);
  return { start, streams: unpack, to: { path: oldScratch, fileBytes } };
}

function newFile(content: SpaceContent, { newFile: fileOf, isExec }: GroupFiles) {
  return { path: fileOf(content), fileBytes: content.fileBytes, exec: isExec(content) };
}

/** Where the content's scratch file begins in what is unpacked of its space, and how long it is. */
function scratchOf({ parts = [] }: SpaceContent): { readonly first: number; readonly fileBytes: number } {
  const unpacked = parts.filter(({ of }) => of !== "file");
  const first = unpacked[0]?.from ?? 0;
  return { first, fileBytes: unpacked.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function contentToPack(content: SpaceContent, files: GroupFiles): ContentToPack {
  const { first } = scratchOf(content);
  const streams = (content.parts ?? [])
    .filter(({ of }) => of === "plain")
    .map(({ from }): StreamToPack => {
      const { plainAt, plainBytes, recipeAt, recipeBytes, pieces } = plainStreamAt(files.streams.fresh, from);
      return { plainAt: plainAt - first, plainBytes, recipeAt: recipeAt - first, recipeBytes, pieces };
    });
  return { from: files.newScratch(content), streams, to: newFile(content, files) };
}
