/**
 * Deltas to a release that is live already: from each of the channel's last releases, the newest first. Each is made,
 * applied and compared, sent, and then listed; players take it from then on. A release that goes live meanwhile makes
 * the rest pointless, and ends them.
 */
import { join } from "node:path";
import { objectIdOf, toHex, type ObjectId } from "../../manifests/digest.ts";
import { DELTA_MAGIC } from "../../manifests/delta/format.ts";
import {
  type DeltaGroup,
  type DeltaObject,
  type GroupLayout,
  type ReleaseDelta,
  type Space,
  type SpaceContent,
  isOneGroup,
  layOutGroups,
  objectsOf,
  spacesOf,
  writeReleaseDelta,
} from "../../manifests/delta/release-delta.ts";
import { unpackedSpace, unpackedStreams, streamColumns, writeStreams } from "../../manifests/delta/unpack.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_GROUP_OLD_BYTES,
  DELTA_INDEX_BYTES_MAX,
  DELTA_PIECE_BYTES,
  TREE_BYTES_WHOLE,
  TREE_DELTA_BYTES_MAX,
} from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { Release } from "../../manifests/release.ts";
import { makeTorrent, type TorrentFile } from "../../manifests/torrent.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import { type Tree, writeTree } from "../../manifests/tree.ts";
import type { SignedRelease } from "../../manifests/trust/roles.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import { runJob } from "../threads/pool.ts";
import type { TrustedTitle } from "../trust/client.ts";
import { announceUrls } from "./sign-release.ts";
import type { PublisherAccess } from "./publisher-access.ts";
import type { ObjectCache } from "./cache.ts";
import { type DeltaCosts, CostBook } from "./delta-costs.ts";
import { checkGroupDelta, cutObjects, GroupMemory, makeGroupDelta } from "./group-delta.ts";
import { type Chunks, type IsWorth, worthAgainst } from "./delta-worth.ts";
import { chunksOf, readReleaseTree, type ReleaseTree } from "./known-content.ts";
import { oldBuild, type OldBuildWorld } from "./old-build.ts";
import { type StreamsToUnpack, streamsToUnpack } from "./packed-streams.ts";
import { resemblances } from "./resemblance.ts";
import { type ReadableSpace, contentsRead, proveContents, readSpace } from "./space-reader.ts";
import { Upload, originOf } from "./upload.ts";

export interface DeltaOptions {
  readonly folder: string;
  readonly titleFile: TitleFile;
  readonly channel: string;
  /** The release they lead to. */
  readonly seq: number;
  /** How many, at most. */
  readonly count: number;
}

export interface MadeDelta {
  /** The version it starts from. */
  readonly from: string;
  /** What a player fetches. */
  readonly bytes: number;
  /** What it is spent on. */
  readonly costs: DeltaCosts;
}

/** A tree, and what its release says of it. */
export interface ListedTree {
  readonly tree: Tree;
  readonly release: Pick<Release, "tree">;
  readonly chunks: () => Chunks;
}

/** What a publish has at hand. */
export interface DeltaTitle {
  readonly title: TrustedTitle;
  readonly cache: ObjectCache;
}

/**
 * Throws: build.changed when the folder is not what was published any more, or the old release's files, in the cache,
 * were changed while they were read (the next publish heals them); what a patch or an upload throws.
 */
export async function* publishDeltas(
  options: DeltaOptions,
  { title, cache, access }: DeltaTitle & { readonly access: PublisherAccess },
  world: OldBuildWorld,
): AsyncGenerator<MadeDelta> {
  const { channel, seq, count } = options;
  if (count === 0) return;
  await title.refresh();
  const releases = title.releases(channel);
  const target = releases.find((release) => release.seq === seq);
  if (target === undefined) return;
  const listed = new Set(title.live(channel)?.deltas.map(({ from }) => from));
  const starts = startsBelow(releases, seq, count).filter((start) => !listed.has(start.seq));
  // the tree of a large title is some 40 MB
  if (starts.length === 0) return;
  const read = await readReleaseTree(title, cache, target);
  const to = { ...read, chunks: () => chunksOf(title, cache, read) };
  for (const start of starts) {
    try {
      const delta = await publishDelta(options, start, to, { title, cache, access }, world);
      if (delta !== undefined) yield delta;
    } catch (error) {
      if (!(error instanceof Failure && error.code === "release.not-newest")) throw error;
      world.output.log("Another release went live meanwhile; no more deltas are made to this one.");
      return;
    }
  }
}

/** The channel's last releases below a number, the newest first. */
function startsBelow(releases: readonly SignedRelease[], seq: number, count: number): SignedRelease[] {
  return releases
    .filter((release) => release.seq < seq)
    .slice(-count)
    .toReversed();
}

/** Undefined when there is none: the new release has no content of its own, or the delta is none that players take. */
async function publishDelta(
  options: DeltaOptions,
  start: SignedRelease,
  to: ReleaseTree & ListedTree,
  { title, cache, access }: DeltaTitle & { readonly access: PublisherAccess },
  world: OldBuildWorld,
): Promise<MadeDelta | undefined> {
  const from = await readReleaseTree(title, cache, start);
  const note = noteOfNone(from, to);
  if ((await cache.read(note.id)) !== undefined) return undefined;
  const upload = new Upload(originOf(access), () => {});
  // two groups may share an object
  const files = new Map<ObjectId, TorrentFile>();
  const keep: DeltaWork["keep"] = async (object, of) => {
    await upload.ready();
    const id = upload.send(object);
    // like the index, the table is wanted before anything of the delta is
    if (of === "streams") return id;
    const hasher = new FileHasher(sha256, DELTA_PIECE_BYTES, sha1);
    hasher.update(object);
    files.set(id, { path: parseSafePath(id), exec: false, ...hasher.finish() });
    return id;
  };
  const chunks = { old: () => chunksOf(title, cache, from), new: to.chunks };
  const { streams, groups, costs } = await makeDelta({ from, to: to.tree, chunks }, options, keep, world);
  if (groups.length === 0) {
    await cache.write(note.id, note.text);
    return undefined;
  }
  const index = await writeIndex(from, to, { streams, groups }, world);
  if (index === undefined) {
    await upload.done();
    return undefined;
  }
  const { metainfo, infohash, infohashV2 } = makeTorrent(
    {
      name: `${title.title}-${to.release.version}-from-${start.version}`,
      pieceLength: DELTA_PIECE_BYTES,
      files: [...files.values()],
      announce: announceUrls(options.titleFile.edges, title.title),
      webSeeds: [],
    },
    sha256,
    sha1,
  );
  const bytes = index.length + storedBytes({ streams, groups });
  const torrent = { object: upload.send(metainfo), infohash, infohashV2 };
  const listed = { from: start.seq, index: upload.send(index), bytes, torrent };
  await upload.done();
  await list(access, { channel: options.channel, seq: options.seq, delta: listed });
  return { from: start.version, bytes, costs };
}

/**
 * What the cache says of releases between which no delta is of use: whoever publishes again makes none to find that
 * out.
 */
function noteOfNone(from: ReleaseTree, to: ListedTree): { readonly id: ObjectId; readonly text: Uint8Array } {
  const trees = [from, to].map(({ release }) => release.tree.sha256);
  const text = new TextEncoder().encode(
    `no delta (${toHex(DELTA_MAGIC)}) is of use between these trees: ${trees.join(" ")}\n`,
  );
  return { id: objectIdOf(text, sha256), text };
}

/** The index of a delta; undefined, and said so, when it is too long for players. */
async function writeIndex(
  from: ReleaseTree,
  to: ListedTree,
  { streams, groups }: Pick<CostedDelta, "streams" | "groups">,
  { output, signal }: OldBuildWorld,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const delta = { from: from.release.tree.sha256, to: to.release.tree.sha256, streams, groups };
  const index = indexOf(delta, await treeDelta(from, to, signal));
  if (index === undefined) {
    output.log(`The delta from ${from.release.version} has more parts than players read: it is left out.`);
  }
  return index;
}

/**
 * Without the delta of the trees when it would become too long for a player. Undefined when it is too long without it
 * too: every player would refuse it.
 */
export function indexOf(delta: ReleaseDelta, tree: Uint8Array | undefined): Uint8Array<ArrayBuffer> | undefined {
  const index = writeReleaseDelta({ ...delta, tree });
  if (index.length <= DELTA_INDEX_BYTES_MAX) return index;
  const alone = writeReleaseDelta(delta);
  return alone.length <= DELTA_INDEX_BYTES_MAX ? alone : undefined;
}

/**
 * A delta of the trees; undefined when it is not worth it, or players could not see whether what it makes is the tree.
 */
async function treeDelta(
  from: ReleaseTree,
  { tree, release }: ListedTree,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { plain, bytes } = release.tree;
  if (plain === undefined || bytes <= TREE_BYTES_WHOLE || 2 * plain.bytes > DELTA_GROUP_OLD_BYTES) return undefined;
  const [before, after] = [writeTree(from.tree), writeTree(tree)];
  if (plain.sha256 !== objectIdOf(after, sha256) || before.length > DELTA_GROUP_OLD_BYTES) return undefined;
  const source = new Uint8Array(new SharedArrayBuffer(before.length + after.length));
  source.set(before);
  source.set(after, before.length);
  const work = { source, oldBytes: before.length };
  const made = await makeGroupDelta(work, { signal, onScanned: () => {}, memory: new GroupMemory() });
  if (made.delta.length > Math.min(TREE_DELTA_BYTES_MAX, bytes / 2)) return undefined;
  return new Uint8Array((await checkGroupDelta(work, made, signal)).delta);
}

/** What the deltas of a build that is not published would take: they are made, and thrown away. */
export async function* measureDeltas(
  options: Omit<DeltaOptions, "seq">,
  to: ListedTree,
  { title, cache }: DeltaTitle,
  world: OldBuildWorld,
): AsyncGenerator<MadeDelta> {
  const { channel, count } = options;
  for (const start of startsBelow(title.releases(channel), Number.POSITIVE_INFINITY, count)) {
    const from = await readReleaseTree(title, cache, start);
    const name: DeltaWork["keep"] = (object) => Promise.resolve(objectIdOf(object, sha256));
    const chunks = { old: () => chunksOf(title, cache, from), new: to.chunks };
    const delta = await makeDelta({ from, to: to.tree, chunks }, options, name, world);
    if (delta.groups.length === 0) continue;
    const index = await writeIndex(from, to, delta, world);
    if (index === undefined) continue;
    yield { from: start.version, bytes: index.length + storedBytes(delta), costs: delta.costs };
  }
}

/** A delta whose objects somebody has taken. */
export interface CostedDelta extends Pick<ReleaseDelta, "streams" | "groups"> {
  /** Each group applied and compared. None when the new tree has no content of its own. */
  readonly costs: DeltaCosts;
}

interface DeltaEnds {
  readonly from: ReleaseTree;
  readonly to: Tree;
  readonly chunks: { readonly old: () => Chunks; readonly new: () => Chunks };
}

/** @param keep  takes an object of the delta and names it */
async function makeDelta(
  { from, to, chunks }: DeltaEnds,
  { folder, titleFile, channel }: Pick<DeltaOptions, "folder" | "titleFile" | "channel">,
  keep: DeltaWork["keep"],
  world: OldBuildWorld,
): Promise<CostedDelta> {
  const { version, seq } = from.release;
  const isWorth = worthAgainst(chunks.old, chunks.new);
  return await deltaBetween(from.tree, to, {
    openOld: async () => {
      const build = await oldBuild(titleFile, channel, { what: "release", seq }, world);
      return { fileOf: (path) => build.install.file(path), [Symbol.asyncDispose]: build[Symbol.asyncDispose] };
    },
    newFile: (path) => join(folder, path),
    keep,
    isWorth: async (deltaBytes, newBytes) => {
      const is = await isWorth(deltaBytes, newBytes);
      if (!is) world.output.log(`A delta from ${version} would save nothing over its chunks: it is left out.`);
      return is;
    },
    onScanned: (done, total) => world.output.progress({ phase: `delta from ${version}`, done, total }),
    signal: world.signal,
  });
}

/** Where a tree's files lie, for as long as it is not disposed of. */
export interface OldFiles extends AsyncDisposable {
  readonly fileOf: (path: SafePath) => string;
}

export interface DeltaWork {
  /** Makes the old files ready; gives where each lies. Not called when there is nothing to make. */
  readonly openOld: () => Promise<OldFiles>;
  readonly newFile: (path: SafePath) => string;
  /** Takes an object of the delta and names it. */
  readonly keep: (object: Uint8Array, of: "streams" | "group") => Promise<ObjectId>;
  /** New bytes scanned so far, and all of them. */
  readonly onScanned: (done: number, total: number) => void;
  /** Asked of a delta of one group, before anything of it is kept; when it is not, there is none. */
  readonly isWorth?: IsWorth;
  readonly signal: AbortSignal;
}

const NONE: CostedDelta = { streams: undefined, groups: [], costs: { bytes: 0, files: [] } };

/** The delta between two trees whose files are at hand. Throws: build.changed when a file is not what its tree says. */
export async function deltaBetween(
  from: Tree,
  to: Tree,
  { openOld, newFile, keep, onScanned, isWorth = () => Promise.resolve(true), signal }: DeltaWork,
): Promise<CostedDelta> {
  const spaces = spacesOf(from, to);
  if (spaces.fresh.bytes === 0) return NONE;
  const kept = async (object: Uint8Array, of: "streams" | "group"): Promise<DeltaObject> => {
    return { id: await keep(object, of), bytes: object.length };
  };
  await using before = await openOld();
  const sides = await readableSides(spaces, { to, oldFile: before.fileOf, newFile }, signal);
  const { old, fresh } = sides;
  const book = new CostBook(from, fresh.space);
  let streams: DeltaObject | undefined;
  let scanned = 0;
  const groups: DeltaGroup[] = [];
  const memory = new GroupMemory();
  for await (const { layout, source, oldBytes } of sources(old, fresh, signal)) {
    const work = { source, oldBytes };
    const made = await makeGroupDelta(work, {
      signal,
      memory,
      onScanned: (bytes) => onScanned((scanned += bytes), fresh.space.bytes),
    });
    // of several groups, players take those that save something
    const isAll = isOneGroup(old.space, fresh.space);
    const bytes = (sides.table?.length ?? 0) + made.delta.length;
    if (isAll && !(await isWorth(bytes, spaces.fresh.bytes))) return NONE;
    const counted = book.add(work, made.delta, signal);
    counted.catch(() => {}); // of a delta that is wrong, the check says so
    const checked = await checkGroupDelta(work, made, signal);
    await counted;
    if (sides.table !== undefined) streams ??= await kept(sides.table, "streams");
    const objects: DeltaObject[] = [];
    for (const object of cutObjects(checked)) objects.push(await kept(object, "group"));
    groups.push({ ...layout, objects });
  }
  // only now: a file that changed while it was read is found out, whenever that was; of the old ones too, which lie
  // where another publish, or anything else, may write
  await proveContents(fresh.space.contents, fresh.fileOf, signal);
  const oldSpans = groups.flatMap((group) => group.old);
  await proveContents(contentsRead(old, oldSpans), old.fileOf, signal);
  if (streams !== undefined) book.addTable(streams.bytes, fresh.streams);
  return { streams, groups, costs: book.costs };
}

interface Sides {
  readonly old: ReadableSpace;
  readonly fresh: ReadableSpace;
  /** What is unpacked of them, as the delta tells it; undefined when nothing is. */
  readonly table: Uint8Array | undefined;
}

async function readableSides(
  { old, fresh }: { readonly old: Space; readonly fresh: Space },
  {
    to,
    oldFile,
    newFile,
  }: { readonly to: Tree; readonly oldFile: (path: SafePath) => string; readonly newFile: (path: SafePath) => string },
  signal: AbortSignal,
): Promise<Sides> {
  const fileOf = { old: ({ path }: SpaceContent) => oldFile(path), fresh: ({ path }: SpaceContent) => newFile(path) };
  const worth = await streamsToUnpack(
    {
      old: { space: old, fileOf: fileOf.old },
      fresh: { space: fresh, fileOf: fileOf.fresh },
      kept: new Set(to.files.map(({ root }) => root)),
    },
    signal,
  );
  const table = await tableOf(worth, signal);
  const found = table === undefined ? { old: [], fresh: [] } : worth;
  const readable = (side: "old" | "fresh", space: Space): ReadableSpace => ({
    space: unpackedSpace(space, found[side]),
    streams: unpackedStreams(found[side]),
    fileOf: fileOf[side],
  });
  return { old: readable("old", old), fresh: readable("fresh", fresh), table };
}

/**
 * Undefined when nothing is unpacked, or the table takes more than unpacking can save: what the new streams are packed.
 */
async function tableOf(found: StreamsToUnpack, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const columns = streamColumns(found);
  const table = writeStreams(columns, await runJob("compressStream", { plain: columns }, { signal }));
  const packed = found.fresh.flatMap(({ pieces }) => pieces).reduce((sum, { bytes }) => sum + bytes, 0);
  return table.length < packed ? table : undefined;
}

/** What a player fetches besides the index. */
function storedBytes({ streams, groups }: Pick<CostedDelta, "streams" | "groups">): number {
  return objectsOf({ streams, groups }).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The bytes of each group, old ones first, in shared memory that the next one is read into. */
async function* sources(old: ReadableSpace, fresh: ReadableSpace, signal: AbortSignal) {
  let start = 0;
  const layouts = layOutGroups(old.space, fresh.space, await resemblances(old, fresh, signal));
  const oldBytesOf = (layout: GroupLayout): number => layout.old.reduce((sum, { bytes }) => sum + bytes, 0);
  const memory = new GroupMemory();
  memory.take(Math.max(...layouts.map((layout) => oldBytesOf(layout) + layout.bytes)));
  for (const layout of layouts) {
    const oldBytes = oldBytesOf(layout);
    const source = memory.take(oldBytes + layout.bytes);
    let at = 0;
    for (const { offset, bytes } of layout.old) {
      await readSpace(old, offset, source.subarray(at, at + bytes), signal);
      at += bytes;
    }
    await readSpace(fresh, start, source.subarray(oldBytes), signal);
    start += layout.bytes;
    yield { layout, source, oldBytes };
  }
}

async function list(
  { edge, title, send, signal }: PublisherAccess,
  order: { readonly channel: string; readonly seq: number; readonly delta: LiveDelta },
): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(order));
  const url = `${edge}/t/${title}/deltas`;
  const response = await send({ method: "POST", url, body, contentType: "application/json", signal });
  await response.body?.cancel();
}
