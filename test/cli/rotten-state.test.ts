/**
 * What an install knows of itself may rot on its disk, or be cut. Whatever it is, a patch or `verify --repair` gets
 * over it.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { verifyInstall } from "../../cli/patch/verify.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { titleOfInstall } from "../../cli/patch/title-of-install.ts";
import { writeTitleFile } from "../../manifests/trust/title-file.ts";
import { type Player, contentsOfBuild, newPlayer, noisy, put } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";
import { TestRepository } from "../support/tuf-repo.ts";

afterAll(closePool);

const KIB = 1024;
const V1 = { "game.bin": noisy(200 * KIB, "game"), "data/a.txt": "one", "data/b.pak": noisy(40 * KIB, "b") };
const REPAIR = { wish: { what: "installed" }, force: true } as const;

test("kept recipes that rotted are fetched again, wherever it was", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const untouched = await mkdtemp(join(tmpdir(), "patchswarm-untouched-"));
  await cp(player.folder, untouched, { recursive: true, preserveTimestamps: true });
  const kept = (): string => new Install(player.folder).own("objects", "recipes-1");
  const { length } = await readFile(kept());
  for (let at = 0; at < length; at += Math.ceil(length / 13)) {
    await rm(player.folder, { recursive: true });
    await cp(untouched, player.folder, { recursive: true, preserveTimestamps: true });
    const rotten = await readFile(kept());
    rotten[at] = (rotten[at] ?? 0) ^ 1;
    await writeFile(kept(), rotten);
    await put(player.folder, { "game.bin": noisy(200 * KIB, "game", [KIB, 100]), "data/b.pak": "gone" });
    await player.patch();
    expect([at, await player.contents()]).toEqual([at, contentsOfBuild(V1)]);
  }
  await rm(untouched, { recursive: true });
});

test("recipes are kept once more after those that were kept can no longer be read", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const objects = player.at(".patchswarm", "objects");
  await rm(join(objects, "recipes-1"));
  await mkdir(join(objects, "recipes-1"));
  await writeFile(join(objects, "recipes-4"), "cut sh");
  publisher.publish("2.0.0", { files: { ...V1, "game.bin": noisy(200 * KIB, "game", [KIB, 100]) } });
  await player.patch();
  const kept = async (): Promise<string[]> => (await readdir(objects)).filter((name) => name.startsWith("recipes-"));
  expect(await kept()).toEqual(["recipes-5"]);

  // left by a run that was killed, before one that has none to write
  await writeFile(join(objects, "recipes-6"), "cut sh");
  const { "data/a.txt": moved, ...others } = V1;
  publisher.publish("3.0.0", { files: { ...others, "game.bin": noisy(200 * KIB, "game", [KIB, 100]), moved } });
  await player.patch();
  expect(await kept()).toEqual(["recipes-5"]);
});

test.each(["", "{}", "no journal", '{"v":1,"phase":"clear","moves":[["../a","b"]]}'])(
  "a journal that rotted to %j ends a patch, and a repair heals what it left behind",
  async (journal) => {
    await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
    publisher.publish("1.0.0", { files: V1 });
    await using player = await newPlayer(publisher);
    await player.patch();
    publisher.publish("2.0.0", { files: { ...V1, "data/a.txt": "two" } });
    // as after a commit that had moved some files away and placed others
    await rm(player.at("data/b.pak"));
    await put(player.folder, { ".patchswarm/journal.json": journal, ".patchswarm/state.next.json": "{}" });
    await put(player.folder, { "data/a.txt": "two" });

    const install = new Install(player.folder);
    const world = { output: { progress: () => {} }, signal: new AbortController().signal };
    await expect(player.patch()).rejects.toMatchObject({ code: "install.damaged" });
    await expect(verifyInstall(install, world)).rejects.toMatchObject({ code: "install.damaged" });
    await player.patch(REPAIR);
    expect(await player.contents()).toEqual(contentsOfBuild(V1));
    expect(await verifyInstall(install, world)).toMatchObject({ missing: [], damaged: [] });
    expect(await readdir(install.own())).not.toContain("state.next.json");
    expect(await player.patch()).toMatchObject({ from: "1.0.0", to: "2.0.0" });
  },
);

describe("the title.json of an install", () => {
  const ROTTEN = ["", "{}", "no title"];
  const INSTALLED = "demo";
  let player: Player;
  let publisher: Publisher;
  let own: string;
  let other: string;
  beforeEach(async () => {
    publisher = await Publisher.start();
    publisher.publish("1.0.0", { files: V1 });
    player = await newPlayer(publisher);
    await player.patch();
    [own, other] = [player.at("own.json"), player.at("other.json")];
    const titleFile = (await TestRepository.create()).titleFile(["http://127.0.0.1:1"]);
    for (const file of [own, player.at(".patchswarm", "title.json")]) {
      await writeFile(file, writeTitleFile({ ...titleFile, title: INSTALLED }));
    }
    await writeFile(other, writeTitleFile({ ...titleFile, title: "other" }));
  });
  afterEach(async () => {
    await player[Symbol.asyncDispose]();
    await publisher[Symbol.asyncDispose]();
  });

  /** What the install has for one; undefined: nothing. */
  const remember = async (text: string | undefined): Promise<void> => {
    const file = player.at(".patchswarm", "title.json");
    await (text === undefined ? rm(file) : writeFile(file, text));
  };
  const title = async (named?: string): Promise<string> => (await titleOfInstall(player.folder, named)).title;

  test.each([...ROTTEN, undefined])("that is %j is told, and one that is named is taken", async (text) => {
    await remember(text);
    await expect(title()).rejects.toMatchObject({
      code: "install.title-lost",
      facts: { file: player.at(".patchswarm", "title.json"), expected: INSTALLED },
    });
    expect(await title(own)).toBe(INSTALLED);
  });

  test.each([...ROTTEN, undefined, "its own"])("that is %j lets no other title in", async (text) => {
    if (text !== "its own") await remember(text);
    await expect(title(other)).rejects.toMatchObject({
      code: "usage.bad-title-file",
      facts: { file: other, found: "other", expected: INSTALLED },
    });
  });

  test("that another title's was put in the place of is not gone by, but its own that is named", async () => {
    await remember(await readFile(other, "utf8"));
    await expect(title()).rejects.toMatchObject({
      code: "install.title-lost",
      facts: { found: "other", expected: INSTALLED },
    });
    await expect(title(other)).rejects.toMatchObject({ code: "usage.bad-title-file" });
    expect(await title(own)).toBe(INSTALLED);
  });

  test("is gone by where the state rotted, or is not there yet", async () => {
    for (const state of ["", "{}", '{"v":1,"title":7']) {
      await writeFile(player.at(".patchswarm", "state.json"), state);
      expect(await title()).toBe(INSTALLED);
      await expect(title(other)).rejects.toMatchObject({ code: "usage.bad-title-file" });
    }
  });
});

test.each(["state.json", "journal.json"])("a folder in the place of %s is named", async (name) => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await rm(player.at(".patchswarm", name), { force: true });
  await mkdir(player.at(".patchswarm", name));
  await expect(player.patch()).rejects.toMatchObject({
    family: "usage",
    facts: { file: player.at(".patchswarm", name) },
  });
});
