/** The swarms of one title: which info hashes are answered for, and what is counted over all of them. Pure state. */
import { Failure } from "../../manifests/failures.ts";
import { OPEN_SWARMS_MAX, SCRAPE_HASHES_MAX, SWARM_PEERS_MAX } from "../../manifests/limits.ts";
import { hexOf, infoHashFromHex } from "../../manifests/wire/names.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import type { SwarmCounts } from "../../manifests/wire/scrape.ts";
import type { Moved } from "./players.ts";
import type { SwarmSnapshot } from "./snapshot.ts";
import { Swarm } from "./swarm.ts";
import type { Census, PeerRecord } from "./swarm.ts";

/** One release's torrents, as the title knows them. */
export interface RegisteredTorrent {
  readonly seq: number;
  /** BEP 3 info hash, 40 hex digits. */
  readonly v1: string;
  /** BEP 52 info hash, 64 hex digits. */
  readonly v2: string;
  /** Info hash of the torrent for clients that read no hybrid one, 40 hex digits. */
  readonly v1Alone?: string;
  /** A delta to the release, not the release. */
  readonly isDelta?: boolean;
}

export interface TrackerSettings {
  readonly title: string;
  /** Answers for any info hash, not only those of the title's releases. */
  readonly open: boolean;
  readonly infohashes: readonly RegisteredTorrent[];
}

/** What a swarm is to the title. */
interface OfRelease {
  readonly seq: number;
  /** Which of the release's torrents. */
  readonly torrent: "hybrid" | "v1" | "delta";
}

/** Not of a release: a swarm of an open title. */
export interface SwarmStats extends SwarmCounts, Partial<OfRelease> {
  /** The first info hash of the swarm, hex. */
  readonly infohash: string;
}

export class Tracker {
  #open = false;
  #swarms = new Map<InfoHash, Swarm>();
  #releases = new Map<Swarm, OfRelease>();
  readonly #census: Census = { peers: 0 };

  /** Swarms of releases that stay keep their peers; the others are forgotten. */
  configure({ open, infohashes }: TrackerSettings): void {
    const swarms = new Map<InfoHash, Swarm>(open ? this.#swarms : []);
    const releases = new Map<Swarm, OfRelease>();
    const register = (release: OfRelease, ...hashes: readonly string[]): void => {
      const doors = hashes.map(infoHashFromHex);
      const swarm = this.#swarmWith(doors) ?? new Swarm(doors, this.#census);
      for (const infoHash of doors) swarms.set(infoHash, swarm);
      releases.set(swarm, release);
    };
    for (const { seq, v1, v2, v1Alone, isDelta } of infohashes) {
      register({ seq, torrent: isDelta === true ? "delta" : "hybrid" }, v1, v2);
      // not one more door: who has the one torrent never meets who has the other, so neither should be told of it
      if (v1Alone !== undefined) register({ seq, torrent: "v1" }, v1Alone);
    }
    this.#open = open;
    this.#swarms = swarms;
    this.#releases = releases;
    this.#census.peers = this.swarms.reduce((sum, swarm) => sum + swarm.size, 0);
  }

  /** Throws: announce.unregistered; edge.busy when an open title has as many swarms as it may. */
  swarmFor(infoHash: InfoHash): Swarm {
    const known = this.#swarms.get(infoHash);
    if (known !== undefined) return known;
    if (!this.#open) throw new Failure("announce.unregistered", { infohash: hexOf(infoHash) });
    if (this.#swarms.size >= OPEN_SWARMS_MAX) throw new Failure("edge.busy", { swarms: this.#swarms.size });
    const swarm = new Swarm([infoHash], this.#census);
    this.#swarms.set(infoHash, swarm);
    return swarm;
  }

  /** Undefined for an info hash that is not tracked now. */
  find(infoHash: InfoHash): Swarm | undefined {
    return this.#swarms.get(infoHash);
  }

  /** Where a peer that announces may enter. Throws: announce.unregistered, edge.busy. */
  swarmToJoin(infoHash: InfoHash): Swarm {
    const swarm = this.swarmFor(infoHash);
    if (this.size >= SWARM_PEERS_MAX) throw new Failure("edge.busy", { peers: this.size });
    return swarm;
  }

  /** Peers of all swarms. */
  get size(): number {
    return this.#census.peers;
  }

  /** Each swarm once. */
  get swarms(): Swarm[] {
    return [...new Set(this.#swarms.values())];
  }

  /** Counts of the info hashes that are tracked; of all of them when none is asked for (BEP 48). */
  scrape(asked: readonly InfoHash[]): ReadonlyMap<InfoHash, SwarmCounts> {
    const counts = new Map<InfoHash, SwarmCounts>();
    const wanted = asked.length > 0 ? asked : [...this.#swarms.keys()].slice(-SCRAPE_HASHES_MAX);
    for (const infoHash of wanted) {
      const swarm = this.#swarms.get(infoHash);
      if (swarm !== undefined) counts.set(infoHash, swarm.counts);
    }
    return counts;
  }

  stats(): SwarmStats[] {
    return this.swarms.map((swarm) => {
      const [infoHash] = swarm.infoHashes;
      const infohash = infoHash === undefined ? "" : hexOf(infoHash);
      return { ...this.#releases.get(swarm), infohash, ...swarm.counts };
    });
  }

  /** Bytes that players with an announce token say they moved, over all swarms. */
  get moved(): Moved {
    return this.swarms.reduce(
      (sum, { totals }) => ({
        uploaded: sum.uploaded + totals.uploaded,
        downloaded: sum.downloaded + totals.downloaded,
      }),
      { uploaded: 0, downloaded: 0 },
    );
  }

  snapshot(): SwarmSnapshot[] {
    return this.swarms.map(({ infoHashes, totals, peers }) => ({ infoHashes, totals, peers }));
  }

  /** Takes back what a snapshot and the sockets remember, as far as it is still tracked. */
  restore(snapshots: readonly SwarmSnapshot[], attached: readonly PeerRecord[]): void {
    for (const { infoHashes, totals } of snapshots) this.#swarmToRestore(infoHashes)?.restoreTotals(totals);
    // oldest first, as Swarm.expire relies on
    const peers = [...snapshots.flatMap(({ peers }) => peers), ...attached].toSorted((a, b) => a.seen - b.seen);
    for (const peer of peers) this.#swarmToRestore(peer.infoHashes)?.restore(peer);
  }

  /** Forgets silent peers, and in an open title swarms without any. */
  expire(now: number): PeerRecord[] {
    const expired = this.swarms.flatMap((swarm) => swarm.expire(now));
    for (const [infoHash, swarm] of this.#swarms) {
      if (this.#open && swarm.size === 0 && !this.#releases.has(swarm)) this.#swarms.delete(infoHash);
    }
    return expired;
  }

  #swarmToRestore([first]: readonly InfoHash[]): Swarm | undefined {
    if (first === undefined) return undefined;
    return this.#open ? this.swarmFor(first) : this.find(first);
  }

  #swarmWith(doors: readonly InfoHash[]): Swarm | undefined {
    const [first] = doors;
    const swarm = first === undefined ? undefined : this.#swarms.get(first);
    return swarm?.infoHashes.join() === doors.join() ? swarm : undefined;
  }
}
