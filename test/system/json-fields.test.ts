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

const WANTS_CLOUDFLARE = "it runs wrangler: test/cli/deploy.test.ts";
const WANTS_LOSS = "an origin has to lose objects: test/cli/restore.test.ts";
const WANTS_TIME = "two months have to go by: test/cli/publish-renewal.test.ts";
/** Optional fields that no line of this run has -> why, and who looks at what is in them. */
const MET_ELSEWHERE: Readonly<Record<string, string>> = {
  "result: deploy adminTokenFile": WANTS_CLOUDFLARE,
  "result: deploy url": WANTS_CLOUDFLARE,
  "result: publish deltasFailed": "something has to be in the way in the cache: test/cli/publish-deltas.test.ts",
  "result: publish lost": WANTS_LOSS,
  "result: publish sentAgain.bytes": WANTS_LOSS,
  "result: publish sentAgain.others": WANTS_LOSS,
  "result: publish sentAgain.packs": WANTS_LOSS,
  "result: publish renewed.before": WANTS_TIME,
  "result: publish renewed.now": WANTS_TIME,
  "result: status channels[].problem": "a channel's role has to be forged: test/cli/trust-client.test.ts",
};

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

function foundIn({ v: _v, type: _type, ...rest }: JsonLine): Set<string> {
  return new Set(pathsIn(rest, ""));
}

/** What the document and the line do not have of each other. */
function differences(line: JsonLine, fields: readonly Documented[]): string[] {
  const found = foundIn(line);
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

  const met = new Set(lines.flatMap((line) => Array.from(foundIn(line), (path) => `${kindOf(line)} ${path}`)));
  const optional = [...document].flatMap(([kind, fields]) =>
    fields.filter(({ isAlways }) => !isAlways).map(({ path }) => `${kind} ${path}`),
  );
  const unmet = optional.filter((field) => !met.has(field));
  expect(unmet.toSorted()).toEqual(Object.keys(MET_ELSEWHERE).toSorted());
});
