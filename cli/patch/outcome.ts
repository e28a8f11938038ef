/** What a patch tells of itself when it is done, or would have been. */
import type { Plan } from "../../manifests/plan.ts";
import type { Ways } from "../../manifests/ways.ts";
import type { TrustedTitle } from "../trust/client.ts";
import type { KeptAside } from "./aside.ts";
import type { InstallState } from "./state.ts";
import type { Target } from "./target.ts";

export interface PatchOutcome extends Pick<Target, "channel" | "because"> {
  readonly title: string;
  /** The version that was there before; null for a first install. */
  readonly from: string | null;
  readonly to: string;
  readonly plan: Plan;
  /** In which the contents to build could come, the lightest first. */
  readonly ways: Ways;
  /** Bytes that crossed the wire. */
  readonly metadata: number;
  readonly fetched: { readonly origin: number; readonly peers: number };
  /** What was the player's and in the way -> where it is kept now. */
  readonly keptAside: Readonly<KeptAside>;
}

/** Who counted bytes on the way. */
interface Counters {
  readonly title: Pick<TrustedTitle, "title" | "bytesFetched">;
  readonly edge: { readonly received: number };
  /** Undefined when it is forbidden. */
  readonly origin: { readonly received: number } | undefined;
  readonly peers: { readonly downloaded: number };
}

/** The outcome as of now, with nothing kept aside. @param installed  what was there before */
export function outcomeOf(
  planned: Plan,
  ways: Ways,
  { release, channel, because }: Target,
  installed: InstallState | undefined,
  { title, edge, origin, peers }: Counters,
): PatchOutcome {
  return {
    title: title.title,
    channel,
    because,
    to: release.version,
    plan: planned,
    ways,
    from: installed?.release.version ?? null,
    metadata: title.bytesFetched + edge.received,
    fetched: { origin: origin?.received ?? 0, peers: peers.downloaded },
    keptAside: [],
  };
}
