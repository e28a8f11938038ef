/**
 * New contents made of the installed release and deltas, into staging. Nothing here is proven: the hash of every piece
 * is looked at before it counts (assembly.ts), and whatever is wrong or missing then comes from chunks. So a delta that
 * cannot be had or does not fit costs a little time and is no failure.
 */
import { join } from "node:path";
import type { ObjectId, PiecesRoot } from "../../manifests/digest.ts";
import { contentsIn, type SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Have, Plan } from "../../manifests/plan.ts";
import type { Way, WayStep } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import type { FileRun } from "../threads/jobs/apply-delta.ts";
import { applyGroup } from "./apply-group.ts";
import type { DeltaAhead } from "./delta-ahead.ts";
import { DeltaDownload, type DownloadWorld } from "./delta-download.ts";
import { isOfNoUse } from "./delta-paths.ts";
import { groupWork } from "./group-work.ts";
import type { Install } from "./install.ts";
import { deltaFolder, dropDelta, dropDeltas, keepDelta } from "./kept-deltas.ts";
import { flatName } from "./layout.ts";
import type { Staging } from "./staging.ts";

export interface ByDeltas extends DownloadWorld {
  readonly staging: Staging;
  readonly have: Have;
  /** What the release needs; of it the contents that are built. */
  readonly plan: Plan;
  readonly pieceLength: number;
  readonly output: Pick<Output, "log">;
  /** Plain bytes of packed content that were put together, of how many. */
  readonly onPacked: (done: number, total: number) => void;
  /** A download that was begun already, for a delta that may be one of these. */
  readonly ahead: DeltaAhead | undefined;
}

/**
 * Goes the deltas of a way: each is fetched while the one before is applied, and what that makes and the release does
 * not have is only for the next. Gives the index object of one that was of no use; then those after it are not tried.
 * Throws: install.no-space, source.interrupted.
 */
export async function stageByDeltas({ steps }: Pick<Way, "steps">, world: ByDeltas): Promise<ObjectId | undefined> {
  const { install, output, ahead, onProgress } = world;
  const used = steps.filter(({ chosen }) => chosen.length > 0);
  const begun = await ahead?.takenBy(used, onProgress);
  const contents = Contents.of(world);
  await dropDeltas(
    install,
    steps.map(({ delta }) => delta.torrent.object),
  );
  const halt = new AbortController();
  const signal = AbortSignal.any([world.signal, halt.signal]);
  const runs = used.map((step) => ({
    step,
    download: step === begun?.step ? begun.download : new DeltaDownload(step, { ...world, signal }),
  }));
  const downloading = inTurn(runs.map(({ download }) => download));
  let bad: WayStep | undefined;
  let isAway = false;
  try {
    for (const { step, download } of runs) {
      bad = step;
      await applyStep(step, download, contents, world);
      bad = undefined;
    }
  } catch (error) {
    if (bad === undefined || !isOfNoUse(error)) throw error;
    isAway = error.family === "unavailable";
    output.log(`going on without the delta from ${bad.from} to ${bad.to}: ${error.message}`);
  } finally {
    halt.abort();
    await ahead?.end();
    await downloading;
  }
  // of what only could not be had, the next run goes on with what came
  if (bad !== undefined && !isAway) await dropDelta(install, bad.delta.torrent.object);
  return bad?.delta.index;
}

/** One after another; after one that failed none. */
async function inTurn(downloads: readonly DeltaDownload[]): Promise<void> {
  for (const download of downloads) {
    await download.run();
    if (download.failure !== undefined) return;
  }
}

/** Where contents lie, and which are wanted. */
class Contents {
  readonly #install: Install;
  /** A file of the install that holds a content. */
  readonly #installed: ReadonlyMap<PiecesRoot, SafePath>;
  /** Contents that are built -> whether they may be run. */
  readonly #wanted: ReadonlyMap<PiecesRoot, boolean>;
  /** Contents that deltas made up to now, well as far as can be told. */
  readonly #made = new Set<PiecesRoot>();

  static of({ install, have, plan }: ByDeltas): Contents {
    const installed = new Map<PiecesRoot, SafePath>();
    for (const { path, root } of have.files.values()) if (root !== null) installed.set(root, path);
    const builds = plan.contents.filter(({ source }) => source.how === "build");
    return new Contents(install, installed, new Map(builds.map(({ root, places }) => [root, places[0].exec])));
  }

  private constructor(
    install: Install,
    installed: ReadonlyMap<PiecesRoot, SafePath>,
    wanted: ReadonlyMap<PiecesRoot, boolean>,
  ) {
    this.#install = install;
    this.#installed = installed;
    this.#wanted = wanted;
  }

  /** Null when nobody has the content: it was changed, or a delta does not make it. */
  oldFile({ root }: SpaceContent): string | null {
    const path = this.#installed.get(root);
    if (path !== undefined) return this.#install.file(path);
    return this.#made.has(root) ? this.newFile({ root }) : null;
  }

  newFile({ root }: Pick<SpaceContent, "root">): string {
    return this.#install.staged(flatName(root));
  }

  isWanted({ root }: SpaceContent): boolean {
    return this.#wanted.has(root);
  }

  isExec({ root }: SpaceContent): boolean {
    return this.#wanted.get(root) === true;
  }

  /** Takes note of contents that are there from end to end; gives those that the release wants. */
  take(contents: readonly SpaceContent[], { sound }: Pick<WayStep, "sound">): SpaceContent[] {
    // what is probably wrong is as good as missing for the next delta
    for (const { root } of contents) if (sound.has(root)) this.#made.add(root);
    return contents.filter(({ root }) => this.#wanted.has(root));
  }
}

/** Each group is decoded while it and those after it still come. */
async function applyStep(step: WayStep, download: DeltaDownload, contents: Contents, world: ByDeltas): Promise<void> {
  const { install, fromPeers } = world;
  const { object } = step.delta.torrent;
  const chosen = new Set(step.chosen);
  let start = 0;
  for (const [number, group] of step.groups.entries()) {
    if (chosen.has(number)) await stageGroup(step, number, start, download, contents, world);
    start += group.bytes;
  }
  const isWhole = step.chosen.length === step.groups.length;
  const metainfo = await download.done;
  if (fromPeers !== undefined && isWhole) await keepDelta(install, object, metainfo);
  else await dropDelta(install, object);
}

/** @param start  where the group begins in the new space */
async function stageGroup(
  step: WayStep,
  number: number,
  start: number,
  download: DeltaDownload,
  contents: Contents,
  { install, staging, pieceLength, signal, onPacked }: ByDeltas,
): Promise<void> {
  const { delta, fresh, groups, whole } = step;
  const group = groups[number];
  if (group === undefined) return;
  const folder = deltaFolder(install, delta.torrent.object);
  const parts = group.objects.map(({ id, bytes }): FileRun => ({ path: join(folder, id), offset: 0, bytes }));
  const work = groupWork(group, start, parts, {
    ...step,
    oldFile: (content) => contents.oldFile(content),
    newFile: (content) => contents.newFile(content),
    oldScratch: staging.scratch("old"),
    newScratch: ({ root }) => staging.scratch(root),
    isExec: (content) => contents.isExec(content),
    isWanted: (content) => contents.isWanted(content),
    pieceLength,
    isWhole: ({ root }) => whole.has(root),
  });
  // an earlier delta may have made some of them, and this one may fail half-way
  staging.forgetWritten(contentsIn(fresh, start, group.bytes).map(({ root }) => root));
  const { misfits, written } = await applyGroup(work, signal, download.arrivalOf(number), onPacked).catch(
    (error: unknown) => {
      // a delta that did not come is no malformed one
      throw isOfNoUse(error) ? (download.failure ?? error) : error;
    },
  );
  // of a content in several groups this is the last
  const ended = contentsIn(fresh, start, group.bytes).filter((content) => {
    const { root, offset, size } = content;
    return offset + size <= start + group.bytes && whole.has(root) && !misfits.has(contents.newFile(content));
  });
  staging.hold(
    contents.take(ended, step).map((content) => {
      return { root: content.root, size: content.fileBytes, written: written.get(contents.newFile(content)) };
    }),
  );
}
