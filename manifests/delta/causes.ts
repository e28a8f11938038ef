/**
 * Why a file costs what it costs, decided by what was measured on it, and what its publisher can do. A cause is named
 * only when the figures show it; everything else is an edit, whatever made it.
 */
import {
  COST_BACKWARD_MOVES_MIN,
  COST_CODE_RUNS_MIN,
  COST_SQUEEZED_BYTES_MIN,
  COST_SQUEEZED_SAVING_SHARE_MIN,
} from "../limits.ts";
import type { ContentFormat, FormatKind } from "./content-format.ts";
import { type CostFacts, foundBytes, newBytes, type PartCost, storedBytes } from "./cost.ts";

export type CauseCode = "compressed" | "timestamps" | "reordered" | "code" | "rewritten" | "added" | "edited";

export interface FileCost extends PartCost {
  readonly path: string;
  /** Bytes of the file of this path in the old release; null when there is none. */
  readonly before: number | null;
  readonly after: number;
}

export interface Cause {
  readonly code: CauseCode;
  /** For people: a few words. */
  readonly label: string;
  /** Whether something can be done about it. */
  readonly isAvoidable: boolean;
  /** One sentence: what a build engineer does. */
  readonly remedy: string;
}

/** In the order in which they are looked for: what explains most of the cost by itself comes first. */
export function causeOf(cost: FileCost): Cause {
  const { before, facts } = cost;
  if (isTimes(facts)) return TIMESTAMPS;
  if (isNew(cost)) return ADDED;
  if (isMostly(cost, "literals") && isIncompressible(facts)) return compressed(facts.format);
  if (!isMostly(cost, "literals") && isRebuiltCode(facts)) return CODE;
  if (isMostly(cost, "control") && isReordered(facts)) return REORDERED;
  if (before !== null && newBytes(facts) >= foundBytes(facts)) return REWRITTEN;
  return EDITED;
}

/** At least half of the changed places are times, and at least half of what changed. */
function isTimes({ stamps }: CostFacts): boolean {
  return stamps.places > 0 && 2 * stamps.places >= stamps.looked && 2 * stamps.bytes >= stamps.lookedBytes;
}

/** A path that the old release does not have, of content that it does not have either. */
function isNew({ before, facts }: FileCost): boolean {
  return before === null && newBytes(facts) >= foundBytes(facts);
}

function isMostly(cost: PartCost, kind: keyof PartCost["stored"]): boolean {
  return 2 * cost.stored[kind] >= storedBytes(cost);
}

function isIncompressible(facts: CostFacts): boolean {
  const bytes = newBytes(facts);
  return bytes >= COST_SQUEEZED_BYTES_MIN && facts.squeezedBytes >= bytes * (1 - COST_SQUEEZED_SAVING_SHARE_MIN);
}

/** A program with many short changes, as moved addresses are, that are at least half of its changed places. */
function isRebuiltCode({ format, shortRuns, places }: CostFacts): boolean {
  return format?.kind === "program" && shortRuns >= COST_CODE_RUNS_MIN && 2 * shortRuns >= places;
}

/** Content from many places of the old release, often going back: inserting and deleting only go on. */
function isReordered(facts: CostFacts): boolean {
  const { moves, backwardMoves } = facts;
  return backwardMoves >= COST_BACKWARD_MOVES_MIN && 4 * backwardMoves >= moves && foundBytes(facts) > newBytes(facts);
}

// --- What to say -----------------------------------------------------------------------------------------------------

const TIMESTAMPS: Cause = {
  code: "timestamps",
  label: "timestamps inside",
  isAvoidable: true,
  remedy:
    "Give the build one fixed time (SOURCE_DATE_EPOCH, or the time of the commit) instead of the moment it runs, for the members of archives too.",
};

const REORDERED: Cause = {
  code: "reordered",
  label: "content in another order",
  isAvoidable: true,
  remedy: "Write the members in the same order in every build (sorted by name), and append new ones at the end.",
};

const CODE: Cause = {
  code: "code",
  label: "program code built again",
  isAvoidable: true,
  remedy:
    "Keep addresses where they were: build reproducibly, fix the order in which objects are linked, and leave debug information out of what is shipped.",
};

const REWRITTEN: Cause = {
  code: "rewritten",
  label: "whole file changed",
  isAvoidable: true,
  remedy:
    "Write the file the same way in every build (sorted keys, fixed ids and seeds), or split it into files that change apart.",
};

const ADDED: Cause = {
  code: "added",
  label: "new file",
  isAvoidable: false,
  remedy: "New content has to be sent once; leave out with --ignore what players do not need.",
};

const EDITED: Cause = {
  code: "edited",
  label: "edited",
  isAvoidable: false,
  remedy:
    "No cause shows beyond edits; if these are more than was edited, look at what else the build writes into the file.",
};

const COMPRESSED_REMEDIES: Readonly<Record<FormatKind | "unknown", string>> = {
  archive:
    "Store the members of the archive uncompressed (zip -0) and in a fixed order: patchswarm compresses what it sends, and then finds what did not change.",
  stream: "Publish the file uncompressed: patchswarm compresses what it sends, and then finds what did not change.",
  media:
    "Encode it again only when its source changed, with the same encoder and settings: the slightest change of an encoded file changes all that follows.",
  program: "Do not pack or encrypt the program, and keep the resources inside it uncompressed.",
  unknown:
    "Publish the content neither compressed nor encrypted, or do either to small blocks apart, so that a change stays in its block.",
};

/** Bytes that do not compress are compressed already, or encrypted; only a known format says which. */
function compressed(format: ContentFormat | null): Cause {
  const isKnown = format !== null && format.kind !== "program";
  return {
    code: "compressed",
    label: isKnown ? `compressed (${format.name})` : "compressed or encrypted",
    isAvoidable: true,
    remedy: COMPRESSED_REMEDIES[format?.kind ?? "unknown"],
  };
}

type FormatBytes = (bytes: number) => string;

/** The figures that a cause was decided by, in one sentence without its full stop. */
export function evidenceOf(code: CauseCode, cost: FileCost, formatBytes: FormatBytes): string {
  return EVIDENCE[code](cost, formatBytes);
}

const EVIDENCE: Readonly<Record<CauseCode, (cost: FileCost, size: FormatBytes) => string>> = {
  compressed: ({ facts }, size) =>
    `${size(newBytes(facts))} are new and do not compress, ${size(foundBytes(facts))} were found in the old build`,
  timestamps: ({ facts }) =>
    `${facts.stamps.places} of ${facts.stamps.looked} changes in the delta are times${exampleOf(facts)}`,
  reordered: ({ facts }, size) =>
    `${size(foundBytes(facts))} were found in ${facts.moves + 1} pieces, ${facts.backwardMoves} of them before the one they follow`,
  code: ({ facts }) =>
    `${facts.format?.name ?? "program"}: ${facts.shortRuns} of ${facts.places} changes in the delta are short, and ${facts.alikeRuns} of these differ as others do`,
  rewritten: ({ after, facts }, size) => `${size(newBytes(facts))} of ${size(after)} were not found in the old build`,
  added: ({ after, facts }, size) => `${size(newBytes(facts))} of ${size(after)} are new content`,
  edited: ({ facts }, size) =>
    `${size(newBytes(facts))} new, ${size(facts.changedBytes - facts.replacedBytes)} changed in place, ` +
    `${size(facts.copiedBytes - facts.changedBytes)} copied`,
};

function exampleOf({ stamps: { example } }: CostFacts): string {
  return example === null ? "" : `, such as ${isoTime(example.old)} to ${isoTime(example.fresh)}`;
}

/** Unix seconds -> "2026-11-27T10:00:00Z". */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}
