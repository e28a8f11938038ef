/**
 * `npm run demo`: a studio, an edge and three players on this machine, with two real versions of a game engine.
 *
 * Every actor is a process of its own running the built `patchswarm`; nothing is simulated and nothing leaves 127.0.0.1
 * except npm's own fetch of the content, once. Deliberately not a test: it asserts only what it tells the reader.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatBytes, formatSeconds } from "../cli/output.ts";
import { type JsonLine, type RunningCli, resultOf, startCli } from "../test/support/cli.ts";
import { differences } from "../test/support/folders.ts";
import { packageFolder } from "../test/support/registry.ts";

const CONTENT = { title: "playcanvas", versions: ["2.23.2", "2.23.3"] } as const;

/** On loopback the edge would win every race; an operator who pays for its traffic sets this low. */
const PEERS_ENOUGH = "4MB";

interface Row {
  readonly player: string;
  readonly job: string;
  readonly seconds: number;
  readonly bytes: PatchBytes;
}

/** The `bytes` of a patch result; docs/JSON.md. */
interface PatchBytes {
  readonly total: number;
  readonly kept: number;
  readonly reused: number;
  readonly fetched: { readonly origin: number; readonly peers: number };
}

const say = (text: string): void => console.log(text);
const started = performance.now();
const scratch = await mkdtemp(join(tmpdir(), "patchswarm-demo-"));
const running: RunningCli[] = [];
const rows: Row[] = [];

try {
  say(`Fetching ${CONTENT.title} ${CONTENT.versions.join(" and ")} with npm, unless an earlier run did ...`);
  const builds = await Promise.all(CONTENT.versions.map((version) => packageFolder(`${CONTENT.title}@${version}`)));
  const at = (name: string): string => join(scratch, name);
  const titleFile = at("title.json");

  const edge = startCli(["dev", "--port", "0", "--state", at("edge"), "--peers-enough", PEERS_ENOUGH]);
  running.push(edge);
  const { url } = (await edge.line("ready")) as JsonLine & { url: string };
  say(`The edge is up at ${url}. It lets peers do the work while they give a player ${PEERS_ENOUGH} a second.`);

  const keys = at("keys");
  const admin = join(at("edge"), "admin-token");
  await resultOf([
    "init",
    CONTENT.title,
    "--edge",
    url,
    "--keys",
    keys,
    "--out",
    titleFile,
    "--admin-token-file",
    admin,
  ]);
  say(`The studio made its keys and registered "${CONTENT.title}".`);

  const players = ["player 1", "player 2", "player 3"].map((name) => ({ name, folder: at(name.replace(" ", "-")) }));
  for (const [index, version] of CONTENT.versions.entries()) {
    const build = builds[index] ?? "";
    const published = (await resultOf([
      "publish",
      build,
      "--version",
      version,
      "--title",
      titleFile,
      "--keys",
      keys,
    ])) as JsonLine & {
      bytes: { total: number; uploaded: number };
      deltas: { from: string; bytes: number }[];
      seconds: number;
    };
    const deltas = published.deltas
      .map(({ from, bytes }) => ` and a delta of ${formatBytes(bytes)} from ${from}`)
      .join("");
    say(
      `\nThe studio published ${version}: ${formatBytes(published.bytes.total)}, ` +
        `of which ${formatBytes(published.bytes.uploaded)}${deltas} were sent, in ${formatSeconds(published.seconds)}.`,
    );

    const seeds: RunningCli[] = [];
    for (const [number, player] of players.entries()) {
      // the first player finds nobody to ask; the others find the ones before them
      const result = await resultOf(["patch", player.folder, "--title", titleFile]);
      const { seconds, bytes } = result as JsonLine & { seconds: number; bytes: PatchBytes };
      rows.push({
        player: player.name,
        job: index === 0 ? `install ${version}` : `update to ${version}`,
        seconds,
        bytes,
      });
      const wrong = await differences(build, player.folder);
      if (wrong.length > 0) throw new Error(`${player.name} differs from the published build: ${wrong.join(", ")}`);
      say(`${player.name} has ${version} in ${formatSeconds(seconds)}; every file is identical to the studio's build.`);
      if (number < players.length - 1) {
        const seed = startCli(["seed", player.folder]);
        seeds.push(seed);
        running.push(seed);
        await seed.line("ready");
      }
    }
    for (const seed of seeds) await stop(seed);
  }
  say(`\nWhere the bytes came from:\n\n${table(rows)}`);
  say("The edge sends compressed chunks, and players plain pieces: columns need not add up to what was installed.");
  say(`\nAll of it took ${formatSeconds((performance.now() - started) / 1000)}.`);
} finally {
  for (const process of running.toReversed()) await stop(process);
  await rm(scratch, { recursive: true, force: true });
}

async function stop(process: RunningCli): Promise<void> {
  process.kill("SIGTERM");
  await process.finished();
}

function table(rows: readonly Row[]): string {
  const head = ["", "", "time", "kept", "reused", "from peers", "from the edge", "peers' share"];
  const lines = rows.map(({ player, job, seconds, bytes: { kept, reused, fetched } }) => [
    player,
    job,
    formatSeconds(seconds),
    formatBytes(kept),
    formatBytes(reused),
    formatBytes(fetched.peers),
    formatBytes(fetched.origin),
    `${Math.round((100 * fetched.peers) / Math.max(fetched.peers + fetched.origin, 1))} %`,
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)));
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  "),
    )
    .join("\n");
}
