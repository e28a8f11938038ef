/** Goes through a stream along with a Matcher, and writes down where it is not as predicted. */
import { DEFLATE_RECIPE_SHARE_MAX, DEFLATE_SLICE_BYTES } from "../limits.ts";
import { BLOCK, DISTANCE_MAX, LITERALS } from "./alphabet.ts";
import { BitWriter } from "./bit-writer.ts";
import { type BlockPlan, type DynamicPlan, SymbolCounts, planBlock } from "./block-plan.ts";
import type { HeaderBits } from "./dynamic-header.ts";
import { Guide, type Guiding } from "./guide.ts";
import { type Block, type StreamSource, TokenReader } from "./inflate.ts";
import { LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { Matcher } from "./matcher.ts";
import { LITERAL, type Token, bytesOf, clip } from "./tokens.ts";
import type { Parameters } from "./parameters.ts";
import { PlainWindow } from "./plain-window.ts";
import { RecipeWriter, type UnlikeBlock } from "./recipe-format.ts";
import { BLOCK_END, STORED, TokenQueue } from "./token-queue.ts";
import type { Workspace } from "./workspace.ts";

export interface MadeRecipe {
  readonly compressedBytes: number;
  readonly plainBytes: number;
  readonly recipe: Uint8Array<ArrayBuffer>;
}

/** A recipe, or why there is none; and where, in plain bytes, most was not as predicted. */
export interface RecipeTry {
  readonly made: MadeRecipe | "no stream" | "too long";
  readonly troubleAt: number;
}

/** Bytes that a recipe may have before it is compared with what was read of the stream. */
const RECIPE_BYTES_FREE = 1024;

/**
 * A guide is followed for so many tokens before they are compared: what it says behind one that differs is for nothing.
 */
const FOLLOWED_TOKENS = 64;

export function makeRecipe(
  source: StreamSource,
  parameters: Parameters,
  plainBytesMax: number,
  workspace: Workspace,
  guiding: Guiding | undefined,
): RecipeTry {
  const window = new PlainWindow(workspace.plain);
  const reader = new TokenReader(source, window, workspace);
  const matcher = new Matcher(window.bytes, parameters, workspace, Guide.of(guiding, window));
  const maker = new RecipeMaker(window, parameters, matcher, workspace);
  for (let isEnd = false; !isEnd;) {
    if (window.room < DEFLATE_SLICE_BYTES) maker.slide();
    const step = reader.step();
    isEnd = step === "block-end" && reader.block.isFinal;
    if (step === "invalid" || window.start + window.filled > plainBytesMax) return maker.stop("no stream");
    maker.queue.add(step, reader);
    const bytesMax = RECIPE_BYTES_FREE + DEFLATE_RECIPE_SHARE_MAX * (reader.offset - source.start);
    if (!maker.work(isEnd) || maker.recipe.length > bytesMax) return maker.stop("too long");
  }
  return maker.stop({
    compressedBytes: reader.offset - source.start,
    plainBytes: window.start + window.filled,
    recipe: maker.recipe.finish(reader.padding),
  });
}

/** A block whose bytes are done, and of which it is not known yet whether more plain bytes follow. */
interface DoneBlock {
  readonly isFinal: boolean;
  readonly tokens: number;
  /** Tokens of a stored block that is as predicted. */
  readonly silentTokens: number;
  /** What is unlike, but for its size. */
  readonly type: UnlikeBlock["type"];
  readonly header: UnlikeBlock["header"];
  /** Of a stored block that is not as predicted. */
  readonly storedBytes: number | undefined;
}

class RecipeMaker {
  readonly recipe: RecipeWriter;
  readonly queue: TokenQueue;
  readonly #window: PlainWindow;
  readonly #parameters: Parameters;
  readonly #matcher: Matcher;
  readonly #counts = new SymbolCounts();
  readonly #followed = new Uint32Array(FOLLOWED_TOKENS);
  #done: DoneBlock[] = [];
  #at = 0;
  #blockAt = 0;
  #lastAt = 0;
  /** Of the stored block under way; undefined between them. */
  #storedLeft: number | undefined;
  #isClipped = false;
  /** Bytes that one step added to the recipe, at most, and where it began. */
  #mostAdded = 0;
  #mostAddedAt = 0;

  constructor(window: PlainWindow, parameters: Parameters, matcher: Matcher, workspace: Workspace) {
    this.queue = new TokenQueue(workspace);
    this.#window = window;
    this.#parameters = parameters;
    this.#matcher = matcher;
    this.recipe = new RecipeWriter(parameters);
  }

  stop(made: RecipeTry["made"]): RecipeTry {
    return { made, troubleAt: this.#mostAddedAt };
  }

  slide(): void {
    const by = this.#window.slide(this.#at - DISTANCE_MAX);
    this.#matcher.slide(by);
    this.#at -= by;
    this.#blockAt -= by;
    this.#lastAt -= by;
  }

  /**
   * Looks at all tokens of which enough is known.
   * @param isEnd  there are no more
   * @returns false when the content takes too long
   */
  work(isEnd: boolean): boolean {
    const { queue } = this;
    const end = this.#window.filled;
    const sure = isEnd ? end : end - LOOKAHEAD_BYTES + 1;
    const before = { length: this.recipe.length, position: this.#window.start + this.#at };
    let next = 0;
    while (next < queue.length) {
      const entry = queue.entries[next] as number;
      if (entry === BLOCK_END) this.#closeBlock(queue.blocks.shift() as Block);
      else if (entry >= STORED) {
        if (!this.#passStored(entry - STORED, sure, end)) break;
      } else {
        if (this.#at >= sure) break;
        next = this.#passTokens(next, sure, end);
        continue;
      }
      next++;
    }
    queue.drop(next);
    if (isEnd) this.#settle(true);
    if (this.recipe.length - before.length > this.#mostAdded) {
      this.#mostAdded = this.recipe.length - before.length;
      this.#mostAddedAt = before.position;
    }
    return !this.#matcher.isOverworked(this.#window.start + this.#at);
  }

  /** @returns the first entry that is no token, or has too little ahead */
  #passTokens(first: number, sure: number, end: number): number {
    const { entries, length } = this.queue;
    const { bytes } = this.#window;
    const matcher = this.#matcher;
    const { leader } = matcher;
    this.#settle(false);
    let at = this.#at;
    let expected = 0;
    let next = first;
    for (; next < length && at < sure; next++) {
      const followed = leader?.follow(at, sure, this.#followed, 0, Math.min(length - next, FOLLOWED_TOKENS)) ?? 0;
      let same = 0;
      for (; same < followed; same++) {
        const token = entries[next + same] as Token;
        const led = this.#followed[same] as number;
        if (token === LITERAL ? led >= LITERALS : led !== token) break;
        this.#counts.add(token, led);
        this.#lastAt = at;
        at += bytesOf(token);
      }
      expected += same;
      next += same;
      if (next === length || at >= sure) break;
      const token = entries[next] as Token;
      if (token >= BLOCK_END) break;
      const predicted = matcher.predict(at, end);
      if (predicted === token) expected++;
      else {
        this.recipe.asExpected(expected);
        this.recipe.correct(token, predicted, matcher.putOff);
        expected = 0;
      }
      matcher.advance(at, token, end);
      this.#counts.add(token, bytes[at] as number);
      this.#lastAt = at;
      at += bytesOf(token);
    }
    this.recipe.asExpected(expected);
    this.#at = at;
    return next;
  }

  /** @returns whether the block is done */
  #passStored(bytes: number, sure: number, end: number): boolean {
    this.#storedLeft ??= bytes;
    if (this.#storedLeft > 0) this.#settle(false);
    while (this.#storedLeft > 0) {
      if (this.#at >= sure) return false;
      const predicted = this.#matcher.predict(this.#at, end);
      const token = clip(predicted, this.#storedLeft);
      if (token !== predicted) this.#isClipped = true;
      this.#matcher.advance(this.#at, token, end);
      this.#counts.add(token, this.#window.bytes[this.#at] as number);
      this.#lastAt = this.#at;
      this.#at += bytesOf(token);
      this.#storedLeft -= bytesOf(token);
    }
    this.#storedLeft = undefined;
    return true;
  }

  #closeBlock(block: Block): void {
    const { type, isFinal, header } = block;
    const { tokens } = this.#counts;
    const plan = this.#plan(isFinal);
    if (type === BLOCK.stored) {
      const isExpected = plan.type === type && !this.#isClipped;
      this.#done.push({
        isFinal,
        tokens,
        silentTokens: tokens,
        type: isExpected ? undefined : type,
        header: undefined,
        storedBytes: block.storedBytes,
      });
    } else {
      const isOwn = header !== undefined && !isSameHeader(plan.dynamic, header);
      this.#done.push({
        isFinal,
        tokens,
        silentTokens: 0,
        type: plan.type === type && !isOwn ? undefined : type,
        header: isOwn ? header : undefined,
        storedBytes: undefined,
      });
    }
    this.#counts.clear();
    this.#blockAt = this.#at;
    this.#isClipped = false;
  }

  #plan(isLast: boolean): BlockPlan {
    const { start } = this.#window;
    const closesAt = start + (isLast ? this.#at : this.#lastAt);
    const canBeStored = start + this.#blockAt >= this.#matcher.windowStart(closesAt);
    return planBlock(this.#counts, this.#at - this.#blockAt, canBeStored, this.#parameters.strategy);
  }

  /** Writes the blocks down that are done. @param isEnd  no plain bytes follow on them */
  #settle(isEnd: boolean): void {
    if (this.#done.length === 0) return;
    const { blockTokens } = this.#parameters;
    for (const { isFinal, tokens, silentTokens, type, header, storedBytes } of this.#done) {
      const isNotLast = isEnd && !isFinal;
      const hasSize = tokens !== blockTokens && !(isEnd && tokens < blockTokens);
      if (storedBytes !== undefined && (type !== undefined || hasSize || isNotLast)) {
        this.recipe.block({ type: BLOCK.stored, size: storedBytes, isNotLast });
        continue;
      }
      this.recipe.asExpected(silentTokens);
      const isUnlike = type !== undefined || hasSize || isNotLast;
      this.recipe.block(isUnlike ? { type, size: hasSize ? tokens : undefined, header, isNotLast } : undefined);
    }
    this.#done = [];
  }
}

function isSameHeader(plan: DynamicPlan, { bits, bytes }: HeaderBits): boolean {
  if (plan.headerBits !== bits) return false;
  let isSame = true;
  let at = 0;
  const writer = new BitWriter((piece) => {
    for (const byte of piece) if (bytes[at++] !== byte) isSame = false;
  }, new Uint8Array(bytes.length));
  plan.writeHeader(writer);
  writer.align();
  writer.flush();
  return isSame;
}
