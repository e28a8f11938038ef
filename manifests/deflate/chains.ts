/** Where matches are looked for: compiled where that can be. Both find the same, with the same work. */
import type { Loops } from "./compiled-loops.ts";
import { type Chains, HashChains, isOverworked, rulesOf } from "./hash-chains.ts";
import type { Parameters } from "./parameters.ts";
import type { Token } from "./tokens.ts";
import type { Workspace } from "./workspace.ts";

/**
 * @param bytes  of the workspace
 * @param threeDistanceMax  farther away, a match of three bytes is of no use
 */
export function newChains(
  bytes: Uint8Array,
  parameters: Parameters,
  threeDistanceMax: number,
  workspace: Workspace,
): Chains {
  const { loops } = workspace;
  if (loops !== undefined) return new CompiledChains(parameters, threeDistanceMax, loops);
  return new HashChains(bytes, parameters, threeDistanceMax, workspace);
}

/** In the order of their numbers there. */
const KINDS = ["threes", "both", "fours"] as const;

class CompiledChains implements Chains {
  readonly #loops: Loops;

  constructor(parameters: Parameters, threeDistanceMax: number, loops: Loops) {
    const rules = rulesOf(parameters, threeDistanceMax);
    loops.beginChains(
      KINDS.indexOf(rules.kind),
      parameters.hashBits,
      parameters.windowBits,
      rules.distanceMax,
      rules.threeDistanceMax,
      rules.good,
      rules.nice,
      rules.chain,
    );
    this.#loops = loops;
  }

  isOverworked(bytes: number, more: number): boolean {
    return isOverworked(bytes, this.#loops.chainWork() + more);
  }

  insert(last: number, end: number): void {
    this.#loops.insert(last, end);
  }

  skipTo(next: number): void {
    this.#loops.skipTo(next);
  }

  slide(by: number): void {
    this.#loops.slide(by);
  }

  longest(at: number, end: number, than: number): Token {
    return this.#loops.longest(at, end, than);
  }
}
