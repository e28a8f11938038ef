/** A raw deflate stream -> its plain bytes and a recipe from which `putTogether` makes the same stream again. */
import { Failure } from "../failures.ts";
import { DEFLATE_RECIPE_SHARE_MAX, DEFLATE_SLICE_BYTES, DEFLATE_STREAM_BYTES_MIN } from "../limits.ts";
import { DISTANCE_MAX } from "./alphabet.ts";
import { chooseParameters } from "./choose-parameters.ts";
import type { ReadBytes } from "./find.ts";
import { type Guiding, withGuiding } from "./guide.ts";
import { type StreamSource, TokenReader } from "./inflate.ts";
import { type Parameters, USUAL_PARAMETERS } from "./parameters.ts";
import { PlainWindow } from "./plain-window.ts";
import { putTogether } from "./put-together.ts";
import { malformedRecipe } from "./recipe-format.ts";
import { type MadeRecipe, makeRecipe } from "./recipe-maker.ts";
import { type Sample, takeSample } from "./sample.ts";
import { type Workspace, withWorkspace } from "./workspace.ts";

export interface TakenApart {
  /** Bytes of the stream, from `start` on. */
  readonly compressedBytes: number;
  readonly plainBytes: number;
  readonly recipe: Uint8Array<ArrayBuffer>;
  /** The recipe needs the guide. */
  readonly isGuided: boolean;
}

export interface TakeApartOptions {
  /** Plain bytes above which a stream is left alone. */
  readonly plainBytesMax: number;
  /** An old stream that this one may resemble, from start to end. */
  readonly guide?: StreamSource | undefined;
}

/**
 * Reads the stream three times: a sample of it to find what it was made with, all of it to write the recipe, and all of
 * it to see that `putTogether` makes the same bytes; more often where a sample did not say enough, or the guide does
 * not make the recipe short. Holds about DEFLATE_WINDOW_BYTES each time, and as much of the guide.
 * @param start  where the stream begins, bytes
 * @param end  where it ends at the latest; what follows on it is not looked at
 * @returns undefined when there is no whole stream, or none worth it: shorter than DEFLATE_STREAM_BYTES_MIN, larger
 *   than the limits, or with a recipe above DEFLATE_RECIPE_SHARE_MAX of it
 */
export function takeApart(
  read: ReadBytes,
  start: number,
  end: number,
  { plainBytesMax, guide }: TakeApartOptions,
): TakenApart | undefined {
  if (end - start < DEFLATE_STREAM_BYTES_MIN) return undefined;
  const source = { read, start, end };
  return withWorkspace((workspace) => {
    return withGuiding(guide, (guiding) => {
      for (const taken of candidates(source, plainBytesMax, workspace, guiding)) {
        const { recipe, compressedBytes, isGuided } = taken;
        if (compressedBytes < DEFLATE_STREAM_BYTES_MIN) continue;
        if (recipe.length > DEFLATE_RECIPE_SHARE_MAX * compressedBytes) continue;
        const whole = { ...source, end: start + compressedBytes };
        if (isRemade(whole, taken, isGuided ? guide : undefined, workspace)) return taken;
      }
      return undefined;
    });
  });
}

/** With the guide when that makes it short; else, with and without, the shorter first. */
function* candidates(
  source: StreamSource,
  plainBytesMax: number,
  workspace: Workspace,
  guiding: Guiding | undefined,
): Generator<TakenApart> {
  const guided = guiding && shortestRecipe(source, plainBytesMax, workspace, guiding);
  if (guided !== undefined && isGood(guided)) yield { ...guided, isGuided: true };
  const alone = shortestRecipe(source, plainBytesMax, workspace, undefined);
  const found: TakenApart[] = [];
  if (guided !== undefined && !isGood(guided)) found.push({ ...guided, isGuided: true });
  if (alone !== undefined) found.push({ ...alone, isGuided: false });
  yield* found.toSorted((a, b) => a.recipe.length - b.recipe.length);
}

/**
 * A stream of zlib has a recipe below this share; above it, a sample of where most is unlike may show other parameters.
 */
const RECIPE_SHARE_GOOD = 1 / 100;
/** And this many bytes: its blocks may be unlike. */
const RECIPE_BYTES_GOOD = 32;
/** Samples that are taken. */
const SAMPLES_MAX = 3;

function isGood({ recipe, compressedBytes }: MadeRecipe): boolean {
  return recipe.length <= RECIPE_BYTES_GOOD + RECIPE_SHARE_GOOD * compressedBytes;
}

/** The recipe with the parameters that fit best, as far as samples show. */
function shortestRecipe(
  source: StreamSource,
  plainBytesMax: number,
  workspace: Workspace,
  guiding: Guiding | undefined,
): MadeRecipe | undefined {
  const front = takeSample(source, 0, workspace);
  // whose stream it is does not matter where an old one of the same maker shows the way
  let parameters = front && (chooseParameters(front, workspace) ?? (guiding && USUAL_PARAMETERS));
  let best: MadeRecipe | undefined;
  for (let samples = 1; parameters !== undefined; samples++) {
    const { made, troubleAt } = makeRecipe(source, parameters, plainBytesMax, workspace, guiding);
    if (made === "no stream") return undefined;
    if (made !== "too long") {
      if (made.recipe.length < (best?.recipe.length ?? Number.POSITIVE_INFINITY)) best = made;
      if (isGood(made)) return made;
    }
    if (samples === SAMPLES_MAX) break;
    const there = takeSample(source, troubleAt, workspace);
    // blocks are read off the front, where one begins
    const { blockTokens, isFixed } = front as Sample;
    const others = there && chooseParameters({ ...there, blockTokens, isFixed }, workspace);
    if (others === undefined || isAlike(others, parameters)) break;
    parameters = others;
  }
  return best;
}

function isAlike(a: Parameters, b: Parameters): boolean {
  const isOfOneZlib = a.hash === b.hash && a.hashBits === b.hashBits && a.windowBits === b.windowBits;
  return isOfOneZlib && a.level === b.level && a.strategy === b.strategy;
}

/** Puts the stream together from what it inflates to, and compares. */
function isRemade(
  source: StreamSource,
  { compressedBytes, plainBytes, recipe }: MadeRecipe,
  guide: StreamSource | undefined,
  workspace: Workspace,
): boolean {
  const plain = new PlainReader(source, workspace);
  let at = source.start;
  try {
    putTogether({
      recipe,
      plainBytes,
      compressedBytes,
      guide,
      readPlain: (_, target) => plain.next(target),
      write: (piece) => {
        const expected = workspace.output.subarray(0, piece.length);
        source.read(at, expected);
        at += piece.length;
        if (!isSame(piece, expected)) throw malformedRecipe("a stream of other bytes");
      },
    });
    return true;
  } catch (error) {
    // only a fault of ours, or a source that changes, comes to this: the stream stays as it is
    if (error instanceof Failure && error.code === "object.malformed") return false;
    throw error;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The plain bytes of a stream that was read before, from front to end. */
class PlainReader {
  readonly #window: PlainWindow;
  readonly #reader: TokenReader;
  #at = 0;

  constructor(source: StreamSource, workspace: Workspace) {
    this.#window = new PlainWindow(workspace.plain);
    this.#reader = new TokenReader(source, this.#window, workspace);
  }

  next(target: Uint8Array): void {
    const window = this.#window;
    for (let done = 0; done < target.length;) {
      if (this.#at === window.filled) {
        if (window.room < DEFLATE_SLICE_BYTES) this.#at -= window.slide(this.#at - DISTANCE_MAX);
        if (this.#reader.step() === "invalid") throw malformedRecipe("a stream that changed");
        continue;
      }
      const some = window.bytes.subarray(this.#at, Math.min(window.filled, this.#at + target.length - done));
      target.set(some, done);
      done += some.length;
      this.#at += some.length;
    }
  }
}
