/** Which deltas lead from one release to another: one alone, or several that follow each other. Pure. */
import { DELTA_CHAIN_STEPS_MAX, DELTA_PATHS_MAX } from "../limits.ts";
import type { EarlierDelta } from "../trust/live.ts";

/** Deltas that follow each other: where one ends the next begins. At least one. */
export type Chain<Delta extends EarlierDelta = EarlierDelta> = readonly [Delta, ...Delta[]];

/**
 * At most DELTA_PATHS_MAX ways from a release to a later one, each of at most DELTA_CHAIN_STEPS_MAX deltas: the one that
 * leads straight there, if there is one, then the others, those of fewest bytes first.
 * @param from  seq of the release that is there; `to` of the one that is wanted
 */
export function deltaChains<Delta extends EarlierDelta>(
  deltas: readonly Delta[],
  from: number,
  to: number,
): Chain<Delta>[] {
  const found: Chain<Delta>[] = [];
  const follow = (at: number, behind: readonly Delta[]): void => {
    for (const delta of deltas) {
      // whoever lists them may be wrong, and must not send us in circles
      if (delta.from !== at || delta.to <= at || delta.to > to) continue;
      const chain: Chain<Delta> = [...behind, delta] as unknown as Chain<Delta>;
      if (delta.to === to) found.push(chain);
      else if (chain.length < DELTA_CHAIN_STEPS_MAX) follow(delta.to, chain);
    }
  };
  follow(from, []);
  return found
    .toSorted((a, b) => Number(b.length === 1) - Number(a.length === 1) || bytesOf(a) - bytesOf(b))
    .slice(0, DELTA_PATHS_MAX);
}

/** What the deltas of a chain say they take together. */
export function bytesOf(chain: Chain): number {
  return chain.reduce((sum, { bytes }) => sum + bytes, 0);
}
