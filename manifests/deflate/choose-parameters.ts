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

/** @returns undefined when no parameters come near */
export function chooseParameters(sample: Sample, workspace: Workspace): Parameters | undefined {
  const missesMax = MISSES_FREE + (DEFLATE_RECIPE_SHARE_MAX * sample.compressedBytes) / CORRECTION_BYTES;
  const share = Math.min(1, FIRST_TOKENS / sample.tokens);
  const trials = tryAll(sample, candidates(sample), FIRST_TOKENS, MISSES_FREE + missesMax * share, workspace);
  const best = share === 1 ? trials : tryAll(sample, trials, Number.POSITIVE_INFINITY, missesMax, workspace);
  return best[0]?.parameters;
}

/** Those that are about as good as the best, the best first; of equals the first. Ends with one that misses nothing. */
function tryAll(
  sample: Sample,
  parametersToTry: Iterable<{ parameters: Parameters }>,
  tokensMax: number,
  missesMax: number,
  workspace: Workspace,
): Trial[] {
  const trials: Trial[] = [];
  let most = missesMax;
  for (const { parameters } of parametersToTry) {
    const misses = countMisses(sample, parameters, tokensMax, most, workspace);
    if (misses > most) continue;
    trials.push({ parameters, misses });
    most = Math.min(most, MISSES_FREE + misses + misses / 4);
    if (misses === 0 && tokensMax >= sample.tokens) break;
  }
  return trials.toSorted((a, b) => a.misses - b.misses);
}

function* candidates(sample: Sample): Generator<{ parameters: Parameters }> {
  for (const hash of hashes(sample)) {
    for (const windowBits of [WINDOW_BITS_MAX, ...smallWindows(sample)]) {
      for (const strategy of strategies(sample)) yield* candidatesWith(sample, { hash, windowBits, strategy });
    }
  }
}

function* candidatesWith(
  { blockTokens }: Sample,
  chosen: Pick<Parameters, "hash" | "windowBits" | "strategy">,
): Generator<{ parameters: Parameters }> {
  const known = memLevelOf(blockTokens);
  const memLevels = new Set([...(known === undefined ? [] : [known]), ...MEM_LEVELS_BY_USE]);
  for (const memLevel of memLevels) {
    const hashBits = hashBitsOf(chosen.hash, memLevel);
    for (const level of LEVELS_BY_USE) {
      yield { parameters: { ...chosen, level, hashBits, blockTokens: blockTokens ?? blockTokensOf(memLevel) } };
      // these have neither levels nor chains
      if (chosen.strategy === "huffman-only" || chosen.strategy === "run-length") return;
    }
  }
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

/** Tokens of the sample that are not predicted; more than `most` when there are more. */
function countMisses(
  { window, entries, start, warm, sure }: Sample,
  parameters: Parameters,
  tokensMax: number,
  most: number,
  workspace: Workspace,
): number {
  const matcher = new Matcher(window.bytes, parameters, workspace);
  const end = window.filled;
  let at = start;
  let misses = 0;
  let tokens = 0;
  for (const entry of entries) {
    if (at >= sure || misses > most || tokens >= tokensMax) break;
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
