/**
 * A recipe: what plain bytes do not say about the deflate stream they came from. Its reader has a zlib of our own
 * predict every token and every block, and reads here where the stream was otherwise.
 *
 *   recipe      level - 1 + 9 × strategy ‖ (9 × hash + hash bits - 8) × 7 + window bits - 9 ‖ varint tokens of a block
 *               ‖ padding ‖ varint bytes of the blocks ‖ block … ‖ correction …
 *   block       varint blocks before it that are as expected ‖ kind ‖ size ‖ header
 *     kind      1 byte: type (0 stored, 1 fixed, 2 dynamic, 3 as expected) + 4 has a size + 8 has a header
 *               + 16 is not the last although the plain bytes end here
 *     size      varint: tokens, or bytes of a stored block
 *     header    varint bits ‖ the bits behind the type of a dynamic block, in bytes
 *   correction  varint (tokens before it that are as expected × 4 + operation) ‖ length - 3 ‖ varint distance - 1
 *     0 a literal, not the match   1 the match with another length   2 another match   3 the match that was put off
 *
 * Length: operations 1 and 2; distance: operation 2 alone. Padding: the bits behind the last block. A block is expected
 * to have the tokens of a block, or what is left; the last is the one with which the plain bytes end. Inside a stored
 * block whose kind says so there are no corrections: zlib's tokens are not in the stream, so the predicted ones are
 * taken. Varint: unsigned LEB128, shortest form. Needs no signature: what it makes is checked like any other new bytes.
 */
import { StreamReader, StreamWriter } from "../delta/format.ts";
import { Failure } from "../failures.ts";
import { DEFLATE_BLOCK_TOKENS_MAX } from "../limits.ts";
import { BLOCK, type BlockType, DISTANCE_MAX, MATCH_BYTES_MIN, STORED_BYTES_MAX } from "./alphabet.ts";
import { LITERAL, type Token, distanceOf, lengthOf, tokenOf } from "./tokens.ts";
import type { HeaderBits } from "./dynamic-header.ts";
import {
  BLOCK_TOKENS_MIN,
  HASHES,
  HASH_BITS_MAX,
  HASH_BITS_MIN,
  LEVELS,
  type Parameters,
  STRATEGIES,
  WINDOW_BITS_MAX,
  WINDOW_BITS_MIN,
} from "./parameters.ts";

/** How a block is not as expected. */
export interface UnlikeBlock {
  /** Undefined: the one zlib chooses. */
  readonly type?: BlockType | undefined;
  /** Tokens, or bytes of a stored block. Undefined: as many as expected. */
  readonly size?: number | undefined;
  /** Undefined: the one zlib writes. */
  readonly header?: HeaderBits | undefined;
  /** More blocks follow, although the plain bytes end in this one. */
  readonly isNotLast: boolean;
}

const KIND = { expectedType: 3, size: 4, header: 8, isNotLast: 16, end: 32 } as const;
const OPERATION = { literal: 0, length: 1, match: 2, putOff: 3, count: 4 } as const;

const WINDOWS = WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1;
const HASH_SIZES = HASH_BITS_MAX - HASH_BITS_MIN + 1;
/** Bits of a dynamic block's header at most: 14, 19 lengths of 3 and 316 of 14. */
const HEADER_BITS_MAX = 4495;

export class RecipeWriter {
  readonly #head = new StreamWriter();
  readonly #blocks = new StreamWriter();
  readonly #corrections = new StreamWriter();
  #blocksAsExpected = 0;
  #tokensAsExpected = 0;

  constructor({ level, strategy, hash, hashBits, windowBits, blockTokens }: Parameters) {
    this.#head.byte(level - 1 + LEVELS * STRATEGIES.indexOf(strategy));
    const hashes = HASHES.indexOf(hash) * HASH_SIZES + hashBits - HASH_BITS_MIN;
    this.#head.byte(hashes * WINDOWS + windowBits - WINDOW_BITS_MIN);
    this.#head.varint(blockTokens);
  }

  /** Bytes so far. */
  get length(): number {
    return this.#head.length + this.#blocks.length + this.#corrections.length;
  }

  /** So many tokens were predicted. */
  asExpected(tokens: number): void {
    this.#tokensAsExpected += tokens;
  }

  /** The next token is not the one that was predicted, nor the one that was put off. */
  correct(token: Token, predicted: Token, putOff: Token): void {
    const operation = operationOf(token, predicted, putOff);
    this.#corrections.varint(this.#tokensAsExpected * OPERATION.count + operation);
    this.#tokensAsExpected = 0;
    if (operation === OPERATION.length || operation === OPERATION.match) {
      this.#corrections.byte(lengthOf(token) - MATCH_BYTES_MIN);
    }
    if (operation === OPERATION.match) this.#corrections.varint(distanceOf(token) - 1);
  }

  /** The next block. @param unlike  undefined when it is as expected */
  block(unlike?: UnlikeBlock): void {
    if (unlike === undefined) {
      this.#blocksAsExpected++;
      return;
    }
    const { type, size, header, isNotLast } = unlike;
    this.#blocks.varint(this.#blocksAsExpected);
    this.#blocksAsExpected = 0;
    this.#blocks.byte(
      (type ?? KIND.expectedType) +
        (size === undefined ? 0 : KIND.size) +
        (header === undefined ? 0 : KIND.header) +
        (isNotLast ? KIND.isNotLast : 0),
    );
    if (size !== undefined) this.#blocks.varint(size);
    if (header === undefined) return;
    this.#blocks.varint(header.bits);
    this.#blocks.bytes(header.bytes);
  }

  finish(padding: number): Uint8Array<ArrayBuffer> {
    const blocks = this.#blocks.finish();
    this.#head.byte(padding);
    this.#head.varint(blocks.length);
    this.#head.bytes(blocks);
    this.#head.bytes(this.#corrections.finish());
    return this.#head.finish();
  }
}

function operationOf(token: Token, predicted: Token, putOff: Token): number {
  if (token === LITERAL) return OPERATION.literal;
  if (token === putOff) return OPERATION.putOff;
  const isLength = predicted !== LITERAL && distanceOf(token) === distanceOf(predicted);
  return isLength ? OPERATION.length : OPERATION.match;
}

const AS_EXPECTED: UnlikeBlock = { isNotLast: false };

/** Throws, in every method: object.malformed. */
export class RecipeReader {
  readonly parameters: Parameters;
  readonly padding: number;
  /** Tokens up to the next correction. */
  untilCorrection = 0;
  readonly #blocks: StreamReader;
  readonly #corrections: StreamReader;
  #untilBlock = 0;
  #operation = 0;

  constructor(recipe: Uint8Array) {
    const reader = new StreamReader(recipe);
    this.parameters = readParameters(reader);
    this.padding = reader.byte();
    const blockBytes = reader.varint();
    const blocksAt = reader.at;
    if (blockBytes > recipe.length - blocksAt) throw malformedRecipe("cut short");
    this.#blocks = new StreamReader(recipe.subarray(blocksAt, blocksAt + blockBytes));
    this.#corrections = new StreamReader(recipe, blocksAt + blockBytes);
    this.#readUntilBlock();
    this.#readUntilCorrection();
  }

  get isAtEnd(): boolean {
    return this.#untilBlock === Number.POSITIVE_INFINITY && this.untilCorrection === Number.POSITIVE_INFINITY;
  }

  /** The next block. */
  block(): UnlikeBlock {
    if (this.#untilBlock > 0) {
      this.#untilBlock--;
      return AS_EXPECTED;
    }
    const kind = this.#blocks.byte();
    if (kind >= KIND.end) throw malformedRecipe("an unknown kind of block");
    const type = kind % KIND.size;
    const size = (kind & KIND.size) === 0 ? undefined : this.#blocks.varint();
    const isStored = type === BLOCK.stored;
    if ((size ?? 0) > (isStored ? STORED_BYTES_MAX : DEFLATE_BLOCK_TOKENS_MAX))
      throw malformedRecipe("a block too large");
    if (isStored && size === undefined) throw malformedRecipe("a stored block without a size");
    const header = (kind & KIND.header) === 0 ? undefined : this.#readHeader();
    if (header !== undefined && type !== BLOCK.dynamic) throw malformedRecipe("a header out of place");
    this.#readUntilBlock();
    return {
      type: type === KIND.expectedType ? undefined : (type as BlockType),
      size,
      header,
      isNotLast: (kind & KIND.isNotLast) !== 0,
    };
  }

  /** The token that there is, where `untilCorrection` is 0. */
  correct(predicted: Token, putOff: Token): Token {
    const token = this.#readToken(predicted, putOff);
    if (token === predicted) throw malformedRecipe("a correction of nothing");
    this.#readUntilCorrection();
    return token;
  }

  #readToken(predicted: Token, putOff: Token): Token {
    switch (this.#operation) {
      case OPERATION.literal:
        return LITERAL;
      case OPERATION.length:
        if (predicted === LITERAL) throw malformedRecipe("a length without a match");
        return tokenOf(this.#corrections.byte() + MATCH_BYTES_MIN, distanceOf(predicted));
      case OPERATION.match: {
        const length = this.#corrections.byte() + MATCH_BYTES_MIN;
        const distance = this.#corrections.varint() + 1;
        if (distance > DISTANCE_MAX) throw malformedRecipe("a distance too large");
        return tokenOf(length, distance);
      }
      default:
        if (putOff === LITERAL) throw malformedRecipe("no match was put off");
        return putOff;
    }
  }

  #readUntilCorrection(): void {
    if (this.#corrections.isAtEnd) {
      this.untilCorrection = Number.POSITIVE_INFINITY;
      return;
    }
    const number = this.#corrections.varint();
    this.untilCorrection = Math.floor(number / OPERATION.count);
    this.#operation = number % OPERATION.count;
  }

  #readUntilBlock(): void {
    this.#untilBlock = this.#blocks.isAtEnd ? Number.POSITIVE_INFINITY : this.#blocks.varint();
  }

  #readHeader(): HeaderBits {
    const bits = this.#blocks.varint();
    if (bits > HEADER_BITS_MAX) throw malformedRecipe("a header too large");
    return { bits, bytes: Uint8Array.from({ length: Math.ceil(bits / 8) }, () => this.#blocks.byte()) };
  }
}

function readParameters(reader: StreamReader): Parameters {
  const method = reader.byte();
  const strategy = STRATEGIES[Math.floor(method / LEVELS)];
  const tables = reader.byte();
  const hashes = Math.floor(tables / WINDOWS);
  const hash = HASHES[Math.floor(hashes / HASH_SIZES)];
  const blockTokens = reader.varint();
  const isRight = blockTokens >= BLOCK_TOKENS_MIN && blockTokens <= DEFLATE_BLOCK_TOKENS_MAX;
  if (strategy === undefined || hash === undefined || !isRight) throw malformedRecipe("unknown parameters");
  return {
    level: (method % LEVELS) + 1,
    strategy,
    hash,
    hashBits: (hashes % HASH_SIZES) + HASH_BITS_MIN,
    windowBits: (tables % WINDOWS) + WINDOW_BITS_MIN,
    blockTokens,
  };
}

export function malformedRecipe(reason: string): Failure {
  return new Failure("object.malformed", { kind: "deflate recipe", reason });
}
