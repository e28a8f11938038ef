/**
 * New contents made of the installed release and a delta, into staging. Nothing here is proven: staging hashes every piece
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
  parseReleaseDelta,
  spacesOf,
  type DeltaGroup,
  type ReleaseDelta,
  type Space,
} from "../../manifests/delta/release-delta.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTA_INDEX_BYTES_MAX, DELTA_SLICE_BYTES, TORRENT_BYTES_MAX } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Have } from "../../manifests/plan.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import type { Output } from "../output.ts";
import type { Origin } from "../sources/origin.ts";
import { toJson } from "../threads/as-json.ts";
import type { FileRun } from "../threads/jobs/apply-delta.ts";
import { runJob } from "../threads/pool.ts";
import { diskFailure } from "./assembly.ts";
import type { Install } from "./install.ts";
import { flatName } from "./layout.ts";
import { groupWork } from "./group-work.ts";
import { deltaFolder, dropDeltas, keepDelta, readDeltaTorrent } from "./kept-deltas.ts";
import type { Staging } from "./staging.ts";

/** A delta that leads from what is installed to what is wanted. */
export interface DeltaOffer {
  readonly delta: LiveDelta;
  /** The version it starts from. */
  readonly from: string;
  readonly trees: { readonly from: ObjectId; readonly to: ObjectId };
  readonly old: Space;
  readonly fresh: Space;
  /** A file of the install that holds a content of the old space, by its place there. */
  readonly files: ReadonlyMap<PiecesRoot, SafePath>;
}

/** Undefined when the install lacks a content of the old release: a delta may need any of them. */
export function deltaOffer(
  have: Have,
  { installed, want }: { readonly installed: Tree; readonly want: Tree },
  offer: Pick<DeltaOffer, "delta" | "from" | "trees">,
): DeltaOffer | undefined {
  const { old, fresh } = spacesOf(installed, want);
  const files = new Map<PiecesRoot, SafePath>();
  for (const { path, root } of have.files.values()) if (root !== null) files.set(root, path);
  return old.contents.every(({ root }) => files.has(root)) ? { ...offer, old, fresh, files } : undefined;
}

export interface ByDelta {
  readonly install: Install;
  readonly staging: Staging;
  /** Undefined when it is forbidden. */
  readonly origin: Origin | undefined;
  /** Fetches the files of a torrent into a folder, as far as peers give them. Undefined when it is forbidden. */
  readonly fromPeers:
    | ((layout: TorrentLayout, folder: string, onBytes: (bytes: number) => void) => Promise<void>)
    | undefined;
  readonly want: Tree;
  /** Reads an object as a whole, proven by its name. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
  readonly onProgress: (fetched: number) => void;
  readonly output: Pick<Output, "log">;
}

/** False when the delta was of no use. Throws: install.no-space, source.interrupted. */
export async function stageByDelta(offer: DeltaOffer, world: ByDelta): Promise<boolean> {
  const { install, output, fromPeers } = world;
  const { object } = offer.delta.torrent;
  try {
    await dropDeltas(install, object);
    await mkdir(deltaFolder(install, object), { recursive: true });
    const index = await readIndex(offer, world);
    const metainfo = fromPeers === undefined ? undefined : await world.readObject(object, TORRENT_BYTES_MAX);
    if (metainfo !== undefined) {
      await fromPeers?.(readDeltaTorrent(metainfo), deltaFolder(install, object), world.onProgress);
    }
    await applyGroups(offer, index, world);
    if (metainfo !== undefined) await keepDelta(install, object, metainfo);
    else await dropDeltas(install);
    return true;
  } catch (error) {
    if (!(error instanceof Failure) || error.family === "no-space" || error.code === "source.interrupted") throw error;
    output.log(`going on without the delta from ${offer.from}: ${error.message}`);
    await dropDeltas(install);
    return false;
  }
}

async function readIndex({ delta, old, fresh, trees }: DeltaOffer, { readObject }: ByDelta): Promise<ReleaseDelta> {
  const index = parseReleaseDelta(await readObject(delta.index, DELTA_INDEX_BYTES_MAX), old, fresh);
  if (index.from !== trees.from || index.to !== trees.to) {
    throw new Failure("object.malformed", { kind: "delta index", reason: "between other releases" });
  }
  return index;
}

/** The next group is fetched while this one is applied. */
async function applyGroups(offer: DeltaOffer, { groups }: ReleaseDelta, world: ByDelta): Promise<void> {
  const exec = new Set(world.want.files.filter((file) => file.exec).map(({ root }) => root));
  let applying: Promise<void> = Promise.resolve();
  let start = 0;
  try {
    for (const group of groups) {
      const parts: FileRun[] = [];
      for (const object of group.objects) {
        parts.push({ path: await fetchObject(offer, object, world), offset: 0, bytes: object.bytes });
      }
      const from = start;
      start += group.bytes;
      await applying;
      applying = applyGroup(offer, { group, start: from, parts, exec }, world);
      applying.catch(() => {}); // heard of when it is waited for
    }
  } finally {
    await applying;
  }
}

async function applyGroup(
  { old, fresh, files }: DeltaOffer,
  work: {
    readonly group: DeltaGroup;
    /** Of the group, in the new space. */
    readonly start: number;
    readonly parts: readonly FileRun[];
    readonly exec: ReadonlySet<PiecesRoot>;
  },
  { install, staging }: ByDelta,
): Promise<void> {
  const { group, start, parts, exec } = work;
  const job = groupWork(group, start, parts, {
    old,
    fresh,
    oldFile: ({ root, path }) => install.file(files.get(root) ?? path),
    newFile: ({ root }) => install.staged(flatName(root)),
    isExec: ({ root }) => exec.has(root),
  });
  const { value, error } = await runJob("applyDelta", toJson(job));
  if (error !== undefined) throw diskFailure(error);
  if (value?.refused !== undefined) {
    throw new Failure("object.malformed", { kind: "delta", reason: value.refused });
  }
  const end = start + group.bytes;
  staging.hold(contentsIn(fresh, start, group.bytes).filter(({ offset, size }) => offset + size <= end));
}

/**
 * An object of the delta, in a file of its own: as peers or an earlier run left it, or from the origin. What is there of
 * it is continued, and when that comes to nothing fetched again.
 * Throws: object.mismatch, sources.exhausted, as Origin.read.
 */
async function fetchObject({ delta }: DeltaOffer, { id, bytes }: DeltaObject, world: ByDelta): Promise<string> {
  const path = join(deltaFolder(world.install, delta.torrent.object), id);
  for (let attempt = 0; attempt < 2; attempt++) {
    const before = attempt === 0 ? ((await stat(path).catch(() => undefined))?.size ?? 0) : 0;
    if (before < bytes || attempt > 0) await fetchFrom(before, path, { id, bytes }, world);
    if ((await hashOf(path)) === id) return path;
  }
  await rm(path, { force: true });
  throw new Failure("object.mismatch", { expected: id });
}

type DeltaObject = DeltaGroup["objects"][number];

async function fetchFrom(offset: number, path: string, { id, bytes }: DeltaObject, world: ByDelta): Promise<void> {
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
