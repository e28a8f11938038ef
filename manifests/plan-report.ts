/** A plan for people: what `patch --dry-run` prints. */
import type { Content, Plan } from "./plan.ts";
import { chosenWay, type WayKind, type WeighedWay } from "./ways.ts";

/** How many files of one kind are named; the rest are counted. A screenful in all. */
const NAMED_MAX = 10;

/** @param formatBytes  bytes for people */
export function formatPlan(
  plan: Plan,
  ways: readonly [WeighedWay, ...WeighedWay[]],
  formatBytes: (bytes: number) => string,
): string {
  const { files, contents } = plan;
  const { cost } = chosenWay(ways);
  const of = (how: Content["source"]["how"]): string[] =>
    contents.filter(({ source }) => source.how === how).flatMap((content) => describe(content, formatBytes));
  const sections = [
    section("new contents", [...of("build"), ...of("empty")]),
    section("copied from the install", of("copy")),
    section("moved", of("move")),
    section(
      "made executable, or no longer",
      plan.chmod.map(({ path }) => path),
    ),
    section("removed", plan.remove),
    section("not ours and in the way, kept beside as .local-1", plan.aside),
  ];
  return [
    `Files: ${files.kept} kept, ${files.added} added, ${files.changed} changed, ${files.removed} removed.`,
    ...sections.flat(),
    ...formatWays(ways, formatBytes),
    `To fetch: ${formatBytes(cost.fetch.stored)} (${formatBytes(cost.fetch.plain)} unpacked); ` +
      `from this disk: ${formatBytes(cost.reused)}.`,
    `To write: ${formatBytes(cost.write)}; free space needed: ${formatBytes(cost.disk)}.`,
  ].join("\n");
}

function describe({ size, places, source }: Content, formatBytes: (bytes: number) => string): string[] {
  const from = source.how === "move" || source.how === "copy" ? ` from ${source.from}` : "";
  return places.map(({ path }) => `${path}${from} (${formatBytes(size)})`);
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length > NAMED_MAX ? [`    and ${lines.length - NAMED_MAX} more`] : [];
  return [`  ${title}: ${lines.length}`, ...lines.slice(0, NAMED_MAX).map((line) => `    ${line}`), ...more];
}

const NAMES: Readonly<Record<WayKind, string>> = {
  chunks: "chunks this disk lacks",
  fetch: "every new content whole",
  delta: "delta",
  chain: "deltas",
};

/** Ways to the new contents as a table; nothing when there is only one. */
function formatWays(
  ways: readonly [WeighedWay, ...WeighedWay[]],
  formatBytes: (bytes: number) => string,
): readonly string[] {
  if (ways.length === 1) return [];
  const chosen = chosenWay(ways);
  const rows = ways.map((way) => {
    const { steps, download, cost } = way;
    const path = [...steps.map(({ from }) => from), ...steps.slice(-1).map(({ to }) => to)].join(" -> ");
    const rest = steps.length > 0 && download.chunks > 0 ? ", the rest by chunks" : "";
    const name = `${NAMES[way.how]}${path === "" ? "" : ` ${path}`}${rest}`;
    return [name, ...[cost.fetch.stored, cost.write, cost.disk].map(formatBytes), reasonFor(way, chosen)];
  });
  const table = [["way", "download", "write", "disk", ""], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table.map(([name = "", ...cells]) => {
    const figures = cells.slice(0, -1).map((cell, i) => cell.padStart(widths[i + 1] ?? 0));
    return `  ${[name.padEnd(widths[0] ?? 0), ...figures, cells.at(-1) ?? ""].join("  ")}`.trimEnd();
  });
}

function reasonFor({ verdict, cost }: WeighedWay, chosen: WeighedWay): string {
  if (verdict === "chosen") return "chosen";
  if (verdict === "no-room") return "no room on the disk";
  if (verdict === "useless") return "starts from files that were changed";
  return cost.fetch.stored > chosen.cost.fetch.stored ? "more to download" : "more to do for what it saves";
}
