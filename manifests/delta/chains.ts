/** Which deltas lead from one release to another: one alone, or several that follow each other. Pure. */
import { DELTA_CHAIN_STEPS_MAX, DELTA_PATHS_MAX } from "../limits.ts";
import type { EarlierDelta } from "../trust/live.ts";

/** Deltas that follow each other: where one ends the next begins. At least one. */
export type Chain<Delta extends EarlierDelta = EarlierDelta> = readonly [Delta, ...Delta[]];

/**
 * At most DELTA_PATHS_MAX ways from a release to a later one, each of at most DELTA_CHAIN_STEPS_MAX deltas: the one
 * that leads straight there, if there is one, then the others, those of fewest bytes first.
 * @param from  seq of the release that is there; `to` of the one that is wanted
 */
export function deltaChains<Delta extends EarlierDelta>(
  deltas: readonly Delta[],
  from: number,
  to: number,
): Chain<Delta>[] {
  const found: (readonly Delta[])[] = [];
  // of each number of steps the best ways to each release: no better way begins with another
  let ways = new Map<number, readonly (readonly Delta[])[]>([[from, [[]]]]);
  for (let steps = 0; steps < DELTA_CHAIN_STEPS_MAX; steps++) {
    const longer = new Map<number, readonly (readonly Delta[])[]>();
    for (const delta of deltas) {
      const behind = ways.get(delta.from);
      // whoever lists them may be wrong, and must not send us in circles
      if (behind === undefined || delta.to <= delta.from || delta.to > to) continue;
      const here = behind.map((chain) => [...chain, delta]);
      longer.set(delta.to, best([...(longer.get(delta.to) ?? []), ...here]));
    }
    found.push(...(longer.get(to) ?? []));
    ways = longer;
  }
  return best(found) as unknown as Chain<Delta>[];
}

function best<Delta extends EarlierDelta>(chains: readonly (readonly Delta[])[]): (readonly Delta[])[] {
  return chains
    .toSorted((a, b) => Number(b.length === 1) - Number(a.length === 1) || bytesOf(a) - bytesOf(b))
    .slice(0, DELTA_PATHS_MAX);
}

/** What the deltas of a chain say they take together. */
export function bytesOf(chain: readonly EarlierDelta[]): number {
  return chain.reduce((sum, { bytes }) => sum + bytes, 0);
}
