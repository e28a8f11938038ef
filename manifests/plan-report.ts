/** A plan for people: what `patch --dry-run` prints. */
import { costWithDelta, type Content, type Plan } from "./plan.ts";

/** How many files of one kind are named; the rest are counted. A screenful in all. */
const NAMED_MAX = 10;

/** @param formatBytes  bytes for people */
export function formatPlan(plan: Plan, formatBytes: (bytes: number) => string): string {
  const { files, contents, delta } = plan;
  const cost = costWithDelta(plan);
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
    `${files.kept} files stay, ${files.added} are added, ${files.changed} change, ${files.removed} go.`,
    ...sections.flat(),
    delta === undefined
      ? `To fetch: ${formatBytes(cost.fetch.stored)} (${formatBytes(cost.fetch.plain)} unpacked); ` +
        `from this disk: ${formatBytes(cost.reused)}.`
      : `To fetch: ${formatBytes(cost.fetch.stored)}, the delta from ${delta.from} ` +
        `(chunks would be ${formatBytes(plan.cost.fetch.stored)}); from this disk: ${formatBytes(cost.reused)}.`,
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
