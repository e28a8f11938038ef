/**
 * Whole files -> copies of them in staging: old files that the new release has elsewhere too, and contents that go to
 * several places. What goes into the copies is hashed: of small files as it is read, of large ones in each copy.
 */
import type { PiecesRoot } from "../../manifests/digest.ts";
import { COPY_JOB_BYTES, COPY_JOB_FILES, SPREAD_BYTES_MAX } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Place } from "../../manifests/plan.ts";
import { toJson } from "../threads/as-json.ts";
import { batchesOf, runAllOrStop } from "../threads/batches.ts";
import type { FileCopy } from "../threads/jobs/copy-files.ts";
import { modeOf } from "../threads/jobs/place.ts";
import { runJob } from "../threads/pool.ts";
import { diskFailure } from "./disk-failure.ts";
import type { Install } from "./install.ts";
import type { Layout } from "./layout.ts";
import { hashFiles, type Seen } from "./scan.ts";

export interface WholeFile {
  readonly root: PiecesRoot;
  readonly size: number;
  /** Absolute. */
  readonly from: string;
  /** The places that get a copy. */
  readonly to: readonly Place[];
  /** Number of the first of these among all places of the content. */
  readonly first: number;
}

export interface CopiedFiles {
  /** Files that are gone, or not what they should be. */
  readonly wrong: ReadonlySet<WholeFile>;
  /** How copies look, by their places, where somebody looked. */
  readonly looks: ReadonlyMap<SafePath, Seen>;
}

export interface CopyingWorld {
  readonly install: Install;
  readonly pieceLength: number;
  readonly layout: Pick<Layout, "nameOf">;
  readonly signal: AbortSignal;
}

/** Asking for it sets it for a moment, so once is enough. */
const UMASK = process.umask();

/** Throws: install.no-space, source.interrupted, what the disk says. No job runs on afterwards. */
export async function copyWholeFiles(world: CopyingWorld, files: readonly WholeFile[]): Promise<CopiedFiles> {
  const wrong = new Set<WholeFile>();
  const looks = new Map<SafePath, Seen>();
  const [small, large] = [files.filter(isSmall), files.filter((file) => !isSmall(file))];
  await spreadSmall(world, small, { wrong, looks });
  for (const file of await copyLarge(world, large)) wrong.add(file);
  return { wrong, looks };
}

/** @param index  of the place in `to` */
function stagedAt({ install, layout }: CopyingWorld, { root, first }: WholeFile, index: number): string {
  return install.staged(layout.nameOf(root, first + index));
}

function isSmall({ size }: WholeFile): boolean {
  return size <= SPREAD_BYTES_MAX;
}

/** Read once, and hashed before they are written: opening files is most of what a small one costs. */
async function spreadSmall(
  world: CopyingWorld,
  files: readonly WholeFile[],
  { wrong, looks }: { readonly wrong: Set<WholeFile>; readonly looks: Map<SafePath, Seen> },
): Promise<void> {
  const parts = files.flatMap((file) => {
    let next = 0;
    return batchesOf(file.to, () => file.size, { bytes: COPY_JOB_BYTES, count: COPY_JOB_FILES }).map((to) => {
      const first = next;
      next += to.length;
      return { file, to, first };
    });
  });
  // weighed by files that are opened, not by bytes
  const batches = batchesOf(parts, ({ to }) => to.length, { bytes: COPY_JOB_FILES });
  await runAllOrStop(batches, world.signal, async (batch) => {
    const work = batch.map(({ file, to, first }) => {
      const { from, size } = file;
      return { from, size, to: to.map(({ exec }, index) => ({ path: stagedAt(world, file, first + index), exec })) };
    });
    const { value, error } = await runJob("spreadFiles", toJson(work));
    if (error !== undefined) throw diskFailure(error);
    let at = 0;
    for (const [index, { file, to }] of batch.entries()) {
      if (value?.roots[index] !== file.root) wrong.add(file);
      for (const { path } of to) {
        const mtimeNs = value?.mtimesNs[at++];
        if (mtimeNs !== undefined) looks.set(path, { size: file.size, mtimeNs });
      }
    }
  });
}

/** By the system, which shares the blocks where it can, and hashed afterwards. Gives those that are wrong. */
async function copyLarge(world: CopyingWorld, files: readonly WholeFile[]): Promise<WholeFile[]> {
  const copies = files.flatMap((file) =>
    file.to.map(({ path, exec }, index) => ({ file, path, at: stagedAt(world, file, index), exec })),
  );
  const gone = new Set<WholeFile>();
  await runAllOrStop(
    batchesOf(copies, ({ file }) => file.size, { bytes: COPY_JOB_BYTES, count: COPY_JOB_FILES }),
    world.signal,
    async (batch) => {
      const work = batch.map(({ file, at, exec }): FileCopy => {
        return { from: file.from, to: at, mode: modeOf(exec) & ~UMASK };
      });
      const { value = [], error } = await runJob("copyFiles", work);
      if (error !== undefined) throw diskFailure(error);
      for (const index of value) {
        const copy = batch[index];
        if (copy !== undefined) gone.add(copy.file);
      }
    },
  );
  const toHash = copies.map(({ file, path, at }) => ({ path, at, size: file.size }));
  const roots = await hashFiles({ ...world, onProgress: () => {} }, toHash);
  return copies.filter(({ file, path }) => gone.has(file) || roots.get(path) !== file.root).map(({ file }) => file);
}
