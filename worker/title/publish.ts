/** Making a signed release the current one of its channel. */
import { Failure } from "../../manifests/failures.ts";
import { RELEASE_BYTES_MAX } from "../../manifests/limits.ts";
import { type LiveChannel, type LiveDelta, afterPublish, afterDelta } from "../../manifests/trust/live.ts";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import { verifyRelease } from "../../manifests/trust/verify.ts";
import { sha256 } from "../crypto.ts";
import { objectKey } from "../origin/keys.ts";
import { hasObject } from "../origin/objects.ts";
import { type ReleaseRow, type TitleStore } from "./store.ts";
import { clashOf, torrentsOfDeltas, torrentsOfReleases } from "./torrents.ts";

export interface PublishOrder {
  readonly channel: string;
  readonly seq: number;
  /** Percent of players that get it. */
  readonly rollout: number;
}

/**
 * Order matters: signed by the publisher, above what is live, its metadata there; only then current. Publishing what is
 * live already changes its rollout.
 * Throws: release.not-found, release.not-newest, object.not-found, object.too-large, object.mismatch, metadata.invalid.
 */
export async function makeCurrent(
  title: string,
  { channel, seq, rollout }: PublishOrder,
  store: TitleStore,
  bucket: R2Bucket,
  now: UnixSeconds,
): Promise<LiveChannel> {
  const release = store.release(seq);
  if (release === undefined || !release.listed || release.channel !== channel) {
    throw new Failure("release.not-found", { found: `${channel}/${seq}`, reason: "not in the channel's signed role" });
  }
  const before = store.liveChannels()[channel];
  if (before !== undefined && before.seq > seq) {
    throw new Failure("release.not-newest", { found: seq, expected: `above ${before.seq}` });
  }
  const infohashV2 = await checkComplete(title, release, bucket);
  if (release.published === undefined) checkNoClash(release, infohashV2, store);
  const next = before?.seq === seq ? { ...before, rollout } : afterPublish(before, seq, rollout);
  // while everyone got what is live, the role may have dropped what was before
  const live = next.previous !== null && isListed(store, next.previous) ? next : { ...next, previous: null };
  store.transaction(() => {
    store.setPublished(seq, infohashV2, now);
    store.setLive(channel, live);
  });
  return live;
}

function isListed(store: TitleStore, seq: number): boolean {
  return store.release(seq)?.listed === true;
}

/**
 * Only releases count: a delta of another channel must not keep a release from its players. Throws: metadata.invalid.
 */
function checkNoClash({ channel, infohash, v1 }: ReleaseRow, infohashV2: string, store: TitleStore): void {
  const torrent = { v1: infohash, v2: infohashV2, ...(v1 === undefined ? {} : { v1Alone: v1.infohash }) };
  const clash = clashOf(torrent, torrentsOfReleases(store));
  if (clash === undefined) return;
  throw new Failure("metadata.invalid", { role: channel, reason: `has an info hash of release ${clash.seq}` });
}

export interface DeltaOrder {
  readonly channel: string;
  /** The release it leads to. */
  readonly seq: number;
  readonly delta: LiveDelta;
}

/**
 * Lists a delta to what is live. Repeatable.
 * Throws: release.not-found when its start is no older release of the channel; release.not-newest when something else
 * is live by now; object.not-found; request.malformed when it has an info hash of another torrent.
 */
export async function listDelta(
  title: string,
  { channel, seq, delta }: DeltaOrder,
  store: TitleStore,
  bucket: R2Bucket,
): Promise<LiveChannel> {
  const live = store.liveChannels()[channel];
  if (live?.seq !== seq) throw new Failure("release.not-newest", { found: seq, expected: live?.seq ?? "nothing" });
  const from = store.release(delta.from);
  if (from?.channel !== channel || from.seq >= seq) {
    throw new Failure("release.not-found", {
      found: `${channel}/${delta.from}`,
      reason: "a delta starts from an older one",
    });
  }
  for (const [kind, id] of Object.entries({ "delta index": delta.index, "delta torrent": delta.torrent.object })) {
    if (!(await hasObject(bucket, title, id))) throw new Failure("object.not-found", { kind, found: id });
  }
  const torrent = { v1: delta.torrent.infohash, v2: delta.torrent.infohashV2 };
  const clash = clashOf(torrent, [...torrentsOfReleases(store), ...torrentsOfDeltas(store)]);
  if (clash !== undefined) {
    const reason = `an info hash of ${clash.isDelta === true ? "another delta to" : "release"} ${clash.seq}`;
    throw new Failure("request.malformed", { field: "delta.torrent", reason });
  }
  const next = afterDelta(live, delta);
  store.setLive(channel, next);
  return next;
}

/**
 * Nothing becomes current before the origin has its document, tree and torrents. Packs and recipes are not looked at:
 * they may be thousands, and it is the publisher who sends them before it signs. Gives the v2 info hash.
 */
async function checkComplete(title: string, release: ReleaseRow, bucket: R2Bucket): Promise<string> {
  const object = await bucket.get(objectKey(title, release.document.sha256));
  if (object === null) throw new Failure("object.not-found", { kind: "release", found: release.document.sha256 });
  if (object.size > RELEASE_BYTES_MAX) {
    await object.body.cancel();
    throw new Failure("object.too-large", { kind: "release", found: object.size, expected: RELEASE_BYTES_MAX });
  }
  const document = verifyRelease(new Uint8Array(await object.arrayBuffer()), title, release, sha256);
  const { tree, torrent } = document;
  for (const [kind, id] of Object.entries({ tree: tree.sha256, torrent: torrent.sha256, v1: torrent.v1?.sha256 })) {
    if (id === undefined || (await hasObject(bucket, title, id))) continue;
    throw new Failure("object.not-found", { kind, found: id });
  }
  return document.torrent.infohashV2;
}
