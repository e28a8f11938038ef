/** The swarms of one title: which info hashes are answered for, and what is counted over all of them. Pure state. */
import { Failure } from "../../manifests/failures.ts";
import { OPEN_SWARMS_MAX, SCRAPE_HASHES_MAX, SWARM_PEERS_MAX } from "../../manifests/limits.ts";
import { hexOf, infoHashFromHex } from "../../manifests/wire/names.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import type { SwarmCounts } from "../../manifests/wire/scrape.ts";
import type { Moved } from "./players.ts";
import type { TrackerSnapshot } from "./snapshot.ts";
import { Census } from "./census.ts";
import { OfferBook } from "./offers.ts";
import { Swarm, isSilent } from "./swarm.ts";
import type { Announced, Peer, PeerRecord } from "./swarm.ts";

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

/** A torrent that wants its doors answered. */
interface Claim {
  readonly of: OfRelease;
  readonly doors: readonly InfoHash[];
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
  readonly #census = new Census<PeerRecord>();
  readonly #offers = new OfferBook<Peer>();
  /** Moved in swarms that are tracked no more. */
  #gone: Moved = { uploaded: 0, downloaded: 0 };
  #madeRoomAt = 0;

  /** Swarms of releases that stay keep their peers; the others are forgotten, but for the bytes that they moved. */
  configure({ open, infohashes }: TrackerSettings): void {
    const before = this.swarms;
    const claimed = new Map<InfoHash, Swarm>();
    const releases = new Map<Swarm, OfRelease>();
    for (const claim of claimsOf(infohashes)) {
      const swarm = this.#swarmOfClaim(claim, claimed);
      if (swarm === undefined) continue;
      for (const infoHash of swarm.infoHashes) claimed.set(infoHash, swarm);
      // the same torrent in another release of the same kind: the newer one names it
      if ((releases.get(swarm)?.torrent ?? claim.of.torrent) === claim.of.torrent) releases.set(swarm, claim.of);
    }
    this.#open = open;
    this.#swarms = new Map([...(open ? this.#swarms : []), ...claimed]);
    this.#releases = releases;
    const kept = new Set(this.#swarms.values());
    for (const swarm of before) {
      if (kept.has(swarm)) continue;
      this.#addGone(swarm.totals);
      swarm.dissolve();
    }
  }

  /** Throws: announce.unregistered; edge.busy when an open title has as many swarms as it may. */
  swarmFor(infoHash: InfoHash): Swarm {
    const known = this.#swarms.get(infoHash);
    if (known !== undefined) return known;
    if (!this.#open) throw new Failure("announce.unregistered", { infohash: hexOf(infoHash) });
    if (this.#swarms.size >= OPEN_SWARMS_MAX) throw new Failure("edge.busy", { swarms: this.#swarms.size });
    const swarm = new Swarm([infoHash], this.#census, this.#offers);
    this.#swarms.set(infoHash, swarm);
    return swarm;
  }

  /** Undefined for an info hash that is not tracked now. */
  find(infoHash: InfoHash): Swarm | undefined {
    return this.#swarms.get(infoHash);
  }

  /**
   * The swarm that hears an announce. A full tracker still hears those it holds, and those who leave.
   * Throws: announce.unregistered, edge.busy.
   */
  swarmToJoin(announced: Pick<Announced, "infoHash" | "peerId" | "contact" | "event">, now: number): Swarm {
    const { infoHash, peerId, contact, event } = announced;
    const known = this.#swarms.get(infoHash);
    if (known !== undefined && (event === "stopped" || known.holds(contact, peerId))) return known;
    this.#makeRoom(now);
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

  /**
   * Counts of the info hashes that are tracked; of as many as fit when none is asked for (BEP 48), newest releases
   * first.
   */
  scrape(asked: readonly InfoHash[]): ReadonlyMap<InfoHash, SwarmCounts> {
    const counts = new Map<InfoHash, SwarmCounts>();
    const wanted = asked.length > 0 ? asked : this.#newestInfoHashes();
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

  /** Bytes that players with an announce token say they moved, over all swarms that there ever were. */
  get moved(): Moved {
    return this.swarms.reduce((sum, { totals }) => plus(sum, totals), this.#gone);
  }

  snapshot(): TrackerSnapshot {
    return {
      gone: this.#gone,
      swarms: this.swarms.map(({ infoHashes, totals, peers }) => ({ infoHashes, totals, peers })),
    };
  }

  /**
   * Takes back what a snapshot and the sockets remember: peers that still count, as far as they are tracked and fit.
   */
  restore({ gone, swarms }: TrackerSnapshot, attached: readonly PeerRecord[], now: number): void {
    this.#gone = gone;
    const peers = [...swarms.flatMap((swarm) => swarm.peers), ...attached]
      .filter(({ seen }) => !isSilent(seen, now))
      // oldest first, as Swarm.expire relies on
      .toSorted((a, b) => a.seen - b.seen);
    for (const peer of peers) this.#swarmToRestore(peer.infoHashes)?.restore(peer);
    for (const { infoHashes, totals } of swarms) {
      const swarm = infoHashes[0] === undefined ? undefined : this.find(infoHashes[0]);
      if (swarm === undefined) this.#addGone(totals);
      else swarm.restoreTotals(totals);
    }
  }

  /** Forgets silent peers, and in an open title swarms without any. */
  expire(now: number): PeerRecord[] {
    const expired = this.swarms.flatMap((swarm) => swarm.expire(now));
    if (!this.#open) return expired;
    for (const swarm of this.swarms) {
      if (swarm.size > 0 || this.#releases.has(swarm)) continue;
      for (const infoHash of swarm.infoHashes) if (this.find(infoHash) === swarm) this.#swarms.delete(infoHash);
      this.#addGone(swarm.totals);
    }
    return expired;
  }

  /** Never throws, though an open title may have filled up with others' swarms: the object could not start again. */
  #swarmToRestore([first]: readonly InfoHash[]): Swarm | undefined {
    if (first === undefined) return undefined;
    const known = this.find(first);
    if (known !== undefined || !this.#open || this.#swarms.size >= OPEN_SWARMS_MAX) return known;
    return this.swarmFor(first);
  }

  /** The swarm of a torrent, with the doors that nobody claimed before; undefined when none is left. */
  #swarmOfClaim({ doors }: Claim, claimed: ReadonlyMap<InfoHash, Swarm>): Swarm | undefined {
    const [first] = doors;
    const same = first === undefined ? undefined : claimed.get(first);
    if (same?.infoHashes.join() === doors.join()) return same;
    const free = doors.filter((door) => !claimed.has(door));
    return free.length === 0 ? undefined : (this.#swarmWith(free) ?? new Swarm(free, this.#census, this.#offers));
  }

  #swarmWith(doors: readonly InfoHash[]): Swarm | undefined {
    const [first] = doors;
    const swarm = first === undefined ? undefined : this.#swarms.get(first);
    return swarm?.infoHashes.join() === doors.join() ? swarm : undefined;
  }

  #newestInfoHashes(): InfoHash[] {
    const ofReleases = [...this.#releases].toSorted(([, a], [, b]) => newestFirst(a, b));
    const infoHashes = new Set([...ofReleases.flatMap(([swarm]) => swarm.infoHashes), ...this.#swarms.keys()]);
    return [...infoHashes].slice(0, SCRAPE_HASHES_MAX);
  }

  /** Not more than once a second: it looks at every swarm, and whoever filled the tracker may go on asking. */
  #makeRoom(now: number): void {
    const isFull = this.size >= SWARM_PEERS_MAX || (this.#open && this.#swarms.size >= OPEN_SWARMS_MAX);
    if (!isFull || now === this.#madeRoomAt) return;
    this.#madeRoomAt = now;
    this.expire(now);
  }

  #addGone(moved: Moved): void {
    this.#gone = plus(this.#gone, moved);
  }
}

/** In the order in which they get their doors: an older release before a newer one, and releases before all deltas. */
function claimsOf(infohashes: readonly RegisteredTorrent[]): Claim[] {
  const oldestFirst = infohashes.toSorted((a, b) => a.seq - b.seq);
  const claim = (seq: number, torrent: OfRelease["torrent"], ...hashes: readonly string[]): Claim => {
    return { of: { seq, torrent }, doors: hashes.map(infoHashFromHex) };
  };
  const ofReleases = oldestFirst
    .filter(({ isDelta }) => isDelta !== true)
    .flatMap(({ seq, v1, v2, v1Alone }) => [
      claim(seq, "hybrid", v1, v2),
      // not one more door: who has the one torrent never meets who has the other, so neither should be told of it
      ...(v1Alone === undefined ? [] : [claim(seq, "v1", v1Alone)]),
    ]);
  const ofDeltas = oldestFirst.filter(({ isDelta }) => isDelta === true);
  return [...ofReleases, ...ofDeltas.map(({ seq, v1, v2 }) => claim(seq, "delta", v1, v2))];
}

function newestFirst(a: OfRelease, b: OfRelease): number {
  return Number(a.torrent === "delta") - Number(b.torrent === "delta") || b.seq - a.seq;
}

function plus(a: Moved, b: Moved): Moved {
  return { uploaded: a.uploaded + b.uploaded, downloaded: a.downloaded + b.downloaded };
}
