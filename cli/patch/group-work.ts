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
import type { PlacedStream, PlainRun, StreamToPack, StreamToUnpack } from "../threads/jobs/unpack-streams.ts";

export interface GroupFiles extends UnpackedSides {
  /** Null when nobody has it: it reads as zeros. */
  readonly oldFile: (content: SpaceContent) => string | null;
  readonly newFile: (content: SpaceContent) => string;
  /** Where a new content's streams are kept until all of it is there. */
  readonly newScratch: (content: SpaceContent) => string;
  /** Where the group's old streams are kept. */
  readonly oldScratch: string;
  readonly isExec: (content: SpaceContent) => boolean;
  /** Whether a new content is to be proven, and not only for the next delta. */
  readonly isWanted: (content: SpaceContent) => boolean;
  readonly pieceLength: number;
  /** Whether every group of a new content is applied. */
  readonly isWhole: (content: SpaceContent) => boolean;
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
  const { old, ...unpack } = oldRuns(
    spans.flatMap((span) => [...partsIn(files.old, span.offset, span.bytes)]),
    files,
  );
  const fresh = [...partsIn(files.fresh, start, bytes)].map(({ of, content, from, bytes: length }): StagedRun => {
    const { unpacked } = content;
    if (of === "file" || unpacked === undefined) {
      const toHash = length === content.fileBytes && files.isWanted(content);
      return { ...newFile(content, files), offset: from, bytes: length, toHash };
    }
    const path = files.newScratch(content);
    return { path, fileBytes: unpacked.bytes, exec: false, offset: from - unpacked.from, bytes: length, toHash: false };
  });
  const complete = contentsIn(files.fresh, start, bytes).filter((content) => {
    const { offset, size, unpacked } = content;
    return unpacked !== undefined && offset + size <= start + bytes && files.isWhole(content);
  });
  const apply = { delta, old, fresh, pieceLength: files.pieceLength };
  return { unpack, apply, pack: complete.map((content) => contentToPack(content, files)) };
}

/** What is read of streams is unpacked, each stream once, and lies without gaps in the scratch file. */
function oldRuns(parts: readonly PlacedPart[], { streams: { old: packed }, oldFile, oldScratch }: GroupFiles) {
  const streams: (StreamToUnpack & { readonly runs: PlainRun[] })[] = [];
  let fileBytes = 0;
  let last: number | undefined;
  const old = parts.map(({ of, content, from, bytes }): OldRun => {
    const path = oldFile(content);
    if (of === "file" || path === null) return { path, offset: from, bytes };
    const { coding, pieces, plainBytes, texts, plainAt } = plainStreamAt(packed, from);
    const at = fileBytes;
    // parts are in order, and so those of one stream follow each other
    if (plainAt !== last) streams.push({ coding, path, pieces, plainBytes, texts, runs: [] });
    streams.at(-1)?.runs.push({ skipped: from - plainAt, bytes, at });
    last = plainAt;
    fileBytes += bytes;
    return { path: oldScratch, offset: at, bytes };
  });
  return { old, streams, to: { path: oldScratch, fileBytes } };
}

function newFile(content: SpaceContent, { newFile: fileOf, isExec }: GroupFiles) {
  return { path: fileOf(content), fileBytes: content.fileBytes, exec: isExec(content) };
}

function contentToPack(content: SpaceContent, files: GroupFiles): ContentToPack {
  const first = content.unpacked?.from ?? 0;
  const guideOf = ({ guide }: UnpackedStream): PlacedStream | undefined => {
    const stream = guide === undefined ? undefined : files.streams.old[guide];
    const of = stream && files.old.contents[stream.content];
    const path = of && files.oldFile(of);
    // what nobody has shows no way: the stream will not fit its recipe
    return stream === undefined || path === undefined || path === null ? undefined : { path, pieces: stream.pieces };
  };
  const streams = (content.parts ?? [])
    .filter(({ of }) => of === "plain")
    .map(({ from }): StreamToPack => {
      const stream = plainStreamAt(files.streams.fresh, from);
      const { coding, plainAt, plainBytes, recipeAt, recipeBytes, pieces, texts } = stream;
      const places = { plainAt: plainAt - first, recipeAt: recipeAt - first };
      return { ...places, coding, plainBytes, recipeBytes, pieces, texts, guide: guideOf(stream) };
    });
  return { from: files.newScratch(content), streams, to: newFile(content, files) };
}
