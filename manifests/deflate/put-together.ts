/** A recipe of `takeApart` and the plain bytes -> the deflate stream, bit for bit. */
import { DEFLATE_SLICE_BYTES } from "../limits.ts";
import { BLOCK, type BlockType, type CodeLengths, DISTANCE_MAX, FIXED_CODES, STORED_BYTES_MAX } from "./alphabet.ts";
import { BitWriter } from "./bit-writer.ts";
import { type BlockPlan, SymbolCounts, planBlock } from "./block-plan.ts";
import type { Loops } from "./compiled-loops.ts";
import { type HeaderBits, HeldBits, readDynamicHeader } from "./dynamic-header.ts";
import type { ReadBytes } from "./find.ts";
import { Guide, type Guiding, withGuiding } from "./guide.ts";
import type { StreamSource } from "./inflate.ts";
import { LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { Matcher } from "./matcher.ts";
import { LITERAL, type Token, bytesOf, clip, distanceOf } from "./tokens.ts";
import { PlainWindow } from "./plain-window.ts";
import { RecipeReader, type UnlikeBlock, malformedRecipe } from "./recipe-format.ts";
import { type Workspace, withWorkspace } from "./workspace.ts";

export interface StreamParts {
  readonly recipe: Uint8Array;
  readonly plainBytes: number;
  /** The old stream that the recipe was made with, from start to end. */
  readonly guide?: StreamSource | undefined;
  /** Bytes of the stream: not one more is written. */
  readonly compressedBytes: number;
  /** Plain bytes; asked for once each, in order. */
  readonly readPlain: ReadBytes;
  /** Is given the stream in order; a piece is good until it returns. */
  readonly write: (piece: Uint8Array<ArrayBuffer>) => void;
}

/**
 * Holds about DEFLATE_WINDOW_BYTES of plain bytes and the tokens of a block; with a guide, as much of its stream. Takes
 * time in proportion to the plain bytes, whatever the recipe says, but for what lies at the front of the guide's; and a
 * little for each byte of the recipe, which may ask for empty blocks.
 * Throws: object.malformed for a recipe that does not make `compressedBytes` bytes of the plain ones, perhaps after
 * some were written; and what the functions throw.
 */
export function putTogether(parts: StreamParts): void {
  withWorkspace((workspace) => {
    withGuiding(parts.guide, (guiding) => new StreamMaker(parts, workspace, guiding).run());
  });
}

class StreamMaker {
  readonly #parts: StreamParts;
  readonly #recipe: RecipeReader;
  readonly #window: PlainWindow;
  readonly #matcher: Matcher;
  readonly #writer: BitWriter;
  readonly #counts = new SymbolCounts();
  readonly #loops: Loops | undefined;
  /** Of a block without tokens. */
  #emptyPlan: BlockPlan | undefined;
  /** The tokens of the block; literals as their bytes. */
  readonly #tokens: Uint32Array;
  #tokenCount = 0;
  #written = 0;
  /** The next plain byte, in the window. */
  #at = 0;
  /** Where the block begins; may have left the window, and is below 0 then. */
  #blockAt = 0;
  /** The last token. */
  #lastAt = 0;

  constructor(parts: StreamParts, workspace: Workspace, guiding: Guiding | undefined) {
    this.#parts = parts;
    this.#loops = workspace.loops;
    this.#window = new PlainWindow(workspace.plain);
    this.#tokens = workspace.blockTokens;
    this.#recipe = new RecipeReader(parts.recipe);
    const guide = Guide.of(guiding, this.#window);
    this.#matcher = new Matcher(this.#window.bytes, this.#recipe.parameters, workspace, guide);
    this.#writer = new BitWriter((piece) => this.#write(piece), workspace.output);
  }

  run(): void {
    for (let isLast = false; !isLast;) {
      const unlike = this.#recipe.block();
      this.#blockAt = this.#at;
      if (unlike.type === BLOCK.stored) this.#passStored(unlike.size ?? 0);
      else this.#gatherTokens(unlike.size);
      isLast = this.#position === this.#parts.plainBytes && !unlike.isNotLast;
      this.#writeBlock(unlike, isLast);
    }
    this.#writer.align(this.#recipe.padding);
    this.#writer.flush();
    if (!this.#recipe.isAtEnd) throw malformedRecipe("more than the stream needs");
    if (this.#written !== this.#parts.compressedBytes) throw malformedRecipe("a stream of another length");
  }

  /** Plain bytes done. */
  get #position(): number {
    return this.#window.start + this.#at;
  }

  #write(piece: Uint8Array<ArrayBuffer>): void {
    this.#written += piece.length;
    if (this.#written > this.#parts.compressedBytes) throw malformedRecipe("a stream of another length");
    this.#parts.write(piece);
  }

  /** Tokens of a block, as predicted and corrected. @param wanted  undefined: as many as expected */
  #gatherTokens(wanted: number | undefined): void {
    const most = wanted ?? this.#recipe.parameters.blockTokens;
    this.#tokenCount = 0;
    while (this.#tokenCount < most && this.#fill()) {
      this.#gatherSome(most);
      this.#checkWork();
    }
    if (wanted !== undefined && this.#tokenCount < wanted) throw malformedRecipe("more tokens than plain bytes");
  }

  /** As far as the plain bytes in the window go. The hot loop. */
  #gatherSome(most: number): void {
    const recipe = this.#recipe;
    const matcher = this.#matcher;
    const { leader } = matcher;
    const { bytes, filled: end } = this.#window;
    // up to here every token has what it needs ahead
    const sure = this.#isAllThere ? end : end - LOOKAHEAD_BYTES + 1;
    const tokens = this.#tokens;
    let { untilCorrection } = recipe;
    let count = this.#tokenCount;
    let at = this.#at;
    let lastAt = this.#lastAt;
    while (at < sure && count < most) {
      const followed = leader?.follow(at, sure, tokens, count, Math.min(most - count, untilCorrection)) ?? 0;
      if (leader !== undefined && followed > 0) {
        count += followed;
        untilCorrection -= followed;
        at = leader.followedTo;
        lastAt = leader.lastFollowed;
        continue;
      }
      let token = matcher.predict(at, end);
      if (untilCorrection === 0) {
        token = this.#correct(token, at, end);
        untilCorrection = recipe.untilCorrection;
      } else untilCorrection--;
      matcher.advance(at, token, end);
      tokens[count++] = token === LITERAL ? (bytes[at] as number) : token;
      lastAt = at;
      at += bytesOf(token);
    }
    recipe.untilCorrection = untilCorrection;
    this.#tokenCount = count;
    this.#at = at;
    this.#lastAt = lastAt;
  }

  #correct(predicted: Token, at: number, end: number): Token {
    const token = this.#recipe.correct(predicted, this.#matcher.putOff);
    if (bytesOf(token) > end - at || distanceOf(token) > at) throw malformedRecipe("a match out of place");
    return token;
  }

  /** Bytes of a stored block, over which the matcher goes as it would have gone. */
  #passStored(size: number): void {
    for (let left = size; left > 0;) {
      if (!this.#fill()) throw malformedRecipe("more stored than plain bytes");
      const end = this.#window.filled;
      const token = clip(this.#matcher.predict(this.#at, end), left);
      this.#matcher.advance(this.#at, token, end);
      left -= bytesOf(token);
      this.#at += bytesOf(token);
    }
    this.#checkWork();
  }

  #writeBlock({ type, header }: UnlikeBlock, isLast: boolean): void {
    const begin = (type: BlockType): void => this.#writer.bits((isLast ? 1 : 0) + 2 * type, 3);
    if (type === BLOCK.stored) {
      begin(type);
      this.#writeStored();
      return;
    }
    if (header !== undefined) {
      begin(BLOCK.dynamic);
      this.#writeTokens(this.#writeHeader(header));
      return;
    }
    if (type === BLOCK.fixed) {
      begin(type);
      this.#writeTokens(FIXED_CODES);
      return;
    }
    const plan = this.#plan(isLast);
    begin(type ?? plan.type);
    switch (type ?? plan.type) {
      case BLOCK.stored:
        this.#writeStored();
        break;
      case BLOCK.fixed:
        this.#writeTokens(FIXED_CODES);
        break;
      case BLOCK.dynamic:
        plan.dynamic.writeHeader(this.#writer);
        this.#writeTokens(plan.dynamic);
        break;
    }
  }

  #plan(isLast: boolean): BlockPlan {
    // a recipe may ask for any number of empty blocks: they are all alike, and never stored
    if (this.#tokenCount > 0) return this.#planTokens(isLast);
    this.#emptyPlan ??= this.#planTokens(isLast);
    return this.#emptyPlan;
  }

  #planTokens(isLast: boolean): BlockPlan {
    const { start } = this.#window;
    this.#counts.clear();
    if (this.#loops === undefined) this.#counts.addAll(this.#tokens.subarray(0, this.#tokenCount));
    else this.#counts.addBlock(this.#tokenCount, this.#loops);
    const closesAt = isLast ? this.#parts.plainBytes : start + this.#lastAt;
    const canBeStored = start + this.#blockAt >= this.#matcher.windowStart(closesAt);
    return planBlock(this.#counts, this.#at - this.#blockAt, canBeStored, this.#recipe.parameters.strategy);
  }

  #writeTokens(codes: CodeLengths): void {
    const isWritten =
      this.#loops === undefined
        ? this.#writer.tokens(this.#tokens.subarray(0, this.#tokenCount), codes)
        : this.#writer.block(this.#tokenCount, codes, this.#loops);
    if (!isWritten) throw malformedRecipe("a token without a code");
  }

  /** A header as it is. @returns its codes */
  #writeHeader({ bits, bytes }: HeaderBits): CodeLengths {
    const source = new HeldBits(bytes);
    const codes = readDynamicHeader(source);
    if (codes === undefined || source.taken !== bits) throw malformedRecipe("a header of no codes");
    for (let left = bits, i = 0; left > 0; left -= 8) this.#writer.bits(bytes[i++] as number, Math.min(left, 8));
    return codes;
  }

  #writeStored(): void {
    const bytes = this.#at - this.#blockAt;
    this.#writer.align();
    this.#writer.bits(bytes, 16);
    this.#writer.bits(~bytes & 0xffff, 16);
    this.#writer.byteRun(this.#window.bytes.subarray(this.#blockAt, this.#at));
  }

  /** Reads on when there is too little ahead. @returns false when there are no more plain bytes */
  #fill(): boolean {
    const window = this.#window;
    if (window.filled - this.#at < LOOKAHEAD_BYTES && !this.#isAllThere) {
      if (window.room < DEFLATE_SLICE_BYTES) this.#slide();
      const position = window.start + window.filled;
      const bytes = Math.min(window.room, DEFLATE_SLICE_BYTES, this.#parts.plainBytes - position);
      this.#parts.readPlain(position, window.bytes.subarray(window.filled, window.filled + bytes));
      window.filled += bytes;
    }
    return this.#at < window.filled;
  }

  get #isAllThere(): boolean {
    return this.#window.start + this.#window.filled === this.#parts.plainBytes;
  }

  #slide(): void {
    // a block that may yet be stored is kept whole
    const isShort = this.#at - this.#blockAt <= STORED_BYTES_MAX;
    const by = this.#window.slide(Math.min(this.#at - DISTANCE_MAX, isShort ? this.#blockAt : this.#at));
    this.#matcher.slide(by);
    this.#at -= by;
    this.#blockAt -= by;
    this.#lastAt -= by;
  }

  #checkWork(): void {
    if (this.#matcher.isOverworked(this.#position)) throw malformedRecipe("content that takes too long");
  }
}
