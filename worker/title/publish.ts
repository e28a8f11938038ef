/** Making a signed release the current one of its channel. */
import { Failure } from "../../manifests/failures.ts";
import { type LiveChannel, type LiveDelta, afterPublish, afterDelta } from "../../manifests/trust/live.ts";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import { verifyRelease } from "../../manifests/trust/verify.ts";
import { sha256 } from "../crypto.ts";
import { objectKey } from "../origin/keys.ts";
import { hasObject } from "../origin/objects.ts";
import { type ReleaseRow, type TitleStore } from "./store.ts";

export interface PublishOrder {
  readonly channel: string;
  readonly seq: number;
  /** Percent of players that get it. */
  readonly rollout: number;
}

/**
 * Order matters: signed by the publisher, above what is live, its metadata there; only then current. Publishing what is live
 * already changes its rollout.
 * Throws: release.not-found, release.not-newest, object.not-found, object.mismatch, metadata.invalid.
 */
export async function makeLive(
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
  const live = before?.seq === seq ? { ...before, rollout } : afterPublish(before, seq, rollout);
  store.transaction(() => {
    store.setPublished(seq, infohashV2, now);
    store.setLive(channel, live);
  });
  return live;
}

export interface DeltaOrder {
  readonly channel: string;
  /** The release it leads to. */
  readonly seq: number;
  readonly delta: LiveDelta;
}

/**
 * Lists a delta to what is live. Repeatable.
 * Throws: release.not-found when its start is no older release of the channel; release.not-newest when something else is
 * live by now; object.not-found.
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
  const document = verifyRelease(new Uint8Array(await object.arrayBuffer()), title, release, sha256);
  const { tree, torrent } = document;
  for (const [kind, id] of Object.entries({ tree: tree.sha256, torrent: torrent.sha256, v1: torrent.v1?.sha256 })) {
    if (id === undefined || (await hasObject(bucket, title, id))) continue;
    throw new Failure("object.not-found", { kind, found: id });
  }
  return document.torrent.infohashV2;
}
