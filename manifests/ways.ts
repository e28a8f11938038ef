/**
 * The ways in which the contents that a plan has to build can come: fetched whole, by the chunks that the install
 * lacks, by a delta, by a chain of deltas; of the last two each time with what they make well, and the rest by chunks.
 * Each is costed, and the lightest that fits on the disk is chosen. Pure.
 *
 *   weight = bytes of chunks + bytes of deltas / DELTA_SHARE_MAX + bytes written / WRITTEN_BYTES_PER_FETCHED
 *
 * What a delta needs and the install does not have (somebody changed a file) reads as zeros. What is made of it is
 * wrong then, and found out by its hash; here a new content is counted as made well unless its file's old content is
 * missing.
 */
import { contentsIn, type DeltaGroup } from "./delta/release-delta.ts";
import { unpackedBytes, type UnpackedSides } from "./delta/unpack.ts";
import type { PiecesRoot } from "./digest.ts";
import { DELTA_SHARE_MAX, WRITTEN_BYTES_PER_FETCHED } from "./limits.ts";
import type { PlannedChunk } from "./parts.ts";
import type { Plan, PlanCost } from "./plan.ts";
import type { LiveDelta } from "./trust/live.ts";

/** A delta, read. Steps of a chain follow each other: where one ends the next begins. */
export interface DeltaStep extends UnpackedSides {
  readonly delta: LiveDelta;
  /** Versions. */
  readonly from: string;
  readonly to: string;
  readonly groups: readonly DeltaGroup[];
}

/** What of a delta is used. */
export interface WayStep extends DeltaStep {
  /** Numbers of the groups to apply, ascending. */
  readonly chosen: readonly number[];
  /** New contents of which every byte is in those. */
  readonly whole: ReadonlySet<PiecesRoot>;
  /** New contents that come out right, if nothing but files was changed. */
  readonly sound: ReadonlySet<PiecesRoot>;
}

/** `fetch`: every content whole. `chunks`: those that are not on this disk. */
export type WayKind = "fetch" | "chunks" | "delta" | "chain";

export interface Way {
  readonly how: WayKind;
  /** None for chunks; for a chain several. */
  readonly steps: readonly WayStep[];
  /** Bytes to download. */
  readonly download: { readonly deltas: number; readonly chunks: number };
  /** Of the release, when this way is gone: `fetch` is what it downloads. */
  readonly cost: PlanCost;
  /** See above. */
  readonly weight: number;
}

/** `useless`: the deltas make nothing of what is missing, because files they start from were changed. */
export type WayVerdict = "chosen" | "heavier" | "no-room" | "useless";

export interface WeighedWay extends Way {
  readonly verdict: WayVerdict;
}

export interface WeighingWorld {
  /** Whether a file of the install has the content. */
  readonly isInstalled: (root: PiecesRoot) => boolean;
  /** Bytes of a content that an earlier, interrupted run left in staging. */
  readonly staged: (root: PiecesRoot) => number;
  /** Bytes that are free on the disk. */
  readonly free: number;
}

/** In which the contents to build could come, the lightest first. */
export type Ways = readonly [WeighedWay, ...WeighedWay[]];

/** All ways, the lightest first. One is chosen, unless none fits on the disk. */
export function weighWays(plan: Plan, paths: readonly (readonly DeltaStep[])[], world: WeighingWorld): Ways {
  const missing = missingOf(plan, world);
  const ways = [...plainWays(plan, missing), ...paths.map((path) => wayBy(path, plan, missing, world))];
  const weighed = ways.toSorted((a, b) => a.weight - b.weight);
  const verdictOf = (way: Way): WayVerdict => {
    if (way.steps.length > 0 && way.steps.every(({ whole }) => whole.size === 0)) return "useless";
    return way.cost.disk > world.free ? "no-room" : "heavier";
  };
  const verdicts = weighed.map((way) => verdictOf(way));
  const chosen = verdicts.indexOf("heavier");
  return weighed.map((way, i) => ({
    ...way,
    verdict: i === chosen ? "chosen" : (verdicts[i] ?? "heavier"),
  })) as [WeighedWay, ...WeighedWay[]];
}

/** The way to go: the chosen one, or when the disk has no room for any the one that needs least. */
export function chosenWay(ways: Ways): WeighedWay {
  const least = ways.reduce((a, b) => (b.cost.disk < a.cost.disk ? b : a));
  return ways.find(({ verdict }) => verdict === "chosen") ?? least;
}

/** What a release still needs, content by content. */
type Missing = ReadonlyMap<PiecesRoot, MissingContent>;

interface MissingContent {
  readonly size: number;
  /** Chunks that the install does not have, and those that it has; without holes. */
  readonly away: readonly PlannedChunk[];
  readonly here: readonly PlannedChunk[];
  /** Stored bytes of `away`, each chunk once. */
  readonly stored: number;
}

function missingOf({ contents }: Plan, { staged }: Pick<WeighingWorld, "staged">): Missing {
  const missing = new Map<PiecesRoot, MissingContent>();
  for (const { root, size, source } of contents) {
    if (source.how !== "build" || staged(root) >= size) continue;
    const parts = [...source.parts].filter(({ from }) => from !== "zeros");
    const away = parts.filter(({ from }) => from === "pack").map(({ chunk }) => chunk);
    const here = parts.filter(({ from }) => from !== "pack").map(({ chunk }) => chunk);
    missing.set(root, { size, away, here, stored: total(away).stored });
  }
  return missing;
}

// --- Without deltas --------------------------------------------------------------------------------------------------

function plainWays(plan: Plan, missing: Missing): Way[] {
  const contents = [...missing.values()];
  const away = contents.flatMap((content) => content.away);
  const here = contents.flatMap((content) => content.here);
  const chunks = plainWay(here.length === 0 ? "fetch" : "chunks", plan, away);
  return here.length === 0 ? [chunks] : [chunks, plainWay("fetch", plan, [...away, ...here])];
}

function plainWay(how: WayKind, plan: Plan, chunks: readonly PlannedChunk[]): Way {
  const { plain, stored } = total(chunks);
  return wayOf(how, plan, [], { chunks: stored, deltas: 0, plain, written: 0 });
}

/** Of chunks of one plan, each counted once. */
function total(chunks: readonly PlannedChunk[]): { readonly plain: number; readonly stored: number } {
  const seen = new Set<number>();
  let plain = 0;
  let stored = 0;
  for (const chunk of chunks) {
    if (seen.has(chunk.number)) continue;
    seen.add(chunk.number);
    plain += chunk.size;
    stored += chunk.stored;
  }
  return { plain, stored };
}

/** @param bytes  to download; `plain` of chunks, unpacked; `written` beyond what the plan writes */
function wayOf(
  how: WayKind,
  { cost }: Plan,
  steps: readonly WayStep[],
  { chunks, deltas, plain, written }: Readonly<Record<"chunks" | "deltas" | "plain" | "written", number>>,
): Way {
  const write = cost.write + written;
  const fetched = Math.min(plain + deltas, cost.total - cost.kept);
  return {
    how,
    steps,
    download: { deltas, chunks },
    cost: {
      ...cost,
      reused: cost.total - cost.kept - fetched,
      fetch: { plain: plain + deltas, stored: chunks + deltas },
      write,
      // deltas lie on the disk while they are applied, and are kept for others
      disk: cost.disk + written + deltas,
    },
    weight: chunks + deltas / DELTA_SHARE_MAX + write / WRITTEN_BYTES_PER_FETCHED,
  };
}

// --- By deltas -------------------------------------------------------------------------------------------------------

/** A group and what it has to do with contents. */
interface GroupSketch {
  /** Of the delta. */
  readonly bytes: number;
  /** New bytes. */
  readonly length: number;
  readonly makes: readonly { readonly root: PiecesRoot; readonly size: number; readonly bytes: number }[];
  /** Contents it reads that the install does not have. */
  readonly needs: readonly PiecesRoot[];
}

/** Which groups of each step are used. */
type Choice = readonly (readonly boolean[])[];

/** With all groups that make something well, or with those that are worth their bytes: whichever is lighter. */
function wayBy(path: readonly DeltaStep[], plan: Plan, missing: Missing, world: WeighingWorld): Way {
  const sketches = path.map((step) => sketchOf(step, world));
  const good = madeWell(path, world);
  const choose = (isWorth: (saved: number, bytes: number) => boolean): Way =>
    wayWith(chooseGroups(sketches, good, missing, isWorth), path, sketches, good, plan, missing);
  const all = choose((saved) => saved > 0);
  const worth = choose((saved, bytes) => saved * DELTA_SHARE_MAX > bytes);
  const isUsed = worth.steps.some(({ chosen }) => chosen.length > 0);
  return isUsed && worth.weight < all.weight ? worth : all;
}

function sketchOf(step: DeltaStep, { isInstalled }: Pick<WeighingWorld, "isInstalled">): GroupSketch[] {
  const { old, fresh, groups } = step;
  const guides = guidesOf(step);
  let start = 0;
  return groups.map((group) => {
    const from = start;
    start += group.bytes;
    const made = contentsIn(fresh, from, group.bytes);
    const read = [
      ...group.old.flatMap((span) => contentsIn(old, span.offset, span.bytes).map(({ root }) => root)),
      ...made.flatMap(({ root }) => [...(guides.get(root) ?? [])]),
    ];
    return {
      bytes: group.objects.reduce((sum, { bytes }) => sum + bytes, 0),
      length: group.bytes,
      makes: made.map(({ root, size, offset }) => {
        return { root, size, bytes: Math.min(start, offset + size) - Math.max(from, offset) };
      }),
      needs: read.filter((root) => !isInstalled(root)),
    };
  });
}

/** New content -> the old ones that its streams are put together with (manifests/deflate/guide.ts). */
function guidesOf({ old, fresh, streams }: DeltaStep): ReadonlyMap<PiecesRoot, ReadonlySet<PiecesRoot>> {
  const guides = new Map<PiecesRoot, Set<PiecesRoot>>();
  for (const { content, guide } of streams.fresh) {
    const from = guide === undefined ? undefined : old.contents[streams.old[guide]?.content ?? -1]?.root;
    const to = fresh.contents[content]?.root;
    if (from === undefined || to === undefined) continue;
    const known = guides.get(to);
    if (known === undefined) guides.set(to, new Set([from]));
    else known.add(from);
  }
  return guides;
}

/**
 * Contents that come out right when every group is applied: all but those whose file's old content is missing, or one
 * that their streams are put together with.
 */
function madeWell(path: readonly DeltaStep[], { isInstalled }: Pick<WeighingWorld, "isInstalled">): Set<PiecesRoot> {
  const good = new Set<PiecesRoot>();
  for (const step of path) {
    const isHere = (root: PiecesRoot): boolean => isInstalled(root) || good.has(root);
    const lost = new Set(step.old.contents.filter(({ root }) => !isHere(root)).map((content) => content.path));
    const guides = guidesOf(step);
    const made = step.fresh.contents.filter(({ root, path: file }) => {
      return !lost.has(file) && [...(guides.get(root) ?? [])].every(isHere);
    });
    for (const { root } of made) good.add(root);
  }
  return good;
}

/**
 * The groups that are worth it or that a chosen one of a later step needs. A content counts only when all its groups
 * are chosen, so one that is left out may make others not worth it: until nothing changes.
 * @param isWorth  whether a group of so many bytes that saves so many bytes of chunks is used for that
 */
function chooseGroups(
  sketches: readonly (readonly GroupSketch[])[],
  good: ReadonlySet<PiecesRoot>,
  missing: Missing,
  isWorth: (saved: number, bytes: number) => boolean,
): Choice {
  let choice: Choice = sketches.map((groups) => groups.map(() => true));
  for (;;) {
    const whole = new Set(sketches.flatMap((groups, step) => [...wholeOf(groups, choice[step] ?? [])]));
    const savedBy = ({ makes }: GroupSketch): number =>
      makes.reduce((sum, { root, size, bytes }) => {
        return whole.has(root) && good.has(root) ? sum + ((missing.get(root)?.stored ?? 0) * bytes) / size : sum;
      }, 0);
    const needed = new Set<PiecesRoot>();
    const next: boolean[][] = [];
    for (const [step, groups] of [...sketches.entries()].toReversed()) {
      const used = groups.map((group, i) => {
        if (choice[step]?.[i] !== true) return false;
        return group.makes.some(({ root }) => needed.has(root)) || isWorth(savedBy(group), group.bytes);
      });
      for (const [i, group] of groups.entries()) if (used[i] === true) for (const root of group.needs) needed.add(root);
      next.unshift(used);
    }
    if (countOf(next) === countOf(choice)) return next;
    choice = next;
  }
}

function countOf(choice: Choice): number {
  return choice.flat().filter(Boolean).length;
}

/** Contents of which all groups are used. */
function wholeOf(groups: readonly GroupSketch[], used: readonly boolean[]): Set<PiecesRoot> {
  const whole = new Set(groups.flatMap(({ makes }) => makes.map(({ root }) => root)));
  for (const [i, { makes }] of groups.entries()) {
    if (used[i] !== true) for (const { root } of makes) whole.delete(root);
  }
  return whole;
}

function wayWith(
  choice: Choice,
  path: readonly DeltaStep[],
  sketches: readonly (readonly GroupSketch[])[],
  good: ReadonlySet<PiecesRoot>,
  plan: Plan,
  missing: Missing,
): Way {
  const steps = path.map((step, i): WayStep => {
    const used = choice[i] ?? [];
    const chosen = step.groups.flatMap((_, group) => (used[group] === true ? [group] : []));
    return { ...step, chosen, whole: wholeOf(sketches[i] ?? [], used), sound: good };
  });
  const groups = sketches.flatMap((some, i) => some.filter((_, group) => choice[i]?.[group] === true));
  const whole = new Set(steps.flatMap((step) => [...step.whole]));
  // what is not part of the release is written besides: results on the way, and contents that are not whole
  const written = groups
    .flatMap(({ makes }) => makes)
    .reduce((sum, { root, bytes }) => (whole.has(root) && missing.has(root) ? sum : sum + bytes), 0);
  const left = [...missing]
    .filter(([root]) => !(whole.has(root) && good.has(root)))
    .flatMap(([, content]) => content.away);
  const scratch = steps.filter(({ chosen }) => chosen.length > 0).reduce((sum, step) => sum + unpackedBytes(step), 0);
  const { plain, stored } = total(left);
  const deltas = groups.reduce((sum, { bytes }) => sum + bytes, 0);
  return wayOf(path.length === 1 ? "delta" : "chain", plan, steps, {
    chunks: stored,
    deltas,
    plain,
    written: written + scratch,
  });
}
