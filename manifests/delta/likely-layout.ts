/**
 * How the references of a segment probably lie: its writer's choice, by what differs and by what its instructions are.
 */
import {
  ARM64_LOOK_BYTES,
  ARM64_LOOK_PARTS,
  ARM64_PAGE_BYTES,
  ARM64_PAGE_REACH_BYTES,
  ARM64_RETURN_WORDS_MAX,
  DELTA_TEXT_LOOK_BYTES,
  REFERENCE_RUNS_MIN,
  WASM_LOCAL_GET_SHARE_MIN,
} from "../limits.ts";
import { isLow, isPage, lowOf, pagesOf, readBy, writtenBy } from "./arm64.ts";
import { commonBytes } from "../common-bytes.ts";
import { FIELD_BYTES, type Layout, WASM_LAYOUT } from "./references.ts";
import type { Step } from "./scan.ts";

/** RET of arm64: nearly every function ends with it. */
const RETURN = 0xd65f_03c0 | 0;
const LOCAL_GET = 0x20;

/** Those that are to be tried; none when too little differs for guesses to matter. */
export function likelyLayouts(view: DataView, start: number, steps: readonly Step[]): Layout[] {
  const wordPhase = likelyPhase(view, start, steps);
  if (wordPhase === undefined) return [];
  const end = steps.reduce((at, { copy, literal }) => at + copy + literal, start);
  const layout = layoutByWords(view, start, end, steps, wordPhase);
  return isWasmLike(view, start, end) ? [WASM_LAYOUT, layout] : [layout];
}

function layoutByWords(view: DataView, start: number, end: number, steps: readonly Step[], wordPhase: number): Layout {
  const phase = phaseOfArm64(view, start, end);
  if (phase === undefined) return { machine: "x86-64", phase: wordPhase, oldPage: 0, newPage: 0 };
  const [oldPages, newPages] = [new PageVotes(view), new PageVotes(view)];
  let at = start;
  for (const { from, copy, literal } of steps) {
    const first = (phase - at) & (FIELD_BYTES - 1);
    oldPages.look(from + first, from + copy);
    newPages.look(at + first, at + copy);
    at += copy + literal;
  }
  return { machine: "arm64", phase, oldPage: oldPages.likeliest(), newPage: newPages.likeliest() };
}

/** Of a module's code, one byte of ten is a local.get. */
function isWasmLike(view: DataView, start: number, end: number): boolean {
  let gets = 0;
  for (let at = start; at < end; at += DELTA_TEXT_LOOK_BYTES) if (view.getUint8(at) === LOCAL_GET) gets++;
  return gets * DELTA_TEXT_LOOK_BYTES > WASM_LOCAL_GET_SHARE_MIN * (end - start);
}

/** Where words begin: an address differs from its least byte on. */
function likelyPhase(view: DataView, start: number, steps: readonly Step[]): number | undefined {
  const runs = [0, 0, 0, 0];
  let at = start;
  for (const { from, copy, literal } of steps) {
    for (let i = 0; i < copy;) {
      i += commonBytes(view, from + i, view, at + i, copy - i);
      if (i === copy) break;
      const phase = (at + i) % FIELD_BYTES;
      runs[phase] = (runs[phase] as number) + 1;
      while (i < copy && view.getUint8(from + i) !== view.getUint8(at + i)) i++;
    }
    at += copy + literal;
  }
  const most = Math.max(...runs);
  return runs.reduce((sum, count) => sum + count) < REFERENCE_RUNS_MIN ? undefined : runs.indexOf(most);
}

/**
 * Where instructions begin; undefined when there are too few of arm64. By one part in ARM64_LOOK_PARTS of the bytes.
 */
function phaseOfArm64(view: DataView, start: number, end: number): number | undefined {
  const returns = [0, 0, 0, 0];
  let looked = 0;
  for (let part = start; part < end; part += ARM64_LOOK_PARTS * ARM64_LOOK_BYTES) {
    const last = Math.min(end - FIELD_BYTES, part + ARM64_LOOK_BYTES - 1);
    looked += last + 1 - part;
    for (let at = part; at <= last; at++) {
      if (view.getInt32(at, true) === RETURN) returns[at % FIELD_BYTES] = (returns[at % FIELD_BYTES] as number) + 1;
    }
  }
  const most = Math.max(...returns);
  return most * ARM64_RETURN_WORDS_MAX * FIELD_BYTES > looked ? returns.indexOf(most) : undefined;
}

/**
 * Where pages begin, modulo their length. Places that lead to the same address from two pages next to each other, one
 * as many pages further as the other is before, tell that a page begins between them; those that lead there from the
 * same page, that none does.
 */
class PageVotes {
  readonly #view: DataView;
  /** Address, as if pages began at 0 -> where in its page the first instruction is that leads there. */
  readonly #firsts = new Map<number, number>();
  /** By how much more speaks for a beginning here than for one just before. */
  readonly #changes = new Int32Array(ARM64_PAGE_BYTES + 1);

  constructor(view: DataView) {
    this.#view = view;
  }

  /** At instructions [start, end). */
  look(start: number, end: number): void {
    for (let at = start; at + FIELD_BYTES + ARM64_PAGE_REACH_BYTES <= end; at += FIELD_BYTES) {
      const word = this.#view.getInt32(at, true);
      if (!isPage(word)) continue;
      const low = this.#lowBehind(at, writtenBy(word));
      if (low === undefined) continue;
      const place = at % ARM64_PAGE_BYTES;
      const address = at - place + pagesOf(word) * ARM64_PAGE_BYTES + low;
      this.#note(address, place);
    }
  }

  #lowBehind(at: number, register: number): number | undefined {
    for (let next = at + FIELD_BYTES; next <= at + ARM64_PAGE_REACH_BYTES; next += FIELD_BYTES) {
      const word = this.#view.getInt32(next, true);
      if (isLow(word) && readBy(word) === register) return lowOf(word);
    }
    return undefined;
  }

  #note(address: number, place: number): void {
    const same = this.#firsts.get(address);
    const below = this.#firsts.get(address - ARM64_PAGE_BYTES);
    const above = this.#firsts.get(address + ARM64_PAGE_BYTES);
    if (same === undefined) this.#firsts.set(address, place);
    else this.#vote(Math.min(same, place), Math.max(same, place), -1);
    if (below !== undefined && place < below) this.#vote(place, below, 1);
    if (above !== undefined && above < place) this.#vote(above, place, 1);
  }

  /** On a beginning behind `after` and not behind `until`. */
  #vote(after: number, until: number, votes: number): void {
    const changes = this.#changes;
    changes[after + 1] = (changes[after + 1] as number) + votes;
    changes[until + 1] = (changes[until + 1] as number) - votes;
  }

  /** The last of the likeliest; 0 when nothing speaks for any. */
  likeliest(): number {
    let votes = 0;
    let most = 1;
    let likeliest = 0;
    for (let place = 0; place < ARM64_PAGE_BYTES; place++) {
      votes += this.#changes[place] as number;
      if (votes < most) continue;
      most = votes;
      likeliest = place;
    }
    return likeliest;
  }
}
