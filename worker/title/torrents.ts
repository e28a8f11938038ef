/** The torrents that a title's tracker answers for, and whose info hash is whose. */
import { listedDeltas } from "../../manifests/trust/live.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import { TRACKED_RELEASES_MAX } from "../../manifests/limits.ts";
import type { RegisteredTorrent } from "../swarm/tracker.ts";
import type { TitleStore } from "./store.ts";

/**
 * What the tracker answers for: the newest releases, for players of old ones still seed; those that a channel gives,
 * however old they are; and every delta that is listed.
 */
export function trackedTorrents(store: TitleStore): RegisteredTorrent[] {
  const given = new Set(Object.values(store.liveChannels()).flatMap(({ seq, previous }) => [seq, previous]));
  const releases = torrentsOfReleases(store).filter(({ seq }, newer) => newer < TRACKED_RELEASES_MAX || given.has(seq));
  return [...releases, ...torrentsOfDeltas(store)];
}

/** Of every release that was ever published, newest first. */
export function torrentsOfReleases(store: TitleStore): RegisteredTorrent[] {
  return store
    .releases()
    .flatMap(({ seq, infohash: v1, infohashV2: v2, v1: alone }) =>
      v2 === undefined ? [] : [{ seq, v1, v2, ...(alone === undefined ? {} : { v1Alone: alone.infohash }) }],
    );
}

/** Of every delta that `live` lists. */
export function torrentsOfDeltas(store: TitleStore): RegisteredTorrent[] {
  return Object.values(store.liveChannels()).flatMap((live) =>
    listedDeltas(live).map(({ to, torrent }) => {
      return { seq: to, v1: torrent.infohash, v2: torrent.infohashV2, isDelta: true };
    }),
  );
}

/**
 * A torrent among `held` with an info hash of this one, which it cannot have unless one of them is made up: hashes that
 * belong together come together. It would draw the other's players to itself.
 */
export function clashOf(
  torrent: Omit<RegisteredTorrent, "seq">,
  held: readonly RegisteredTorrent[],
): RegisteredTorrent | undefined {
  const own = swarmsOf(torrent);
  return held.find((other) =>
    swarmsOf(other).some((theirs) =>
      own.some((ours) => ours.join() !== theirs.join() && ours.some((infoHash) => theirs.includes(infoHash))),
    ),
  );
}

/** The info hashes of each of its swarms. */
function swarmsOf({ v1, v2, v1Alone }: Omit<RegisteredTorrent, "seq">): string[][] {
  const hybrid = [v1, v2].map(infoHashFromHex);
  return v1Alone === undefined ? [hybrid] : [hybrid, [infoHashFromHex(v1Alone)]];
}
