/**
 * What a stream of zlib was made with, as far as it shows in the stream, and the values that streams are likely to
 * have.
 */

/** zlib.h's Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE and Z_FIXED, in the order of their numbers. */
export const STRATEGIES = ["default", "filtered", "huffman-only", "run-length", "fixed"] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** Whose zlib it was, as far as they differ: by the bytes that their hash looks at. Chromium's is in Node.js too. */
export const HASHES = ["zlib", "chromium"] as const;
export type Hash = (typeof HASHES)[number];

export interface Parameters {
  /** 1 to 9. */
  readonly level: number;
  readonly strategy: Strategy;
  readonly hash: Hash;
  /** Bits of the hash: memLevel + 7; in Chromium's not less than 15. */
  readonly hashBits: number;
  readonly windowBits: number;
  /** A block is closed when it has so many tokens: a literal or a match each. */
  readonly blockTokens: number;
}

/** How hard a level looks for matches. */
export interface Effort {
  /** Looks at the next byte too before it takes a match. */
  readonly isLazy: boolean;
  /** From a match of this length on, the look at the next byte follows a quarter of the chain. */
  readonly good: number;
  /** From this length on the next byte is not looked at; without laziness, longer matches are not indexed inside. */
  readonly lazy: number;
  /** A match of this length is good enough to stop looking. */
  readonly nice: number;
  /** Candidates that are compared. */
  readonly chain: number;
}

const effort = (isLazy: boolean, good: number, lazy: number, nice: number, chain: number): Effort => {
  return { isLazy, good, lazy, nice, chain };
};

/** By level, from 1 on. The same in every zlib since 1996, and in gzip and Info-ZIP. */
const EFFORTS = [
  effort(false, 4, 4, 8, 4),
  effort(false, 4, 5, 16, 8),
  effort(false, 4, 6, 32, 32),
  effort(true, 4, 4, 16, 16),
  effort(true, 8, 16, 32, 32),
  effort(true, 8, 16, 128, 128),
  effort(true, 8, 32, 128, 256),
  effort(true, 32, 128, 258, 1024),
  effort(true, 32, 258, 258, 4096),
] as const;

export const LEVELS = EFFORTS.length;

export function effortOf(level: number): Effort {
  const found = EFFORTS[level - 1];
  if (found === undefined) throw new RangeError(`no level ${level}`);
  return found;
}

export const HASH_BITS_MIN = 8;
export const HASH_BITS_MAX = 16;
/** zlib makes 9 out of 8. */
export const WINDOW_BITS_MIN = 9;
export const WINDOW_BITS_MAX = 15;
/** With the smallest memLevel a block has 127 tokens. */
export const BLOCK_TOKENS_MIN = 127;

const MEM_LEVELS = [1, 2, 3, 4, 5, 6, 7, 8, 9] as const;
/** zlib's default, and what those take who give it more memory. */
export const MEM_LEVELS_BY_USE = [8, 9] as const;

/** zlib closes a block one token before its buffer of 2^(memLevel + 6) is full. */
export function blockTokensOf(memLevel: number): number {
  return 2 ** (memLevel + 6) - 1;
}

export function hashBitsOf(hash: Hash, memLevel: number): number {
  return Math.max(memLevel + 7, hash === "chromium" ? 15 : 0);
}

/** zlib's defaults. */
export const USUAL_PARAMETERS: Parameters = {
  level: 6,
  strategy: "default",
  hash: "zlib",
  hashBits: hashBitsOf("zlib", 8),
  windowBits: WINDOW_BITS_MAX,
  blockTokens: blockTokensOf(8),
};

/** The memLevel whose blocks have so many tokens; undefined when there is none. */
export function memLevelOf(blockTokens: number | undefined): number | undefined {
  return MEM_LEVELS.find((level) => blockTokensOf(level) === blockTokens);
}

/** The tokens of the largest block of zlib that are not more than that; undefined when there is none. */
export function blockTokensBelow(tokens: number): number | undefined {
  return MEM_LEVELS.map(blockTokensOf).findLast((most) => most <= tokens);
}
