/** A seed is in several swarms of the release that it has, and is counted as one wherever people look. */
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeAnnounce } from "../../manifests/wire/announce.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import { launchBrowser } from "../support/chromium.ts";
import { MAIN, resultOf } from "../support/cli.ts";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { peerIdOf } from "../support/peers.ts";
import { type Press, openPress } from "../support/press.ts";

interface Stats {
  readonly peers: number;
  readonly swarms: readonly { readonly seq: number; readonly torrent: string; readonly infohash: string }[];
}

let edge: TestEdge;
let press: Press;
beforeAll(async () => {
  edge = await startTestEdge();
  press = await openPress(edge);
  await press.publish(await press.build("v1", { "game.bin": 50_000 }), "1.0.0");
  await press.publish(await press.build("v2", { "game.bin": 50_000, "more.bin": 60_000 }), "1.1.0", { deltas: 1 });

  const { swarms } = await stats();
  const newest = swarms.filter(({ seq }) => seq === 2);
  expect(newest.map(({ torrent }) => torrent).toSorted()).toEqual(["delta", "hybrid", "v1"]);
  for (const { infohash } of newest) await announce(infohash, { port: 6881, left: 0 });
  for (const { infohash, torrent } of newest)
    if (torrent === "hybrid") await announce(infohash, { port: 6882, left: 1 });
});
afterAll(async () => {
  await press[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
});

async function stats(): Promise<Stats> {
  return (await (await fetch(`${edge.url}/t/${press.name}/stats`)).json()) as Stats;
}

/** @param left  bytes that the peer lacks */
async function announce(infohash: string, peer: { readonly port: number; readonly left: number }): Promise<void> {
  const query = writeAnnounce({
    ...peer,
    infoHash: infoHashFromHex(infohash),
    peerId: peerIdOf(`${peer.port}`),
    ...{ uploaded: 0, downloaded: 0, event: "started", wanted: 0, compact: true },
  });
  const response = await fetch(`${edge.url}/t/${press.name}/announce?${query}`);
  expect(await response.text()).toContain("8:interval");
}

test("status counts a seed of a release once, for programs and for people", async () => {
  const args = ["status", "--title", press.at("title.json")];
  expect(await resultOf(args)).toMatchObject({ channels: [{ channel: "stable", seq: 2, peers: 2, seeds: 1 }, {}] });
  const { stdout } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  expect(stdout).toMatch(/^channel +version +release +rollout +players +seeds$/m);
  expect(stdout).toMatch(/^stable +1\.1\.0 +2 +100 % +2 +1$/m);
});

test("the dashboard counts it once, too", async () => {
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(`${edge.url}/#${press.name}`);
    expect(await page.locator(".numbers div", { hasText: "seeds now" }).textContent()).toBe("1seeds now");
    expect(await page.locator("table tr", { hasText: "1.1.0" }).textContent()).toContain("live");
  } finally {
    await browser.close();
  }
});
