/** Whole processes: the built command line against a real edge, players feeding each other. */
import { rm, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { differences } from "../support/folders.ts";
import { noise, openStudio, writeFiles } from "../support/studio.ts";

const MIB = 1024 * 1024;

test("a player installs, updates and heals, and the folder equals the published build each time", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), {
    "game.bin": 3 * MIB,
    "data/old.pak": 300_000,
    "data/same.pak": 500_000,
    "a.txt": "one",
  });
  await studio.publish("v1", "1.0.0");
  const installed = await studio.patch("player");
  expect(installed).toMatchObject({ from: null, to: "1.0.0", files: { added: 4, changed: 0, removed: 0, kept: 0 } });
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);

  const game = noise(3 * MIB, "game.bin");
  game.fill(7, MIB, MIB + 1000);
  await writeFiles(studio.at("v2"), {
    "game.bin": game,
    "data/moved.pak": noise(500_000, "data/same.pak"),
    "a.txt": "two",
  });
  await studio.publish("v2", "1.1.0");
  const updated = await studio.patch("player");
  expect(updated).toMatchObject({ from: "1.0.0", to: "1.1.0", files: { added: 1, changed: 2, removed: 2 } });
  // only the chunks around the changed kilobyte travel, and a moved file does not
  expect(updated.bytes.fetched.origin).toBeLessThan(600_000);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);

  await writeFile(studio.at("player", "game.bin"), "cheat");
  await rm(studio.at("player", "a.txt"));
  await writeFile(studio.at("player", "mod.txt"), "mine");
  await studio.patch("player");
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual(["mod.txt"]);

  const back = await studio.patch("player", ["--to", "1.0.0"]);
  expect(back.to).toBe("1.0.0");
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual(["mod.txt"]);
});

test("one player feeds another with the origin forbidden", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "game.bin": 5 * MIB, empty: "", "small/a.txt": "a", "small/b.txt": "b" });
  await studio.publish("v1", "1.0.0");
  await studio.patch("first");
  await studio.seed("first");
  const second = await studio.patch("second", ["--sources", "local,peers"]);
  expect(second.bytes.fetched.origin).toBe(0);
  expect(second.bytes.fetched.peers).toBeGreaterThanOrEqual(5 * MIB);
  expect(await differences(studio.at("v1"), studio.at("second"))).toEqual([]);
});

test("with nobody to ask and the origin forbidden, the patch says so and the next one finishes", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "game.bin": MIB });
  await studio.publish("v1", "1.0.0");
  const alone = await studio.tryPatch("player", ["--sources", "local,peers"]);
  expect(alone.code).toBe(4);
  expect(alone.lines.at(-1)).toMatchObject({ type: "error", code: "sources.exhausted", family: "unavailable" });
  await studio.patch("player");
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
});

test("names with spaces, '#', '%' and non-Latin letters, and empty files, arrive from peers and from the origin", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), {
    "with space.txt": "space",
    "100%25 #1.bin": 40_000,
    "язык/日本語 ファイル.txt": "text",
    "emoji-🎮/ünï.dat": 70_000,
    "empty file": "",
    "deep/a/b/c/d/e/f.txt": "deep",
  });
  await studio.publish("v1", "1.0.0");
  await studio.patch("first");
  expect(await differences(studio.at("v1"), studio.at("first"))).toEqual([]);
  await studio.seed("first");
  await studio.patch("second", ["--sources", "local,peers"]);
  expect(await differences(studio.at("v1"), studio.at("second"))).toEqual([]);
});

test("publishing twice with nothing changed publishes nothing, and says so", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "game.bin": 100_000 });
  const first = await studio.publish("v1", "1.0.0");
  const again = await studio.publish("v1", "1.0.0");
  expect(again).toMatchObject({ seq: first["seq"], unchanged: true, bytes: { uploaded: 0 } });
});
