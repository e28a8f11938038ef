/** Figures of a run -> tables in Markdown, and what of the goals was met. */
import { OURS, YARDSTICK } from "./peers.ts";

export interface ToolFigures {
  readonly name: string;
  /** What a player fetches. */
  readonly bytes: number;
  /** Of the whole process, with every core and with one. A tool that uses one only has the same figure twice. */
  readonly makeSeconds: number;
  readonly makeSecondsOneCore: number;
  readonly makePeakBytes: number;
  /** Of the whole process, on one core. */
  readonly applySeconds: number;
  /** Without starting the process, where that is known. */
  readonly decodeSeconds: number | null;
  readonly applyPeakBytes: number;
  /** Of a player over the slow link. */
  readonly updateSeconds: number;
}

export interface PairFigures {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Whether it is a pack whose members are deflated. */
  readonly isPack: boolean;
  readonly oldBytes: number;
  readonly newBytes: number;
  /** In which tar writes the files that the update adds or changes. */
  readonly unpackSeconds: number;
  readonly tools: readonly ToolFigures[];
}

export function tablesOf(pairs: readonly PairFigures[]): string {
  return [...pairs.map(pairTable), goalsTable(pairs)].join("\n\n");
}

/** Bytes of a tool as a multiple of bsdiff's. */
export function bytesRatio(pair: PairFigures, tool: ToolFigures): number {
  return tool.bytes / toolOf(pair, YARDSTICK).bytes;
}

function toolOf(pair: PairFigures, name: string): ToolFigures {
  const found = pair.tools.find((tool) => tool.name === name);
  if (found === undefined) throw new Error(`${pair.name} has no figures of ${name}`);
  return found;
}

function pairTable(pair: PairFigures): string {
  const rows = pair.tools.map((tool) =>
    row([
      tool.name,
      grouped(tool.bytes),
      bytesRatio(pair, tool).toFixed(2),
      tool.makeSeconds.toFixed(1),
      tool.makeSecondsOneCore.toFixed(1),
      megabytes(tool.makePeakBytes),
      tool.applySeconds.toFixed(2),
      (pair.newBytes / 1e6 / (tool.decodeSeconds ?? tool.applySeconds)).toFixed(0),
      megabytes(tool.applyPeakBytes),
      tool.updateSeconds.toFixed(2),
      folderSeconds(pair, tool).toFixed(2),
    ]),
  );
  return [
    `### ${pair.name}: ${pair.from} to ${pair.to}${pair.isPack ? ", packed" : ""}`,
    "",
    `${grouped(pair.oldBytes)} bytes old, ${grouped(pair.newBytes)} bytes of new content.`,
    "",
    "| | bytes | of bsdiff's | make s | on one core | peak MB | apply s | output MB/s | peak MB | whole update s | into a folder s |",
    `|${"---|".repeat(11)}`,
    ...rows,
  ].join("\n");
}

/** Until the new release lies there as files, which is all that ours can do. */
function folderSeconds({ unpackSeconds }: PairFigures, { name, updateSeconds }: ToolFigures): number {
  return name === OURS ? updateSeconds : updateSeconds + unpackSeconds;
}

interface Goal {
  readonly text: string;
  readonly seen: string;
  readonly isMet: boolean;
}

function goalsTable(pairs: readonly PairFigures[]): string {
  const rows = goals(pairs).map(({ text, seen, isMet }) => row([text, seen, isMet ? "yes" : "**no**"]));
  return ["| goal | seen | met |", "|---|---|---|", ...rows].join("\n");
}

function goals(pairs: readonly PairFigures[]): Goal[] {
  const ours = pairs.map((pair) => ({ pair, tool: toolOf(pair, OURS), bsdiff: toolOf(pair, YARDSTICK) }));
  const others = (pair: PairFigures): ToolFigures[] => pair.tools.filter(({ name }) => name !== OURS);
  const ratios = named(ours, ({ tool, bsdiff }) => tool.bytes / bsdiff.bytes);
  const mean = Math.exp(ratios.reduce((sum, { value }) => sum + Math.log(value), 0) / ratios.length);
  const overBest = named(ours, ({ pair, tool }) => tool.bytes / Math.min(...others(pair).map(({ bytes }) => bytes)));
  const packs = ratios.filter((_, i) => ours[i]?.pair.isPack === true);
  const faster = named(ours, ({ tool, bsdiff }) => bsdiff.makeSeconds / tool.makeSeconds);
  const fasterOneCore = named(ours, ({ tool, bsdiff }) => bsdiff.makeSecondsOneCore / tool.makeSecondsOneCore);
  const speed = named(ours, ({ pair, tool }) => pair.newBytes / 1e6 / (tool.decodeSeconds ?? tool.applySeconds));
  const overBspatch = named(ours, ({ tool, bsdiff }) => tool.applySeconds / bsdiff.applySeconds);
  const applyPeak = named(ours, ({ tool }) => tool.applyPeakBytes / 1e6);
  const makePeak = named(ours, ({ tool }) => tool.makePeakBytes / 1e6);
  const overUpdate = named(
    ours,
    ({ pair, tool }) => tool.updateSeconds / Math.min(...others(pair).map(({ updateSeconds }) => updateSeconds)),
  );
  const overFolder = named(
    ours,
    ({ pair, tool }) => tool.updateSeconds / Math.min(...others(pair).map((other) => folderSeconds(pair, other))),
  );
  return [
    { text: "bytes: at most bsdiff's in the geometric mean", seen: mean.toFixed(2), isMet: mean <= 1 },
    atMost("bytes: none above 1.1 of bsdiff's", ratios, 1.1),
    atMost("bytes: never above the best of the others", overBest, 1, 3),
    ...(packs.length === 0 ? [] : [atMost("packs: at most half of bsdiff's bytes", packs, 0.5)]),
    atLeast("making: at least 10 times as fast as bsdiff with both cores", faster, 10, 1),
    atLeast("making: at least 5 times as fast with one", fasterOneCore, 5, 1),
    atMost("making: at most 1 GiB resident (1,074 MB)", makePeak, 2 ** 30 / 1e6, 0),
    atLeast("applying: at least 200 MB/s of output on one core", speed, 200, 0),
    atMost("applying: never slower than bspatch (its time)", overBspatch, 1),
    atMost("applying: at most 96 MB resident", applyPeak, 96, 0),
    atMost("whole update at 20 Mbit/s: faster than each of the others (time of the fastest)", overUpdate, 1),
    atMost("the same, when the others' file is unpacked into a folder by tar", overFolder, 1),
  ];
}

interface Named {
  readonly name: string;
  readonly value: number;
}

function named<Row extends { readonly pair: PairFigures }>(rows: readonly Row[], value: (row: Row) => number): Named[] {
  return rows.map((row) => ({ name: row.pair.name, value: value(row) }));
}

function atMost(text: string, values: readonly Named[], limit: number, digits = 2): Goal {
  return goalOf(text, values, (value) => value <= limit, digits);
}

function atLeast(text: string, values: readonly Named[], limit: number, digits = 2): Goal {
  return goalOf(text, values, (value) => value >= limit, digits);
}

function goalOf(text: string, values: readonly Named[], isMet: (value: number) => boolean, digits: number): Goal {
  const seen = values.map(({ name, value }) => `${name} ${value.toFixed(digits)}`).join(", ");
  return { text, seen, isMet: values.every(({ value }) => isMet(value)) };
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function grouped(bytes: number): string {
  return bytes.toLocaleString("en");
}
