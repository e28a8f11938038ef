/** Figures of a run -> a bar chart as SVG: bytes of each tool over bsdiff's, a group a pair, on a logarithmic scale. */
import { OURS, YARDSTICK } from "./peers.ts";
import { bytesRatio, type PairFigures } from "./report.ts";

const WIDTH = 860;
const LABELS_WIDTH = 250;
/** For the figure behind the longest bar. */
const MARGIN = 60;
const BAR_HEIGHT = 15;
const GROUP_GAP = 34;
const TOP = 44;
const COLOURS = { ours: "#0b6e99", others: "#b8c4cc", line: "#5b6770", text: "#1d2429" };

export function chartOf(pairs: readonly PairFigures[]): string {
  const bars = pairs.map((pair) => ({
    pair,
    tools: pair.tools.filter(({ name }) => name !== YARDSTICK).map((tool) => ({ tool, ratio: bytesRatio(pair, tool) })),
  }));
  const ratios = bars.flatMap(({ tools }) => tools.map(({ ratio }) => ratio));
  const [least, most] = [Math.min(0.25, ...ratios), Math.max(2, ...ratios)];
  const scale = (WIDTH - LABELS_WIDTH - 2 * MARGIN) / Math.log(most / least);
  const x = (ratio: number): number => LABELS_WIDTH + MARGIN + Math.log(ratio / least) * scale;
  const parts: string[] = [];
  let y = TOP;
  for (const { pair, tools } of bars) {
    parts.push(text(8, y + 11, `${pair.name}, ${toMegabytes(pair)} MB by bsdiff`, `font-weight="bold"`));
    y += BAR_HEIGHT + 3;
    for (const { tool, ratio } of tools) {
      const [from, to] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))];
      const fill = tool.name === OURS ? COLOURS.ours : COLOURS.others;
      parts.push(text(8, y + 11, tool.name));
      parts.push(
        `<rect x="${round(from)}" y="${y}" width="${round(to - from)}" height="${BAR_HEIGHT - 2}" fill="${fill}"/>`,
      );
      const isSmaller = ratio < 1;
      const anchor = `text-anchor="${isSmaller ? "end" : "start"}"`;
      parts.push(text(round(isSmaller ? from - 4 : to + 4), y + 11, ratio.toFixed(2), anchor));
      y += BAR_HEIGHT;
    }
    y += GROUP_GAP - BAR_HEIGHT;
  }
  const line = `<line x1="${round(x(1))}" y1="${TOP - 8}" x2="${round(x(1))}" y2="${y - 8}" stroke="${COLOURS.line}"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="12" fill="${COLOURS.text}">`,
    `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`,
    text(8, 20, "Bytes a player fetches, over bsdiff's; left of the line is smaller; logarithmic", `font-size="14"`),
    ...parts,
    line,
    "</svg>",
    "",
  ].join("\n");
}

function toMegabytes({ tools }: PairFigures): string {
  return ((tools.find(({ name }) => name === YARDSTICK)?.bytes ?? 0) / 1e6).toFixed(2);
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x}" y="${y}"${attributes === "" ? "" : ` ${attributes}`}>${content}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
