/** One group of a delta, and where contents lie on this disk -> what the thread that applies it reads and writes. */
import { contentsIn, type GroupLayout, type Space, type SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { DeltaWork, FileRun } from "../threads/jobs/apply-delta.ts";

export interface GroupFiles {
  readonly old: Space;
  readonly fresh: Space;
  readonly oldFile: (content: SpaceContent) => string;
  readonly newFile: (content: SpaceContent) => string;
  readonly isExec: (content: SpaceContent) => boolean;
}

/**
 * @param start  where the group begins in the new space
 * @param delta  its objects
 */
export function groupWork(
  { old: spans, bytes }: GroupLayout,
  start: number,
  delta: readonly FileRun[],
  { old, fresh, oldFile, newFile, isExec }: GroupFiles,
): DeltaWork {
  return {
    delta,
    old: spans.flatMap((span) =>
      contentsIn(old, span.offset, span.bytes).map((content) =>
        runOf(content, span.offset, span.bytes, oldFile(content)),
      ),
    ),
    fresh: contentsIn(fresh, start, bytes).map((content) => ({
      ...runOf(content, start, bytes, newFile(content)),
      fileBytes: content.size,
      exec: isExec(content),
    })),
  };
}

/** The part of a content that lies in [start, start + bytes) of its space. */
function runOf({ offset, size }: SpaceContent, start: number, bytes: number, path: string): FileRun {
  const from = Math.max(0, start - offset);
  const to = Math.min(size, start + bytes - offset);
  return { path, offset: from, bytes: to - from };
}
