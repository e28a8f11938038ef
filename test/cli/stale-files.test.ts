/** What a patch decides anew when an old file, found out while it is copied, is not what its state says. */
import { readdirSync, statSync } from "node:fs";
import { readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { closePool } from "../../cli/threads/pool.ts";
import { openTitle } from "../../cli/trust/client.ts";
import { readTitleFile } from "../../cli/trust/title.ts";
import { DISK_SPARE_BYTES } from "../../manifests/limits.ts";
import { type Player, contentsOfBuild, newPlayer, noisy } from "../support/patching.ts";
import { type Press, pressForEachTest } from "../support/press.ts";
import { Publisher } from "../support/publish-fixture.ts";

const KIB = 1024;
const THEN = new Date(1_700_000_000_000);

let press: Press;
pressForEachTest((opened) => (press = opened));
afterAll(closePool);

/** Other bytes of the same length and time: only who reads the file finds out. */
async function spoil(player: Player, name: string, bytes: Uint8Array, patch: () => Promise<unknown>): Promise<void> {
  await utimes(player.at(name), THEN, THEN);
  await patch();
  await writeFile(player.at(name), bytes);
  await utimes(player.at(name), THEN, THEN);
}

function bytesBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

test("copies of the first try are gone before room for the next one is asked", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  const [moved, copied] = [noisy(300 * KIB, "moved"), noisy(3000 * KIB, "copied")];
  publisher.publish("1.0.0", { files: { moved, copied } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await spoil(player, "moved", noisy(300 * KIB, "rot"), () => player.patch());
  const files = { copied, again: copied, "to/1": moved, "to/2": moved };
  publisher.publish("1.1.0", { files });
  // enough for either plan, and not for the copies of both
  const room = DISK_SPARE_BYTES + 3700 * KIB;
  const freeBytes = (): Promise<number> => Promise.resolve(room - bytesBelow(player.at(".patchswarm", "staging")));
  expect(await player.patch({}, { freeBytes })).toMatchObject({ to: "1.1.0" });
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("a delta that was taken is kept for others though the rest is decided anew", async () => {
  const [game, moved] = [noisy(2000 * KIB, "game"), noisy(300 * KIB, "moved")];
  const changed = Uint8Array.from(game, (byte, at) => (at % 400 === 0 ? byte ^ 1 : byte));
  await press.publish(await press.build("v1", { "game.bin": game, moved }), "1.0.0");
  const titleFile = await readTitleFile(press.at("title.json"));
  await using player = await newPlayer({ titleFile, openTitle });
  const patch = () => player.patch({ titleFile });
  await patch();
  await spoil(player, "moved", noisy(300 * KIB, "rot"), patch);
  const files = { "game.bin": changed, "to/1": moved, "to/2": moved };
  await press.publish(await press.build("v2", files), "2.0.0", { deltas: 1 });
  expect(await patch()).toMatchObject({ to: "2.0.0" });
  expect(await player.contents()).toEqual(contentsOfBuild(files));
  const kept = await readdir(player.at(".patchswarm", "deltas"));
  expect(kept.some((name) => name.endsWith(".torrent"))).toBe(true);
});
