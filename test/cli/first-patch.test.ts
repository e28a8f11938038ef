/** A first patch that came to nothing leaves nothing, and never what somebody else may be about to use. */
import { mkdir, readdir, rm } from "node:fs/promises";
import lockfile from "proper-lockfile";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { lockInstall } from "../../cli/patch/lock.ts";
import { type Title } from "../../cli/patch/session.ts";
import { Failure } from "../../manifests/failures.ts";
import { newPlayer, type Player } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

let publisher: Publisher;
let player: Player;

beforeEach(async () => {
  publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "a" } });
  player = await newPlayer(publisher);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await player[Symbol.asyncDispose]();
  await publisher[Symbol.asyncDispose]();
});

/** Patches with an edge that gives nothing. */
async function patchInVain(folder: string, meanwhile: () => Promise<unknown> = async () => {}): Promise<void> {
  const openTitle = async (options: Parameters<typeof publisher.openTitle>[0]): Promise<Title> => ({
    ...(await publisher.openTitle(options)),
    refresh: async () => {
      await meanwhile();
      throw new Failure("edge.unreachable");
    },
  });
  await expect(player.patch({ folder }, { openTitle })).rejects.toMatchObject({ code: "edge.unreachable" });
}

test("the folder and those above it that were made for it are gone, and no other", async () => {
  await mkdir(player.at("games"));
  await patchInVain(player.at("games", "new", "demo"));
  expect(await readdir(player.at("games"))).toEqual([]);
});

test("a folder that was there stays, as empty as it was", async () => {
  await mkdir(player.at("demo"));
  await patchInVain(player.at("demo"));
  expect(await readdir(player.at("demo"))).toEqual([]);
});

test("our own folder stays when it was there, and so does what an install has", async () => {
  await mkdir(player.at("empty", ".patchswarm"), { recursive: true });
  await patchInVain(player.at("empty"));
  expect(await readdir(player.at("empty"))).toEqual([".patchswarm"]);
  await player.patch();
  await patchInVain(player.folder);
  expect(await player.contents()).toEqual({ "a.txt": "a" });
});

test("what somebody put there meanwhile stays where it is", async () => {
  await patchInVain(player.at("demo"), () => mkdir(player.at("demo", "mods")));
  expect(await readdir(player.at("demo"))).toEqual(["mods"]);
});

test("what was learned of the title stays", async () => {
  await expect(player.patch({ folder: player.at("demo"), wish: { what: "version", version: "9" } })).rejects.toThrow(
    expect.objectContaining({ code: "release.not-found" }),
  );
  expect(await readdir(player.at("demo", ".patchswarm"))).toEqual(["title.json"]);
});

test("a patcher that takes the lock as soon as it is free keeps it, and the folder", async () => {
  const install = new Install(player.at("demo"));
  const { lock } = lockfile;
  let unlock = async (): Promise<void> => {};
  vi.spyOn(lockfile, "lock").mockImplementationOnce(async (...args) => {
    const release = await lock(...args);
    return async () => {
      await release();
      unlock = await lockInstall(install);
    };
  });
  await patchInVain(install.folder);
  expect(await readdir(install.own())).toEqual(["lock", "owner.json"]);
  await unlock();
});

test("a patcher that is just starting makes the folder again that another one took away", async () => {
  const install = new Install(player.at("new", "demo"));
  const { lock } = lockfile;
  let times = 0;
  vi.spyOn(lockfile, "lock").mockImplementation(async (...args) => {
    // the first and the second time, a patch that came to nothing ends between its folder and its lock
    if (++times <= 2) await rm(player.at("new"), { recursive: true });
    return await lock(...args);
  });
  await player.patch({ folder: install.folder });
  expect(times).toBe(3);
  expect(await readdir(install.folder)).toEqual([".patchswarm", "a.txt"]);
});
