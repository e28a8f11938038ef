/**
 * The only printer. People get lines on stdout and a progress display on stderr when that is a terminal; programs get
 * one JSON object a line on stdout (`--json`). Nothing else in the command line writes to either stream.
 */
import { PROGRESS_INTERVAL_MS } from "../manifests/limits.ts";
import cliProgress from "cli-progress";
import prettyBytes from "pretty-bytes";
import { type Failure } from "../manifests/failures.ts";

/** One line of `--json` output; docs/JSON.md. */
interface JsonLine {
  readonly v: 1;
  readonly type: "progress" | "log" | "ready" | "result" | "error";
  readonly [field: string]: unknown;
}

/** Where content bytes came from so far. */
export interface BytesBySource {
  readonly kept: number;
  readonly reused: number;
  readonly peers: number;
  readonly origin: number;
}

export interface Progress {
  /** What is happening, one or two words: "checking", "downloading". */
  readonly phase: string;
  /** Bytes done and bytes in all, of this phase. */
  readonly done: number;
  readonly total: number;
  /** Bytes a second over the last few seconds, when known. */
  readonly bytesPerSecond?: number;
  readonly secondsLeft?: number;
  readonly sources?: BytesBySource;
  /** Bytes that went up so far, where something is sent. */
  readonly sent?: number;
}

export interface Output {
  readonly json: boolean;
  /** One sentence of news. */
  log(text: string): void;
  /** May be called as often as one likes; drawn a few times a second at most. */
  progress(progress: Progress): void;
  /** The command serves now (`dev`, `seed`) until it is stopped. */
  ready(command: string, fields: Readonly<Record<string, unknown>>, people: string): void;
  /** The last word of a command that worked: `fields` for programs, `people` for people. */
  result(command: string, fields: Readonly<Record<string, unknown>>, people: string): void;
  /** The last word of a command that did not. */
  error(failure: Failure): void;
  /** The last word of a command that met with what nobody foresaw: for people its stack, on stderr whoever reads. */
  bug(error: unknown): void;
  /** Takes the progress display off the terminal. */
  close(): void;
}

/** What an Output writes to; `process` in the program, a recorder in tests. */
export interface Streams {
  readonly stdout: { write(text: string): unknown };
  /** `columns`: of a terminal. */
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
}

/** Without a terminal, people get one line each time another tenth of a phase is done. */
const PLAIN_STEPS = 10;

export function createOutput(json: boolean, streams: Streams, now: () => number): Output {
  if (json) return jsonOutput(streams, now);
  return streams.stderr.isTTY === true ? terminalOutput(streams) : plainOutput(streams);
}

function jsonOutput({ stdout, stderr }: Streams, now: () => number): Output {
  const print = (line: JsonLine): void => void stdout.write(`${JSON.stringify(line)}\n`);
  let lastProgress = Number.NEGATIVE_INFINITY;
  let lastPhase = "";
  return {
    json: true,
    log: (message) => print({ v: 1, type: "log", message }),
    progress(progress) {
      if (progress.phase === lastPhase && now() - lastProgress < PROGRESS_INTERVAL_MS) return;
      lastPhase = progress.phase;
      lastProgress = now();
      print({ v: 1, type: "progress", ...progress });
    },
    ready: (command, fields) => print({ v: 1, type: "ready", command, ...fields }),
    result: (command, fields) => print({ v: 1, type: "result", command, ...fields }),
    error: (failure) => print({ v: 1, type: "error", ...failureFields(failure) }),
    bug(error) {
      print({ v: 1, type: "error", code: "bug", family: "bug", message: String(error), facts: {} });
      stderr.write(describeBug(error));
    },
    close() {},
  };
}

/** A failure as programs read it. */
export function failureFields({ code, family, message, facts }: Failure): Record<string, unknown> {
  return { code, family, message, facts };
}

function plainOutput({ stdout, stderr }: Streams): Output {
  let phase = "";
  let step = 0;
  return {
    json: false,
    log: (text) => void stderr.write(`${text}\n`),
    progress(progress) {
      const reached = progress.total === 0 ? PLAIN_STEPS : Math.floor((progress.done / progress.total) * PLAIN_STEPS);
      if (progress.phase === phase && reached <= step) return;
      phase = progress.phase;
      step = reached;
      stderr.write(`${describeProgress(progress)}\n`);
    },
    ready: (_command, _fields, people) => void stdout.write(`${people}\n`),
    result: (_command, _fields, people) => void stdout.write(`${people}\n`),
    error: (failure) => void stderr.write(`${describeFailure(failure)}\n`),
    bug: (error) => void stderr.write(describeBug(error)),
    close() {},
  };
}

function terminalOutput({ stdout, stderr }: Streams): Output {
  const cells = barCells(stderr.columns);
  const bar = new cliProgress.SingleBar({
    stream: stderr,
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
    fps: 1000 / PROGRESS_INTERVAL_MS,
    format: (options, params, payload: { text?: string }) => {
      const full = Math.round(Math.min(params.progress, 1) * cells);
      const drawn = (options.barCompleteString ?? "").slice(0, full) + (options.barIncompleteString ?? "").slice(full);
      return `${drawn.slice(0, cells)} ${payload.text ?? ""}`.trimStart();
    },
    barsize: cells,
    barCompleteChar: "█",
    barIncompleteChar: "░",
  });
  let drawn = false;
  const close = (): void => {
    if (drawn) bar.stop();
    drawn = false;
  };
  return {
    json: false,
    log(text) {
      close();
      stderr.write(`${text}\n`);
    },
    progress(progress) {
      const payload = { text: describeProgress(progress) };
      const total = Math.max(progress.total, 1);
      const done = progress.total === 0 ? 1 : progress.done;
      if (!drawn) bar.start(total, done, payload);
      drawn = true;
      bar.setTotal(total);
      bar.update(done, payload);
    },
    ready(_command, _fields, people) {
      close();
      stdout.write(`${people}\n`);
    },
    result(_command, _fields, people) {
      close();
      stdout.write(`${people}\n`);
    },
    error(failure) {
      close();
      stderr.write(`${describeFailure(failure)}\n`);
    },
    bug(error) {
      close();
      stderr.write(describeBug(error));
    },
    close,
  };
}

const BAR_CELLS = 24;
/** What is left of a line for phase, percentage, speed and time left. */
const WORDS_CELLS = 56;

/** On a narrow terminal the words go first. @param columns  0, as undefined, when the terminal does not say */
function barCells(columns = 0): number {
  return columns === 0 ? BAR_CELLS : Math.min(BAR_CELLS, Math.max(0, columns - WORDS_CELLS));
}

/** "downloading 45 % of 147 MB, 31 MB/s, 3 s left (kept 48 MB, reused 12 MB, peers 20 MB, origin 1 MB)". */
function describeProgress({ phase, done, total, bytesPerSecond, secondsLeft, sources, sent }: Progress): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  const parts = [`${phase} ${percent} % of ${formatBytes(total)}`];
  if (bytesPerSecond !== undefined) parts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (secondsLeft !== undefined) parts.push(`${formatSeconds(secondsLeft)} left`);
  if (sent !== undefined) parts.push(`${formatBytes(sent)} sent`);
  const from = sources === undefined ? "" : ` (${describeSources(sources)})`;
  return parts.join(", ") + from;
}

/** "kept 48 MB, peers 20 MB": the sources that gave something. */
export function describeSources(sources: BytesBySource): string {
  const given = Object.entries(sources).filter(([, bytes]) => bytes > 0);
  return given.length === 0 ? "nothing yet" : given.map(([name, bytes]) => `${name} ${formatBytes(bytes)}`).join(", ");
}

function describeFailure(failure: Failure): string {
  return `error: ${failure.message} [${failure.code}]`;
}

function describeBug(error: unknown): string {
  const stack = error instanceof Error ? error.stack : undefined;
  return `This is a bug in patchswarm; please report it.\n${stack ?? String(error)}\n`;
}

/**
 * Bytes for people: three digits and a decimal unit, as disks and line speeds are sold. Asked for anything more exact,
 * the library loads Intl, which takes 20 ms of every patch (measured).
 */
export function formatBytes(bytes: number): string {
  return prettyBytes(bytes);
}

/** @param noun  of one of them */
export function formatCount(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** 75 -> "1 min 15 s"; under ten seconds with one decimal. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
