/**
 * Memory that one stream after another is worked on in: to have it fresh each time takes longer than a small stream
 * does, and archives hold thousands. Nothing in it outlives the work.
 */
import {
  DEFLATE_BEHIND_END_BYTES,
  DEFLATE_BLOCK_TOKENS_MAX,
  DEFLATE_GUIDE_REACH_BYTES,
  DEFLATE_SLICE_BYTES,
  DEFLATE_STEP_TOKENS,
  DEFLATE_WINDOW_BYTES,
} from "../limits.ts";
import { arrayIn, newLoops } from "./compiled-loops.ts";
import { decoderTables } from "./huffman.ts";
import { HASH_BITS_MAX, WINDOW_BITS_MAX } from "./parameters.ts";

/** Marks a place where no token begins. */
export const NO_TOKEN = 0xffff_ffff;
/** Of the places that a guide enters, one of eight bytes. */
export const GUIDE_HASH_BITS = 14;
export const GUIDE_STEP_BYTES = 8;

/** What HashChains need. */
interface ChainSpace {
  readonly newest: Int32Array;
  readonly before: Int32Array;
  readonly newestFour: Int32Array;
  readonly beforeFour: Int32Array;
  readonly ranks: Uint16Array;
}

/** What a guide needs besides. */
interface GuideSpace {
  readonly tokens: Uint32Array;
  readonly newest: Float64Array;
  readonly before: Float64Array;
}

export class Workspace {
  /** Work in the memory of this workspace; undefined where nothing may be compiled. */
  readonly loops = newLoops();
  readonly plain = arrayIn(this.loops, Uint8Array, "PLAIN", DEFLATE_WINDOW_BYTES);
  readonly input = arrayIn(this.loops, Uint8Array, "INPUT", DEFLATE_SLICE_BYTES + DEFLATE_BEHIND_END_BYTES);
  readonly output = arrayIn(this.loops, Uint8Array, "OUTPUT", DEFLATE_SLICE_BYTES);
  readonly stepTokens = arrayIn(this.loops, Uint32Array, "STEP", DEFLATE_STEP_TOKENS);
  readonly literalTables = decoderTables(this.loops, "LITERAL_DECODER");
  readonly distanceTables = decoderTables(this.loops, "DISTANCE_DECODER");
  /** Of a block; memory that is not touched costs nothing. */
  readonly blockTokens = arrayIn(this.loops, Uint32Array, "BLOCK", DEFLATE_BLOCK_TOKENS_MAX);
  /** Read and not looked at; grows. */
  queued = new Uint32Array(2 * DEFLATE_STEP_TOKENS);
  #chains: ChainSpace | undefined;
  #guide: GuideSpace | undefined;

  get chains(): ChainSpace {
    this.#chains ??= {
      newest: new Int32Array(2 ** HASH_BITS_MAX),
      before: new Int32Array(2 ** WINDOW_BITS_MAX),
      newestFour: new Int32Array(2 ** HASH_BITS_MAX),
      beforeFour: new Int32Array(2 ** WINDOW_BITS_MAX),
      ranks: new Uint16Array(2 ** WINDOW_BITS_MAX),
    };
    return this.#chains;
  }

  get guide(): GuideSpace {
    this.#guide ??= {
      tokens: arrayIn(this.loops, Uint32Array, "NOTES", DEFLATE_WINDOW_BYTES),
      newest: new Float64Array(2 ** GUIDE_HASH_BITS),
      // as far back as ahead
      before: new Float64Array((2 * DEFLATE_GUIDE_REACH_BYTES) / GUIDE_STEP_BYTES),
    };
    return this.#guide;
  }
}

const idle: Workspace[] = [];

/** Every `act` has one of its own, also inside of another. */
export function withWorkspace<T>(act: (workspace: Workspace) => T): T {
  const workspace = idle.pop() ?? new Workspace();
  try {
    return act(workspace);
  } finally {
    idle.push(workspace);
  }
}
