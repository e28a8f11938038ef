/** `publish`, `releases` and `status` as processes: what programs read, what people read, what --help shows. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeBencodeEntries } from "../../manifests/bencode.ts";
import { toHex } from "../../manifests/digest.ts";
import { readTorrent } from "../../manifests/torrent.ts";
import { resultOf, runCli } from "../support/cli.ts";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { type Press, openPress } from "../support/press.ts";

let edge: TestEdge;
let press: Press;
beforeAll(async () => {
  edge = await startTestEdge();
  press = await openPress(edge);
});
afterAll(async () => {
  await press[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
});

const env = (): Record<string, string> => ({ XDG_CACHE_HOME: press.at("xdg") });
const title = (): string[] => ["--title", press.at("title.json")];

test("what publish, releases and status tell programs", async () => {
  const none = await resultOf(["releases", ...title()], { env: env() });
  expect(none).toEqual({ v: 1, type: "result", command: "releases", title: press.name, releases: [] });

  const folder = await press.build("v1", { "game.bin": 300_000, "read me.txt": "hello", skipped: "x" });
  const flags = ["--version", "1.0.0", "--keys", press.at("keys"), "--ignore", "skipped", ...title()];
  const published = await resultOf(["publish", folder, ...flags], { env: env() });
  expect(published).toEqual({
    v: 1,
    type: "result",
    command: "publish",
    title: press.name,
    channel: "stable",
    version: "1.0.0",
    seq: 1,
    bytes: { total: 300_005, uploaded: expect.any(Number) },
    deltas: [],
    seconds: expect.any(Number),
  });
  const again = await resultOf(["publish", folder, ...flags, "--dry-run"], { env: env() });
  expect(again).toMatchObject({ seq: 1, unchanged: true, bytes: { total: 300_005, uploaded: 0 } });

  const { releases } = (await resultOf(["releases", ...title()], { env: env() })) as unknown as {
    releases: { torrent: string; infohash: string; torrentV1: string; infohashV1: string }[];
  };
  expect(releases).toEqual([
    {
      seq: 1,
      version: "1.0.0",
      channel: "stable",
      files: 2,
      bytes: 300_005,
      infohash: expect.stringMatching(/^[0-9a-f]{40}$/),
      torrent: expect.stringMatching(`^${edge.url}/t/${press.name}/objects/[0-9a-f]{64}$`),
      infohashV1: expect.stringMatching(/^[0-9a-f]{40}$/),
      torrentV1: expect.stringMatching(`^${edge.url}/t/${press.name}/objects/[0-9a-f]{64}$`),
      status: "live",
      created: expect.stringMatching(/^\d{4}-.*Z$/),
    },
  ]);
  const [release] = releases;
  const metainfo = new Uint8Array(await (await fetch(release?.torrent ?? "")).arrayBuffer());
  expect(readTorrent(metainfo, sha256, sha1).infohash).toBe(release?.infohash);
  const v1 = new Uint8Array(await (await fetch(release?.torrentV1 ?? "")).arrayBuffer());
  const info = decodeBencodeEntries(v1).get("info")?.bytes ?? new Uint8Array();
  expect(toHex(sha1(info))).toBe(release?.infohashV1);

  const status = await resultOf(["status", ...title()], { env: env() });
  expect(status).toMatchObject({
    title: press.name,
    edge: { url: edge.url, healthy: true, proven: true },
    channels: [
      { channel: "stable", seq: 1, version: "1.0.0", rollout: 100, hold: false, peers: 0, seeds: 0 },
      { channel: "beta", peers: 0, seeds: 0 },
    ],
    peers: 0,
    bytes: { origin: expect.any(Number), peers: 0, peerShare: 0 },
  });
  const roles = (status["expiries"] as { role: string; secondsLeft: number }[]).filter(
    ({ secondsLeft }) => secondsLeft > 0,
  );
  expect(roles.map(({ role }) => role).toSorted()).toEqual([
    "beta",
    "live",
    "root",
    "snapshot",
    "stable",
    "targets",
    "timestamp",
  ]);
});

test.each([
  { flags: "--version ../1", code: "name.invalid" },
  { flags: "--version 1.0.0 --rollout 101", code: "usage.bad-flag" },
  { flags: "--version 1.0.0 --rollout some", code: "usage.bad-flag" },
  { flags: "--version 1.0.0 --deltas -1", code: "usage.bad-flag" },
  { flags: "--version 1.0.0 --channel live", code: "name.invalid" },
  { flags: "--channel stable", code: "usage.bad-flag" },
])("`publish $flags` is a usage error: $code", async ({ flags, code }) => {
  const folder = await press.build("refused", { "a.txt": "a" });
  const all = [...flags.split(" "), ...title(), "--keys", press.at("keys")];
  const refused = await runCli(["publish", folder, ...all], { env: env() });
  expect(refused.code).toBe(2);
  expect(refused.lines.at(-1)).toMatchObject({ type: "error", family: "usage", code });
});

test.each(["publish", "releases", "status"])("%s --help shows examples", (command) => {
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const { stdout, status } = spawnSync(process.execPath, [main, command, "--help"], { encoding: "utf8" });
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`Examples:\n  patchswarm ${command}`));
});
