/**
 * What an install knows of itself may rot on its disk, or be cut. Whatever it is, a patch or `verify --repair` gets
 * over it.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { verifyInstall } from "../../cli/patch/verify.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { titleOfInstall } from "../../cli/patch/title-of-install.ts";
import { writeTitleFile } from "../../manifests/trust/title-file.ts";
import { contentsOfBuild, newPlayer, noisy, put } from "../support/patching.ts";
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

test("a title.json that rotted in the install is replaced by the one that is named, and without one it is named", async () => {
  const titleFile = (await TestRepository.create()).titleFile(["http://127.0.0.1:1"]);
  await using publisher = await Publisher.start();
  await using player = await newPlayer(publisher);
  const remembered = player.at(".patchswarm", "title.json");
  const named = player.at("title.json");
  await writeFile(named, writeTitleFile(titleFile));
  for (const rotten of ["", "{}", "no title"]) {
    await put(player.folder, { ".patchswarm/title.json": rotten });
    await expect(titleOfInstall(player.folder, undefined)).rejects.toMatchObject({
      code: "usage.bad-title-file",
      facts: { file: remembered },
    });
    expect(await titleOfInstall(player.folder, named)).toMatchObject({ title: titleFile.title });
  }
});

test("of an install whose title.json rotted, another title is still refused", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const installed = JSON.parse(await readFile(player.at(".patchswarm", "title.json"), "utf8")) as { title: string };
  const named = player.at("other.json");
  await writeFile(
    named,
    writeTitleFile({
      ...(await TestRepository.create()).titleFile(["http://127.0.0.1:1"]),
      title: "other",
    }),
  );
  await put(player.folder, { ".patchswarm/title.json": "{" });
  await expect(titleOfInstall(player.folder, named)).rejects.toMatchObject({
    code: "usage.bad-title-file",
    facts: { found: "other", expected: installed.title },
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
