/**
 * Fetches what the ledger misses, from the origin and from peers at once. The swarm helps itself through the board;
 * here are the origin's workers, the choice between the two, and the decision that nobody can help any more.
 */
import { Failure } from "../../manifests/failures.ts";
import {
  CHOICE_TICK_MS,
  CLAIM_STALE_MS,
  MISSING_NAMED_MAX,
  ORIGIN_BAD_MAX,
  ORIGIN_REQUESTS,
  ORIGIN_RETRY_MS,
  ORIGIN_SLICE_BYTES,
  ORIGIN_SLICE_BYTES_MAX,
  ORIGIN_SLICE_CHUNKS,
  ORIGIN_SLICE_MS,
  ORIGIN_SLICE_PLAIN_BYTES,
  ORIGIN_TRIES,
  PEERS_PATIENCE_MS,
  PEERS_RATE_WINDOW_MS,
} from "../../manifests/limits.ts";
import type { Membership } from "../peers/board.ts";
import { RateMeter } from "../peers/rates.ts";
import { originShouldFetch, originShouldOvertake, type SwarmSeen } from "../sources/choose.ts";
import type { Origin } from "../sources/origin.ts";
import { SlicePool } from "../sources/slices.ts";
import type { Assembly, SliceChunk } from "./assembly.ts";
import { Bell } from "./bell.ts";
import type { Ledger } from "./ledger.ts";
import type { LedgerChunk } from "./wanted-chunks.ts";

export interface FetchOptions {
  readonly ledger: Ledger;
  readonly assembly: Assembly;
  /** Undefined when `--sources` forbids it. */
  readonly origin: Origin | undefined;
  /** The origin does not rest, however fast peers are; they bring what it has not begun. */
  readonly originFirst: boolean;
  /** The swarm, once it is joined; undefined when it is forbidden or could not be joined. */
  readonly swarm: () => Membership | undefined;
  /** How many others the tracker knows of. */
  readonly expectedPeers: () => number;
  /** Whether the swarm may still be joined. */
  readonly joining: () => boolean;
  /** The origin rests while peers deliver this, bytes a second. */
  readonly fastEnough: () => number;
  readonly signal: AbortSignal;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Called a few times a second. */
  readonly onTick: () => void;
  readonly patienceMs?: number;
}

/** Throws: sources.exhausted, chunk.corrupt, install.no-space, source.interrupted. What was fetched is kept. */
export async function fetchMissing(options: FetchOptions): Promise<void> {
  await new Fetching(options).run();
}

class Fetching {
  readonly #options: FetchOptions;
  readonly #bell = new Bell();
  readonly #slices = new SlicePool();
  readonly #peerRate = new RateMeter(PEERS_RATE_WINDOW_MS);
  readonly #started: number;
  /** Ends requests that nobody needs any more. */
  readonly #halt = new AbortController();
  #peerUseful = 0;
  #connectedAt: number | undefined;
  #shareAt = 0;
  #lastProgress: number;
  /** Rounds of requests that failed one after another: those under way at once are ended by one outage. */
  #failures = 0;
  #round = 0;
  #retryAt = 0;
  /**
   * A request broke off before a slice had come whole, so all that had come was of no use; and no run has come whole
   * since.
   */
  #isFragile = false;
  #originError: Failure | undefined;
  #stopped = false;
  #error: unknown;

  constructor(options: FetchOptions) {
    this.#options = options;
    this.#started = options.now();
    this.#lastProgress = this.#started;
    this.#peerUseful = options.swarm()?.useful() ?? 0;
    options.ledger.listen({ onBuilt: () => this.#bell.ring() });
  }

  async run(): Promise<void> {
    const workers = Array.from({ length: this.#options.origin === undefined ? 0 : ORIGIN_REQUESTS }, () =>
      this.#stopOnError(() => this.#work()),
    );
    await this.#stopOnError(() => this.#watch());
    // a worker ends when the origin is gone; it is the watch that knows when everything is there, or will never be
    this.#stop();
    await Promise.all(workers);
    if (this.#error !== undefined) throw this.#error;
    if (!this.#options.ledger.done) throw this.#exhausted();
  }

  /** Whatever fails first ends all of it. */
  async #stopOnError(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#error ??= error;
      this.#stop();
    }
  }

  #stop(): void {
    this.#stopped = true;
    this.#halt.abort();
    this.#bell.ring();
  }

  get #over(): boolean {
    return this.#stopped || this.#options.ledger.done;
  }

  // --- Looking after it --------------------------------------------------------------------------------------------

  async #watch(): Promise<void> {
    const { signal, onTick } = this.#options;
    while (!this.#over) {
      if (signal.aborted) throw new Failure("source.interrupted");
      if (this.#options.assembly.landingError !== undefined) throw this.#options.assembly.landingError;
      this.#observePeers();
      this.#shareStale();
      this.#checkHope();
      onTick();
      await this.#bell.wait(CHOICE_TICK_MS);
    }
  }

  /** What the origin has claimed and does not bring, peers may bring. Looks at every chunk, so not at every tick. */
  #shareStale(): void {
    const now = this.#options.now();
    if (now < this.#shareAt) return;
    this.#shareAt = now + CLAIM_STALE_MS / 4;
    this.#options.ledger.shareStale(now - CLAIM_STALE_MS);
  }

  #observePeers(): void {
    const swarm = this.#options.swarm();
    const useful = swarm?.useful() ?? 0;
    const now = this.#options.now();
    if (useful > this.#peerUseful) this.#lastProgress = now;
    this.#peerRate.add(useful - this.#peerUseful, now);
    this.#peerUseful = useful;
  }

  /** Gives up when neither side can give anything any more. */
  #checkHope(): void {
    const { ledger, assembly, joining, swarm, now } = this.#options;
    if (assembly.isBusy || (this.#originAlive && ledger.originCanHelp)) return;
    const patience = this.#options.patienceMs ?? PEERS_PATIENCE_MS;
    const peersMayCome = joining() || swarm() !== undefined;
    if (peersMayCome && now() - this.#lastProgress < patience) return;
    const { rotten } = ledger;
    if (rotten !== undefined) {
      throw new Failure("chunk.corrupt", {
        ...{ source: "origin", edge: rotten.askedOf, pack: rotten.chunk.pack, chunk: rotten.chunk.id },
      });
    }
    throw this.#exhausted();
  }

  #exhausted(): Failure {
    const missing = this.#options.ledger.unbuilt();
    const cause = this.#originError;
    const reason = cause?.facts["reason"] ?? cause?.facts["status"];
    const facts = { files: missing.length, roots: missing.slice(0, MISSING_NAMED_MAX), origin: cause?.code, reason };
    return new Failure("sources.exhausted", facts, { cause });
  }

  get #originAlive(): boolean {
    return this.#options.origin !== undefined && this.#failures < ORIGIN_TRIES;
  }

  /** Undefined when there is no swarm and none is being joined. */
  #swarmSeen(): SwarmSeen | undefined {
    const { swarm, joining, expectedPeers } = this.#options;
    const membership = swarm();
    if (membership === undefined && !joining()) return undefined;
    const now = this.#options.now();
    const connected = membership?.peers().connected ?? 0;
    if (connected > 0) this.#connectedAt ??= now;
    const sinceConnected = now - (this.#connectedAt ?? now);
    return {
      expected: expectedPeers(),
      connected,
      bytesPerSecond: this.#peerRate.rate(now, sinceConnected),
      sinceStart: now - this.#started,
      sinceConnected,
    };
  }

  // --- The origin's workers ----------------------------------------------------------------------------------------

  async #work(): Promise<void> {
    const { now } = this.#options;
    while (!this.#over && this.#failures < ORIGIN_TRIES) {
      const run = now() < this.#retryAt ? [] : this.#claim();
      if (run.length === 0) await this.#bell.wait(CHOICE_TICK_MS);
      else await this.#fetchRun(run);
    }
  }

  #claim(): LedgerChunk[] {
    const { ledger, originFirst, fastEnough, now } = this.#options;
    const swarm = this.#swarmSeen();
    if (!originFirst && !originShouldFetch(swarm, fastEnough())) return [];
    const free = ledger.claimRun(false, now());
    if (free.length > 0 || ledger.peerClaims === 0) return free;
    return originShouldOvertake(swarm, ledger.peerClaims * ledger.map.pieceLength) ? ledger.claimRun(true, now()) : [];
  }

  /**
   * What one connection brings in ORIGIN_SLICE_MS, within bounds; on a line that breaks before that, a chunk at a time.
   */
  #sliceBytes(): number {
    if (this.#isFragile) return 0;
    const { origin, now } = this.#options;
    const bytesPerMs = (origin?.received ?? 0) / Math.max(now() - this.#started, 1);
    const wanted = (bytesPerMs / ORIGIN_REQUESTS) * ORIGIN_SLICE_MS;
    return Math.min(Math.max(wanted, ORIGIN_SLICE_BYTES), ORIGIN_SLICE_BYTES_MAX);
  }

  async #fetchRun(run: readonly LedgerChunk[]): Promise<void> {
    const { ledger, assembly, origin, now } = this.#options;
    const [first] = run;
    if (first === undefined || origin === undefined) return;
    const slices = cutSlices(run, this.#sliceBytes());
    const landing: Promise<void>[] = [];
    const begun = { round: this.#round, edge: origin.edgeFor(first.chunk.pack) };
    ledger.askedOf(begun.edge, run);
    let next = 0;
    try {
      const request = {
        object: first.chunk.pack,
        offset: first.chunk.offset,
        slices: slices.map(({ bytes }) => bytes),
        fresh: first.bad > 0,
        signal: this.#halt.signal,
      };
      for await (const stored of origin.read(request, this.#slices.take)) {
        const slice = slices[next++];
        if (slice === undefined) break;
        this.#failures = 0;
        this.#lastProgress = now();
        ledger.touch(run, this.#lastProgress);
        // the thread works while the next slice arrives, and no more than one slice waits for it
        await landing.shift();
        const landed = assembly.landSlice(stored, slice.chunks).finally(() => this.#slices.giveBack(stored));
        landed.catch(() => {}); // heard of when it is waited for, after the next slice has come
        landing.push(landed);
        if (this.#over) break;
      }
      this.#isFragile = false;
    } catch (error) {
      this.#isFragile ||= next === 0;
      this.#noteFailure(error, { ...begun, run });
    } finally {
      // what is landing counts; what never came goes back
      const unread = slices.slice(next).flatMap(({ chunks }) => chunks.map(({ chunk }) => chunk));
      await Promise.all(landing).finally(() => ledger.giveBack(unread));
      this.#bell.ring();
    }
  }

  /** @param request  what was asked, and when. Throws what is not the origin's failing. */
  #noteFailure(error: unknown, request: RunRequest): void {
    if (this.#over) return;
    if (!(error instanceof Failure) || error.family !== "unavailable") throw error;
    this.#originError = error;
    const isMissing = error.code === "object.not-found";
    if (isMissing && this.#askOthers(request)) return;
    const pack = request.run[0]?.chunk.pack;
    if (!isMissing && pack !== undefined) this.#options.origin?.forgetMissing(pack);
    if (request.round < this.#round) return;
    this.#round += 1;
    this.#failures += 1;
    this.#retryAt = this.#options.now() + ORIGIN_RETRY_MS * 2 ** (this.#failures - 1);
    this.#options.origin?.turnAwayFrom(request.edge);
  }

  /** For a pack that an edge does not have. False when none is left. */
  #askOthers({ run, edge }: RunRequest): boolean {
    const { origin, ledger } = this.#options;
    const pack = run[0]?.chunk.pack;
    if (origin === undefined || pack === undefined) return false;
    if (!origin.dropFor(pack, edge, "nothing")) {
      // bad where it was there, past the caches too, and nowhere else: nobody has it right
      ledger.condemnInFlight(run.filter(({ bad }) => bad > ORIGIN_BAD_MAX));
      return false;
    }
    origin.turnAwayFrom(edge);
    return true;
  }
}

/** A run that was asked for. */
interface RunRequest {
  /** In which round. */
  readonly round: number;
  readonly edge: string;
  readonly run: readonly LedgerChunk[];
}

/** A run of chunks in slices of about `wanted` bytes; the gaps between chunks belong to the slice they end in. */
export function cutSlices(run: readonly LedgerChunk[], wanted: number): { bytes: number; chunks: SliceChunk[] }[] {
  const slices: { bytes: number; chunks: SliceChunk[] }[] = [];
  let start = run[0]?.chunk.offset ?? 0;
  let chunks: SliceChunk[] = [];
  let plain = 0;
  for (const [index, chunk] of run.entries()) {
    chunks.push({ chunk, at: chunk.chunk.offset - start });
    plain += chunk.chunk.size;
    const end = chunk.chunk.offset + chunk.chunk.stored;
    const isFull = end - start >= wanted || plain >= ORIGIN_SLICE_PLAIN_BYTES || chunks.length >= ORIGIN_SLICE_CHUNKS;
    if (!isFull && index < run.length - 1) continue;
    slices.push({ bytes: end - start, chunks });
    start = end;
    chunks = [];
    plain = 0;
  }
  return slices;
}
