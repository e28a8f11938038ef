/** Measuring and limiting rates, in bytes a second. Pure: the time in milliseconds is passed in. */
import { RATE_BURST_S } from "../../manifests/limits.ts";

/** An exponentially weighted rate: what arrived `windowMs` ago counts a third. */
export class RateMeter {
  readonly #windowMs: number;
  #rate = 0;
  #at = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(bytes: number, now: number): void {
    this.#decay(now);
    this.#rate += (bytes * 1000) / this.#windowMs;
  }

  /**
   * Bytes a second.
   * @param since  milliseconds since bytes could first come: a meter takes its window to climb, and what it is climbing
   *   to is what counts
   */
  rate(now: number, since = Number.POSITIVE_INFINITY): number {
    this.#decay(now);
    return this.#rate / (1 - Math.exp(-Math.max(since, 1) / this.#windowMs));
  }

  #decay(now: number): void {
    const passed = now - this.#at;
    if (passed <= 0) return;
    this.#rate *= Math.exp(-passed / this.#windowMs);
    this.#at = now;
  }
}

/** What passes in each direction, of all that share these. */
export interface TransferLimits {
  readonly upload: RateLimit;
  readonly download: RateLimit;
}

/** Rates in bytes a second; null means no limit. */
export function limitsOf(
  { uploadLimit, downloadLimit }: { readonly uploadLimit: number | null; readonly downloadLimit: number | null },
  now: number,
): TransferLimits {
  return { upload: new RateLimit(uploadLimit, now), download: new RateLimit(downloadLimit, now) };
}

/**
 * A token bucket, perhaps within a larger one that others share. No limit is `null`. May go into debt by one block, so
 * that a low limit still lets blocks through.
 */
export class RateLimit {
  readonly #rate: number | null;
  readonly #within: RateLimit | undefined;
  #allowance: number;
  #at: number;

  /** @param within  what passes here has to pass there too */
  constructor(rate: number | null, now: number, within?: RateLimit) {
    this.#rate = rate;
    this.#within = within;
    this.#at = now;
    this.#allowance = this.#burst();
  }

  /** Milliseconds until something may pass; 0 means now. */
  wait(now: number): number {
    return Math.max(this.#ownWait(now), this.#within?.wait(now) ?? 0);
  }

  /** How many units of so many bytes may pass now. */
  room(unit: number, now: number): number {
    const most = this.#within?.room(unit, now) ?? Number.POSITIVE_INFINITY;
    if (this.#rate === null) return most;
    this.#refill(now);
    return Math.min(most, Math.max(0, Math.ceil(this.#allowance / unit)));
  }

  /** Counts what passes. */
  spend(bytes: number): void {
    if (this.#rate !== null) this.#allowance -= bytes;
    this.#within?.spend(bytes);
  }

  /** Gives back what was counted but did not pass: a request that was refused. */
  refund(bytes: number): void {
    if (this.#rate !== null) this.#allowance = Math.min(this.#allowance + bytes, this.#burst());
    this.#within?.refund(bytes);
  }

  #ownWait(now: number): number {
    if (this.#rate === null) return 0;
    this.#refill(now);
    if (this.#allowance > 0) return 0;
    return this.#rate === 0 ? Number.POSITIVE_INFINITY : Math.ceil((1000 * (1 - this.#allowance)) / this.#rate);
  }

  #refill(now: number): void {
    this.#allowance = Math.min(this.#allowance + ((this.#rate ?? 0) * (now - this.#at)) / 1000, this.#burst());
    this.#at = now;
  }

  #burst(): number {
    return (this.#rate ?? 0) * RATE_BURST_S;
  }
}
