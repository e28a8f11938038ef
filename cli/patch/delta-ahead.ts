/**
 * The delta that leads straight to the wanted release, on its way while the install is looked at and the ways are
 * weighed: that takes as long as a small delta does. A guess: when the way that is chosen goes by all of it, the
 * download goes on. Otherwise it is stopped: what came is gone on with when some of it is needed, and deleted when none
 * is.
 */
import { parseReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { DELTA_AHEAD_BYTES_MAX, DELTA_AHEAD_TORRENT_BYTES_MAX, DELTA_INDEX_BYTES_MAX } from "../../manifests/limits.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import type { WayStep } from "../../manifests/ways.ts";
import { DeltaDownload, type DownloadWorld } from "./delta-download.ts";
import { dropDelta } from "./kept-deltas.ts";
import { unlessAborted } from "./unless-aborted.ts";

export type AheadWorld = Omit<DownloadWorld, "onProgress">;

export class DeltaAhead {
  readonly #delta: LiveDelta;
  readonly #world: AheadWorld;
  readonly #halt = new AbortController();
  /** Undefined when it did not come to a download. */
  readonly #begun: Promise<DeltaDownload | undefined>;
  /** Taken, or ended. */
  #isOver = false;
  #isTaken = false;
  #arrived = 0;
  #onProgress: (bytes: number) => void = () => {};

  constructor(delta: LiveDelta, world: AheadWorld) {
    this.#delta = delta;
    this.#world = world;
    // whatever stands in the way will be met again, and told, when the delta is really wanted
    this.#begun = this.#begin().catch(() => undefined);
  }

  /**
   * The download, whatever became of it, when one of the steps takes all of the delta; otherwise it is over. Given
   * once.
   * @param onProgress  is given the bytes that arrived up to now, and those that arrive from now on
   */
  async takenBy(
    steps: readonly WayStep[],
    onProgress: (bytes: number) => void,
  ): Promise<{ readonly step: WayStep; readonly download: DeltaDownload } | undefined> {
    const step = steps.find(({ delta, chosen, groups }) => {
      return delta.index === this.#delta.index && chosen.length === groups.length;
    });
    const download = step === undefined || this.#isOver ? undefined : await this.#begun;
    if (step === undefined || download === undefined) {
      await this.end();
      return undefined;
    }
    this.#isOver = true;
    this.#isTaken = true;
    onProgress(this.#arrived);
    this.#onProgress = onProgress;
    return { step, download };
  }

  /** Stops it, and waits until it has stopped. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#halt.abort();
    await (await this.#begun)?.run();
  }

  /** Stops it and deletes what came. One that was taken is another's by now, who keeps it for peers. */
  async drop(): Promise<void> {
    if (this.#isTaken) return;
    await this.end();
    await dropDelta(this.#world.install, this.#delta.torrent.object);
  }

  async #begin(): Promise<DeltaDownload | undefined> {
    const { readObject, signal } = this.#world;
    const halt = this.#halt.signal;
    // the next thing to be read, when the main thread may have no time to ask for it
    readObject(this.#delta.torrent.object, DELTA_AHEAD_TORRENT_BYTES_MAX).catch(() => {});
    const { groups } = parseReleaseDelta(
      await unlessAborted(halt, readObject(this.#delta.index, DELTA_INDEX_BYTES_MAX)),
    );
    const bytes = groups.flatMap(({ objects }) => objects).reduce((sum, object) => sum + object.bytes, 0);
    // the edge's word for its length was a hint
    if (bytes > DELTA_AHEAD_BYTES_MAX) return undefined;
    const download = new DeltaDownload(
      { delta: this.#delta, groups, chosen: [...groups.keys()] },
      {
        ...this.#world,
        signal: AbortSignal.any([signal, halt]),
        onProgress: (some) => {
          this.#arrived += some;
          this.#onProgress(some);
        },
      },
    );
    void download.run();
    return download;
  }
}
