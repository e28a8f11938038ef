/** The loops of compiled/loops.ts, and the memory they work in. */
import { type Exported, type Memory, compile, instantiate } from "../web-assembly.ts";
import { DISTANCE_SYMBOLS, FIXED_DISTANCE_SYMBOLS, FIXED_LITERAL_SYMBOLS, LITERAL_SYMBOLS } from "./alphabet.ts";
import { LOOPS_WASM } from "./loops-wasm.ts";
import type { Token } from "./tokens.ts";

/** Places in the memory, by what lies there. */
interface Places {
  readonly PLAIN: Exported;
  readonly INPUT: Exported;
  readonly OUTPUT: Exported;
  /** Tokens of a step, and of a block. */
  readonly STEP: Exported;
  readonly BLOCK: Exported;
  readonly NOTES: Exported;
  readonly LITERAL_DECODER: Exported;
  readonly DISTANCE_DECODER: Exported;
  readonly LITERAL_CODES: Exported;
  readonly DISTANCE_CODES: Exported;
  readonly LITERAL_COUNTS: Exported;
  readonly DISTANCE_COUNTS: Exported;
  readonly STATE: Exported;
}

/** What they do is said in the source, and in the classes that it follows. */
interface Exports extends Memory, Places {
  readonly beginChains: (
    kind: number,
    hashBits: number,
    windowBits: number,
    distanceMax: number,
    threeDistanceMax: number,
    good: number,
    nice: number,
    chain: number,
  ) => void;
  readonly insert: (last: number, end: number) => void;
  readonly skipTo: (next: number) => void;
  readonly slide: (by: number) => void;
  readonly longest: (at: number, end: number, than: number) => Token;
  readonly chainWork: () => number;
  readonly decode: (at: number, atMax: number, bits: number, count: number, filled: number) => number;
  readonly note: (before: number, filled: number, count: number) => void;
  readonly countSymbols: (tokens: number) => void;
  readonly writeTokens: (first: number, tokens: number, at: number, bits: number, count: number) => number;
}

export interface Loops extends Exports {
  /** What a loop says besides its result. */
  readonly told: Int32Array;
  readonly literalCodes: Uint32Array;
  readonly distanceCodes: Uint32Array;
  readonly literalCounts: Int32Array;
  readonly distanceCounts: Int32Array;
}

const TOLD_MAX = 5;

/** Compiled once a thread. */
let compiled: object | undefined;

/** @returns undefined where nothing may be compiled */
export function newLoops(): Loops | undefined {
  const exports = newExports();
  return (
    exports && {
      ...exports,
      told: arrayIn(exports, Int32Array, "STATE", TOLD_MAX),
      literalCodes: arrayIn(exports, Uint32Array, "LITERAL_CODES", FIXED_LITERAL_SYMBOLS),
      distanceCodes: arrayIn(exports, Uint32Array, "DISTANCE_CODES", FIXED_DISTANCE_SYMBOLS),
      literalCounts: arrayIn(exports, Int32Array, "LITERAL_COUNTS", LITERAL_SYMBOLS),
      distanceCounts: arrayIn(exports, Int32Array, "DISTANCE_COUNTS", DISTANCE_SYMBOLS),
    }
  );
}

function newExports(): Exports | undefined {
  try {
    compiled ??= compile(LOOPS_WASM);
    return instantiate(compiled) as Exports;
  } catch {
    // nothing may be compiled here, or there is no memory to be had: the plain classes make the same, more slowly
    return undefined;
  }
}

interface ArrayKind<A> {
  new (length: number): A;
  new (buffer: ArrayBuffer, at: number, length: number): A;
}

/**
 * An array in the memory of `loops`, or without them one of its own; `skipped` elements behind the place. Lengths are
 * made of numbers that compile.ts gives to the source too, so that none runs into the next.
 */
export function arrayIn<A extends { readonly BYTES_PER_ELEMENT: number }>(
  loops: Exports | undefined,
  Kind: ArrayKind<A> & { readonly BYTES_PER_ELEMENT: number },
  place: keyof Places,
  length: number,
  skipped = 0,
): A {
  if (loops === undefined) return new Kind(length);
  return new Kind(loops.memory.buffer, loops[place].value + skipped * Kind.BYTES_PER_ELEMENT, length);
}
