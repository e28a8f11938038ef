/** What a delta is spent on: rows for programs; a table, the causes and their remedies for people. */
import { type Cause, causeOf, evidenceOf, type FileCost, isoTime } from "../../manifests/delta/causes.ts";
import { foundBytes, newBytes, storedBytes } from "../../manifests/delta/cost.ts";
import { COST_ROWS_DEFAULT, COST_ROWS_SAID, COST_SAID_BYTES_MIN, COST_SAID_SHARE_MIN } from "../../manifests/limits.ts";
import { formatBytes } from "../output.ts";
import type { DeltaCosts } from "../publish/delta-costs.ts";
import { table } from "./table.ts";

/** The dearest files, and how much the others cost together. `bytes`: of the delta's objects, all files together. */
export function costFields({ bytes, files }: DeltaCosts, most = COST_ROWS_DEFAULT): Record<string, unknown> {
  const others = files.slice(most);
  return {
    bytes,
    files: files.slice(0, most).map(rowOf),
    others: { files: others.length, bytes: sumOf(others) },
  };
}

function rowOf(cost: FileCost): Record<string, unknown> {
  const { path, before, after, stored, facts } = cost;
  const { code, remedy } = causeOf(cost);
  const { example } = facts.stamps;
  return {
    path,
    before,
    after,
    delta: storedBytes(cost),
    cause: code,
    remedy,
    evidence: {
      summary: evidenceOf(code, cost, formatBytes),
      // bytes of the delta, by what they say
      stored,
      // bytes of the new file; what changed is what the delta tells as a change, and no reference that was guessed
      // right
      newBytes: newBytes(facts),
      newBytesCompressed: facts.squeezedBytes,
      foundBytes: foundBytes(facts),
      changedBytes: facts.changedBytes - facts.replacedBytes,
      changedPlaces: facts.places,
      movedCopies: facts.moves,
      backwardCopies: facts.backwardMoves,
      shortChanges: facts.shortRuns,
      alikeShortChanges: facts.alikeRuns,
      placesLookedAt: facts.stamps.looked,
      timePlaces: facts.stamps.places,
      timeExample: example === null ? null : { old: isoTime(example.old), new: isoTime(example.fresh) },
      format: facts.format?.name ?? null,
    },
  };
}

/**
 * A table of the dearest files, then each of their causes with what to do about it. Empty when nothing costs anything.
 */
export function describeCosts({ bytes, files }: DeltaCosts, most: number): string {
  const shown = files.slice(0, most).map((cost) => ({ cost, cause: causeOf(cost) }));
  if (shown.length === 0) return "";
  const rows = shown.map(({ cost, cause }) => [
    formatBytes(storedBytes(cost)),
    `${Math.round((100 * storedBytes(cost)) / bytes)} %`,
    cost.before === null ? "-" : formatBytes(cost.before),
    formatBytes(cost.after),
    cause.label,
    cost.path,
  ]);
  const others = files.slice(most);
  return [
    table(["delta", "share", "before", "after", "cause", "file"], rows),
    ...(others.length === 0
      ? []
      : [`${formatBytes(sumOf(others))} in ${others.length} other files; --all names them.`]),
    "",
    ...describeCauses(shown),
  ].join("\n");
}

/**
 * What a publish says: the dearest files of which something can be done about the cause, each a line with its remedy
 * below; nothing when all of them cost little.
 */
export function tellCosts({ bytes, files }: DeltaCosts): string {
  const least = Math.max(COST_SAID_BYTES_MIN, bytes * COST_SAID_SHARE_MIN);
  const said = files
    .filter((cost) => storedBytes(cost) >= least)
    .map((cost) => ({ cost, cause: causeOf(cost) }))
    .filter(({ cause }) => cause.isAvoidable)
    .slice(0, COST_ROWS_SAID);
  if (said.length === 0) return "";
  const lines = said.map(
    ({ cost, cause }) =>
      `  ${cost.path}: ${formatBytes(storedBytes(cost))}, ${cause.label} (${evidenceOf(cause.code, cost, formatBytes)})\n` +
      `    ${cause.remedy}`,
  );
  return `\nWhat it costs, and could cost less (\`patchswarm diff\` shows all):\n${lines.join("\n")}`;
}

/** Each cause once: its remedy, and the files that have it with the figures it was told by. */
function describeCauses(shown: readonly { readonly cost: FileCost; readonly cause: Cause }[]): string[] {
  const byRemedy = Map.groupBy(shown, ({ cause }) => cause.remedy);
  return [...byRemedy.values()].flatMap((group) => {
    const labels = new Set(group.map(({ cause }) => cause.label));
    return [
      `${[...labels].join(", ")}: ${group[0]?.cause.remedy ?? ""}`,
      ...group.map(({ cost, cause }) => `  ${cost.path}: ${evidenceOf(cause.code, cost, formatBytes)}`),
    ];
  });
}

function sumOf(files: readonly FileCost[]): number {
  return files.reduce((sum, cost) => sum + storedBytes(cost), 0);
}
