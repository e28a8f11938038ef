/**
 * The players of one swarm: clients by peer id, each counted once, however many ways it announces (HTTP over IPv4 and
 * IPv6, WebSocket). Without this every player that speaks HTTP and WebRTC would be two.
 */
import type { PeerId } from "../../manifests/wire/names.ts";
import type { Role } from "./choose.ts";

/** Content bytes that peers say they sent and received. */
export interface Moved {
  readonly uploaded: number;
  readonly downloaded: number;
}

interface Player {
  /** How many of its announcing ways are in each role. */
  readonly ways: Record<Role, number>;
  /** The most it has reported so far; undefined until it reports with a token. */
  reported: Moved | undefined;
}

const NOTHING: Moved = { uploaded: 0, downloaded: 0 };

export class Players {
  readonly #players = new Map<PeerId, Player>();
  readonly #counts: Record<Role, number> = { seed: 0, partial: 0, leech: 0 };

  /** Players in each role; one with several ways has the best of them. */
  get counts(): Readonly<Record<Role, number>> {
    return this.#counts;
  }

  /** Undefined for a player that is not here. */
  roleOf(peerId: PeerId): Role | undefined {
    const player = this.#players.get(peerId);
    return player === undefined ? undefined : bestRole(player);
  }

  add(peerId: PeerId, role: Role): void {
    const player = this.#players.get(peerId) ?? { ways: { seed: 0, partial: 0, leech: 0 }, reported: undefined };
    this.#players.set(peerId, player);
    this.#recount(player, () => {
      player.ways[role] += 1;
    });
  }

  remove(peerId: PeerId, role: Role): void {
    const player = this.#players.get(peerId);
    if (player === undefined) return;
    this.#recount(player, () => {
      player.ways[role] -= 1;
    });
    if (bestRole(player) === undefined) this.#players.delete(peerId);
  }

  /**
   * A player's totals since it started -> what is new in them. The first report only sets the mark: we may have
   * forgotten earlier ones that were counted.
   */
  report(peerId: PeerId, { uploaded, downloaded }: Moved): Moved {
    const player = this.#players.get(peerId);
    if (player === undefined) return NOTHING;
    const before = player.reported ?? { uploaded, downloaded };
    player.reported = {
      uploaded: Math.max(before.uploaded, uploaded),
      downloaded: Math.max(before.downloaded, downloaded),
    };
    return {
      uploaded: player.reported.uploaded - before.uploaded,
      downloaded: player.reported.downloaded - before.downloaded,
    };
  }

  #recount(player: Player, change: () => void): void {
    const before = bestRole(player);
    change();
    const after = bestRole(player);
    if (before !== undefined) this.#counts[before] -= 1;
    if (after !== undefined) this.#counts[after] += 1;
  }
}

function bestRole({ ways }: Player): Role | undefined {
  if (ways.seed > 0) return "seed";
  if (ways.leech > 0) return "leech";
  return ways.partial > 0 ? "partial" : undefined;
}
