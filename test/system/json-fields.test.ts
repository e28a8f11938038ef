/** docs/JSON.md says what `--json` prints: all of it, and nothing that is not there. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { type JsonLine, runCli, startCli } from "../support/cli.ts";
import { openStudio, writeFiles } from "../support/studio.ts";

interface Documented {
  readonly path: string;
  readonly isAlways: boolean;
}

const DOCUMENT = new URL("../../docs/JSON.md", import.meta.url);
/** What these hold is said in words only. */
const OPAQUE = /^(?:facts|deltasFailed|deltas\[\]\.costs\.files\[\]|files\[\]\.evidence\.timeExample)$/;

/** Kind of line ("progress", "result: patch") -> its fields, as the document has them. */
async function documented(): Promise<Map<string, Documented[]>> {
  const [, ...sections] = (await readFile(DOCUMENT, "utf8")).split(/^## /m);
  return new Map(
    sections.map((section) => [
      section.slice(0, section.indexOf("\n")),
      Array.from(section.matchAll(/^\| `([^`]+)`( \?)? \|/gm), ([, path = "", mark]) => ({
        path,
        isAlways: mark === undefined,
      })),
    ]),
  );
}

/** "bytes.fetched.origin", "channels[].seq", and "deltas[]" of a list that is empty. */
function* pathsIn(value: unknown, path: string): Generator<string> {
  if (OPAQUE.test(path) || value === null || typeof value !== "object") yield path;
  else if (Array.isArray(value)) {
    if (value.length === 0) yield `${path}[]`;
    for (const entry of value) yield* pathsIn(entry, `${path}[]`);
  } else
    for (const [name, field] of Object.entries(value)) yield* pathsIn(field, path === "" ? name : `${path}.${name}`);
}

const kindOf = ({ type, command }: JsonLine): string =>
  type === "ready" || type === "result" ? `${type}: ${String(command)}` : type;

/** What the document and the line do not have of each other. */
function differences(line: JsonLine, fields: readonly Documented[]): string[] {
  const { v: _v, type: _type, ...rest } = line;
  const found = new Set(pathsIn(rest, ""));
  const isKnown = (path: string): boolean =>
    fields.some((field) => field.path === path || (path.endsWith("[]") && field.path.startsWith(path)));
  const isThere = (path: string): boolean =>
    found.has(path) || [...found].some((other) => other.endsWith("[]") && path.startsWith(other));
  return [
    ...[...found].filter((path) => !isKnown(path)).map((path) => `${path} is not documented`),
    ...fields.filter(({ path, isAlways }) => isAlways && !isThere(path)).map(({ path }) => `${path} is not there`),
  ];
}

test("every line has the fields that docs/JSON.md names, and no others", async () => {
  await using studio = await openStudio();
  const { titleFile } = studio;
  const at = (...names: string[]): string => studio.at(...names);
  const env = { XDG_CACHE_HOME: at("cache") };
  const common = ["--title", titleFile];
  const token = ["--admin-token-file", at("edge", "admin-token")];
  const publish = ["publish", ...common, "--keys", at("keys"), "--version"];
  await writeFiles(at("v1"), { "game.bin": 600_000, "old.txt": "old", "same.txt": "same" });
  await writeFiles(at("v2"), { "game.bin": 600_000, "new.bin": 200_000, "same.txt": "same", "mine.txt": "theirs" });
  const lines: JsonLine[] = [];
  const run = async (...args: string[]): Promise<void> => void lines.push(...(await runCli(args, { env })).lines);
  await run("init", "demo", "--edge", studio.url, "--keys", at("keys"), "--out", titleFile, ...token);
  await run(...publish, "1.0.0", at("v1"));
  await run("patch", at("player"), ...common);
  await run(...publish, "1.1.0", at("v2"), "--dry-run");
  await run(...publish, "1.1.0", at("v2"), "--rollout", "50");
  await run(...publish, "1.1.0", at("v2"), "--rollout", "100");
  await writeFiles(at("player"), { "mine.txt": "the player's" });
  await run("patch", at("player"), "--dry-run");
  await run("patch", at("player"));
  await run("verify", at("player"));
  await run("verify", at("v1"));
  await run("diff", at("v1"), at("v2"));
  await run("releases", ...common);
  await run("status", ...common);
  const seed = startCli(["seed", at("player")], { env });
  await seed.line("ready");
  seed.kill("SIGTERM");
  lines.push(...(await seed.finished()).lines);

  const document = await documented();
  const kinds = new Set(lines.map(kindOf));
  for (const line of lines) {
    expect([kindOf(line), ...differences(line, document.get(kindOf(line)) ?? [])]).toEqual([kindOf(line)]);
  }
  const elsewhere = ["ready: dev", "result: deploy"];
  expect([...kinds, ...elsewhere].toSorted()).toEqual([...document.keys()].toSorted());
});
