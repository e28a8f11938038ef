/**
 * What a TokenReader brought and nobody has looked at yet: to predict a token takes more plain bytes than its own, and
 * the last blocks may be empty.
 */
import { BLOCK } from "./alphabet.ts";
import type { Block, Step, TokenReader } from "./inflate.ts";
import type { Workspace } from "./workspace.ts";

/** The first entry that is no token. */
export const BLOCK_END = 2 ** 30;
/** A stored block begins; so many bytes are added. */
export const STORED = BLOCK_END + 1;

export class TokenQueue {
  /** Tokens, and marks between them. */
  entries: Uint32Array;
  length = 0;
  /** The blocks whose ends are among the entries. */
  readonly blocks: Block[] = [];
  readonly #workspace: Workspace;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.entries = workspace.queued;
  }

  /** Puts behind the others what a step brought. */
  add(step: Step, reader: TokenReader): void {
    this.#reserve(reader.tokenCount + 1);
    this.entries.set(reader.tokens.subarray(0, reader.tokenCount), this.length);
    this.length += reader.tokenCount;
    const { block } = reader;
    if (step === "block" && block.type === BLOCK.stored) this.entries[this.length++] = STORED + block.storedBytes;
    if (step !== "block-end") return;
    this.entries[this.length++] = BLOCK_END;
    this.blocks.push(block);
  }

  /** Forgets the first `count` entries; their blocks were taken out by whoever looked at them. */
  drop(count: number): void {
    this.entries.copyWithin(0, count, this.length);
    this.length -= count;
  }

  clear(): void {
    this.length = 0;
    this.blocks.length = 0;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.entries.length) return;
    const grown = new Uint32Array(Math.max(this.length + more, 2 * this.entries.length));
    grown.set(this.entries.subarray(0, this.length));
    this.entries = grown;
    this.#workspace.queued = grown;
  }
}
