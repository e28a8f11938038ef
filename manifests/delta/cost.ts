/**
 * What a delta spends on each file, read off the finished delta: its streams are walked step by step, each byte of them
 * is charged to the file whose bytes it makes, and each stream's stored size is shared out by that. What all files are
 * charged is the delta's size, to the byte. On the way it is measured what causes.ts decides by.
 */
import { concatBytes } from "../digest.ts";
import {
  COST_ALIKE_RUNS_MIN,
  COST_DIFFERENCES_MAX,
  COST_REPLACED_RUN_BYTES,
  COST_SHORT_RUN_BYTES,
  DELTA_JUMP_FAR_BYTES,
  DELTA_SEGMENT_BYTES,
} from "../limits.ts";
import { type ContentFormat, formatOf } from "./content-format.ts";
import { type DeltaWorld, readHeader, readSection, type Section } from "./decode.ts";
import {
  DIFFERENCES,
  type DifferencesName,
  differencesOf,
  malformedDelta,
  STREAMS,
  type StreamName,
  StreamReader,
  unzigzag,
} from "./format.ts";
import { StampCounter, type StampCount } from "./stamps.ts";

/** What a byte of a delta says: new content; how copies differ; where copies come from, and all that frames it. */
export type CostKind = "literals" | "changes" | "control";

const KINDS: Readonly<Record<StreamName, CostKind>> = {
  copies: "control",
  literals: "control",
  jumps: "control",
  gaps: "changes",
  runs: "changes",
  ones: "changes",
  twos: "changes",
  threes: "changes",
  longer: "changes",
  bytes: "literals",
  references: "control",
};

/** Bytes of the delta. */
export type CostByKind = Readonly<Record<CostKind, number>>;

/**
 * Measured on one file, or on the part of it that one group makes. Bytes are plain ones, of the new file. What changed
 * is what the delta tells as a change: where references are guessed (references.ts), those that are guessed right are
 * none.
 */
export interface CostFacts {
  /** The delta's literals. */
  readonly literalBytes: number;
  /**
   * Its copies, from the old release or from earlier in the new one; of these, those that the delta makes something
   * else.
   */
  readonly copiedBytes: number;
  readonly changedBytes: number;
  /** Of these, those that differ for so long that they are new content: the copy only runs on over them. */
  readonly replacedBytes: number;
  /** What a quick compression leaves of the literals and of what was replaced. */
  readonly squeezedBytes: number;
  /** Places with something changed or new. */
  readonly places: number;
  /** Copies from elsewhere in the old release than right behind the one before; of these, those that go back in it. */
  readonly moves: number;
  readonly backwardMoves: number;
  /** Changes of at most COST_SHORT_RUN_BYTES; of these, those whose difference many others share. */
  readonly shortRuns: number;
  readonly alikeRuns: number;
  readonly stamps: StampCount;
  /** Null when the file does not begin here, or has no known magic. */
  readonly format: ContentFormat | null;
}

export interface PartCost {
  readonly stored: CostByKind;
  readonly facts: CostFacts;
}

/** New bytes [start, start + bytes) of the delta. */
export interface CostPart {
  readonly start: number;
  /** At least 1. */
  readonly bytes: number;
  /** Whether the file begins with it. */
  readonly isStart: boolean;
}

export interface CostWorld extends Pick<DeltaWorld, "inflate"> {
  /** Old bytes, then new ones, as the delta was made from them. */
  readonly source: Uint8Array;
  readonly oldBytes: number;
  readonly delta: Uint8Array;
  /** How many bytes a quick compression leaves. */
  readonly squeeze: (bytes: Uint8Array) => number;
}

/**
 * What the delta spends on each part.
 * @param parts  one behind another, all the new bytes together
 * Throws: object.malformed for a delta that is none.
 */
export function costOfDelta(world: CostWorld, parts: readonly CostPart[]): PartCost[] {
  const { source, oldBytes, delta, inflate } = world;
  const readDelta = (offset: number, bytes: number): Uint8Array => delta.subarray(offset, offset + bytes);
  const reading = { oldBytes, newBytes: source.length - oldBytes, deltaBytes: delta.length, readDelta, inflate };
  const meters = parts.map((part) => new PartMeter(world, part));
  let start = readHeader(reading);
  let made = 0;
  let first = 0;
  // what frames a section is shared by those it is for; the delta's own frame goes with the first
  let frame = start;
  while (start < delta.length) {
    const section = readSection(start, reading);
    const stored = STREAMS.reduce((sum, name) => sum + section.stored[name], 0);
    frame += section.end - start - stored;
    while (isBehind(parts[first], made)) first++;
    chargeSection(section, { made, frame }, meters.slice(first), world.squeeze);
    made += section.bytes;
    start = section.end;
    frame = 0;
  }
  return meters.map((meter) => meter.cost);
}

/** Whether the part ends before the new byte `made`. */
function isBehind(part: CostPart | undefined, made: number): boolean {
  return part !== undefined && part.start + part.bytes <= made;
}

/** @param meters  of the part in which the section begins, and of those behind it */
function chargeSection(
  { bytes, streams, stored }: Section,
  { made, frame }: { readonly made: number; readonly frame: number },
  meters: readonly PartMeter[],
  squeeze: CostWorld["squeeze"],
): void {
  const end = made + bytes;
  const charged = meters.slice(0, meters.findLastIndex(({ part }) => part.start < end) + 1);
  for (const meter of charged) meter.beginSection();
  walk(streams, made, charged);
  let literalAt = 0;
  const literalWeights = charged.map((meter) => {
    const literals = streams.bytes.subarray(literalAt, literalAt + meter.plain.bytes);
    literalAt += literals.length;
    const left = literals.length === 0 ? 0 : squeeze(literals);
    meter.squeezedBytes += left + meter.squeezeReplaced(squeeze);
    // as it is, each byte takes one; compressed, those that compress badly take more
    return stored.bytes === streams.bytes.length ? literals.length : left;
  });
  for (const name of STREAMS) {
    const weights = name === "bytes" ? literalWeights : charged.map(({ plain }) => plain[name]);
    for (const [i, share] of sharedOut(stored[name], weights).entries()) charged[i]?.charge(name, share);
  }
  const totals = charged.map(({ plain }) => STREAMS.reduce((sum, name) => sum + plain[name], 0));
  for (const [i, share] of sharedOut(frame, totals).entries()) charged[i]?.chargeFrame(share);
}

/** Whole numbers in proportion to the weights, `total` together. All of it to the first when no weight is above 0. */
export function sharedOut(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  if (sum === 0) return weights.map((_, i) => (i === 0 ? total : 0));
  let weighed = 0;
  let given = 0;
  return weights.map((weight) => {
    weighed += weight;
    const share = (weighed === sum ? total : Math.floor(total * (weighed / sum))) - given;
    given += share;
    return share;
  });
}

/** Takes a section's streams apart as a decoder does, and tells each part what is its own. */
function walk(streams: Section["streams"], made: number, meters: readonly PartMeter[]): void {
  const copies = new StreamReader(streams.copies);
  const literals = new StreamReader(streams.literals);
  const jumps = new StreamReader(streams.jumps);
  const runs = new RunReader(streams);
  let current = 0;
  const meterAt = (position: number): PartMeter => {
    while (isBehind(meters[current]?.part, position)) current++;
    const meter = meters[current];
    if (meter === undefined) throw malformedDelta("more new bytes than there are");
    return meter;
  };
  /** New bytes [start, start + bytes), as far as they are one part's at a time. */
  const partsOf = function* (start: number, bytes: number): Generator<readonly [PartMeter, number, number]> {
    for (let at = start; at < start + bytes;) {
      const meter = meterAt(at);
      const length = Math.min(start + bytes, meter.part.start + meter.part.bytes) - at;
      yield [meter, at, length];
      at += length;
    }
  };
  let at = made;
  let from = 0;
  let segmentEnd = 0;
  while (!copies.isAtEnd) {
    if (at >= segmentEnd) {
      segmentEnd = at - (at % DELTA_SEGMENT_BYTES) + DELTA_SEGMENT_BYTES;
      from = 0;
    }
    const begins = [copies.at, literals.at, jumps.at] as const;
    const copy = copies.varint();
    const literal = literals.varint();
    from += unzigzag(jumps.varint());
    const { plain } = meterAt(at);
    plain.copies += copies.at - begins[0];
    plain.literals += literals.at - begins[1];
    plain.jumps += jumps.at - begins[2];
    for (const [meter, start, bytes] of partsOf(at, copy)) {
      meter.copied(from + start - at, bytes);
      runs.over(meter, start, from + start - at, bytes);
    }
    for (const [meter, start, bytes] of partsOf(at + copy, literal)) meter.added(start, from + start - at, bytes);
    at += copy + literal;
    from += copy;
  }
}

/** The runs of differences of a section, given to whose copies they are in. */
class RunReader {
  readonly #gaps: StreamReader;
  readonly #runs: StreamReader;
  readonly #differences: readonly StreamReader[];
  /** Right bytes, then wrong ones, before the next numbers; how many bytes these took, until they are charged. */
  #right = 0;
  #wrong = 0;
  #gapBytes = 0;
  #runBytes = 0;
  /** Of the differences: the one that the run under way takes. */
  #stream = 0;

  constructor(streams: Section["streams"]) {
    this.#gaps = new StreamReader(streams.gaps);
    this.#runs = new StreamReader(streams.runs);
    this.#differences = DIFFERENCES.map((name) => new StreamReader(streams[name]));
    this.#next();
  }

  /** New bytes [start, start + bytes) are a copy of those from `from` on. */
  over(meter: PartMeter, start: number, from: number, bytes: number): void {
    for (let done = 0; done < bytes;) {
      if (this.#right > 0) {
        const right = Math.min(this.#right, bytes - done);
        this.#right -= right;
        done += right;
      } else if (this.#wrong > 0) {
        this.#charge(meter);
        const wrong = Math.min(this.#wrong, bytes - done);
        const differences = (this.#differences[this.#stream] as StreamReader).take(wrong);
        meter.changed(start + done, from + done, differences, DIFFERENCES[this.#stream] as DifferencesName);
        this.#wrong -= wrong;
        done += wrong;
      }
      if (this.#right === 0 && this.#wrong === 0) {
        this.#charge(meter);
        this.#next();
      }
    }
  }

  #charge({ plain }: PartMeter): void {
    plain.gaps += this.#gapBytes;
    plain.runs += this.#runBytes;
    this.#gapBytes = 0;
    this.#runBytes = 0;
  }

  #next(): void {
    if (this.#gaps.isAtEnd) {
      this.#right = Number.POSITIVE_INFINITY;
      return;
    }
    const begins = [this.#gaps.at, this.#runs.at] as const;
    this.#right = this.#gaps.varint();
    this.#wrong = this.#runs.varint();
    this.#stream = differencesOf(this.#wrong);
    this.#gapBytes = this.#gaps.at - begins[0];
    this.#runBytes = this.#runs.at - begins[1];
  }
}

/** As much of a file as tells its format. */
const HEAD_BYTES = 16;

/** What is one part's own. */
class PartMeter {
  readonly part: CostPart;
  /** Bytes of the section under way, by stream. */
  plain = noStreams();
  squeezedBytes = 0;
  readonly #source: Uint8Array;
  readonly #oldBytes: number;
  readonly #stamps: StampCounter;
  readonly #format: ContentFormat | null;
  readonly #stored: Record<CostKind, number> = { literals: 0, changes: 0, control: 0 };
  #literalBytes = 0;
  #copiedBytes = 0;
  #changedBytes = 0;
  #replacedBytes = 0;
  /** New bytes that were replaced, of the section under way. */
  #replaced: Uint8Array[] = [];
  #places = 0;
  #moves = 0;
  #backwardMoves = 0;
  #shortRuns = 0;
  /** Difference of a short run -> how many have it. */
  readonly #differences = new Map<number, number>();
  /** Where the last copy from the old release ended in it, and how much new content has come since. */
  #lastEnd: number | undefined;
  #literalSince = 0;

  constructor({ source, oldBytes }: CostWorld, part: CostPart) {
    const start = oldBytes + part.start;
    this.part = part;
    this.#source = source;
    this.#oldBytes = oldBytes;
    this.#stamps = new StampCounter(source, start, start + part.bytes);
    this.#format = part.isStart ? formatOf(source.subarray(start, start + Math.min(part.bytes, HEAD_BYTES))) : null;
  }

  beginSection(): void {
    this.plain = noStreams();
    this.#replaced = [];
  }

  /** How many bytes a quick compression leaves of what was replaced in this section. */
  squeezeReplaced(squeeze: CostWorld["squeeze"]): number {
    return this.#replaced.length === 0 ? 0 : squeeze(concatBytes(this.#replaced));
  }

  /** Its share of a stream as the delta holds it. */
  charge(name: StreamName, bytes: number): void {
    // new content is new content, whether it is told as such or as differences
    const replaced = name === "longer" ? this.#replaced.reduce((sum, { length }) => sum + length, 0) : 0;
    const told = replaced === 0 ? 0 : Math.round((bytes * replaced) / this.plain.longer);
    this.#stored.literals += told;
    this.#stored[KINDS[name]] += bytes - told;
  }

  chargeFrame(bytes: number): void {
    this.#stored.control += bytes;
  }

  /** `bytes` bytes that the source has from `from` on. */
  copied(from: number, bytes: number): void {
    this.#copiedBytes += bytes;
    if (from >= this.#oldBytes) return; // a repetition within the new release: no other order
    if (this.#lastEnd !== undefined && from !== this.#lastEnd && from !== this.#lastEnd + this.#literalSince) {
      this.#moves++;
      if (from < this.#lastEnd - DELTA_JUMP_FAR_BYTES) this.#backwardMoves++;
    }
    this.#lastEnd = from + bytes;
    this.#literalSince = 0;
  }

  /**
   * Copied bytes from the new byte `at` on that differ by these, which that stream says, from those from `from` on, or
   * from what is guessed of them.
   */
  changed(at: number, from: number, differences: Uint8Array, name: DifferencesName): void {
    this.plain[name] += differences.length;
    this.#changedBytes += differences.length;
    this.#places++;
    this.#stamps.look(this.#oldBytes + at, from, differences.length);
    if (differences.length >= COST_REPLACED_RUN_BYTES) {
      this.#replacedBytes += differences.length;
      const start = this.#oldBytes + at;
      this.#replaced.push(this.#source.subarray(start, start + differences.length));
    }
    if (differences.length > COST_SHORT_RUN_BYTES) return;
    this.#shortRuns++;
    // the length is the leading digit, so that 00 05 is not 05
    const difference = differences.reduce((number, byte) => number * 256 + byte, differences.length);
    const count = this.#differences.get(difference);
    if (count === undefined && this.#differences.size === COST_DIFFERENCES_MAX) return;
    this.#differences.set(difference, (count ?? 0) + 1);
  }

  /** New content at the new byte `at`, where the old release, going on, has what begins at `from`. */
  added(at: number, from: number, bytes: number): void {
    this.plain.bytes += bytes;
    this.#literalBytes += bytes;
    this.#literalSince += bytes;
    this.#places++;
    this.#stamps.look(this.#oldBytes + at, from, bytes);
  }

  get cost(): PartCost {
    return {
      stored: this.#stored,
      facts: {
        literalBytes: this.#literalBytes,
        copiedBytes: this.#copiedBytes,
        changedBytes: this.#changedBytes,
        replacedBytes: this.#replacedBytes,
        squeezedBytes: this.squeezedBytes,
        places: this.#places,
        moves: this.#moves,
        backwardMoves: this.#backwardMoves,
        shortRuns: this.#shortRuns,
        alikeRuns: [...this.#differences.values()].reduce(
          (sum, count) => (count < COST_ALIKE_RUNS_MIN ? sum : sum + count),
          0,
        ),
        stamps: this.#stamps.count,
        format: this.#format,
      },
    };
  }
}

function noStreams(): Record<StreamName, number> {
  return Object.fromEntries(STREAMS.map((name) => [name, 0])) as Record<StreamName, number>;
}

/** The cost of a file that several groups make, in order. */
export function joinedCost(a: PartCost, b: PartCost): PartCost {
  const [of, and] = [a.facts, b.facts];
  return {
    stored: {
      literals: a.stored.literals + b.stored.literals,
      changes: a.stored.changes + b.stored.changes,
      control: a.stored.control + b.stored.control,
    },
    facts: {
      literalBytes: of.literalBytes + and.literalBytes,
      copiedBytes: of.copiedBytes + and.copiedBytes,
      changedBytes: of.changedBytes + and.changedBytes,
      replacedBytes: of.replacedBytes + and.replacedBytes,
      squeezedBytes: of.squeezedBytes + and.squeezedBytes,
      places: of.places + and.places,
      moves: of.moves + and.moves,
      backwardMoves: of.backwardMoves + and.backwardMoves,
      shortRuns: of.shortRuns + and.shortRuns,
      alikeRuns: of.alikeRuns + and.alikeRuns,
      stamps: {
        looked: of.stamps.looked + and.stamps.looked,
        lookedBytes: of.stamps.lookedBytes + and.stamps.lookedBytes,
        places: of.stamps.places + and.stamps.places,
        bytes: of.stamps.bytes + and.stamps.bytes,
        example: of.stamps.example ?? and.stamps.example,
      },
      format: of.format ?? and.format,
    },
  };
}

/** Bytes of the file that are nowhere in the old release, as far as the engine looks. */
export function newBytes({ literalBytes, replacedBytes }: CostFacts): number {
  return literalBytes + replacedBytes;
}

/** Bytes of the file that were found, as they are or with places in them changed. */
export function foundBytes({ copiedBytes, replacedBytes }: CostFacts): number {
  return copiedBytes - replacedBytes;
}

/** Bytes of the delta. */
export function storedBytes({ stored }: Pick<PartCost, "stored">): number {
  return stored.literals + stored.changes + stored.control;
}
