import * as fc from "fast-check";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeInMemory } from "../../manifests/delta/decode.ts";
import {
  type Compressors,
  encodeDelta,
  scanSegment,
  SectionJoiner,
  segmentsOf,
  writeDeltaHeader,
  writeSection,
} from "../../manifests/delta/encode.ts";
import { STREAMS } from "../../manifests/delta/format.ts";
import { newReferences } from "../../manifests/delta/compiled-references.ts";
import { PlainReferences } from "../../manifests/delta/plain-references.ts";
import { type CopiedPart, type Layout, type References, WASM_LAYOUT } from "../../manifests/delta/references.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { concatBytes } from "../../manifests/digest.ts";
import {
  DELTA_SEGMENT_BYTES,
  REFERENCE_BEYOND_BYTES,
  REFERENCE_BLOCK_BITS,
  REFERENCE_CODE_TRUST,
  REFERENCE_SHIFT_BYTES_MAX,
  REFERENCE_TRUST_MAX,
  REFERENCE_WATCHED_BYTES,
  REFERENCE_WORD_DISTRUST,
  REFERENCE_WORD_MIN,
} from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const SOURCE_BYTES = 1_000_000;
/**
 * A part that is copied from here to there, unless a test says otherwise, so that words are watched where the part
 * begins.
 */
const FROM = 160 * REFERENCE_WATCHED_BYTES;
const MOVED = 3000 * REFERENCE_WATCHED_BYTES;

/** A field as it was and as it became. */
interface Change {
  readonly at: number;
  readonly before: number;
  readonly after: number;
  /** In front of the field; nothing for a word. */
  readonly opcode?: readonly number[];
}

const CALL = [0xe8];

interface Copy {
  readonly bytes: number;
  readonly from?: number;
  readonly moved?: number;
  readonly phase?: number;
  /** Of arm64, where it is that: where pages begin. */
  readonly pages?: readonly [old: number, fresh: number];
}

/** Who guess the same: each as a writer and as a reader. */
interface Sides {
  readonly writers: readonly References[];
  readonly readers: readonly References[];
}

/** The copied bytes with these fields, and what was guessed of them: by all sides the same. */
function guessed(sides: Sides, changes: readonly Change[], copy: Copy): DataView {
  const { bytes, from = FROM, moved = MOVED } = copy;
  const old = new Uint8Array(bytes);
  const made = new Uint8Array(bytes);
  for (const { at, before, after, opcode = [] } of changes) {
    for (const part of [old, made]) part.set(opcode, at - opcode.length);
    new DataView(old.buffer).setInt32(at, before, true);
    new DataView(made.buffer).setInt32(at, after, true);
  }
  const told = toldOf(sides, old, made, { bytes, from, at: from + moved, start: START }, layoutOf(copy));
  return new DataView(old.map((byte, i) => byte + (made[i] as number) - (told[i] as number)).buffer);
}

function layoutOf({ phase = 0, pages }: Pick<Copy, "phase" | "pages">): Layout {
  const [oldPage, newPage] = pages ?? [0, 0];
  return { machine: pages === undefined ? "x86-64" : "arm64", phase, oldPage, newPage };
}

/** Where the parts begin in memory. */
const START = 3;

/** What all sides tell of a part, from which each makes it. */
function toldOf(
  { writers, readers }: Sides,
  old: Uint8Array,
  made: Uint8Array,
  part: CopiedPart,
  layout: Layout,
): Uint8Array {
  const { start, bytes } = part;
  const [told, ...others] = writers.map((writer) => {
    writer.old.set(old);
    writer.made.set(made, start);
    writer.takeOff(part, layout);
    return writer.told.slice(start, start + bytes);
  }) as [Uint8Array, ...Uint8Array[]];
  for (const other of others) expectSame(other, told);
  for (const reader of readers) {
    reader.old.set(old);
    reader.made.set(told, start);
    reader.putOn(part, layout);
    expectSame(reader.made.slice(start, start + bytes), made);
  }
  return told;
}

const both = (): References[] => [new PlainReferences(), newReferences()];
/** Used by one test after another: what they have is megabytes. */
const SIDES: Sides = { writers: both(), readers: both() };

function fresh(sourceBytes = SOURCE_BYTES): Sides {
  for (const side of [...SIDES.writers, ...SIDES.readers]) side.begin(sourceBytes);
  return SIDES;
}

/** A call at `at` of the part to `target`, which has moved by `shift`. */
function call(at: number, target: number, shift: number, { from = FROM, moved = MOVED, opcode = CALL } = {}): Change {
  const before = target - (from + at + 4);
  return { at, before, after: before + shift - moved, opcode };
}

/** An absolute word that leads to `target`, which has moved by `shift`. */
function pointer(at: number, target: number, shift: number): Change {
  return { at, before: target, after: target + shift };
}

/**
 * Pointers that are only watched, until absolute words are trusted; and where the next part of the copy may have its
 * own.
 */
function trustedPointers(shift: number): { readonly changes: Change[]; readonly end: number } {
  const count = REFERENCE_WORD_DISTRUST + 3;
  const changes = Array.from({ length: count }, (_, i) => pointer(128 + REFERENCE_WATCHED_BYTES * i, 500_000, shift));
  return { changes, end: 128 + REFERENCE_WATCHED_BYTES * count };
}

describe("code", () => {
  test("nothing is guessed before anything is learned: targets move as the copy does", () => {
    const changes = [call(10, 500_000, MOVED), call(40, 700_000, MOVED)];
    const guess = guessed(fresh(), changes, { bytes: 100 });
    for (const { at, before } of changes) expect(guess.getInt32(at, true)).toBe(before);
  });

  test.each([
    ["in the same block", 500_000, 500_020],
    ["in the same region", 500_000, 500_500],
  ])("a call's target moves as an earlier one's, %s", (_, first, second) => {
    const changes = [call(10, first, 48), call(40, second, 48)];
    const guess = guessed(fresh(), changes, { bytes: 100 });
    expect(guess.getInt32(10, true)).toBe(changes[0]?.before);
    expect(guess.getInt32(40, true)).toBe(changes[1]?.after);
  });

  test("what lies in another region is not known", () => {
    const changes = [call(10, 500_000, 48), call(40, 510_000, 48)];
    expect(guessed(fresh(), changes, { bytes: 100 }).getInt32(40, true)).toBe(changes[1]?.before);
  });

  test("a block is asked before its region", () => {
    // 64 × 7812 = 499968: three blocks of one region
    const blocks = [call(10, 499_968, 48), call(40, 500_032, 64), call(70, 499_970, 48), call(100, 500_100, 64)];
    const guess = guessed(fresh(), blocks, { bytes: 200 });
    expect(guess.getInt32(70, true)).toBe(blocks[2]?.after);
    expect(guess.getInt32(100, true)).toBe(blocks[3]?.after);
  });

  test.each([
    ["E8", [0xe8]],
    ["E9", [0xe9]],
    ["ModRM 05", [0x8b, 0x05]],
    ["ModRM 3D", [0x48, 0x8d, 0x3d]],
  ])("a field behind %s", (_, opcode) => {
    const changes = [call(10, 500_000, 48, { opcode }), call(40, 500_001, 48, { opcode })];
    expect(guessed(fresh(), changes, { bytes: 100 }).getInt32(40, true)).toBe(changes[1]?.after);
  });

  test("a field behind anything else is left", () => {
    const known = (byte: number): boolean => byte === 0xe8 || byte === 0xe9 || (byte & 0xc7) === 0x05;
    for (let byte = 0; byte < 256; byte++) {
      const changes = [call(10, 500_000, 48), call(40, 500_001, 48, { opcode: [byte] })];
      const expected = known(byte) ? changes[1]?.after : changes[1]?.before;
      expect(guessed(fresh(), changes, { bytes: 100 }).getInt32(40, true)).toBe(expected);
    }
  });

  test("what leads out of the program is no field", () => {
    const end = SOURCE_BYTES + REFERENCE_BEYOND_BYTES;
    for (const [target, isField] of [
      [end - 1, true],
      [end, false],
      [0, true],
      [-1, false],
    ] as const) {
      const changes = [call(10, target, 48), call(40, target, 48)];
      const expected = isField ? changes[1]?.after : changes[1]?.before;
      expect(guessed(fresh(), changes, { bytes: 100 }).getInt32(40, true)).toBe(expected);
    }
  });

  test("what changed by too much was no reference", () => {
    for (const [more, isLearned] of [
      [REFERENCE_SHIFT_BYTES_MAX, true],
      [REFERENCE_SHIFT_BYTES_MAX + 1, false],
      [-REFERENCE_SHIFT_BYTES_MAX, true],
      [-REFERENCE_SHIFT_BYTES_MAX - 1, false],
    ] as const) {
      const changes = [call(10, 500_000, MOVED + more), call(40, 500_001, MOVED + more)];
      const expected = isLearned ? changes[1]?.after : changes[1]?.before;
      expect(guessed(fresh(), changes, { bytes: 100 }).getInt32(40, true)).toBe(expected);
    }
  });

  test("the first two bytes of a part begin no field, and its last three neither", () => {
    for (const [at, isField] of [
      [1, false],
      [2, true],
      [96, true],
    ] as const) {
      const references = fresh();
      guessed(references, [call(10, 500_000, 48)], { bytes: 100 });
      const again = call(at, 500_001, 48);
      const expected = isField ? again.after : again.before;
      expect(guessed(references, [again], { bytes: 100 }).getInt32(at, true)).toBe(expected);
    }
    const references = fresh();
    guessed(references, [call(10, 500_000, 48)], { bytes: 100 });
    // only three of its four bytes
    const cut = Uint8Array.of(...new Uint8Array(96), 0xe8, 1, 2, 3);
    const part = { bytes: cut.length, from: FROM, at: FROM + MOVED, start: START };
    expect(toldOf(references, cut, cut, part, layoutOf({}))).toEqual(cut);
  });

  test.each([0, 1, 2, 3, 4, 5, 6])("a part of %d bytes may be all calls", (bytes) => {
    const calls = new Uint8Array(bytes).fill(0xe8);
    const part = { bytes, from: FROM, at: FROM + MOVED, start: START };
    expect(toldOf(fresh(), calls, calls, part, layoutOf({}))).toEqual(calls);
  });

  test("guesses that are wrong are trusted less, and stop; right ones bring them back", () => {
    const references = fresh();
    // three calls to one block, of which only the second's target did not move as the copy did: the third is guessed as
    // it, wrongly
    const calls = [call(10, 500_000, MOVED), call(40, 500_000, 48), call(70, 500_000, MOVED)];
    const second = calls[1] as Change;
    const third = calls[2] as Change;
    for (let i = 0; i < REFERENCE_CODE_TRUST; i++) {
      // the first two are not guessed, for they were told to move as the copy: they do not count
      const guess = guessed(references, calls, { bytes: 100 });
      expect(guess.getInt32(40, true)).toBe(second.before);
      expect(guess.getInt32(70, true)).toBe(third.before + 48 - MOVED);
    }
    expect(guessed(references, calls, { bytes: 100 }).getInt32(70, true)).toBe(third.before);
    // trust is 1 below nothing: two right guesses, which nobody sees, bring it above
    const right = [call(10, 700_000, 48), call(40, 700_000, 48)];
    guessed(references, right.slice(0, 1), { bytes: 100 });
    expect(guessed(references, right.slice(0, 1), { bytes: 100 }).getInt32(10, true)).toBe(right[0]?.before);
    expect(guessed(references, right, { bytes: 100 }).getInt32(10, true)).toBe(right[0]?.before);
    expect(guessed(references, right, { bytes: 100 }).getInt32(10, true)).toBe(right[0]?.after);
  });

  test("a guess that is wrong as the old bytes were does not count", () => {
    const references = fresh();
    guessed(references, [call(10, 500_000, 48)], { bytes: 100 });
    for (let i = 1; i <= 3 * REFERENCE_TRUST_MAX; i++) guessed(references, [call(10, 500_000, 48 + i)], { bytes: 100 });
    const last = call(10, 500_000, 48 + 3 * REFERENCE_TRUST_MAX);
    expect(guessed(references, [last], { bytes: 100 }).getInt32(10, true)).toBe(last.after);
  });

  test("what was forgotten is not guessed, and trust is as at first", () => {
    const references = fresh();
    const change = call(10, 500_000, 48);
    guessed(references, [change], { bytes: 100 });
    expect(guessed(references, [change], { bytes: 100 }).getInt32(10, true)).toBe(change.after);
    for (const side of [...references.writers, ...references.readers]) side.forget();
    expect(guessed(references, [change], { bytes: 100 }).getInt32(10, true)).toBe(change.before);
    expect(guessed(references, [change], { bytes: 100 }).getInt32(10, true)).toBe(change.after);
  });

  test("calls far behind 2^32 are guessed as those at the front", () => {
    for (const from of [2 ** 31 - 50, 2 ** 32 - 50, 5 * 2 ** 32, 2 ** 40]) {
      const references = fresh(2 ** 41);
      const target = from + 100_000;
      const changes = [
        call(10, target, 48 - 7e6, { from, moved: 1000 }),
        call(40, target + 1, 48 - 7e6, { from, moved: 1000 }),
      ];
      const guess = guessed(references, changes, { bytes: 100, from, moved: 1000 });
      expect(guess.getInt32(10, true)).toBe(changes[0]?.before);
      expect(guess.getInt32(40, true)).toBe(changes[1]?.after);
    }
  });

  test("a copy that moved by more than 2^32 learns what 32 bits can say", () => {
    const moved = 5 * 2 ** 32 + 8;
    // the field grows by 40: its target has moved 40 further than itself
    const changes = [call(10, 500_000, moved + 40, { moved }), call(40, 500_001, moved + 40, { moved })];
    const guess = guessed(fresh(2 ** 41), changes, { bytes: 100, moved });
    expect(guess.getInt32(40, true)).toBe(changes[1]?.after);
  });
});

describe("words", () => {
  test("absolute ones are guessed when watched ones would have been guessed right, and not before", () => {
    const { changes, end } = trustedPointers(64);
    const after = [pointer(end, 500_010, 64), pointer(end + 4, 500_020, 64)];
    const guess = guessed(fresh(), [...changes, ...after], { bytes: end + 100 });
    for (const { at, before } of changes.slice(0, -1)) expect(guess.getInt32(at, true)).toBe(before);
    for (const { at, after: expected } of after) expect(guess.getInt32(at, true)).toBe(expected);
  });

  test("relative ones are", () => {
    const count = REFERENCE_WORD_DISTRUST + 3;
    const relative = (at: number): Change => {
      const before = 500_000 - (FROM + at);
      return { at, before, after: before + 64 - MOVED };
    };
    const changes = Array.from({ length: count }, (_, i) => relative(128 + REFERENCE_WATCHED_BYTES * i));
    const last = relative(128 + REFERENCE_WATCHED_BYTES * count);
    const guess = guessed(fresh(), [...changes, last], { bytes: last.at + 100 });
    expect(guess.getInt32(changes[0]?.at ?? 0, true)).toBe(changes[0]?.before);
    expect(guess.getInt32(last.at, true)).toBe(last.after);
  });

  test.each([0, 1, 2, 3])("only where they begin at the phase: %d", (phase) => {
    const references = fresh();
    const { changes, end } = trustedPointers(64);
    const shifted = (change: Change, by: number): Change => ({ ...change, at: change.at + by });
    const bytes = end + 100;
    guessed(
      references,
      changes.map((change) => shifted(change, phase)),
      { bytes, phase },
    );
    for (let by = 0; by < 4; by++) {
      const probe = pointer(40 + by, 500_010, 64);
      const expected = by === phase ? probe.after : probe.before;
      expect(guessed(references, [probe], { bytes: 100, phase }).getInt32(probe.at, true)).toBe(expected);
    }
  });

  test("small ones are left", () => {
    const references = fresh();
    // backwards, so that they are no absolute ones: those that are small are all in regions that nothing is learned of
    const target = FROM - 6003;
    const back = (at: number, value: number): Change => ({ at, before: value, after: value + 64 - MOVED });
    const places = Array.from({ length: REFERENCE_WORD_DISTRUST + 3 }, (_, i) => REFERENCE_WATCHED_BYTES * (i + 1));
    const changes = places.map((at) => back(at, target - (FROM + at)));
    guessed(references, changes, { bytes: REFERENCE_WATCHED_BYTES * (places.length + 2) });
    for (const [value, isField] of [
      [1 - REFERENCE_WORD_MIN, false],
      [-REFERENCE_WORD_MIN, true],
    ] as const) {
      const probe = back(40, value);
      const guess = guessed(references, [probe], { bytes: 100, from: target + REFERENCE_WORD_MIN - 1 - 40 });
      expect(guess.getInt32(40, true)).toBe(isField ? probe.after : probe.before);
    }
  });

  test("guesses that are wrong stop", () => {
    const references = fresh();
    const { changes, end } = trustedPointers(64);
    guessed(references, changes, { bytes: end + 100 });
    const probe = pointer(40, 500_010, 64);
    expect(guessed(references, [probe], { bytes: 100 }).getInt32(40, true)).toBe(probe.after);
    // a block's shift is learned from what moved, and what did not is guessed wrong
    for (let i = 0; i < 4 * REFERENCE_TRUST_MAX; i++) {
      guessed(references, [pointer(REFERENCE_WATCHED_BYTES, 500_000, i % 2 === 0 ? 64 : 0), pointer(256, 500_001, 0)], {
        bytes: 400,
        from: 0,
        moved: 1024,
      });
    }
    expect(guessed(references, [probe], { bytes: 100 }).getInt32(40, true)).toBe(probe.before);
  });
});

describe("arm64", () => {
  /** Where pages begin, in what is copied and in what it becomes: other places each. */
  const PAGES = [1000, 3000] as const;
  const copy = { bytes: 400, pages: PAGES };
  const word = (at: number, before: number, after: number): Change => ({ at, before: before | 0, after: after | 0 });
  const pageOf = (place: number): number => Math.floor(place / 4096) * 4096;

  /** BL at `at` to `target`, which has moved by `shift`. */
  const branch = (at: number, target: number, shift: number, opcode = 0x9400_0000): Change => {
    const far = (target - (FROM + at)) / 4;
    const wordOf = (distance: number): number => opcode | (distance & 0x03ff_ffff);
    return word(at, wordOf(far), wordOf(far + (shift - MOVED) / 4));
  };

  /** ADRP and what adds to it, `apart` instructions behind it, to `target`, which has moved by `shift`. */
  const address = (
    at: number,
    target: number,
    shift: number,
    { apart = 1, lowOpcode = 0x9100_0000, unit = 0, register = 7 } = {},
  ): readonly [Change, Change] => {
    const adrp = (own: number, to: number): number => {
      const pages = (pageOf(to) - pageOf(own)) / 4096;
      return 0x9000_0000 | register | ((pages & 3) << 29) | (((pages >> 2) & 0x7_ffff) << 5);
    };
    const low = (to: number): number => lowOpcode | (register << 5) | ((((to % 4096) >> unit) & 0xfff) << 10);
    const [old, fresh] = [target - PAGES[0], target + shift - PAGES[1]];
    return [
      word(at, adrp(FROM + at - PAGES[0], old), adrp(FROM + MOVED + at - PAGES[1], fresh)),
      word(at + 4 * apart, low(old), low(fresh)),
    ];
  };

  test.each([
    ["BL", 0x9400_0000],
    ["B", 0x1400_0000],
  ])("a target of %s moves as an earlier one's did, forwards and backwards", (_, opcode) => {
    const changes = [
      branch(20, 500_000, 4048),
      branch(40, 500_008, 4048, opcode),
      branch(60, 8000, -24),
      branch(64, 8000, -24),
    ];
    const guess = guessed(fresh(), changes, copy);
    for (const [i, isGuessed] of [false, true, false, true].entries()) {
      const { at, before, after } = changes[i] as Change;
      expect(guess.getInt32(at, true)).toBe(isGuessed ? after : before);
    }
  });

  test.each([1, 2, 4])("pages and what is added to them lead where others lead, %d instructions apart", (apart) => {
    // over the end of a page in the old program, in the new one, and in none
    for (const shift of [48, 4048, 4096 * 5 + 2000, -300_016]) {
      const changes = [
        ...address(20, 500_000, shift),
        ...address(60, 500_000, shift, { apart }),
        ...address(100, 500_040, shift),
      ];
      const guess = guessed(fresh(), changes, copy);
      for (const { at, after } of changes.slice(2)) expect(guess.getInt32(at, true)).toBe(after);
    }
  });

  test("what is added further behind is left, and its page is taken for that of nothing added", () => {
    const changes = [...address(20, 500_000, 48), ...address(60, 500_000, 48, { apart: 5 })];
    const low = changes[3] as Change;
    expect(guessed(fresh(), changes, copy).getInt32(low.at, true)).toBe(low.before);
  });

  test.each([
    ["byte", 0x3940_0000, 0],
    ["half word", 0x7940_0000, 1],
    ["word", 0xb940_0000, 2],
    ["double word", 0xf940_0000, 3],
    ["double word stored", 0xf900_0000, 3],
    ["vector", 0x3dc0_0000, 4],
  ])("what is loaded counts in its own length: a %s", (_, lowOpcode, unit) => {
    const target = PAGES[0] + 4096 * 120 + 1024;
    const changes = [...address(20, target, 2048 + 2000, {}), ...address(60, target, 2048 + 2000, { lowOpcode, unit })];
    const guess = guessed(fresh(), changes, copy);
    for (const { at, after } of changes.slice(2)) expect(guess.getInt32(at, true)).toBe(after);
  });

  test("what cannot be said in that length is left", () => {
    const target = PAGES[0] + 4096 * 120 + 1024;
    const eights = { lowOpcode: 0xf940_0000, unit: 3 };
    const [page, low] = address(60, target, 2001, eights);
    const guess = guessed(fresh(), [...address(20, target, 2001), page, low], copy);
    expect(guess.getInt32(page.at, true)).toBe(page.after);
    expect(guess.getInt32(low.at, true)).toBe(low.before);
  });

  test("a register holds a page until another is made in it, and not in the next part", () => {
    const sides = fresh();
    const known = address(20, 500_000, 48);
    guessed(sides, [...known], copy);
    const [page, low] = address(60, 500_000, 48, { apart: 3 });
    const other = { ...address(64, 700_000, MOVED)[0] };
    const guess = guessed(sides, [page, other, low], copy);
    expect(guess.getInt32(low.at, true)).toBe(low.before);
    expect(guessed(sides, [{ ...low, at: 4 }], copy).getInt32(4, true)).toBe(low.before);
  });

  test("words that are no instructions are guessed as beside other code", () => {
    const sides = fresh();
    const { changes, end } = trustedPointers(64);
    const probe = pointer(end, 500_010, 64);
    const guess = guessed(sides, [...changes, probe], { bytes: end + 100, pages: PAGES });
    expect(guess.getInt32(probe.at, true)).toBe(probe.after);
  });

  test.each([1, 2, 3])("instructions begin at the phase: %d", (phase) => {
    const shifted = [branch(20, 500_000, 48), branch(40, 500_000, 48)].map((change) => ({
      ...change,
      at: change.at + phase,
    }));
    const inPhase = guessed(fresh(), shifted, { ...copy, phase, from: FROM });
    expect(inPhase.getInt32(40 + phase, true)).not.toBe(shifted[1]?.before);
    expect(guessed(fresh(), shifted, copy).getInt32(40 + phase, true)).toBe(shifted[1]?.before);
  });
});

describe("WebAssembly", () => {
  const [CALL_WASM, I32_CONST, I64_CONST] = [0x10, 0x41, 0x42];

  const leb = (value: number, bytes: number): number[] =>
    Array.from({ length: bytes }, (_, i) => (Math.floor(value / 128 ** i) % 128) + (i < bytes - 1 ? 128 : 0));

  /**
   * Numbers behind instructions, each as it was and as it became, one after another: those that became what was
   * guessed.
   */
  function guessedNumbers(
    sides: Sides,
    numbers: readonly (readonly [instruction: number, before: number[], after: number[]])[],
  ): boolean[] {
    const local = [0x20, 0x01];
    const old = Uint8Array.from([
      ...numbers.flatMap(([instruction, before]) => [...local, instruction, ...before]),
      ...local,
      0,
      0,
      0,
    ]);
    const made = Uint8Array.from([
      ...numbers.flatMap(([instruction, , after]) => [...local, instruction, ...after]),
      ...local,
      0,
      0,
      0,
    ]);
    const part = { bytes: old.length, from: FROM, at: FROM + MOVED, start: START };
    const told = toldOf(sides, old, made, part, WASM_LAYOUT);
    let at = 0;
    return numbers.map(([, before]) => {
      at += local.length + 1 + before.length;
      const [start, end] = [at - before.length, at];
      const isChanged = Buffer.compare(old.subarray(start, end), made.subarray(start, end)) !== 0;
      return isChanged && Buffer.compare(told.subarray(start, end), old.subarray(start, end)) === 0;
    });
  }

  test.each([
    ["a call", CALL_WASM, 3, 20_000, 20_003],
    ["a call in one byte", CALL_WASM, 1, 40, 43],
    ["a call that takes more bytes than it needs", CALL_WASM, 5, 300, 310],
    ["i32.const", I32_CONST, 3, 500_000, 500_010],
    ["i64.const", I64_CONST, 4, 5_000_000, 5_000_010],
  ])("%s is shifted as one near it was", (_, instruction, bytes, first, second) => {
    const numbers = [first, second].map((value) => [instruction, leb(value, bytes), leb(value + 5, bytes)] as const);
    expect(guessedNumbers(fresh(), numbers)).toEqual([false, true]);
  });

  test("constants share what they learn, and calls do not", () => {
    const shifted = (instruction: number, value: number) => [instruction, leb(value, 3), leb(value + 5, 3)] as const;
    const numbers = [shifted(I32_CONST, 500_000), shifted(I64_CONST, 500_000), shifted(CALL_WASM, 500_000)];
    expect(guessedNumbers(fresh(), numbers)).toEqual([false, true, false]);
  });

  test.each([
    ["is negative", I32_CONST, [0x80, 0x80, 0x60], [0x85, 0x80, 0x60]],
    ["is small", I32_CONST, leb(4095, 2), leb(4090, 2)],
    ["has more than 31 bits", CALL_WASM, [0x80, 0x80, 0x80, 0x80, 0x08], [0x85, 0x80, 0x80, 0x80, 0x08]],
    ["is of another instruction", 0x20, leb(20_000, 3), leb(20_005, 3)],
  ])("what %s is left", (_, instruction, before, after) => {
    const numbers = [1, 2].map(() => [instruction, before, after] as const);
    expect(guessedNumbers(fresh(), numbers)).toEqual([false, false]);
  });

  test("what would be of another length is left, or negative", () => {
    const sides = fresh();
    guessedNumbers(sides, [[CALL_WASM, leb(16_370, 2), leb(16_375, 2)]]);
    expect(guessedNumbers(sides, [[CALL_WASM, leb(16_371, 2), leb(16_376, 2)]])).toEqual([true]);
    // 16,384 takes a third byte
    expect(guessedNumbers(sides, [[CALL_WASM, leb(16_380, 2), leb(16_383, 2)]])).toEqual([false]);
    guessedNumbers(sides, [[I32_CONST, leb(8100, 2), leb(8110, 2)]]);
    expect(guessedNumbers(sides, [[I32_CONST, leb(8102, 2), leb(8112, 2)]])).toEqual([true]);
    // from 8,192 on two bytes are a negative one
    expect(guessedNumbers(sides, [[I32_CONST, leb(8185, 2), leb(8190, 2)]])).toEqual([false]);
  });
});

describe("another segment", () => {
  // as many as there are marks of what was learned, twice and a few
  const SEGMENTS = 2 * 2 ** REFERENCE_BLOCK_BITS + 3;

  test("knows nothing of one before, however many are between", () => {
    const [first, probe] = [call(10, 500_000, 48), call(10, 500_001, 48)];
    for (let between = 1; between <= SEGMENTS; between++) {
      const sides = fresh();
      guessed(sides, [first], { bytes: 100 });
      for (const side of [...sides.writers, ...sides.readers]) for (let i = 0; i < between; i++) side.forget();
      expect(guessed(sides, [probe], { bytes: 100 }).getInt32(10, true)).toBe(probe.before);
    }
  });

  test("clears no memory in which little was learned: a delta may have one each byte", () => {
    const references = newReferences();
    references.begin(SOURCE_BYTES);
    guessed({ writers: [references], readers: [] }, [call(10, 500_000, 48)], { bytes: 100 });
    // all of its memory, where it is compiled
    const learned = new Uint8Array(references.old.buffer.slice(0));
    references.forget();
    expect(isSame(new Uint8Array(references.old.buffer), learned)).toBe(true);
  });
});

describe("compiled and plain", () => {
  /** At the front, at the ends of 31 and 32 bits, and far behind. */
  const places = fc.oneof(
    fc.nat(SOURCE_BYTES),
    fc.constantFrom(2 ** 31 - 500, 2 ** 31, 2 ** 32 - 500, 2 ** 32, 2 ** 33 + 1, 2 ** 40 - 3),
  );
  const moves = fc.oneof({ weight: 3, arbitrary: fc.nat(100_000) }, { weight: 1, arbitrary: places });
  const page = fc.nat(4095);
  const parts = fc.array(
    fc.record({
      seed: fc.integer({ min: 1, max: 1e9 }),
      bytes: fc.oneof({ weight: 1, arbitrary: fc.nat(20) }, { weight: 4, arbitrary: fc.nat(2000) }),
      /** Another copy; undefined: the one before goes on, so that what was learned counts. */
      place: fc.option(fc.tuple(places, moves), { nil: undefined, freq: 3 }),
      phase: fc.nat(3),
      pages: fc.tuple(page, page),
    }),
    { minLength: 1, maxLength: 6 },
  );
  const BYTES_BEFORE_FIELDS = [0xe8, 0xe9, 0x05, 0x3d];
  const OPCODES = [0x94, 0x97, 0x14, 0x90, 0xb0, 0xf0, 0x91, 0x39, 0x3d, 0xb9, 0xf9, 0xbd, 0x7d, 0x00];

  /** Words of code, or that lead to near by, and what they become: many of them more by the same. */
  function wordsOf(seed: number, bytes: number, from: number, isArm64: boolean): readonly [Uint8Array, Uint8Array] {
    const [old, chosen] = [new Uint8Array(bytes), new DataView(pseudoRandomBytes(seed, 2 * bytes + 8).buffer)];
    const view = new DataView(old.buffer);
    for (let at = 0; at + 4 <= bytes; at += 4) {
      const [any, kind] = [chosen.getUint32(2 * at), chosen.getUint8(2 * at + 4)];
      const opcode = OPCODES[kind % OPCODES.length] as number;
      const number = any % 2 === 0 ? any % 64 : any;
      if (isArm64) view.setInt32(at, (opcode << 24) | (number & 0xfffc1f) | (chosen.getUint8(2 * at + 5) & 0x63));
      else view.setInt32(at, [any % 20_000, any % 1_000_000, (any % 1_000_000) - from, any][kind % 4] as number);
      old.subarray(at, at + 4).reverse();
      if (!isArm64 && kind >= 128) old[at + (kind & 3)] = BYTES_BEFORE_FIELDS[(kind >> 2) & 3] as number;
    }
    const made = old.slice();
    const becomes = new DataView(made.buffer);
    const more = isArm64 ? (chosen.getUint8(0) % 60) << 10 : 48;
    for (let at = seed % 4; at + 4 <= bytes; at += 4) {
      const kind = chosen.getUint8(2 * at + 6);
      const other = chosen.getInt32(2 * at + 1);
      if (kind < 128) becomes.setInt32(at, becomes.getInt32(at, true) + (kind < 16 ? other : more), true);
    }
    return [old, made];
  }

  test.each([
    ["x86-64", false],
    ["arm64", true],
  ])("guess the same of anything like %s", (_, isArm64) => {
    let guessedOften = 0;
    fc.assert(
      fc.property(fc.constantFrom(1000, SOURCE_BYTES, 2 ** 32 + 5, 2 ** 41), parts, (sourceBytes, all) => {
        const sides = fresh(sourceBytes);
        let [from, moved] = [FROM, MOVED];
        for (const { seed, bytes, place, phase, pages } of all) {
          if (place !== undefined) [from, moved] = place;
          const [old, made] = wordsOf(seed, bytes, from, isArm64);
          const part = { bytes, from, at: from + moved, start: START };
          const told = toldOf(sides, old, made, part, layoutOf({ phase, ...(isArm64 && { pages }) }));
          if (!isSame(told, made)) guessedOften++;
          from += bytes;
        }
      }),
      { numRuns: 1000 },
    );
    // or both guess nothing
    expect(guessedOften).toBeGreaterThan(100);
  });

  /**
   * Instructions with numbers of any length, most of them near others, and noise in which anything stands; and what
   * becomes of them, mostly shifted as the others are.
   */
  function numbersOf(seed: number, count: number): [old: Uint8Array, made: Uint8Array] {
    const chosen = pseudoRandomBytes(seed + 1, 12 * count + 1);
    const leb = (value: number, bytes: number): number[] =>
      Array.from({ length: bytes }, (_, i) => (Math.floor(value / 128 ** i) % 128) + (i < bytes - 1 ? 128 : 0));
    const [old, made]: [number[], number[]] = [[], []];
    for (let i = 0; i < count; i++) {
      const [kind, bytes, near, how, ...noise] = chosen.subarray(12 * i, 12 * i + 12) as unknown as number[];
      if ((kind as number) < 64) {
        old.push(...noise.slice(0, 3));
        made.push(...noise.slice(0, 3));
        continue;
      }
      const size = 1 + ((bytes as number) % 5);
      // about where a number takes another byte, is negative in this one, is small, or has too many bits
      const limits = [128 ** (size - 1), 64 * 128 ** (size - 1), REFERENCE_WORD_MIN, 2 ** 31].map((limit) =>
        Math.min(limit, 128 ** size - 80),
      );
      const value = Math.max(0, (limits[(bytes as number) >> 6] as number) - 60 + ((near as number) % 120));
      const more = (how as number) < 24 ? (noise[0] as number) - 128 : (chosen[0] as number) % 8;
      const instruction = [0x10, 0x41, 0x42, 0x20][(kind as number) % 4] as number;
      old.push(instruction, ...leb(value, size));
      made.push(instruction, ...leb(Math.max(0, value + more), size));
    }
    return [Uint8Array.from(old), Uint8Array.from(made)];
  }

  test("guess the same of anything like WebAssembly", () => {
    let guessedOften = 0;
    const part = fc.record({ seed: fc.nat(), count: fc.nat(400) });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (all) => {
        const sides = fresh();
        for (const { seed, count } of all) {
          const [old, made] = numbersOf(seed, count);
          const part = { bytes: old.length, from: FROM, at: FROM + MOVED, start: START };
          if (!isSame(toldOf(sides, old, made, part, WASM_LAYOUT), made)) guessedOften++;
        }
      }),
      { numRuns: 500 },
    );
    // or both guess nothing
    expect(guessedOften).toBeGreaterThan(100);
  });
});

/** A program of functions that call each other, with a table of pointers to them and one of jumps. */
interface Program {
  /** Each its length in bytes and the seed of what it does. */
  readonly functions: readonly { readonly bytes: number; readonly seed: number }[];
  /** Those that are called have seeds from 1 to this: the same in each build. */
  readonly called: number;
}

/** What the addresses in a program count from. */
const BASE = 0x10000;

/** Its bytes: functions by their seeds, calls and tables by where the functions are. */
function linked({ functions, called }: Program): Uint8Array {
  const starts = new Map<number, number>();
  let codeBytes = 0;
  for (const { bytes, seed } of functions) {
    starts.set(seed, codeBytes);
    codeBytes += bytes;
  }
  const tablesAt = Math.ceil(codeBytes / 16) * 16;
  const program = new Uint8Array(tablesAt + 8 * functions.length);
  const view = new DataView(program.buffer);
  functions.forEach(({ bytes, seed }, i) => {
    const start = starts.get(seed) as number;
    program.set(pseudoRandomBytes(seed, bytes), start);
    const calls = pseudoRandomBytes(seed + 1_000_000, bytes + 1);
    for (let at = 6; at + 5 <= bytes; at += 15) {
      const wanted = 1 + (((calls[at] as number) + 256 * (calls[at + 1] as number)) % called);
      // what is not there any more is not called: the first function is
      const target = starts.get(wanted) ?? 0;
      program[start + at] = 0xe8;
      view.setInt32(start + at + 1, target - (start + at + 5), true);
    }
    const word = tablesAt + 4 * i;
    view.setInt32(word, BASE + start, true);
    // from the table of jumps, a word itself, to a place behind the program
    view.setInt32(word + 4 * functions.length, BASE + start - (word + 4 * functions.length), true);
  });
  return program;
}

const program = fc
  .array(fc.integer({ min: 60, max: 400 }), { minLength: 40, maxLength: 120 })
  .map((lengths) => ({ functions: lengths.map((bytes, i) => ({ bytes, seed: i + 1 })), called: lengths.length }));

/** The next build: functions put in, left out and resized, so that all behind them moves. */
const rebuilds = fc
  .record({
    old: program,
    inserted: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 20, max: 200 })), { maxLength: 4 }),
    removed: fc.array(fc.nat(), { maxLength: 2 }),
    resized: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 20, max: 400 })), { maxLength: 4 }),
  })
  .map(({ old, inserted, removed, resized }) => {
    const functions = [...old.functions];
    for (const at of removed) functions.splice(at % functions.length, 1);
    for (const [at, bytes] of resized) {
      const place = at % functions.length;
      functions[place] = { bytes, seed: functions[place]?.seed ?? 1 };
    }
    inserted.forEach(([at, bytes], i) => functions.splice(at % functions.length, 0, { bytes, seed: 1000 + i }));
    functions.splice(functions.length >> 1, 0, { bytes: 112, seed: 2000 });
    return { old: linked(old), fresh: linked({ ...old, functions }) };
  });

const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const squeezed = (plain: Uint8Array): number => brotliCompressSync(plain, FAST).length;
/** Guesses are taken wherever there may be any: what has a kind of references is free. */
const GUESSES_ARE_FREE: Compressors = {
  compress: (plain) => ({ codec: "brotli", bytes: brotliCompressSync(plain, FAST) }),
  squeeze: (plain) => (plain.length === 1 && (plain[0] as number) > 0 ? -1e9 : squeezed(plain)),
};
const COMPRESSORS: Compressors = { ...GUESSES_ARE_FREE, squeeze: squeezed };

function decoded(old: Uint8Array, delta: Uint8Array, newBytes: number): Uint8Array {
  const made = new Uint8Array(newBytes);
  let at = 0;
  for (const piece of decodeInMemory({ old, delta, made }, (_, stored) => brotliDecompressSync(stored))) {
    made.set(piece, at);
    at += piece.length;
  }
  return made;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** `toEqual` alone takes ten times as long as all that is tested here. */
function expectSame(a: Uint8Array, b: Uint8Array): void {
  if (!isSame(a, b)) expect(a).toEqual(b);
}

/** How each segment is guessed; 0: not. */
function kindsOf(source: Uint8Array, oldBytes: number, { squeeze }: Compressors): number[] {
  const index = SourceIndex.of(source, oldBytes);
  return segmentsOf(source.length - oldBytes).map(
    (segment) => scanSegment(index, segment, squeeze).streams.references[0] as number,
  );
}

describe("laws", () => {
  test("a program that was linked again comes back, though all its references changed and were guessed", () => {
    let guessedOften = 0;
    fc.assert(
      fc.property(rebuilds, ({ old, fresh: rebuilt }) => {
        const source = concatBytes([old, rebuilt]);
        const delta = encodeDelta(source, old.length, GUESSES_ARE_FREE);
        expect(isSame(decoded(old, delta, rebuilt.length), rebuilt)).toBe(true);
        if (kindsOf(source, old.length, GUESSES_ARE_FREE).some((kind) => kind > 0)) guessedOften++;
      }),
    );
    // or the law says nothing
    expect(guessedOften).toBeGreaterThan(50);
  });

  test("any bytes with calls and pointers planted come back", () => {
    const planted = fc.tuple(fc.nat(), fc.constantFrom(0xe8, 0xe9, 0x05, 0), fc.integer({ min: -50_000, max: 50_000 }));
    const bytes = fc
      .tuple(
        fc.integer({ min: 1, max: 1e9 }),
        fc.integer({ min: 200, max: 6000 }),
        fc.array(planted, { maxLength: 200 }),
      )
      .map(([seed, length, fields]) => {
        const all = pseudoRandomBytes(seed, length);
        for (const [where, opcode, value] of fields) {
          const at = where % (length - 5);
          if (opcode > 0) all[at] = opcode;
          new DataView(all.buffer).setInt32(at + 1, value, true);
        }
        return all;
      });
    const edits = fc.array(
      fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 0, max: 255 })),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(bytes, edits, fc.integer({ min: 3, max: 40 }), (old, pieces, every) => {
        const fresh = concatBytes(
          pieces.map(([at, , length, add]) => {
            const start = at % old.length;
            return old.slice(start, start + length).map((byte, i) => (i % every === 0 ? byte + add : byte));
          }),
        );
        const twice = concatBytes([fresh, fresh]);
        const delta = encodeDelta(concatBytes([old, twice]), old.length, GUESSES_ARE_FREE);
        expect(isSame(decoded(old, delta, twice.length), twice)).toBe(true);
      }),
    );
  });
});

const LARGE: Program = {
  functions: Array.from(pseudoRandomBytes(77, 1500), (size, i) => ({ bytes: 40 + 2 * size, seed: i + 1 })),
  called: 1500,
};

/** The next build of it, with functions put in, left out and resized throughout; which ones, the salt says. */
function rebuiltLarge(salt: number): Uint8Array {
  const functions = LARGE.functions.flatMap(({ bytes, seed }) => {
    const salted = seed + salt;
    if (salted % 97 === 0) return [];
    const here = { bytes: salted % 89 === 0 ? bytes + 32 : bytes, seed };
    return salted % 83 === 0 ? [here, { bytes: 100, seed: 500_000 + salted }] : [here];
  });
  return linked({ ...LARGE, functions });
}

test("of a program that was linked again, most references are guessed", () => {
  const [old, rebuilt] = [linked(LARGE), rebuiltLarge(0)];
  const source = concatBytes([old, rebuilt]);
  const wrong = (section: Record<(typeof STREAMS)[number], Uint8Array>): number =>
    section.ones.length + section.twos.length + section.threes.length + section.longer.length;
  const index = SourceIndex.of(source, old.length);
  const guesses = scanSegment(index, 0, COMPRESSORS.squeeze).streams;
  // a compressor for which guesses never pay
  const never = scanSegment(index, 0, (plain) =>
    plain.length === 1 && (plain[0] as number) > 0 ? 1e9 : squeezed(plain),
  );
  expect(guesses.references[0]).toBeGreaterThan(0);
  expect(never.streams.references).toEqual(Uint8Array.of(0));
  expect(wrong(guesses)).toBeLessThan(wrong(never.streams) / 2);
  const delta = encodeDelta(source, old.length, COMPRESSORS);
  expect(isSame(decoded(old, delta, rebuilt.length), rebuilt)).toBe(true);
});

test("segments that are scanned in any order, by different threads, make the delta that one thread makes", () => {
  // three segments, with one build in the first, and another over the end of the second; what is between is old
  const filler = pseudoRandomBytes(5, DELTA_SEGMENT_BYTES);
  const [old, rebuilt] = [concatBytes([linked(LARGE), filler]), rebuiltLarge(0)];
  const fresh = concatBytes([rebuilt, filler, filler.subarray(rebuilt.length + 100_000), rebuiltLarge(11)]);
  const source = concatBytes([old, fresh]);
  const index = SourceIndex.of(source, old.length);
  const numbers = segmentsOf(fresh.length);
  const scanned = new Map(
    numbers.toReversed().map((segment) => [segment, scanSegment(index, segment, COMPRESSORS.squeeze)] as const),
  );
  for (const segment of numbers) expect(scanned.get(segment)?.streams.references[0]).toBeGreaterThan(0);
  const parts = [writeDeltaHeader(old.length, fresh.length)];
  const joiner = new SectionJoiner();
  for (const section of [...numbers.map((segment) => joiner.add(scanned.get(segment) as never)), joiner.rest()]) {
    if (section === undefined) continue;
    const stored = STREAMS.map((name) => [name, COMPRESSORS.compress(section.streams[name], name)] as const);
    parts.push(writeSection(section, Object.fromEntries(stored) as never));
  }
  const delta = encodeDelta(source, old.length, COMPRESSORS);
  expect(isSame(concatBytes(parts), delta)).toBe(true);
  expect(isSame(decoded(old, delta, fresh.length), fresh)).toBe(true);
});
