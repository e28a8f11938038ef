/** What a stream was probably made with: tried on a sample of its tokens. */
import { DEFLATE_RECIPE_SHARE_MAX } from "../limits.ts";
import { LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { Matcher } from "./matcher.ts";
import { bytesOf, clip } from "./tokens.ts";
import {
  type Hash,
  type Parameters,
  type Strategy,
  MEM_LEVELS_BY_USE,
  WINDOW_BITS_MAX,
  WINDOW_BITS_MIN,
  blockTokensOf,
  hashBitsOf,
  memLevelOf,
} from "./parameters.ts";
import type { Sample } from "./sample.ts";
import { BLOCK_END, STORED } from "./token-queue.ts";
import type { Workspace } from "./workspace.ts";

/** Tokens on which all parameters are tried, before those that did best are tried on all of the sample. */
const FIRST_TOKENS = 4096;
/** Levels by how often they are met: zlib's default, the best, the fastest. */
const LEVELS_BY_USE = [6, 9, 1, 8, 7, 5, 4, 3, 2] as const;
/** Of so many matches of Chromium's zlib, one may have three bytes, and of few matches a few. */
const THREES_BY_CHANCE = 64;
const THREES_FREE = 16;
/** A correction takes two bytes at least. */
const CORRECTION_BYTES = 2;
/** Corrections that the shortest sample may need. */
const MISSES_FREE = 16;

interface Trial {
  readonly parameters: Parameters;
  /** Tokens that were not as predicted. */
  readonly misses: number;
}

/** How far a trial goes: so many tokens, or until more than so many are not as predicted. */
interface Reach {
  readonly tokens: number;
  readonly misses: number;
}

/** @returns undefined when no parameters come near */
export function chooseParameters(sample: Sample, workspace: Workspace): Parameters | undefined {
  // of a whole stream this is what the recipe may take; of a part, there may be fewer elsewhere
  const free = sample.isWhole ? 0 : MISSES_FREE;
  const misses = free + (DEFLATE_RECIPE_SHARE_MAX * sample.compressedBytes) / CORRECTION_BYTES;
  const whole = { tokens: sample.tokens, misses };
  if (sample.tokens <= FIRST_TOKENS) return firstTrials(sample, whole, workspace)[0]?.parameters;
  const share = FIRST_TOKENS / sample.tokens;
  const front = { tokens: FIRST_TOKENS, misses: MISSES_FREE + misses * share };
  return tryAll(sample, firstTrials(sample, front, workspace), whole, workspace)[0]?.parameters;
}

/**
 * A memLevel decides which places meet in a chain, and hardly any prediction depends on that: those that are less
 * likely are tried with what did best with the likeliest.
 */
function firstTrials(sample: Sample, reach: Reach, workspace: Workspace): Trial[] {
  const [likeliest, ...others] = memLevels(sample);
  const trials = tryAll(sample, candidates(sample, likeliest), reach, workspace);
  const [best] = trials;
  if (best === undefined || isPerfect(best.misses, sample, reach)) return trials;
  const alike = others.flatMap((memLevel) => [...withLevels(sample, best.parameters, memLevel)]);
  const misses = missesBeside(best.misses, sample, reach);
  return inOrder([...trials, ...tryAll(sample, alike, { ...reach, misses }, workspace)]);
}

/** Those that are about as good as the best, the best first; of equals the first. Ends with one that misses nothing. */
function tryAll(
  sample: Sample,
  parametersToTry: Iterable<{ parameters: Parameters }>,
  reach: Reach,
  workspace: Workspace,
): Trial[] {
  const trials: Trial[] = [];
  let most = reach.misses;
  for (const { parameters } of parametersToTry) {
    const misses = countMisses(sample, parameters, { ...reach, misses: most }, workspace);
    if (misses > most) continue;
    trials.push({ parameters, misses });
    most = Math.min(most, missesBeside(misses, sample, reach));
    if (isPerfect(misses, sample, reach)) break;
  }
  return inOrder(trials);
}

function inOrder(trials: readonly Trial[]): Trial[] {
  return trials.toSorted((a, b) => a.misses - b.misses);
}

function isPerfect(misses: number, sample: Sample, reach: Reach): boolean {
  return misses === 0 && reach.tokens >= sample.tokens;
}

/** How many another may miss to be worth a look beside one that misses so many: fewer, when both have seen it all. */
function missesBeside(misses: number, sample: Sample, reach: Reach): number {
  return reach.tokens >= sample.tokens ? misses - 1 : MISSES_FREE + misses + misses / 4;
}

function* candidates(sample: Sample, memLevel: number): Generator<{ parameters: Parameters }> {
  for (const hash of hashes(sample)) {
    for (const windowBits of [WINDOW_BITS_MAX, ...smallWindows(sample)]) {
      for (const strategy of strategies(sample)) yield* withLevels(sample, { hash, windowBits, strategy }, memLevel);
    }
  }
}

function* withLevels(
  { blockTokens }: Sample,
  { hash, windowBits, strategy }: Pick<Parameters, "hash" | "windowBits" | "strategy">,
  memLevel: number,
): Generator<{ parameters: Parameters }> {
  const chosen = { hash, windowBits, strategy, hashBits: hashBitsOf(hash, memLevel) };
  for (const level of LEVELS_BY_USE) {
    yield { parameters: { ...chosen, level, blockTokens: blockTokens ?? blockTokensOf(memLevel) } };
    // these have neither levels nor chains
    if (strategy === "huffman-only" || strategy === "run-length") return;
  }
}

/** The likeliest first. */
function memLevels({ blockTokens }: Sample): readonly [number, ...number[]] {
  const known = memLevelOf(blockTokens);
  if (known === undefined) return MEM_LEVELS_BY_USE;
  return [known, ...MEM_LEVELS_BY_USE.filter((memLevel) => memLevel !== known)];
}

/** Chromium's zlib finds matches of three bytes by chance only. The likelier first. */
function hashes({ matches, threes }: Sample): readonly Hash[] {
  const byChance = matches / THREES_BY_CHANCE;
  if (threes > THREES_FREE + byChance) return ["zlib"];
  return byChance >= 1 && threes <= byChance ? ["chromium", "zlib"] : ["zlib", "chromium"];
}

/** The smallest window that the matches fit in, when it is small enough to show. */
function* smallWindows({ distanceMax, window }: Sample): Generator<number> {
  for (let bits = WINDOW_BITS_MIN; bits < WINDOW_BITS_MAX; bits++) {
    if (distanceMax <= 2 ** bits - LOOKAHEAD_BYTES && window.filled > 2 ** bits) {
      yield bits;
      return;
    }
  }
}

function* strategies({ isFixed, matchBytesMin, distanceMax }: Sample): Generator<Strategy> {
  yield isFixed ? "fixed" : "default";
  if (distanceMax <= 1) yield "run-length";
  if (distanceMax === 0) yield "huffman-only";
  // Z_FILTERED drops shorter ones
  if (matchBytesMin > 5) yield "filtered";
}

/** Tokens of the sample that are not predicted; more than `reach.misses` when there are more. */
function countMisses(
  { window, entries, start, warm, sure }: Sample,
  parameters: Parameters,
  reach: Reach,
  workspace: Workspace,
): number {
  const matcher = new Matcher(window.bytes, parameters, workspace);
  const end = window.filled;
  let at = start;
  let misses = 0;
  let tokens = 0;
  for (const entry of entries) {
    if (at >= sure || misses > reach.misses || tokens >= reach.tokens) break;
    if (entry < BLOCK_END) {
      const isMiss = matcher.predict(at, end) !== entry;
      matcher.advance(at, entry, end);
      if (at >= warm) {
        if (isMiss) misses++;
        tokens++;
      }
      at += bytesOf(entry);
    } else if (entry !== BLOCK_END) {
      for (let left = entry - STORED; left > 0 && at < sure;) {
        const token = clip(matcher.predict(at, end), left);
        matcher.advance(at, token, end);
        at += bytesOf(token);
        left -= bytesOf(token);
      }
    }
  }
  return matcher.isOverworked(at) ? Number.POSITIVE_INFINITY : misses;
}
