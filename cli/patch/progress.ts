/** What people are told while a patch runs: phase, how much of it is done, speed, time left, bytes by source. */
import { SHOWN_RATE_AFTER_MS, SHOWN_RATE_WINDOW_MS } from "../../manifests/limits.ts";
import type { Plan } from "../../manifests/plan.ts";
import type { Output } from "../output.ts";
import { RateMeter } from "../peers/rates.ts";

/** Plain content bytes that are there, by where they came from. */
export interface Arrived {
  /** From the install, holes and copies included. */
  readonly reused: number;
  readonly origin: number;
  readonly peers: number;
  /** From an earlier run that was cut short, whatever it took them from. */
  readonly earlier: number;
}

export class PatchProgress {
  readonly #output: Pick<Output, "progress">;
  readonly #now: () => number;
  #speed = new RateMeter(SHOWN_RATE_WINDOW_MS);
  #arrived = 0;
  /** When counting began. */
  #began: number | undefined;

  constructor(output: Pick<Output, "progress">, now: () => number) {
    this.#output = output;
    this.#now = now;
  }

  checking(done: number, total: number): void {
    this.#output.progress({ phase: "checking", done, total });
  }

  staging({ cost }: Plan, { reused, origin, peers, earlier }: Arrived): void {
    const fetched = origin + peers;
    const bytesPerSecond = this.#speedAt(fetched);
    const left = cost.fetch.plain - fetched - earlier;
    // a chunk that repeats is there at once for the plan, and once more where an earlier run or a delta brought its
    // piece; and what was fetched counts again when it was wrong
    const here = Math.max(0, Math.min(reused + earlier, cost.total - cost.kept - fetched));
    this.#output.progress({
      phase: cost.fetch.plain > 0 ? "downloading" : "assembling",
      done: Math.min(cost.total, cost.kept + here + fetched),
      total: cost.total,
      bytesPerSecond,
      ...(bytesPerSecond > 0 && left > 0 ? { secondsLeft: left / bytesPerSecond } : {}),
      sources: { kept: cost.kept, reused: here, peers, origin },
    });
  }

  /** @param fetched  bytes of the delta */
  delta(fetched: number, total: number): void {
    const bytesPerSecond = this.#speedAt(fetched);
    const secondsLeft = bytesPerSecond > 0 ? { secondsLeft: (total - fetched) / bytesPerSecond } : {};
    this.#output.progress({ phase: "downloading the delta", done: fetched, total, bytesPerSecond, ...secondsLeft });
  }

  /** @param done  bytes of packed content that were put together again */
  applying(done: number, total: number): void {
    this.#output.progress({ phase: "applying the delta", done, total });
  }

  /** Counting begins anew: what follows is counted in other bytes. */
  afterDelta(): void {
    this.#arrived = 0;
    this.#began = undefined;
    this.#speed = new RateMeter(SHOWN_RATE_WINDOW_MS);
  }

  committing({ cost }: Plan): void {
    this.#output.progress({ phase: "committing", done: cost.total, total: cost.total });
  }

  /** Bytes a second, once so many have come in all. */
  #speedAt(fetched: number): number {
    const now = this.#now();
    // what came before anybody was told came over a time that is not known
    if (this.#began !== undefined) this.#speed.add(fetched - this.#arrived, now);
    this.#began ??= now;
    this.#arrived = fetched;
    const since = now - this.#began;
    // pieces that come together say nothing of how fast they come
    return since < SHOWN_RATE_AFTER_MS ? 0 : this.#speed.rate(now, since);
  }
}
