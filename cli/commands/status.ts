/** `status`: whether the edge is well, what is current on each channel, who shares it, and when signatures run out. */
import { type Command } from "commander";
import * as v from "valibot";
import { Failure } from "../../manifests/failures.ts";
import { STATS_BYTES_MAX } from "../../manifests/limits.ts";
import { type UnixSeconds, parseTime, toUnixSeconds } from "../../manifests/trust/roles.ts";
import { act, verb } from "../command.ts";
import { formatBytes, formatSeconds } from "../output.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { type TrustedTitle, openTitle } from "../trust/client.ts";
import { type Fetch, fetchCapped, parseJson } from "../trust/fetch-capped.ts";
import { readTitleFile } from "../trust/title.ts";
import { table } from "./table.ts";

/** What a channel gives. */
interface ChannelStatus {
  readonly channel: string;
  /** Undefined while nothing is current. */
  readonly seq: number | undefined;
  readonly version: string | undefined;
  /** Percent of installs. */
  readonly rollout: number | undefined;
  readonly hold: boolean | undefined;
  /** Players connected to the tracker for this release, and those of them who have all of it. */
  readonly peers: number;
  readonly seeds: number;
  /** The code of the failure, when the channel's metadata is refused. */
  readonly problem: string | undefined;
}

interface RoleExpiry {
  readonly role: string;
  /** ISO 8601, UTC. */
  readonly expires: string;
  /** Negative when it is over. */
  readonly secondsLeft: number;
}

const Count = v.pipe(v.number(), v.minValue(0));
/** The edge's own figures: shown, never acted upon. */
const StatsShape = v.object({
  peers: v.optional(Count, 0),
  swarms: v.optional(
    v.array(v.object({ seq: v.optional(Count), torrent: v.optional(v.string()), complete: Count, incomplete: Count })),
    [],
  ),
  bytes: v.optional(v.object({ origin: Count, peers: Count }), { origin: 0, peers: 0 }),
});
type Stats = v.InferOutput<typeof StatsShape>;

export function statusCommand(): Command {
  const command = verb("status", "Show the health of an edge and of a title on it", [
    ["status", "of the title.json in this folder"],
    ["status --title game/title.json --json", "for a monitor"],
  ]).option("--title <file>", "the title's title.json", "title.json");
  return act(command, async ({ output, signal }, flags) => {
    const fetch = lightFetch;
    const now = new Date();
    const titleFile = await readTitleFile(String(flags["title"]));
    const title = await openTitle({ titleFile, fetch, now, signal, onLog: (text) => output.log(text) });
    const { proven, clockBehindSeconds } = await title.refresh();
    const stats = await readStats(title, fetch, signal);
    const channels = title.channels().map((channel) => channelStatus(title, channel, stats));
    const expiries = expiriesOf(title, toUnixSeconds(now.getTime()));
    const { origin, peers } = stats.bytes;
    const peerShare = peers / Math.max(origin + peers, 1);
    output.result(
      "status",
      {
        title: title.title,
        edge: { url: title.edge, healthy: true, proven, clockBehindSeconds },
        channels,
        peers: stats.peers,
        bytes: { origin, peers, peerShare },
        expiries,
      },
      [
        `${title.title} on ${title.edge}: answers${proven ? " and proves what is current" : ", but proves nothing"}`,
        table(
          ["channel", "version", "release", "rollout", "players", "seeds"],
          channels.map((channel) => rowOf(channel)),
        ),
        `Content so far: ${formatBytes(origin)} from the edge, ${formatBytes(peers)} between players (${Math.round(100 * peerShare)} %)`,
        table(
          ["role", "expires", ""],
          expiries.map(({ role, expires, secondsLeft }) => [role, expires, describeLeft(secondsLeft)]),
        ),
      ].join("\n\n"),
    );
  });
}

/** Throws: edge.unreachable, edge.busy, metadata.invalid. */
async function readStats({ edge, title }: TrustedTitle, fetch: Fetch, signal: AbortSignal): Promise<Stats> {
  const url = `${edge}/t/${title}/stats`;
  const bytes = await fetchCapped(url, { fetch, signal, bytesMax: STATS_BYTES_MAX });
  const parsed = v.safeParse(StatsShape, bytes === undefined ? undefined : parseJson(bytes));
  if (!parsed.success) throw new Failure("edge.unreachable", { url, reason: "no figures that can be read" });
  return parsed.output;
}

function channelStatus(title: TrustedTitle, channel: string, stats: Stats): ChannelStatus {
  const live = title.live(channel);
  const problem = title.problems().get(channel)?.code;
  const release = problem === undefined ? title.releases(channel).find(({ seq }) => seq === live?.seq) : undefined;
  // the hybrid torrent's: a seed is in the other one and in those of deltas too, and is one seed
  const swarm = stats.swarms.find(({ seq, torrent }) => seq !== undefined && seq === live?.seq && torrent === "hybrid");
  const seeds = swarm?.complete ?? 0;
  return {
    channel,
    seq: live?.seq,
    version: release?.version,
    rollout: live?.rollout,
    hold: live?.hold,
    peers: seeds + (swarm?.incomplete ?? 0),
    seeds,
    problem,
  };
}

function expiriesOf({ roles }: TrustedTitle, now: UnixSeconds): RoleExpiry[] {
  const { root, targets, snapshot, timestamp, live, channels } = roles;
  const named = { root, targets, snapshot, timestamp, live, ...Object.fromEntries(channels) };
  return Object.entries(named)
    .flatMap(([role, metadata]) => (metadata instanceof Failure ? [] : [{ role, expires: metadata.expires }]))
    .map(({ role, expires }) => ({ role, expires, secondsLeft: parseTime(expires) - now }))
    .toSorted((a, b) => a.secondsLeft - b.secondsLeft);
}

function rowOf({ channel, version, seq, rollout, hold, peers, seeds, problem }: ChannelStatus): string[] {
  if (problem !== undefined) return [channel, `refused: ${problem}`];
  if (seq === undefined) return [channel, "nothing yet"];
  return [channel, version ?? "?", `${seq}`, hold === true ? "on hold" : `${rollout} %`, `${peers}`, `${seeds}`];
}

const DAY_S = 86_400;
/** Above this, hours do not matter. */
const DAYS_SHOWN_FROM = 3;

function describeLeft(seconds: number): string {
  if (seconds <= 0) return "over";
  return seconds < DAYS_SHOWN_FROM * DAY_S ? `in ${formatSeconds(seconds)}` : `in ${Math.floor(seconds / DAY_S)} days`;
}
