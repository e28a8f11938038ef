/** The front of a stream, and what can be read off it without trying. */
import { DEFLATE_SAMPLE_TOKENS, DEFLATE_SLICE_BYTES } from "../limits.ts";
import { BLOCK } from "./alphabet.ts";
import { SymbolCounts, planBlock } from "./block-plan.ts";
import type { ReadBytes } from "./find.ts";
import { TokenReader } from "./inflate.ts";
import { LITERAL, LOOKAHEAD_BYTES, bytesOf, distanceOf, lengthOf } from "./matcher.ts";
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
}

/** @returns undefined when this is no stream */
export function takeSample(read: ReadBytes, start: number, end: number, workspace: Workspace): Sample | undefined {
  const window = new PlainWindow(workspace.plain);
  const reader = new TokenReader(read, start, end, window, workspace);
  const queue = new TokenQueue(workspace);
  let tokens = 0;
  let isEnd = false;
  while (!isEnd && tokens < DEFLATE_SAMPLE_TOKENS && window.room > DEFLATE_SLICE_BYTES) {
    const step = reader.step();
    if (step === "invalid") return undefined;
    queue.add(step, reader);
    tokens += reader.tokenCount;
    isEnd = step === "block-end" && reader.block.isFinal;
  }
  const entries = queue.entries.subarray(0, queue.length);
  return {
    window,
    entries,
    tokens,
    sure: isEnd ? window.filled : window.filled - LOOKAHEAD_BYTES + 1,
    compressedBytes: reader.offset - start,
    ...matchesIn(entries),
    ...firstBlock(queue, window),
  };
}

function matchesIn(entries: Uint32Array): Pick<Sample, "matchBytesMin" | "distanceMax"> {
  let matchBytesMin = Number.POSITIVE_INFINITY;
  let distanceMax = 0;
  for (const entry of entries) {
    if (entry === LITERAL || entry >= BLOCK_END) continue;
    matchBytesMin = Math.min(matchBytesMin, lengthOf(entry));
    distanceMax = Math.max(distanceMax, distanceOf(entry));
  }
  return { matchBytesMin, distanceMax };
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
