/**
 * Which old stream, text or file a new one resembles: names are not known or do not tell, and members move. A sketch
 * holds the least of the hashes of all runs of a few bytes in a front; two fronts with much in common have many of
 * these in common (Broder, "On the resemblance and containment of documents", 1997).
 */
import { SKETCH_FRONT_BYTES } from "./limits.ts";

/** The least hashes, ascending, each once. */
export type Sketch = readonly number[];

const SKETCH_HASHES = 16;
/** Long enough that texts of one language, and tables of one kind, have few in common. */
const RUN_BYTES = 32;
/** Odd, and its powers spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
/** What the first byte of a run weighs when it leaves. */
const LEAVING = Array.from({ length: RUN_BYTES }).reduce((power: number) => Math.imul(power, MULTIPLIER), 1);
/** Of the hashes of the smaller sketch, so many are to be in the other. */
const SHARED_SHARE_MIN = 1 / 4;
/** Old streams that are looked at for a hash, when more have it: the nearest, for members keep their order. */
const HOLDERS_MAX = 16;

/**
 * @param front  of the plain bytes of a stream, of a text or of a file; no more than SKETCH_FRONT_BYTES are looked at
 */
export function sketchOf(front: Uint8Array): Sketch {
  const bytes = front.subarray(0, SKETCH_FRONT_BYTES);
  const least = new Uint32Array(SKETCH_HASHES);
  let count = 0;
  let limit = Number.POSITIVE_INFINITY;
  let rolling = 0;
  for (let i = 0; i < bytes.length; i++) {
    rolling = (Math.imul(rolling, MULTIPLIER) + (bytes[i] as number) + 1) | 0;
    if (i >= RUN_BYTES) rolling = (rolling - Math.imul((bytes[i - RUN_BYTES] as number) + 1, LEAVING)) | 0;
    if (i < RUN_BYTES - 1) continue;
    const hash = Math.imul(rolling ^ (rolling >>> 15), MULTIPLIER) >>> 0;
    if (hash >= limit) continue;
    // by hand: sorting took two thirds of the time (measured)
    let place = count;
    while (place > 0 && (least[place - 1] as number) > hash) place--;
    if (place > 0 && least[place - 1] === hash) continue;
    if (count < SKETCH_HASHES) count++;
    least.copyWithin(place + 1, place, count - 1);
    least[place] = hash;
    if (count === SKETCH_HASHES) limit = least[SKETCH_HASHES - 1] as number;
  }
  return [...least.subarray(0, count)];
}

/**
 * For each new stream the old one, by its place in the list, that has most in common with it; undefined when none has
 * much.
 */
export function matchSketches(old: readonly Sketch[], fresh: readonly Sketch[]): (number | undefined)[] {
  const wanted = new Set(fresh.flat());
  const holders = new Map<number, number[]>();
  for (const [i, sketch] of old.entries()) {
    for (const hash of sketch) {
      if (!wanted.has(hash)) continue;
      const known = holders.get(hash);
      if (known === undefined) holders.set(hash, [i]);
      else known.push(i);
    }
  }
  // of those that are alike, the one that follows on the last: members keep their order
  let next = 0;
  return fresh.map((sketch) => {
    const shared = new Map<number, number>();
    for (const hash of sketch) {
      for (const i of nearest(holders.get(hash) ?? [], next)) shared.set(i, (shared.get(i) ?? 0) + 1);
    }
    let best: number | undefined;
    let most = 0;
    for (const [i, count] of shared) {
      const least = Math.min(sketch.length, old[i]?.length ?? 0) * SHARED_SHARE_MIN;
      const isNearer = best !== undefined && Math.abs(i - next) < Math.abs(best - next);
      if (count < least || count < most || (count === most && !isNearer)) continue;
      best = i;
      most = count;
    }
    if (best !== undefined) next = best + 1;
    return best;
  });
}

/** Some of ascending numbers: those around `value`. */
function nearest(numbers: readonly number[], value: number): readonly number[] {
  if (numbers.length <= HOLDERS_MAX) return numbers;
  let first = 0;
  for (let end = numbers.length; first < end;) {
    const middle = (first + end) >>> 1;
    if ((numbers[middle] as number) < value) first = middle + 1;
    else end = middle;
  }
  const from = Math.max(0, Math.min(first - HOLDERS_MAX / 2, numbers.length - HOLDERS_MAX));
  return numbers.slice(from, from + HOLDERS_MAX);
}
