/** The plain bytes around the place that is being worked on: what a match may reach back to, and what lies ahead. */
import { viewOf } from "../common-bytes.ts";
import { DISTANCE_MAX } from "./alphabet.ts";

export class PlainWindow {
  readonly bytes: Uint8Array;
  /** The same memory. */
  readonly view: DataView;
  /** Plain bytes in front of `bytes[0]`. */
  start = 0;
  /** How many of `bytes` are there. */
  filled = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  get room(): number {
    return this.bytes.length - this.filled;
  }

  /**
   * Drops what lies before `keep`, about. Places count from `bytes[0]`, so they all move.
   * @returns by how much: a multiple of the greatest distance, so that tables of that length stay as they are
   */
  slide(keep: number): number {
    const by = Math.max(0, Math.floor(keep / DISTANCE_MAX)) * DISTANCE_MAX;
    if (by > 0) {
      this.bytes.copyWithin(0, by, this.filled);
      this.start += by;
      this.filled -= by;
    }
    return by;
  }
}
