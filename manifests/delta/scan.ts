/**
 * A segment of the new bytes as copies with differences: bsdiff's scan (Percival, "Naive differences of executable
 * code", 2003), with SourceIndex in place of its suffix array. Greedy. A match is taken when it is better than going on
 * along the one before by what the step costs in the control streams, and a far jump costs more than a near one. Of
 * programs, tables are looked for as well (rows.ts), which agree in other ways than byte by byte.
 */
import {
  DELTA_JUMP_FAR_BYTES,
  DELTA_MISSES_MAX,
  DELTA_WINDOW_BYTES,
  NEAR_HOME_BYTES_MIN,
  ROWS_FOLLOWED_BYTES_MAX,
} from "../limits.ts";
import { commonBytes } from "../common-bytes.ts";
import { NEAR_PROBE_BYTES, NearFinder } from "./near.ts";
import { RowFinder } from "./rows.ts";
import type { Match, SourceIndex } from "./source-index.ts";

/** By what matches are judged; limits.ts has them. */
export interface Judgement {
  /** Bytes by which a match must beat going on along the one before. bsdiff has 8. */
  readonly gainBytesMin: number;
  /** And this many more when it lies DELTA_JUMP_FAR_BYTES away or further. */
  readonly farGainBytes: number;
  /** Bytes from a match's beginning on by which it is judged when it does not gain enough by itself. */
  readonly judgedBytes: number;
  /** Right bytes that a wrong one weighs when a copy goes on over it. bsdiff has 1. */
  readonly wrongWeight: number;
  /** Whether tables of addresses are looked for, row by row. */
  readonly findsRows: boolean;
}

/** What looks for matches besides the index. */
interface Finders {
  readonly near: NearFinder | undefined;
  readonly rows: RowFinder | undefined;
}

/** Where matches are expected, less where in the source they are looked for: EXPECTED_PLACES of them. */
interface Expected {
  /** Along the copy under way. */
  readonly alignment: number;
  /** Along the last long one of old bytes: what is moved about comes back there. */
  readonly home: number;
}

/** `copy` bytes that resemble the source at `from`, then `literal` bytes that resemble nothing. */
export interface Step {
  /** Bytes from the start of the source; before the step itself. */
  readonly from: number;
  readonly copy: number;
  readonly literal: number;
}

/** What was found last. Reused. */
interface Found extends Match {
  /** Whether it is rows of a table, which agree in other ways than byte by byte. */
  isTable: boolean;
  /** Where rows ended that go on along the copy under way. */
  followed: number;
}

/**
 * Steps whose copies and literals make up source[start, end), in order. One segment knows nothing of another, so that
 * threads can take one each.
 */
export function* scan(index: SourceIndex, start: number, end: number, judgement: Judgement): Generator<Step> {
  const { source, view } = index;
  const { wrongWeight } = judgement;
  const found: Found = { at: 0, bytes: 0, isTable: false, followed: 0 };
  const finders = {
    near: judgement.findsRows ? new NearFinder(view) : undefined,
    rows: judgement.findsRows ? new RowFinder(view, index.oldBytes) : undefined,
  };
  let home = 0;
  // the step under way begins here, and there in the source; so many bytes of it are a copy for sure
  let begun = start;
  let begunFrom = 0;
  let sure = 0;
  for (let at = start; at < end; at += found.bytes) {
    at = nextMatch(index, finders, at, { alignment: begunFrom - begun, home }, end, judgement, found);
    sure = Math.max(sure, found.followed - begun);
    const forward = extendForward(view, begunFrom, begun, sure, at, wrongWeight);
    const backward = found.bytes === 0 ? 0 : extendBackward(source, found.at, at, begun, wrongWeight);
    const [copy, back] = withoutOverlap(source, { begun, begunFrom, forward, at, atFrom: found.at, backward });
    const literal = at - back - (begun + copy);
    if (copy + literal > 0) yield { from: begunFrom, copy, literal };
    if (copy >= NEAR_HOME_BYTES_MIN && begunFrom < index.oldBytes) home = begunFrom - begun;
    begun = at - back;
    begunFrom = found.at - back;
    sure = found.isTable ? back + found.bytes : 0;
    if (found.bytes === 0) return;
  }
  if (begun < end) {
    sure = Math.max(sure, found.followed - begun);
    const copy = extendForward(view, begunFrom, begun, sure, end, wrongWeight);
    yield { from: begunFrom, copy, literal: end - begun - copy };
  }
}

/** The first position from `at` on with a match worth leaving the alignment for; `end`, and no match, without one. */
function nextMatch(
  index: SourceIndex,
  { near, rows }: Finders,
  start: number,
  { alignment, home }: Expected,
  end: number,
  { gainBytesMin, farGainBytes, judgedBytes, wrongWeight }: Judgement,
  found: Found,
): number {
  const { source, view } = index;
  found.isTable = false;
  for (let at = start; at <= end - DELTA_WINDOW_BYTES;) {
    const aligned = at + alignment;
    // along the alignment nothing is to be gained: pass over what agrees
    const agreed = alignment === 0 ? 0 : commonBytes(view, aligned, view, at, end - at);
    if (agreed >= DELTA_WINDOW_BYTES) {
      at += agreed;
      near?.passed(at);
      rows?.passed(at);
      continue;
    }
    const stride = strideAfter(at - start);
    index.longest(at, stride, aligned, end, found);
    if (found.bytes > 0 && found.at !== aligned) {
      const isFar = Math.abs(found.at - aligned) > DELTA_JUMP_FAR_BYTES;
      const gain = gainBytesMin + (isFar ? farGainBytes : 0);
      if (differsMore(source, aligned, at, found.bytes, gain)) return at;
      const judged = Math.min(judgedBytes, end - at);
      if (agreesMore(source, found.at, aligned, at, judged, gain, wrongWeight)) return at;
    }
    const table = alignment === 0 ? undefined : rows?.find(at, [aligned, at + home], end);
    // along the copy under way the copy goes on, but not from far behind: whatever lies between would be told as
    // differences
    if (table !== undefined && (table.from !== aligned || at - start > ROWS_FOLLOWED_BYTES_MAX)) {
      found.at = table.from;
      found.bytes = table.bytes;
      found.isTable = true;
      return at;
    }
    if (table !== undefined) {
      at += table.bytes;
      found.followed = at;
      continue;
    }
    const judged = Math.min(judgedBytes, end - at);
    const likest = near?.find(at, stride, [alignment, home], judged);
    if (likest !== undefined && agreesMore(source, likest, aligned, at, judged, gainBytesMin, wrongWeight)) {
      found.at = likest;
      found.bytes = NEAR_PROBE_BYTES;
      return at;
    }
    at += stride;
  }
  found.at = 0;
  found.bytes = 0;
  return end;
}

/**
 * Where nothing was found for long, there is new content, and every lookup misses the cache: look less often. Odd
 * strides, because the index has every eighth window: within as many windows as the stride is long, both meet.
 */
function strideAfter(missed: number): number {
  if (missed < DELTA_MISSES_MAX) return 1;
  return missed < 8 * DELTA_MISSES_MAX ? 3 : 7;
}

/**
 * Whether more than `gain` of `bytes` bytes differ along an alignment. All, with themselves: the first segment of all.
 */
function differsMore(source: Uint8Array, from: number, at: number, bytes: number, gain: number): boolean {
  if (from === at) return bytes > gain;
  let different = 0;
  for (let i = 0; i < bytes; i++) if (source[from + i] !== source[at + i] && ++different > gain) return true;
  return false;
}

/**
 * Whether a candidate has more than `gain` right bytes more than the alignment, by what follows its match as well: of
 * code that was built again, and of lines with a date in each, no exact match is long.
 */
function agreesMore(
  source: Uint8Array,
  from: number,
  aligned: number,
  at: number,
  bytes: number,
  gain: number,
  wrongWeight: number,
): boolean {
  let more = 0;
  for (let i = 0; i < bytes; i++) {
    const byte = source[at + i];
    more += source[from + i] === byte ? 1 : -wrongWeight;
    if (aligned !== at && source[aligned + i] === byte) more--;
    if (more > gain) return true;
  }
  return false;
}

/**
 * How far a copy goes on before it no longer pays: to where right bytes, less what the wrong ones weigh, are most.
 * @param sure  so many bytes it is long in any case
 */
function extendForward(
  view: DataView,
  from: number,
  begun: number,
  sure: number,
  end: number,
  wrongWeight: number,
): number {
  if (from === begun) return 0;
  let score = 0;
  let best = 0;
  let bestAt = sure;
  for (let i = sure; i < end - begun; i++) {
    const agreed = commonBytes(view, from + i, view, begun + i, end - begun - i);
    i += agreed;
    score += agreed;
    if (score > best) {
      best = score;
      bestAt = i;
    }
    score -= wrongWeight;
  }
  return bestAt;
}

/** The same towards the front, from a match on. */
function extendBackward(source: Uint8Array, from: number, at: number, begun: number, wrongWeight: number): number {
  const most = Math.min(at - begun, from);
  let score = 0;
  let best = 0;
  let bestAt = 0;
  for (let i = 1; i <= most; i++) {
    score += source[from - i] === source[at - i] ? 1 : -wrongWeight;
    if (score > best) {
      best = score;
      bestAt = i;
    }
  }
  return bestAt;
}

/** A copy that goes `forward` from where it begun, and one that goes `backward` from the next match. */
interface Claims {
  readonly begun: number;
  readonly begunFrom: number;
  readonly forward: number;
  readonly at: number;
  readonly atFrom: number;
  readonly backward: number;
}

/** Where both claim the same bytes, the cut that leaves fewest differences. */
function withoutOverlap(source: Uint8Array, claims: Claims): readonly [copy: number, back: number] {
  const { begun, begunFrom, forward, at, atFrom, backward } = claims;
  const start = at - backward;
  const overlap = begun + forward - start;
  if (overlap <= 0) return [forward, backward];
  let gain = 0;
  let best = 0;
  let cut = 0;
  for (let i = 0; i < overlap; i++) {
    const byte = source[start + i];
    if (byte === source[begunFrom + (start - begun) + i]) gain++;
    if (byte === source[atFrom - backward + i]) gain--;
    if (gain > best) {
      best = gain;
      cut = i + 1;
    }
  }
  return [forward - overlap + cut, backward - cut];
}
