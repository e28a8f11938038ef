/** A part of a stream, its front at first, and what can be read off it without trying. */
import { DEFLATE_SAMPLE_TOKENS, DEFLATE_SLICE_BYTES } from "../limits.ts";
import { BLOCK, DISTANCE_MAX, MATCH_BYTES_MIN } from "./alphabet.ts";
import { SymbolCounts, planBlock } from "./block-plan.ts";
import { type StreamSource, TokenReader } from "./inflate.ts";
import { LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { LITERAL, bytesOf, distanceOf, lengthOf } from "./tokens.ts";
import { blockTokensBelow, BLOCK_TOKENS_MIN } from "./parameters.ts";
import { PlainWindow } from "./plain-window.ts";
import { BLOCK_END, TokenQueue } from "./token-queue.ts";
import type { Workspace } from "./workspace.ts";

export interface Sample {
  /** The plain bytes. */
  readonly window: PlainWindow;
  /** Tokens, and the marks of a TokenQueue. */
  readonly entries: Uint32Array;
  readonly tokens: number;
  /** It is all of the stream. */
  readonly isWhole: boolean;
  /** Where the first of them is in the window; what lies before it is not among the entries. */
  readonly start: number;
  /** From here on a token has all that it may refer to before it. */
  readonly warm: number;
  /** Up to here every token is followed by enough plain bytes. */
  readonly sure: number;
  /** About. */
  readonly compressedBytes: number;
  /** Of the first block, when another follows and it is as long as a block of zlib. */
  readonly blockTokens: number | undefined;
  /** Its first block has the fixed codes, although its own would be shorter. */
  readonly isFixed: boolean;
  /** Of the matches; Infinity, and 0, when there are none. */
  readonly matchBytesMin: number;
  readonly distanceMax: number;
  readonly matches: number;
  /** How many of them have three bytes. */
  readonly threes: number;
}

/** After so many steps in a row that bring nothing it is none: empty blocks may go on for ever. */
const BARREN_STEPS_MAX = 64;

/**
 * @param from  plain bytes in front of what is wanted; a window more is taken along
 * @returns undefined when this is no stream, or one of empty blocks that do not end soon
 */
export function takeSample(source: StreamSource, from: number, workspace: Workspace): Sample | undefined {
  const window = new PlainWindow(workspace.plain);
  const reader = new TokenReader(source, window, workspace);
  const queue = new TokenQueue(workspace);
  let tokens = 0;
  let barren = 0;
  let isEnd = false;
  let start = { at: 0, offset: source.start };
  while (!isEnd && tokens < DEFLATE_SAMPLE_TOKENS && window.room > DEFLATE_SLICE_BYTES) {
    const before = window.filled;
    const step = reader.step();
    barren = window.filled === before ? barren + 1 : 0;
    if (step === "invalid" || barren > BARREN_STEPS_MAX) return undefined;
    queue.add(step, reader);
    tokens += reader.tokenCount;
    isEnd = step === "block-end" && reader.block.isFinal;
    if (isEnd || window.start + window.filled > from - DISTANCE_MAX) continue;
    window.slide(window.filled - DISTANCE_MAX);
    queue.clear();
    tokens = 0;
    start = { at: window.filled, offset: reader.offset };
  }
  const entries = queue.entries.subarray(0, queue.length);
  return {
    window,
    entries,
    tokens,
    isWhole: isEnd && start.at === 0,
    start: start.at,
    warm: start.at === 0 ? 0 : start.at + DISTANCE_MAX,
    sure: isEnd ? window.filled : window.filled - LOOKAHEAD_BYTES + 1,
    compressedBytes: reader.offset - start.offset,
    ...matchesIn(entries),
    ...firstBlock(queue, window),
  };
}

function matchesIn(entries: Uint32Array): Pick<Sample, "matchBytesMin" | "distanceMax" | "matches" | "threes"> {
  let matchBytesMin = Number.POSITIVE_INFINITY;
  let distanceMax = 0;
  let matches = 0;
  let threes = 0;
  for (const entry of entries) {
    if (entry === LITERAL || entry >= BLOCK_END) continue;
    matchBytesMin = Math.min(matchBytesMin, lengthOf(entry));
    distanceMax = Math.max(distanceMax, distanceOf(entry));
    matches++;
    if (lengthOf(entry) === MATCH_BYTES_MIN) threes++;
  }
  return { matchBytesMin, distanceMax, matches, threes };
}

function firstBlock({ entries, blocks }: TokenQueue, { bytes }: PlainWindow): Pick<Sample, "blockTokens" | "isFixed"> {
  const [block] = blocks;
  if (block === undefined) return { blockTokens: undefined, isFixed: false };
  // what zlib stored is nearly all literals
  if (block.type === BLOCK.stored) {
    return { blockTokens: block.isFinal ? undefined : blockTokensBelow(block.storedBytes), isFixed: false };
  }
  const counts = new SymbolCounts();
  let at = 0;
  for (const entry of entries) {
    if (entry >= BLOCK_END) break;
    counts.add(entry, bytes[at] as number);
    at += bytesOf(entry);
  }
  const isWhole = !block.isFinal && counts.tokens >= BLOCK_TOKENS_MIN;
  return {
    blockTokens: isWhole ? counts.tokens : undefined,
    isFixed: block.type === BLOCK.fixed && planBlock(counts, at, false, "default").type !== BLOCK.fixed,
  };
}
