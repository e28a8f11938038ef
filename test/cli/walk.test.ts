/** What a build folder may hold, and in which order it is published. */
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { walk } from "../../cli/publish/walk.ts";
import { comparePaths } from "../../manifests/paths.ts";
import { writeFiles } from "../support/studio.ts";

/** Node has no call for it. */
const MAKE_PIPE = "mkfifo";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-walk-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const paths = async (ignore: readonly string[] = []): Promise<string[]> =>
  (await walk(folder, ignore)).map(({ path }) => path);

test("files come in the order of their paths' bytes, folders among them", async () => {
  await writeFiles(folder, {
    "a/b": "",
    "a-b": "",
    "a.b": "",
    "a/Z": "",
    b: "",
    é: "",
    "ä/x": "",
    "🎮": "",
    "\uff5e": "",
  });
  const found = await paths();
  expect(found).toEqual(found.toSorted(comparePaths));
  expect(found.slice(0, 4)).toEqual(["a-b", "a.b", "a/Z", "a/b"]);
});

test("sizes and the owner's exec bit are read", async () => {
  await writeFiles(folder, { "run.sh": "#!/bin/sh\n", "data.bin": "12345" });
  await chmod(join(folder, "run.sh"), 0o755);
  expect(await walk(folder, [])).toMatchObject([
    { path: "data.bin", size: 5, exec: false },
    { path: "run.sh", size: 10, exec: true },
  ]);
});

test("everything that is no plain file is refused, all of it by name", async () => {
  await writeFiles(folder, { "fine.txt": "x", "sub/fine.txt": "x" });
  await symlink("fine.txt", join(folder, "link"));
  await symlink("sub", join(folder, "folder-link"));
  execFileSync(MAKE_PIPE, [join(folder, "sub", "pipe")]);
  const server = createServer().listen(join(folder, "socket"));
  await once(server, "listening");
  await expect(paths()).rejects.toMatchObject({
    code: "build.refused",
    facts: {
      count: 4,
      refused: [
        '"folder-link" (symbolic link)',
        '"link" (symbolic link)',
        '"socket" (socket)',
        '"sub/pipe" (named pipe)',
      ],
    },
  });
  server.close();
});

test("names that some system cannot hold are refused, with the reason", async () => {
  await writeFiles(folder, { "aux.txt": "", "dot.": "", "a:b": "", "fine.txt": "" });
  const refusal = await paths().catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: "build.refused", facts: { count: 3 } });
  expect(String(refusal)).toMatch(/"aux\.txt" \(a device name of Windows\)/);
});

test("what cannot be seen in a name, or turns it round on a terminal, is spelled out", async () => {
  await writeFiles(folder, { "a\u202egpj.exe": "", "zero\u200bwidth": "" });
  const refusal = await paths().catch((error: unknown) => error);
  expect(String(refusal)).toContain(String.raw`"a\u{202e}gpj.exe" (`);
  expect(String(refusal)).toContain(String.raw`"zero\u{200b}width" (`);
});

test("what a terminal takes for a command, or for the end of a line, is spelled out", async () => {
  await symlink("nowhere", `${folder}/a\u009b2Jb\u007fc\u2028d\u2029e\tf`);
  const refusal = await paths().catch((error: unknown) => error);
  expect(refusal).toMatchObject({
    facts: { refused: [String.raw`"a\u{9b}2Jb\u{7f}c\u{2028}d\u{2029}e\tf" (symbolic link)`] },
  });
});

test("a name that is not UTF-8 is refused", async () => {
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff, 0x6f])]), "x");
  await expect(paths()).rejects.toMatchObject({
    code: "build.refused",
    facts: { refused: ['"fÿo" (name is not UTF-8)'] },
  });
});

test("a link that leads round is no folder to publish, and waiting does not make it one", async () => {
  await symlink("loop", join(folder, "loop"));
  await expect(walk(join(folder, "loop"), [])).rejects.toMatchObject({ code: "usage.bad-flag" });
});

test("of very many refused names a screenful is shown and the rest counted", async () => {
  await writeFiles(folder, Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`file-${i}.`, ""])));
  const refusal = (await paths().catch((error: unknown) => error)) as { facts: { count: number; refused: string[] } };
  expect(refusal.facts.count).toBe(50);
  expect(refusal.facts.refused).toHaveLength(20);
});

test("two names that are one name on some system are refused", async () => {
  await writeFiles(folder, { "README.md": "", "Readme.md": "" });
  await expect(paths()).rejects.toMatchObject({ code: "path.unsafe" });
});

test.each([
  { ignore: ["*.pdb"], left: ["bin/game", "bin/logs/today.txt", "logs/old.txt"] },
  { ignore: ["logs"], left: ["bin/game", "bin/game.pdb"] },
  { ignore: ["logs/"], left: ["bin/game", "bin/game.pdb"] },
  { ignore: ["logs/**"], left: ["bin/game", "bin/game.pdb", "bin/logs/today.txt"] },
  { ignore: ["bin/*"], left: ["logs/old.txt"] },
  { ignore: ["/logs"], left: ["bin/game", "bin/game.pdb", "bin/logs/today.txt"] },
  { ignore: ["**/logs/*.txt"], left: ["bin/game", "bin/game.pdb"] },
  { ignore: ["*"], left: [] },
  { ignore: ["**/*.txt", "*.pdb"], left: ["bin/game"] },
])("--ignore $ignore leaves $left", async ({ ignore, left }) => {
  await writeFiles(folder, { "bin/game": "", "bin/game.pdb": "", "bin/logs/today.txt": "", "logs/old.txt": "" });
  if (left.length === 0) await expect(paths(ignore)).rejects.toMatchObject({ code: "build.empty" });
  else expect(await paths(ignore)).toEqual(left);
});

test.each(["", "/", "//"])("--ignore %o names nothing, and is refused", async (glob) => {
  await writeFiles(folder, { "fine.txt": "" });
  await expect(paths([glob])).rejects.toMatchObject({
    code: "usage.bad-flag",
    facts: { option: "--ignore", found: glob },
  });
});

test("what is ignored may be anything", async () => {
  await writeFiles(folder, { "fine.txt": "" });
  await symlink("fine.txt", join(folder, "link"));
  await writeFiles(folder, { ".git/aux": "" });
  expect(await paths([".git", "link"])).toEqual(["fine.txt"]);
});

test("the patcher's own folder is left out", async () => {
  await writeFiles(folder, { ".patchswarm/state.json": "{}", "game.bin": "" });
  expect(await paths()).toEqual(["game.bin"]);
});

test("a folder without files, and what is no folder, are refused", async () => {
  await mkdir(join(folder, "empty"));
  await expect(walk(join(folder, "empty"), [])).rejects.toMatchObject({ code: "build.empty" });
  await expect(walk(join(folder, "missing"), [])).rejects.toMatchObject({ code: "usage.bad-flag" });
  await writeFile(join(folder, "file"), "");
  await expect(walk(join(folder, "file"), [])).rejects.toMatchObject({ code: "usage.bad-flag" });
});
