/**
 * Addresses in programs, guessed as they are copied. A program that was built again is mostly the old one, moved: where
 * its calls, jumps and pointers lead is what differs, each by as much as its target has moved, and what lies together
 * moves together. So how far a target has moved is learned from the fields before, and what the delta tells is only
 * where that was wrong. Courgette and Zucchini take programs apart for this. Here whatever looks like a field is tried,
 * and each kind is trusted as long as its guesses are more often right than what was there before.
 *
 * Fields, each of 32 bits, least byte first:
 *   code      from its own end on, behind a byte that it may follow in x86-64 code: E8 call, E9 jump, or an operand that is
 *             relative to the instruction (ModRM: mod 0, r/m 5)
 *   relative  a word: from itself on, as tables of jumps and of unwinding have it
 *   absolute  a word: from the start of the program on
 *
 * and of arm64 code, in place of the first:
 *   branch    the 26 bits of B and BL: from the instruction on, in instructions
 *   page      the 21 bits of ADRP: from the page of the instruction on, in pages
 *   low       the 12 bits of ADD, or of a load or a store, that add to such a page, in what is loaded
 *
 * and of WebAssembly code, alone:
 *   call      the LEB128 number behind 10: of a function; those put in before it shift it
 *   constant  the one behind 41 (i32.const) or 42 (i64.const), from REFERENCE_WORD_MIN on: from the start of memory on
 *
 * Such a number is below 2^31 and takes up to five bytes, perhaps more than it needs; a constant that would be negative
 * is none. It keeps its length, and is not guessed where it cannot. A part's first byte may be an instruction; a number
 * begins only where five bytes of the part are left; and behind a number that may be an address the next instruction
 * begins.
 *
 * What is learned: how far what a field leads to has moved, of its block of 2^REFERENCE_BLOCK_BITS bytes, and of its
 * region of 2^REFERENCE_REGION_BITS, which is asked where the block is not known. What moved by more than
 * REFERENCE_SHIFT_BYTES_MAX beside the copy is not learned. A function counts as a block. There are three tables: of
 * code, branches, pages, lows and calls; of relative words; of absolute ones and constants. Each has
 * 2^REFERENCE_SHIFTS_BITS places for blocks and as many for regions, by the upper bits of their number times 9E3779B1,
 * modulo 2^32, and the last one that is learned has the place. Targets are kept modulo 2^32, and moves as signed
 * numbers of 32 bits. Where nothing is known, targets move as the copy does, functions and absolute ones not at all.
 *
 * What is trusted: relative and absolute words from -REFERENCE_WORD_DISTRUST on, all others from REFERENCE_CODE_TRUST
 * on, each kind (code with branches and calls) by itself. A guess other than what was there before adds 1 when it is
 * right and takes 1 when what was there stays, whether it was used or not, up to REFERENCE_TRUST_MAX either way; it is
 * used while its kind is above 0. A word is guessed as the kind that is trusted more; as absolute when both are alike.
 *
 * Part of the format: reader and writer guess the same, for all follows from the bytes that are copied, from where they
 * lie, and from the new bytes up to there. So is what a table forgets when two of its keys share a place, and that a
 * region learns only what its block did not know.
 *
 * plain-references.ts is how it is meant; compiled-references.ts does the same, and is taken where that can be.
 */
import { ARM64_PAGE_BYTES } from "../limits.ts";
import { malformedDelta, type StreamReader, type StreamWriter } from "./format.ts";

/** Of a word, and of what x86-64 and arm64 address by. */
export const FIELD_BYTES = 4;

const WASM_KIND = 2 * FIELD_BYTES + 1;

/** How the code and the words of a segment lie: what its writer found likely. */
export interface Layout {
  readonly machine: "x86-64" | "arm64" | "wasm";
  /** Words begin where a place in the source modulo 4 is this; instructions of arm64 do, too. Of WebAssembly 0. */
  readonly phase: number;
  /** The same of pages modulo 4096, in what is copied and in what it becomes. Of arm64; 0 of others. */
  readonly oldPage: number;
  readonly newPage: number;
}

/** There is one only: instructions begin anywhere. */
export const WASM_LAYOUT: Layout = { machine: "wasm", phase: 0, oldPage: 0, newPage: 0 };

/** As format.ts words it. */
export function writeLayout(to: StreamWriter, layout: Layout | undefined): void {
  if (layout === undefined) {
    to.byte(0);
    return;
  }
  const { machine, phase, oldPage, newPage } = layout;
  if (machine === "wasm") {
    to.byte(WASM_KIND);
    return;
  }
  to.byte(1 + phase + (machine === "arm64" ? FIELD_BYTES : 0));
  if (machine === "x86-64") return;
  to.varint(oldPage);
  to.varint(newPage);
}

/** Throws: object.malformed. */
export function readLayout(from: StreamReader): Layout | undefined {
  const kind = from.byte();
  if (kind === 0) return undefined;
  if (kind <= FIELD_BYTES) return { machine: "x86-64", phase: kind - 1, oldPage: 0, newPage: 0 };
  if (kind === WASM_KIND) return WASM_LAYOUT;
  if (kind > WASM_KIND) throw malformedDelta("an unknown kind of references");
  const layout = {
    machine: "arm64",
    phase: kind - 1 - FIELD_BYTES,
    oldPage: from.varint(),
    newPage: from.varint(),
  } as const;
  if (layout.oldPage >= ARM64_PAGE_BYTES || layout.newPage >= ARM64_PAGE_BYTES)
    throw malformedDelta("no place in a page");
  return layout;
}

/** A part of a copy: `bytes` bytes of the source from `from` on, which lie at `at` in it as well, with differences. */
export interface CopiedPart {
  readonly bytes: number;
  readonly from: number;
  readonly at: number;
  /** Where it begins in `made` and `told`; in `old` it begins at 0. */
  readonly start: number;
}

/**
 * What was learned of one segment's references, and memory for parts of copies: DELTA_OUTPUT_BYTES each. What a delta
 * tells of a part is `told`: the new bytes, as if of each guess only that were left by which it is wrong.
 */
export interface References {
  /** What is copied. */
  readonly old: Uint8Array<ArrayBuffer>;
  /** What it becomes. */
  readonly made: Uint8Array<ArrayBuffer>;
  readonly told: Uint8Array<ArrayBuffer>;
  /** Another delta: of so many old and new bytes. Nothing is known. */
  readonly begin: (sourceBytes: number) => void;
  /** The next segment knows nothing. */
  readonly forget: () => void;
  /** `old` and `made` -> `told`. Learns from it. */
  readonly takeOff: (part: CopiedPart, layout: Layout) => void;
  /** `old`, and what was told of it, in `made` -> `made`. Learns the same. */
  readonly putOn: (part: CopiedPart, layout: Layout) => void;
}
