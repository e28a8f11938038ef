import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { EXIT_CODES, FAILURES, Failure } from "../../manifests/failures.ts";
import { type Output, createOutput, formatBytes, formatSeconds } from "../../cli/output.ts";

/** A recorder in place of the process's streams. */
function record(
  json: boolean,
  isTTY: boolean,
  columns?: number,
): { output: Output; stdout: string[]; stderr: string[]; tick: (ms: number) => void } {
  const stdout: string[] = [];
  const stderr: string[] = [];
  let clock = 0;
  const sink = Object.assign(Object.create(process.stderr) as NodeJS.WriteStream, {
    isTTY,
    columns,
    write: (text: string) => stderr.push(text) > 0,
  });
  const output = createOutput(json, { stdout: { write: (text) => stdout.push(text) }, stderr: sink }, () => clock);
  return { output, stdout, stderr, tick: (ms) => (clock += ms) };
}

const PROGRESS = {
  phase: "downloading",
  done: 45_000_000,
  total: 100_000_000,
  bytesPerSecond: 31_000_000,
  secondsLeft: 3,
  sources: { kept: 0, reused: 12_000_000, peers: 20_000_000, origin: 1_000_000 },
};

describe("for programs", () => {
  test("every line is one JSON object with a version and a type, on stdout only", () => {
    const { output, stdout, stderr } = record(true, true);
    output.log("hello");
    output.progress(PROGRESS);
    output.ready("dev", { url: "http://127.0.0.1:1" }, "up");
    output.result("patch", { to: "1.0.0" }, "done");
    output.error(new Failure("install.busy", { pid: 7 }));
    const lines = stdout.map((line) => JSON.parse(line) as { v: number; type: string });
    expect(lines.map(({ v, type }) => [v, type])).toEqual(
      ["log", "progress", "ready", "result", "error"].map((type) => [1, type]),
    );
    expect(lines[4]).toMatchObject({ code: "install.busy", family: "busy", facts: { pid: 7 } });
    expect(stderr).toEqual([]);
  });

  test("a bug is an error line too, and its stack is on stderr", () => {
    const { output, stdout, stderr } = record(true, true);
    output.bug(new TypeError("of undefined"));
    expect(stdout.map((line) => JSON.parse(line) as unknown)).toEqual([
      { v: 1, type: "error", code: "bug", family: "bug", message: "TypeError: of undefined", facts: {} },
    ]);
    expect(stderr.join("")).toContain("output.test.ts");
  });

  test("progress is thinned out, but a new phase is told at once", () => {
    const { output, stdout, tick } = record(true, false);
    for (let i = 0; i < 100; i++) output.progress({ phase: "checking", done: i, total: 100 });
    expect(stdout).toHaveLength(1);
    output.progress({ phase: "downloading", done: 0, total: 100 });
    expect(stdout).toHaveLength(2);
    tick(1000);
    output.progress({ phase: "downloading", done: 1, total: 100 });
    expect(stdout).toHaveLength(3);
  });
});

describe("for people", () => {
  test("without a terminal there is a line a tenth, with speed, sources and time left", () => {
    const { output, stdout, stderr } = record(false, false);
    output.progress(PROGRESS);
    output.progress({ ...PROGRESS, done: PROGRESS.done + 1 });
    expect(stderr).toEqual([
      "downloading 45 % of 100 MB, 31 MB/s, 3.0 s left (reused 12 MB, peers 20 MB, origin 1 MB)\n",
    ]);
    expect(stdout).toEqual([]);
  });

  test("at a terminal the display is on stderr and gone before the result", () => {
    const { output, stdout, stderr } = record(false, true);
    output.progress(PROGRESS);
    output.result("patch", {}, "up to date");
    expect(stdout).toEqual(["up to date\n"]);
    expect(stderr.join("")).toContain("31 MB/s");
  });

  test.each([
    [undefined, /^█{11}░{13} downloading 45 %/],
    [0, /^█{11}░{13} downloading 45 %/],
    [200, /^█{11}░{13} downloading 45 %/],
    [70, /^█{6}░{8} downloading 45 %/],
    [20, /^downloading 45 %/],
  ])("on a terminal of %s columns the words go before the bar", (columns, line) => {
    const { output, stderr } = record(false, true, columns);
    output.progress(PROGRESS);
    output.close();
    const lines = stripVTControlCharacters(stderr.join("")).split(/[\r\n]/);
    expect(lines.find((one) => one.includes("downloading"))).toMatch(line);
  });

  test("an error names the fact, the particulars, the remedy and the code", () => {
    const { output, stderr } = record(false, false);
    output.error(new Failure("install.no-space", { needed: 10, free: 3 }));
    expect(stderr.join("")).toBe(
      "error: Not enough free space on the disk: needed 10; free 3. Make room on that disk and run the command " +
        "again; what was sent or downloaded is kept. [install.no-space]\n",
    );
  });

  test("a name that is empty can be seen in the error", () => {
    expect(new Failure("name.invalid", { kind: "title", found: "" }).message).toContain('kind title; found "".');
  });
});

test("bytes are decimal, seconds become minutes and hours", () => {
  expect([0, 999, 1500, 147e6, 3.21e9].map(formatBytes)).toEqual(["0 B", "999 B", "1.5 kB", "147 MB", "3.21 GB"]);
  expect([0.04, 9.94, 59.4, 75, 3720].map(formatSeconds)).toEqual([
    "0.0 s",
    "9.9 s",
    "59 s",
    "1 min 15 s",
    "1 h 2 min",
  ]);
});

test("every failure has a family with an exit code of its own, a title and a remedy that are sentences", () => {
  expect(new Set(Object.values(EXIT_CODES)).size).toBe(Object.keys(EXIT_CODES).length);
  for (const [code, row] of Object.entries(FAILURES)) {
    expect([code, EXIT_CODES[row.family]]).toEqual([code, expect.any(Number)]);
    // trackers everywhere say "unregistered torrent", and clients look for it
    expect(row.title, code).toMatch(/^([A-Z].*[^.]|unregistered torrent)$/);
    expect(row.remedy, code).toMatch(/^[A-Z].*\.$/);
  }
});

test("the table is sorted by code, so that two people add a row in one place", () => {
  const codes = Object.keys(FAILURES);
  expect(codes).toEqual(codes.toSorted());
});
