/**
 * The first phase: every new content is put together beside the install and proven there. What the install holds is
 * copied while the rest is fetched. Nothing of the old release is touched.
 */
import type { PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { PartTable } from "../../manifests/parts.ts";
import { isBuilt, type BuiltContent, type Content, type Plan } from "../../manifests/plan.ts";
import type { LayoutFile } from "../../manifests/torrent.ts";
import type { Output } from "../output.ts";
import type { Origin } from "../sources/origin.ts";
import { sha256 } from "../threads/digests.ts";
import { writeWhole } from "../threads/jobs/place.ts";
import { Assembly } from "./assembly.ts";
import { failureOfDisk } from "./disk-failure.ts";
import { fetchMissing } from "./fetch.ts";
import type { Install } from "./install.ts";
import type { Layout } from "./layout.ts";
import { Ledger } from "./ledger.ts";
import type { Peers } from "./peers.ts";
import type { Build } from "./piece-map.ts";
import type { PatchProgress } from "./progress.ts";
import { lookAt, type Seen } from "./scan.ts";
import type { Staging } from "./staging.ts";
import { together } from "./together.ts";
import { copyWholeFiles, type WholeFile } from "./whole-files.ts";

export interface StageOptions {
  readonly install: Install;
  readonly plan: Plan;
  readonly layout: Layout;
  readonly staging: Staging;
  readonly pieceLength: number;
  /** How files of the install looked when they were found right. */
  readonly seen: ReadonlyMap<SafePath, Seen>;
  /** Undefined when it is forbidden. */
  readonly origin: Origin | undefined;
  readonly peers: Peers;
  /** The origin does not rest for peers. */
  readonly originFirst: boolean;
  readonly progress: PatchProgress;
  readonly output: Pick<Output, "log">;
  readonly signal: AbortSignal;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

export interface Staged {
  /** Old files that were not what they seemed; then nothing else counts, and the plan has to be made again. */
  readonly stale: readonly SafePath[];
  /** How staged files look on the disk, by the places they are for, as far as somebody looked. */
  readonly looks: ReadonlyMap<SafePath, Seen>;
}

/**
 * Puts every content of the plan in place in staging. Throws: sources.exhausted, chunk.corrupt, object.malformed,
 * install.no-space, install.unwritable, install.in-use, source.interrupted. What was fetched is kept for the next run.
 */
export async function stage(options: StageOptions): Promise<Staged> {
  const { plan, layout, staging } = options;
  const builds = plan.contents.filter(isBuilt);
  // Only what is built is taken over, piece by piece and hashed. The commit moves files to names in staging, and takes
  // a file that is there for one it moved before a crash: a part of a download may not lie under such a name.
  const wanted = new Set(builds.map(({ root }) => root));
  await staging.use(layout, wanted);
  try {
    writeEmpty(options);
    const looks = new Map<SafePath, Seen>();
    const stale = await copyOld(options, looks);
    if (stale.length > 0) {
      // the copies go again: the next plan makes them anew, and asks for the room
      await staging.use(layout, wanted);
      return { stale, looks };
    }
    const copied = builds.length === 0 ? new Set<PiecesRoot>() : await build(options, builds, looks);
    await copyToOtherPlaces(options, copied, looks);
    return { stale, looks };
  } catch (error) {
    throw failureOfDisk(error, options.install.folder);
  } finally {
    staging.close();
  }
}

function writeEmpty({ install, layout, plan }: StageOptions): void {
  for (const { root, places, source } of plan.contents) {
    if (source.how !== "empty") continue;
    writeWhole({ path: install.staged(layout.nameOf(root)), exec: places[0].exec }, new Uint8Array(0));
  }
}

/**
 * Old files that the new release has elsewhere too, and those that move, for all places but their first. Gives the old
 * files that were not what they seemed.
 */
async function copyOld(options: StageOptions, looks: Map<SafePath, Seen>): Promise<SafePath[]> {
  const { install, plan } = options;
  const old = new Map<WholeFile, SafePath>();
  for (const content of plan.contents) {
    const { source } = content;
    if (source.how !== "copy" && source.how !== "move") continue;
    old.set(placesFrom(source.how === "copy" ? 0 : 1, content, install.file(source.from)), source.from);
  }
  const copied = await copyWholeFiles(options, [...old.keys()]);
  for (const [path, seen] of copied.looks) looks.set(path, seen);
  return [...new Set([...copied.wrong].flatMap((file) => old.get(file) ?? []))];
}

/** A file that is copied to a content's places from the `first` on. */
function placesFrom(first: number, { root, size, places }: Content, from: string): WholeFile {
  return { root, size, from, to: places.slice(first), first };
}

/** Puts contents together. Gives those whose copies were written at once. */
async function build(
  options: StageOptions,
  contents: readonly BuiltContent[],
  looks: Map<SafePath, Seen>,
): Promise<Set<PiecesRoot>> {
  const { install, layout, staging, pieceLength, seen, peers, origin, originFirst, plan } = options;
  const { progress, output, signal, now } = options;
  const stagedAt = (root: PiecesRoot): string => install.staged(layout.nameOf(root));
  const board = await peers.board();
  const builds = contents.map(({ root, size, places, source: { parts } }): Build => {
    return { root, size, parts, layer: board?.layerOf(places[0].path) };
  });
  const hasTorrent = board !== undefined;
  const ledger = new Ledger(builds, { table: plan.parts, pieceLength, hasTorrent, sha256 });
  const assembly = new Assembly({
    install,
    layout,
    ledger,
    staging,
    placesOf: (build) => contents[build]?.places ?? [],
    dropEdge: (pack, edge) => origin?.dropFor(pack, edge, "wrong bytes") === true,
    onBad: (text) => output.log(text),
  });
  // while threads work there is time to look; at the end there is not
  const look = (build: number): void => {
    const { root, size } = ledger.buildAt(build);
    const places = contents[build]?.places ?? [];
    const mtimes = assembly.mtimesOf(build);
    // the copies are looked at when they are made
    for (const [copy, { path }] of places.slice(0, mtimes?.length ?? 1).entries()) {
      const mtimeNs = mtimes?.[copy];
      looks.set(path, mtimeNs === undefined ? lookAt(stagedAt(root)) : { size, mtimeNs });
    }
  };
  ledger.listen({ onBuilt: look });
  await assembly.resume();
  if (board !== undefined) {
    for (const path of plan.keep) board.addProven(path, install.file(path), seen.get(path));
    const placesOf = contents.map(({ places }) => places);
    const where = ({ root, path }: LayoutFile): string[] => [stagedAt(root), install.file(path)];
    ledger.listen(board.attach({ ledger, assembly, where }, placesOf));
  }
  await assembly.start();
  const { landed } = assembly;
  // holes and whole files are there from the start
  const atOnce = plan.cost.reused - localBytes(plan.parts);
  const report = (): void => progress.staging(plan, { ...landed, reused: atOnce + landed.install });
  report();
  await together(signal, (signal) => [
    assembly.copyFromInstall(signal),
    fetchMissing({
      ledger,
      assembly,
      origin,
      originFirst,
      signal,
      now,
      swarm: () => peers.membership,
      expectedPeers: () => peers.expected,
      joining: () => peers.isJoining,
      fastEnough: () => peers.fastEnough,
      onTick: report,
    }),
  ]);
  report();
  return new Set([...assembly.copied].map((build) => ledger.buildAt(build).root));
}

/** Bytes that are copied from the install chunk by chunk, each chunk counted once. */
function localBytes(parts: PartTable): number {
  let bytes = 0;
  for (let chunk = 0; chunk < parts.chunkCount; chunk++) {
    if (parts.local(chunk) !== undefined) bytes += parts.size(chunk);
  }
  return bytes;
}

/** A staged content with several places gets a file for each; those that a delta or peers brought, only now. */
async function copyToOtherPlaces(
  options: StageOptions,
  copied: ReadonlySet<PiecesRoot>,
  looks: Map<SafePath, Seen>,
): Promise<void> {
  const { install, layout, plan } = options;
  const files = plan.contents
    .filter(({ root, source }) => (source.how === "build" || source.how === "empty") && !copied.has(root))
    .map((content) => placesFrom(1, content, install.staged(layout.nameOf(content.root))));
  const made = await copyWholeFiles(options, files);
  for (const [path, seen] of made.looks) looks.set(path, seen);
  const [wrong] = made.wrong;
  if (wrong !== undefined) throw new Failure("install.damaged", { file: wrong.from, reason: "changed meanwhile" });
}
