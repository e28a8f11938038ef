/** What a person or a script meets before any work is done: help, wrong flags, exit codes. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { MAIN, runCli } from "../support/cli.ts";
import { differences } from "../support/folders.ts";
import { openStudio, writeFiles } from "../support/studio.ts";

const VERBS = ["dev", "deploy", "init", "publish", "diff", "patch", "verify", "seed", "releases", "status"];

test("a reader that has had enough is no error", async () => {
  const piped = `set -o pipefail; "$0" "$1" publish --help | true`;
  const { stderr } = await promisify(execFile)("bash", ["-c", piped, process.execPath, MAIN]);
  expect(stderr).toBe("");
});

/** A start takes a fifth of a second; one that never ends must not outlive its test. */
const HANGS_MS = 15_000;

/** What "no room" is like, where there is such a device. */
const FULL = "/dev/full";

test.skipIf(!existsSync(FULL))("a report that finds no room is no success", async () => {
  await using studio = await openStudio();
  const listed = `"$0" "$1" releases --title "$2" > ${FULL}`;
  const bash = promisify(execFile)("bash", ["-c", listed, process.execPath, MAIN, studio.titleFile]);
  await expect(bash).rejects.toMatchObject({ code: 7, stderr: expect.stringContaining("stdout cannot be written") });
});

test.skipIf(!existsSync(FULL)).each(["--json", ""])(
  "a patch %s ends well though its output finds no room",
  async (flag) => {
    await using studio = await openStudio();
    await writeFiles(studio.at("v1"), { "game.bin": 3_000_000 });
    await studio.publish("v1", "1.0.0");
    const line = `"$0" "$1" patch "$2" --title "$3" ${flag} > ${FULL} 2> ${FULL}`;
    const args = ["-c", line, process.execPath, MAIN, studio.at("player"), studio.titleFile];
    // rejects when the exit code is another than 0
    await promisify(execFile)("bash", args);
    expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
  },
);

test("on a Node.js that is too old, every verb says so, and nothing else", async () => {
  const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "22.9.0" } })`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` };
  const { code, lines, stderr } = await runCli(["publish", "--help"], { env });
  expect([code, lines, stderr]).toEqual([
    2,
    [expect.objectContaining({ code: "usage.old-node", facts: expect.objectContaining({ found: "22.9.0" }) })],
    "",
  ]);
});

test.each(VERBS)("%s --help shows its flags and examples", async (verb) => {
  const { code, stdout } = await runCli([verb, "--help"]);
  expect(code).toBe(0);
  expect(stdout).toContain("Examples:");
  expect(stdout).toMatch(new RegExp(`patchswarm ${verb}`));
  expect(stdout).toContain("--json");
});

test.each([
  ["an unknown verb", ["frobnicate"]],
  ["an unknown option", ["patch", "game", "--frobnicate"]],
  ["a missing argument", ["patch"]],
  ["a missing option", ["publish", "build"]],
  ["a diff with one folder", ["diff", "here"]],
  ["a diff of folders that are not there", ["diff", "here", "there"]],
  ["a count that is none", ["diff", ".", ".", "--top", "many"]],
  ["a rate that is none", ["patch", "game", "--download-limit", "fast"]],
  ["a source that is none", ["patch", "game", "--sources", "pigeons"]],
])("%s is a usage error, exit code 2", async (_name, args) => {
  const { code, lines } = await runCli(args);
  expect(code).toBe(2);
  const message = expect.not.stringContaining("error:") as string;
  expect(lines.at(-1)).toMatchObject({ type: "error", family: "usage", message });
});

/** A link to itself, a name longer than any file system takes, and a folder where a file should be. */
const [LOOP, LONG, FOLDER] = ["loop", "n".repeat(300), "folder"];
const NOBODY = "http://127.0.0.1:9";

test.each([
  ["patch", LOOP],
  ["patch", LONG],
  ["verify", LOOP, "--repair"],
  ["diff", LOOP, FOLDER],
  ["diff", FOLDER, LONG],
  ["init", "demo", "--edge", NOBODY, "--admin-token-file", "snowman"],
  ["init", "demo", "--edge", NOBODY, "--admin-token-file", "token", "--keys", ""],
])("%s: a path that cannot be what it is named for is a usage error", async (...args) => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-test-"));
  try {
    await symlink(LOOP, join(folder, LOOP));
    await mkdir(join(folder, FOLDER));
    await writeFile(join(folder, "snowman"), "\u2603");
    await writeFile(join(folder, "token"), "token\n");
    const { code, lines } = await runCli(args, { cwd: folder });
    expect([code, lines.at(-1)]).toEqual([2, expect.objectContaining({ type: "error", family: "usage" })]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("a folder that is no install is named as such", async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-test-"));
  try {
    for (const verb of ["patch", "verify", "seed"]) {
      const { code, lines } = await runCli([verb, folder]);
      expect([verb, code, lines.at(-1)]).toEqual([verb, 2, expect.objectContaining({ code: "install.not-found" })]);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("an empty name of a folder is not the folder that one stands in", async () => {
  for (const verb of ["patch", "verify", "seed", "publish"]) {
    const { code, lines } = await runCli([verb, "", ...(verb === "publish" ? ["--version", "1"] : [])]);
    expect([verb, code, lines.at(-1)]).toEqual([verb, 2, expect.objectContaining({ code: "usage.bad-flag" })]);
  }
  const { code, lines } = await runCli(["dev", "--port", "0", "--state", ""]);
  expect([code, lines.at(-1)]).toEqual([2, expect.objectContaining({ code: "usage.bad-flag" })]);
});

test("a file in the place of an install is no bug, whatever is to be done with it", async () => {
  await using studio = await openStudio();
  const file = studio.titleFile;
  const outcomes = await Promise.all(
    ["patch", "verify", "seed"].map(async (verb) => {
      const { code, lines } = await runCli([verb, file, ...(verb === "patch" ? ["--title", file] : [])]);
      return [verb, code, lines.at(-1)?.["code"]];
    }),
  );
  expect(outcomes).toEqual([
    ["patch", 2, "install.obstructed"],
    ["verify", 2, "install.not-found"],
    ["seed", 2, "install.not-found"],
  ]);
});

test("a dry run into a folder that is not there does not make it", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("build"), { "a.txt": "a" });
  await studio.publish("build", "1.0.0");
  const before = await readdir(studio.at());
  const { files } = await studio.patch("nowhere/game", ["--dry-run"]);
  expect(files).toMatchObject({ added: 1 });
  expect(await readdir(studio.at())).toEqual(before);
});

test("what was compiled is kept in the user's cache folder, and done without where that cannot be written", async () => {
  const cache = await mkdtemp(join(tmpdir(), "patchswarm-test-"));
  const run = async (folder: string): Promise<string> => {
    const env = { ...process.env, NODE_COMPILE_CACHE: "", XDG_CACHE_HOME: folder };
    return (await promisify(execFile)(process.execPath, [MAIN, "--version"], { env })).stdout;
  };
  try {
    const version = await run(cache);
    expect(await readdir(join(cache, "patchswarm"))).toEqual(["compiled"]);
    await writeFile(join(cache, "a-file"), "");
    expect(await run(join(cache, "a-file"))).toBe(version);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
});

test.skipIf(!existsSync("/proc/self"))(
  "where the cache's file system makes no folders, the program starts",
  async () => {
    const env = { ...process.env, NODE_COMPILE_CACHE: "", XDG_CACHE_HOME: "/proc/games" };
    const run = promisify(execFile)(process.execPath, [MAIN, "--version"], {
      env,
      killSignal: "SIGKILL",
      timeout: HANGS_MS,
    });
    expect((await run).stdout).not.toBe("");
  },
);
