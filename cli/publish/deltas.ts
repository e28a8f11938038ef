/**
 * Deltas to a release that is live already: from each of the channel's last releases, the newest first. Each is made,
 * applied and compared, sent, and then listed; players take it from then on. A release that goes live meanwhile makes the
 * rest pointless, and ends them.
 */
import { join } from "node:path";
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import {
  type DeltaGroup,
  type Space,
  layOutGroups,
  spacesOf,
  writeReleaseDelta,
} from "../../manifests/delta/release-delta.ts";
import { Failure } from "../../manifests/failures.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { SignedRelease } from "../../manifests/trust/roles.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import { sha256 } from "../threads/digests.ts";
import type { TrustedTitle } from "../trust/client.ts";
import type { Announcer } from "./announcer.ts";
import type { ObjectCache } from "./cache.ts";
import { makeGroupDelta } from "./group-delta.ts";
import { readReleaseTree, type ReleaseTree } from "./known-content.ts";
import { oldBuild, type OldBuildWorld } from "./old-build.ts";
import { SpaceProver, readSpace } from "./space-reader.ts";
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
  readonly sent: number;
}

/** Throws: build.changed when the folder is not what was published any more; what a patch or an upload throws. */
export async function publishDeltas(
  options: DeltaOptions,
  {
    title,
    cache,
    announcer,
  }: { readonly title: TrustedTitle; readonly cache: ObjectCache; readonly announcer: Announcer },
  world: OldBuildWorld,
): Promise<MadeDelta[]> {
  const { channel, seq, count } = options;
  if (count === 0) return [];
  await title.refresh();
  const releases = title.releases(channel);
  const target = releases.find((release) => release.seq === seq);
  if (target === undefined) return [];
  const listed = new Set(title.live(channel)?.deltas.map(({ from }) => from));
  const starts = releases
    .filter((release) => release.seq < seq)
    .slice(-count)
    .toReversed();
  const to = await readReleaseTree(title, cache, target);
  const made: MadeDelta[] = [];
  for (const start of starts) {
    if (listed.has(start.seq)) continue;
    try {
      const delta = await publishDelta(options, start, to, { title, cache, announcer }, world);
      if (delta !== undefined) made.push(delta);
    } catch (error) {
      if (!(error instanceof Failure && error.code === "release.not-newest")) throw error;
      world.output.log("Another release went live meanwhile; no more deltas are made to this one.");
      break;
    }
  }
  return made;
}

/** Undefined when there is nothing to make: the new release has no content that the old one does not have. */
async function publishDelta(
  { folder, titleFile, channel, seq }: DeltaOptions,
  start: SignedRelease,
  to: ReleaseTree,
  {
    title,
    cache,
    announcer,
  }: { readonly title: TrustedTitle; readonly cache: ObjectCache; readonly announcer: Announcer },
  world: OldBuildWorld,
): Promise<MadeDelta | undefined> {
  const from = await readReleaseTree(title, cache, start);
  const { old, fresh } = spacesOf(from.tree, to.tree);
  if (fresh.bytes === 0) return undefined;
  const install = await oldBuild(titleFile, channel, start.version, world);
  const upload = new Upload(originOf(announcer), () => {});
  let scanned = 0;
  const onScanned = (bytes: number): void => {
    scanned += bytes;
    world.output.progress({ phase: `delta from ${start.version}`, done: scanned, total: fresh.bytes });
  };
  const groups: DeltaGroup[] = [];
  for (const { layout, source, oldBytes } of sources(old, fresh, {
    pieceLength: to.release.torrent.pieceLength,
    oldFile: (path) => install.file(path),
    newFile: (path) => join(folder, path),
  })) {
    const objects = await makeGroupDelta({ source, oldBytes }, { signal: world.signal, onScanned });
    groups.push({ ...layout, objects: objects.map((object) => ({ id: upload.send(object), bytes: object.length })) });
    await upload.ready();
  }
  const index = writeReleaseDelta({ from: from.release.tree.sha256, to: to.release.tree.sha256, groups });
  const bytes = groups.flatMap(({ objects }) => objects).reduce((sum, object) => sum + object.bytes, index.length);
  upload.send(index);
  await upload.done();
  await list(announcer, { channel, seq, from: start.seq, index: objectIdOf(index, sha256), bytes });
  return { from: start.version, bytes, sent: upload.bytes.sent };
}

/** The bytes of each group, old ones first, in shared memory. The new ones are proven as they are read. */
function* sources(
  old: Space,
  fresh: Space,
  files: {
    readonly pieceLength: number;
    readonly oldFile: (path: SafePath) => string;
    readonly newFile: (path: SafePath) => string;
  },
) {
  const prover = new SpaceProver(fresh, files.pieceLength);
  let start = 0;
  for (const layout of layOutGroups(old, fresh)) {
    const oldBytes = layout.old.reduce((sum, { bytes }) => sum + bytes, 0);
    const source = new Uint8Array(new SharedArrayBuffer(oldBytes + layout.bytes));
    let at = 0;
    for (const { offset, bytes } of layout.old) {
      readSpace(old, offset, source.subarray(at, at + bytes), files.oldFile);
      at += bytes;
    }
    const added = source.subarray(oldBytes);
    readSpace(fresh, start, added, files.newFile);
    prover.take(added);
    start += layout.bytes;
    yield { layout, source, oldBytes };
  }
}

async function list(
  { edge, title, send, signal }: Announcer,
  order: {
    readonly channel: string;
    readonly seq: number;
    readonly from: number;
    readonly index: ObjectId;
    readonly bytes: number;
  },
): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(order));
  const url = `${edge}/t/${title}/deltas`;
  const response = await send({ method: "POST", url, body, contentType: "application/json", signal });
  await response.body?.cancel();
}
