/** `diff` by whole processes: each cause found in real folders, versions of a title compared, and what it refuses. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type BuildPair,
  compressedPair,
  datedPair,
  prose,
  rebuiltPair,
  reorderedPair,
  rewrittenPair,
  stampedPair,
} from "../support/build-pairs.ts";
import { type JsonLine, MAIN, resultOf, runCli } from "../support/cli.ts";
import { type Files, noise, openStudio, writeFiles } from "../support/studio.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "patchswarm-test-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/** The result of `diff`. */
interface DiffResult extends JsonLine {
  readonly totals: {
    readonly files: Readonly<Record<string, number>>;
    readonly bytes: { readonly before: number; readonly after: number; readonly delta: number };
  };
  readonly files: readonly DiffRow[];
}

interface DiffRow {
  readonly path: string;
  readonly before: number | null;
  readonly after: number;
  readonly delta: number;
  readonly cause: string;
  readonly remedy: string;
}

const env = (): Record<string, string> => ({ XDG_CACHE_HOME: join(scratch, "cache") });

/** The edge's URL leads nowhere: two folders need none. */
async function diff(before: Files, after: Files, flags: readonly string[] = []): Promise<DiffResult> {
  await writeFiles(join(scratch, "before"), before);
  await writeFiles(join(scratch, "after"), after);
  const args = ["diff", join(scratch, "before"), join(scratch, "after"), ...flags];
  return (await resultOf(args, { env: env() })) as DiffResult;
}

const edited: BuildPair = { old: prose(5000, 1), fresh: prose(5000, 1).with(777, 0x21) };

test.each([
  ["compressed", "pack.pak", compressedPair()],
  ["timestamps", "build.log", datedPair()],
  ["timestamps", "table.bin", stampedPair()],
  ["reordered", "pack.pak", reorderedPair()],
  ["code", "game", rebuiltPair()],
  ["rewritten", "settings.txt", rewrittenPair()],
  ["edited", "story.txt", edited],
])("%s: %s is named with its sizes, what it costs, the cause and a remedy", async (cause, path, { old, fresh }) => {
  const { totals, files } = await diff({ [path]: old, kept: "kept" }, { [path]: fresh, kept: "kept" });
  expect(files).toEqual([
    {
      path,
      before: old.length,
      after: fresh.length,
      delta: totals.bytes.delta,
      cause,
      remedy: expect.stringMatching(/\w.+\.$/),
      evidence: expect.objectContaining({ summary: expect.any(String) }),
    },
  ]);
  expect(totals.files).toEqual({ added: 0, changed: 1, removed: 0, kept: 1 });
  expect(totals.bytes).toMatchObject({ before: old.length + 4, after: fresh.length + 4 });
});

const BEFORE: Files = { "a.pak": compressedPair().old, "b.log": datedPair().old, gone: "gone" };
const AFTER: Files = { "a.pak": compressedPair().fresh, "b.log": datedPair().fresh, "new.bin": 30_000 };

test("a new file has no size before, and all files together cost what the delta takes", async () => {
  const { totals, files } = await diff(BEFORE, AFTER);
  expect(files.find(({ path }) => path === "new.bin")).toMatchObject({ before: null, after: 30_000, cause: "added" });
  expect(files.reduce((sum, { delta }) => sum + delta, 0)).toBe(totals.bytes.delta);
  expect(totals.files).toEqual({ added: 1, changed: 2, removed: 1, kept: 0 });
});

test("people get a table, and each cause with its remedy; --top shortens it", async () => {
  await writeFiles(join(scratch, "before"), BEFORE);
  await writeFiles(join(scratch, "after"), AFTER);
  const print = async (...flags: readonly string[]): Promise<string> => {
    const args = [MAIN, "diff", "before", "after", ...flags];
    const options = { cwd: scratch, env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1", ...env() } };
    return (await promisify(execFile)(process.execPath, args, options)).stdout;
  };
  const all = await print();
  expect(all).toMatch(
    /^before to after: files 2 changed, 1 added, 1 removed, 0 kept; .+ The delta takes [\d.]+ kB\.\n/,
  );
  expect(all).toMatch(/^delta +share +before +after +cause +file$/m);
  expect(all).toMatch(/^[\d.]+ kB +\d+ % +[\d.]+ kB +[\d.]+ kB +compressed or encrypted +a\.pak$/m);
  expect(all).toMatch(/^timestamps inside: .*SOURCE_DATE_EPOCH/m);
  expect(all).toMatch(/b\.log: .+ such as 2026-11-20T00:00:00Z to 2026-11-27T00:00:00Z/);
  const short = await print("--top", "1");
  expect(short).toContain("in 2 other files");
  expect(short).not.toContain("b.log");
  expect(await print("--top", "1", "--all")).toBe(all);
});

test("the same build twice, or content that only moved, costs nothing", async () => {
  const { totals, files } = await diff(
    { a: "same", "b.bin": noise(9000, "x") },
    { a: "same", "c.bin": noise(9000, "x") },
  );
  expect([totals.bytes.delta, files]).toEqual([0, []]);
  expect(totals.files).toEqual({ added: 1, changed: 0, removed: 1, kept: 1 });
});

test.each([
  ["a folder that is not there", ["before", "nowhere"], { code: "usage.bad-flag", facts: { found: "nowhere" } }],
  ["a file in the place of a folder", ["file", "before"], { code: "usage.bad-flag", facts: { found: "file" } }],
  ["an empty folder", ["before", "empty"], { code: "build.empty" }],
  ["a title.json that is not there", ["1.0.0", "before", "--title", "none.json"], { code: "usage.bad-title-file" }],
  ["more files than a title has", ["before", "before", "--top", "9999999"], { code: "usage.bad-flag" }],
])("%s is a usage error, exit code 2", async (_, args, error) => {
  await writeFiles(join(scratch, "before"), { a: "a" });
  await writeFile(join(scratch, "file"), "");
  await mkdir(join(scratch, "empty"));
  const { code, lines } = await runCli(["diff", ...args], { cwd: scratch, env: env() });
  expect([code, lines.at(-1)]).toEqual([2, expect.objectContaining({ type: "error", family: "usage" })]);
  expect(lines.at(-1)).toMatchObject(error);
});

test("versions of a title are compared like folders; publish tells the same, and both leave no copy too many", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), BEFORE);
  await writeFiles(studio.at("v2"), AFTER);
  await studio.publish("v1", "1.0.0");
  const dry = await studio.publish("v2", "2.0.0", ["--dry-run"]);
  const published = await studio.publish("v2", "2.0.0");
  const run = async (before: string, after: string): Promise<DiffResult> => {
    const args = ["diff", before, after, "--title", studio.titleFile];
    return (await resultOf(args, { cwd: studio.at(), env: { XDG_CACHE_HOME: studio.at("cache") } })) as DiffResult;
  };
  const folders = await run("v1", "v2");
  for (const [before, after] of [
    ["1.0.0", "v2"],
    ["1.0.0", "2.0.0"],
    ["v1", "2.0.0"],
  ] as const) {
    const { totals, files } = await run(before, after);
    expect([totals, files]).toEqual([folders.totals, folders.files]);
  }
  for (const { deltas } of [dry, published] as unknown as readonly { deltas: readonly unknown[] }[]) {
    expect(deltas).toMatchObject([
      { costs: { bytes: folders.totals.bytes.delta, files: folders.files, others: { files: 0, bytes: 0 } } },
    ]);
  }
  const cache = studio.at("cache", "patchswarm");
  const leftOver = async (): Promise<string[]> => (await readdir(cache)).filter((name) => name.startsWith("diff"));
  expect(await leftOver()).toEqual([]);

  // one that is killed leaves its second build to the next one; those of others are none of its business
  const killed = await runCli(["diff", "1.0.0", "2.0.0", "--title", studio.titleFile], {
    cwd: studio.at(),
    env: { XDG_CACHE_HOME: studio.at("cache") },
    onLine: ({ phase }, process) => phase === "reading" && process.kill("SIGKILL"),
  });
  expect(killed.code).toBeNull();
  expect(await leftOver()).toHaveLength(1);
  const others = ["diff-0123456789ab-1-1"];
  for (const name of others) await mkdir(join(cache, name));
  await run("v1", "v2");
  expect(await leftOver()).toEqual(others);

  const unknown = await runCli(["diff", "3.0.0", "v2", "--title", studio.titleFile], {
    cwd: studio.at(),
    env: { XDG_CACHE_HOME: studio.at("cache") },
  });
  expect([unknown.code, unknown.lines.at(-1)]).toEqual([2, expect.objectContaining({ code: "release.not-found" })]);
});
