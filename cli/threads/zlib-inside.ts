/**
 * What a Node zlib stream has inside (lib/zlib.js since v10): a coder that takes memory and fills memory at once, where
 * the stream goes through the event loop and other threads for every slice. Node does not document it: who uses it has
 * another way for when it is not as expected.
 */
export interface ZlibInside {
  readonly _handle?: {
    writeSync(
      flush: number,
      from: Uint8Array,
      at: number,
      bytes: number,
      to: Uint8Array,
      toAt: number,
      room: number,
    ): void;
    reset(): void;
  };
  /** Room left for output, input left: where the coder leaves them. */
  readonly _writeState?: Uint32Array;
  /** After an error, too. */
  readonly destroyed?: boolean;
}
