/**
 * New contents made of the installed release and deltas, into staging. Nothing here is proven: staging hashes every piece
 * before it counts, and whatever is wrong or missing then comes from chunks. So a delta that cannot be had or does not
 * fit costs a little time and is no failure.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectId, PiecesRoot } from "../../manifests/digest.ts";
import {
  contentsIn,
  type DeltaGroup,
  type DeltaObject,
  type SpaceContent,
} from "../../manifests/delta/release-delta.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTA_SLICE_BYTES, TORRENT_BYTES_MAX } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Have, Plan } from "../../manifests/plan.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { Way, WayStep } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import type { Origin } from "../sources/origin.ts";
import type { FileRun } from "../threads/jobs/apply-delta.ts";
import { applyGroup } from "./apply-group.ts";
import { isOfNoUse } from "./delta-paths.ts";
import type { Install } from "./install.ts";
import { flatName } from "./layout.ts";
import { groupWork } from "./group-work.ts";
import { deltaFolder, dropDelta, dropDeltas, keepDelta, readDeltaTorrent } from "./kept-deltas.ts";
import type { Staging } from "./staging.ts";

export interface ByDeltas {
  readonly install: Install;
  readonly staging: Staging;
  readonly have: Have;
  /** What the release needs; of it the contents that are built. */
  readonly plan: Plan;
  /** Undefined when it is forbidden. */
  readonly origin: Origin | undefined;
  /** Fetches the files of a torrent into a folder, as far as peers give them. Undefined when it is forbidden. */
  readonly fromPeers:
    | ((layout: TorrentLayout, folder: string, onBytes: (bytes: number) => void) => Promise<void>)
    | undefined;
  /** Reads an object as a whole, proven by its name. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
  readonly onProgress: (fetched: number) => void;
  readonly output: Pick<Output, "log">;
}

/**
 * Goes the deltas of a way, one after another; what one makes and the release does not have is only for the next.
 * Gives the index object of the one that was of no use; then the others are not tried.
 * Throws: install.no-space, source.interrupted.
 */
export async function stageByDeltas({ steps }: Pick<Way, "steps">, world: ByDeltas): Promise<ObjectId | undefined> {
  const { install, output } = world;
  const contents = Contents.of(world);
  await dropDeltas(
    install,
    steps.map(({ delta }) => delta.torrent.object),
  );
  for (const step of steps) {
    try {
      await stageStep(step, contents, world);
    } catch (error) {
      if (!isOfNoUse(error)) throw error;
      output.log(`going on without the delta from ${step.from} to ${step.to}: ${error.message}`);
      await dropDelta(install, step.delta.torrent.object);
      return step.delta.index;
    }
  }
  return undefined;
}

/** Where contents lie, and which are wanted. */
class Contents {
  readonly #install: Install;
  /** A file of the install that holds a content. */
  readonly #installed: ReadonlyMap<PiecesRoot, SafePath>;
  /** Contents that are built -> whether they may be run. */
  readonly #wanted: ReadonlyMap<PiecesRoot, boolean>;
  /** Contents that deltas made up to now. */
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

  isExec({ root }: SpaceContent): boolean {
    return this.#wanted.get(root) === true;
  }

  /** Takes note of contents that are there from end to end; gives those that the release wants. */
  take(contents: readonly SpaceContent[]): SpaceContent[] {
    for (const { root } of contents) this.#made.add(root);
    return contents.filter(({ root }) => this.#wanted.has(root));
  }
}

async function stageStep(step: WayStep, contents: Contents, world: ByDeltas): Promise<void> {
  const { install, fromPeers } = world;
  const { object } = step.delta.torrent;
  if (step.chosen.length === 0) return;
  await mkdir(deltaFolder(install, object), { recursive: true });
  const metainfo = fromPeers === undefined ? undefined : await world.readObject(object, TORRENT_BYTES_MAX);
  if (metainfo !== undefined) {
    await fromPeers?.(readDeltaTorrent(metainfo), deltaFolder(install, object), world.onProgress);
  }
  await applyGroups(step, contents, world);
  const isWhole = step.chosen.length === step.groups.length;
  if (metainfo !== undefined && isWhole) await keepDelta(install, object, metainfo);
  else await dropDelta(install, object);
}

/** The next group is fetched while this one is applied. */
async function applyGroups(step: WayStep, contents: Contents, world: ByDeltas): Promise<void> {
  const chosen = new Set(step.chosen);
  let applying: Promise<void> = Promise.resolve();
  let start = 0;
  try {
    for (const [number, group] of step.groups.entries()) {
      const from = start;
      start += group.bytes;
      if (!chosen.has(number)) continue;
      const parts: FileRun[] = [];
      for (const object of group.objects) {
        parts.push({ path: await fetchObject(step, object, world), offset: 0, bytes: object.bytes });
      }
      await applying;
      applying = applyAndHold(step, { group, start: from, parts }, contents, world);
      applying.catch(() => {}); // heard of when it is waited for
    }
  } finally {
    await applying;
  }
}

async function applyAndHold(
  step: WayStep,
  work: {
    readonly group: DeltaGroup;
    /** Of the group, in the new space. */
    readonly start: number;
    readonly parts: readonly FileRun[];
  },
  contents: Contents,
  { install, staging }: ByDeltas,
): Promise<void> {
  const { group, start, parts } = work;
  const job = groupWork(group, start, parts, {
    ...step,
    oldFile: (content) => contents.oldFile(content),
    newFile: (content) => contents.newFile(content),
    // what a killed run leaves of these, staging deletes: they are no names of contents
    oldScratch: install.own("staging", "old.unpacked"),
    newScratch: ({ root }) => install.own("staging", `${root}.unpacked`),
    isExec: (content) => contents.isExec(content),
  });
  await applyGroup(job);
  // of a content in several groups this is the last
  const ended = contentsIn(step.fresh, start, group.bytes).filter(({ root, offset, size }) => {
    return offset + size <= start + group.bytes && step.whole.has(root);
  });
  staging.hold(contents.take(ended).map(({ root, fileBytes }) => ({ root, size: fileBytes })));
}

/**
 * An object of the delta, in a file of its own: as peers or an earlier run left it, or from the origin. What is there of
 * it is continued, and when that comes to nothing fetched again.
 * Throws: object.mismatch, sources.exhausted, as Origin.read.
 */
async function fetchObject({ delta }: WayStep, { id, bytes }: DeltaObject, world: ByDeltas): Promise<string> {
  const path = join(deltaFolder(world.install, delta.torrent.object), id);
  for (let attempt = 0; attempt < 2; attempt++) {
    const before = attempt === 0 ? ((await stat(path).catch(() => undefined))?.size ?? 0) : 0;
    if (before < bytes || attempt > 0) await fetchFrom(before, path, { id, bytes }, world);
    if ((await hashOf(path)) === id) return path;
  }
  await rm(path, { force: true });
  throw new Failure("object.mismatch", { expected: id });
}

async function fetchFrom(offset: number, path: string, { id, bytes }: DeltaObject, world: ByDeltas): Promise<void> {
  const { origin, signal, onProgress } = world;
  if (origin === undefined) throw new Failure("sources.exhausted", { object: id });
  const file = await open(path, offset === 0 ? "w" : "a");
  try {
    const slices = slicesOf(bytes - offset);
    for await (const slice of origin.read({ object: id, offset, slices, fresh: false, signal })) {
      await file.write(new Uint8Array(slice));
      onProgress(slice.byteLength);
    }
  } finally {
    await file.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
}

function slicesOf(bytes: number): number[] {
  const whole = Math.floor(bytes / DELTA_SLICE_BYTES);
  const slices = Array.from({ length: whole }, () => DELTA_SLICE_BYTES);
  return bytes % DELTA_SLICE_BYTES === 0 ? slices : [...slices, bytes % DELTA_SLICE_BYTES];
}
