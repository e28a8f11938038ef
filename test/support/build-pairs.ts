/**
 * Pairs of an old file and a new one, each large in a delta for one cause that its publisher could do something about.
 */
import { deflateRawSync } from "node:zlib";
import { concatBytes } from "../../manifests/digest.ts";
import { pseudoRandomBytes } from "./pseudo-random.ts";

export interface BuildPair {
  readonly old: Uint8Array;
  readonly fresh: Uint8Array;
}

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Words in an order that looks random: compresses, but repeats nothing of some length. */
export function prose(words: number, seed: number): Uint8Array {
  const picks = pseudoRandomBytes(seed, 2 * words);
  return text(Array.from({ length: words }, (_, i) => WORDS[(picks[2 * i] as number) % WORDS.length]).join(" "));
}

const WORDS =
  "the of a north castle torch silver river gate quest iron ember hollow stone wolf bridge tower crown ash oak map key".split(
    " ",
  );

/** The same content, compressed in one stream without a header, with a sentence put in near the front. */
export function compressedPair(): BuildPair {
  const story = prose(60_000, 7);
  const at = 1000;
  const longer = concatBytes([story.subarray(0, at), text("An inserted sentence."), story.subarray(at)]);
  return { old: deflateRawSync(story), fresh: deflateRawSync(longer) };
}

/** A log of its own making: the moment of the build in every line, as a date. */
export function datedPair(): BuildPair {
  const lines = (day: string): Uint8Array => {
    const names = pseudoRandomBytes(11, 2000);
    return text(Array.from(names, (name, i) => `asset ${i} of kind ${name} packed at 2026-11-${day}\n`).join(""));
  };
  return { old: lines("20"), fresh: lines("27") };
}

/** A table with the build's time as a number of four bytes in every row. */
export function stampedPair(): BuildPair {
  const rows = (seconds: number): Uint8Array => {
    const table = pseudoRandomBytes(12, 500 * 64);
    const view = new DataView(table.buffer);
    for (let row = 0; row < 500; row++) view.setUint32(64 * row + 20, seconds + (row >> 4), true);
    return table;
  };
  return { old: rows(1_763_600_000), fresh: rows(1_764_240_123) };
}

/** A pack of 400 members, then the same ones in another order. */
export function reorderedPair(): BuildPair {
  const members = Array.from({ length: 400 }, (_, i) => pseudoRandomBytes(100 + i, 300 + (i % 7) * 40));
  // 173 and 400 have no factor in common: each member once
  const shuffled = members.map((_, i) => members[(i * 173) % 400] as Uint8Array);
  return { old: concatBytes(members), fresh: concatBytes(shuffled) };
}

/** An ELF program in which every tenth address has moved by the same distance. */
export function rebuiltPair(): BuildPair {
  const old = pseudoRandomBytes(13, 200_000);
  old.set([0x7f, 0x45, 0x4c, 0x46]);
  const fresh = old.slice();
  const view = new DataView(fresh.buffer);
  for (let at = 1000; at + 40 < fresh.length; at += 40)
    view.setUint32(at, (view.getUint32(at, true) + 0x30) >>> 0, true);
  return { old, fresh };
}

/**
 * An ELF program with calls from its first half into its second, which something that was put in before it has moved.
 */
export function linkedPair(): BuildPair {
  const [callers, called] = [pseudoRandomBytes(14, 100_000), pseudoRandomBytes(15, 100_000)];
  callers.set([0x7f, 0x45, 0x4c, 0x46]);
  const targets = new DataView(pseudoRandomBytes(16, callers.length).buffer);
  const linked = (inserted: number): Uint8Array => {
    const program = concatBytes([callers, pseudoRandomBytes(17, inserted), called]);
    const view = new DataView(program.buffer);
    for (let at = 1000; at + 20 <= callers.length; at += 20) {
      view.setUint8(at, 0xe8);
      view.setInt32(at + 1, callers.length + inserted + targets.getUint16(at) - (at + 5), true);
    }
    return program;
  };
  return { old: linked(0), fresh: linked(112) };
}

/** The same settings, every line another. */
export function rewrittenPair(): BuildPair {
  return { old: prose(20_000, 21), fresh: prose(20_000, 22) };
}
