/**
 * New bytes as copies with differences of old ones: bsdiff's scan (Percival, "Naive differences of executable code",
 * 2003), with OldIndex in place of its suffix array. Greedy; a match is taken when it is better by more than
 * DELTA_GAIN_BYTES_MIN than going on along the one before, because each costs an entry of the control stream.
 */
import { DELTA_GAIN_BYTES_MIN, DELTA_WINDOW_BYTES } from "../limits.ts";
import { type Match, type OldIndex, RollingHash, commonBytes } from "./old-index.ts";

/** `copy` bytes that resemble the old ones at `from`, then `literal` bytes that resemble nothing. */
export interface Step {
  readonly from: number;
  readonly copy: number;
  readonly literal: number;
}

/** Steps whose copies and literals make up `fresh`, in order. */
export function* scan(index: OldIndex, fresh: Uint8Array): Generator<Step> {
  const { old } = index;
  const hash = new RollingHash(fresh);
  const found: Match = { at: 0, bytes: 0 };
  // the step under way begins here
  let begun = 0;
  let begunOld = 0;

  for (let at = 0; at < fresh.length;) {
    at = nextMatch(index, fresh, hash, at, begunOld - begun, found);
    const atOld = found.at;
    const forward = extendForward(old, begunOld, fresh, begun, at);
    const isEnd = at >= fresh.length;
    const backward = isEnd ? 0 : extendBackward(old, atOld, fresh, at, begun);
    const [copy, back] = withoutOverlap(old, fresh, { begun, begunOld, forward, at, atOld, backward });
    yield { from: begunOld, copy, literal: at - back - (begun + copy) };
    begun = at - back;
    begunOld = atOld - back;
    at += found.bytes;
  }
  if (begun < fresh.length) {
    const copy = extendForward(old, begunOld, fresh, begun, fresh.length);
    yield { from: begunOld, copy, literal: fresh.length - begun - copy };
  }
}

/** The first position from `start` on with a match worth leaving the alignment for; the end when there is none. */
function nextMatch(
  index: OldIndex,
  fresh: Uint8Array,
  hash: RollingHash,
  start: number,
  alignment: number,
  found: Match,
): number {
  const { old } = index;
  const last = fresh.length - DELTA_WINDOW_BYTES;
  for (let at = start; at <= last;) {
    const aligned = at + alignment;
    // along the alignment nothing is to be gained: pass over what agrees
    const agreed = aligned >= 0 && aligned < old.length ? commonBytes(old, aligned, fresh, at) : 0;
    if (agreed >= DELTA_WINDOW_BYTES) {
      at += agreed;
      continue;
    }
    index.longest(fresh, at, hash.windowAt(at), aligned, found);
    if (found.bytes > 0 && found.at !== aligned) {
      const kept = agreeing(old, aligned, fresh, at, found.bytes);
      if (found.bytes > kept + DELTA_GAIN_BYTES_MIN) return at;
    }
    at++;
  }
  found.at = 0;
  found.bytes = 0;
  return fresh.length;
}

/** How many of `bytes` bytes agree, byte for byte, along an alignment. */
function agreeing(old: Uint8Array, from: number, fresh: Uint8Array, at: number, bytes: number): number {
  let agreed = 0;
  const first = Math.max(0, -from);
  const end = Math.min(bytes, old.length - from);
  for (let i = first; i < end; i++) if (old[from + i] === fresh[at + i]) agreed++;
  return agreed;
}

/** How far a copy goes on before it no longer pays: twice the agreeing bytes minus its length at its best. */
function extendForward(old: Uint8Array, from: number, fresh: Uint8Array, begun: number, end: number): number {
  const most = Math.min(end - begun, old.length - from);
  let agreed = 0;
  let best = 0;
  let bestAt = 0;
  for (let i = 0; i < most;) {
    if (old[from + i] === fresh[begun + i]) agreed++;
    i++;
    if (agreed * 2 - i > best) {
      best = agreed * 2 - i;
      bestAt = i;
    }
  }
  return bestAt;
}

/** The same towards the front, from a match on. */
function extendBackward(old: Uint8Array, from: number, fresh: Uint8Array, at: number, begun: number): number {
  const most = Math.min(at - begun, from);
  let agreed = 0;
  let best = 0;
  let bestAt = 0;
  for (let i = 1; i <= most; i++) {
    if (old[from - i] === fresh[at - i]) agreed++;
    if (agreed * 2 - i > best) {
      best = agreed * 2 - i;
      bestAt = i;
    }
  }
  return bestAt;
}

/** Where the copy before and the one behind claim the same bytes, the cut that leaves fewest differences. */
function withoutOverlap(
  old: Uint8Array,
  fresh: Uint8Array,
  claims: {
    readonly begun: number;
    readonly begunOld: number;
    readonly forward: number;
    readonly at: number;
    readonly atOld: number;
    readonly backward: number;
  },
): readonly [copy: number, back: number] {
  const { begun, begunOld, forward, at, atOld, backward } = claims;
  const overlap = begun + forward - (at - backward);
  if (overlap <= 0) return [forward, backward];
  const start = at - backward;
  let gain = 0;
  let best = 0;
  let cut = 0;
  for (let i = 0; i < overlap; i++) {
    const byte = fresh[start + i];
    if (byte === old[begunOld + (start - begun) + i]) gain++;
    if (byte === old[atOld - backward + i]) gain--;
    if (gain > best) {
      best = gain;
      cut = i + 1;
    }
  }
  return [forward - overlap + cut, backward - cut];
}
