/**
 * v1, damage, v2: whatever was done to an install in between, the update ends with exactly v2. A new case is a new row.
 */
import { chmod, mkdir, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { closePool } from "../../cli/threads/pool.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { sha256 } from "../support/hashes.ts";
import { contentsOfBuild, newPlayer, noisy, put } from "../support/patching.ts";
import { Publisher, type Build } from "../support/publish-fixture.ts";

afterAll(closePool);

const KIB = 1024;
type Files = Build["files"];

interface Scenario {
  readonly name: string;
  readonly v1: Files;
  readonly v2: Files;
  readonly exec1?: readonly string[];
  readonly exec2?: readonly string[];
  /** What happens to the install in between. */
  readonly damage?: (folder: string) => Promise<unknown>;
  /** What is there afterwards besides v2. */
  readonly own?: Files;
  /** Most content bytes the update may fetch. */
  readonly fetchedAtMost?: number;
}

const BIG = noisy(600 * KIB, "big");
const BIG_EDITED = noisy(600 * KIB, "big", [200 * KIB, 500]);
const BIG_SHIFTED = Buffer.concat([Buffer.from("a new beginning"), BIG]);
const GAME: Files = {
  "bin/game": BIG,
  "data/a.pak": noisy(40 * KIB, "a"),
  "data/b.pak": noisy(70 * KIB, "b"),
  "read me.txt": "v1",
};

const SCENARIOS: readonly Scenario[] = [
  { name: "nothing changed", v1: GAME, v2: GAME, fetchedAtMost: 0 },
  {
    name: "one file edited in the middle",
    v1: GAME,
    v2: { ...GAME, "bin/game": BIG_EDITED },
    fetchedAtMost: 300 * KIB,
  },
  { name: "bytes inserted in front", v1: GAME, v2: { ...GAME, "bin/game": BIG_SHIFTED }, fetchedAtMost: 300 * KIB },
  { name: "everything renamed", v1: GAME, v2: renamed(GAME, (path) => `moved/${path}`), fetchedAtMost: 0 },
  {
    name: "names swapped",
    v1: GAME,
    v2: { ...GAME, "data/a.pak": GAME["data/b.pak"] ?? "", "data/b.pak": GAME["data/a.pak"] ?? "" },
    fetchedAtMost: 0,
  },
  {
    name: "a file becomes a folder, a folder a file",
    v1: { a: "a file", "b/c": "c" },
    v2: { "a/d": "d", b: "a file" },
  },
  {
    name: "only the case of a name changes",
    v1: { "Readme.TXT": "same" },
    v2: { "README.txt": "same" },
    fetchedAtMost: 0,
  },
  { name: "everything is removed but one file", v1: GAME, v2: { "read me.txt": "v1" }, fetchedAtMost: 0 },
  { name: "a copy is added", v1: GAME, v2: { ...GAME, "copy.bin": BIG, "copy 2.bin": BIG }, fetchedAtMost: 0 },
  { name: "files become empty, empty files get content", v1: { a: "", b: "b", c: "" }, v2: { a: "a", b: "", c: "" } },
  {
    name: "exec bits change and nothing else",
    v1: GAME,
    v2: GAME,
    exec1: ["bin/game"],
    exec2: ["read me.txt"],
    fetchedAtMost: 0,
  },
  {
    name: "a moved file becomes executable",
    v1: { a: "#!" },
    v2: { "b/tool": "#!" },
    exec2: ["b/tool"],
    fetchedAtMost: 0,
  },
  {
    name: "holes",
    v1: { a: "a" },
    v2: { a: new Uint8Array(900 * KIB), b: Buffer.concat([BIG, new Uint8Array(700 * KIB)]) },
  },
  {
    name: "names that URLs and shells dislike",
    v1: {},
    v2: { "100% #1 &.txt": "x", "日本語/ñ.txt": "y", "-rf": "z", $HOME: "h", "a;b": "c" },
  },
  { name: "the first release is empty", v1: {}, v2: GAME },
  { name: "the next release is empty", v1: GAME, v2: {} },
  {
    name: "the edited file was overwritten in between",
    v1: GAME,
    v2: { ...GAME, "bin/game": BIG_EDITED },
    damage: (folder) => writeFile(join(folder, "bin/game"), "cheat"),
  },
  {
    name: "bytes of a file were flipped without its size or time changing much",
    v1: GAME,
    v2: { ...GAME, "bin/game": BIG_EDITED },
    damage: (folder) => put(folder, { "bin/game": noisy(600 * KIB, "big", [10, 5], [500 * KIB, 7]) }),
    fetchedAtMost: 500 * KIB,
  },
  {
    name: "a source of reuse was changed behind its time and size",
    v1: { a: BIG },
    v2: { a: BIG_EDITED },
    async damage(folder) {
      const { mtime } = await (await import("node:fs/promises")).stat(join(folder, "a"));
      await writeFile(join(folder, "a"), noisy(600 * KIB, "something else"));
      await utimes(join(folder, "a"), mtime, mtime);
    },
  },
  { name: "a file was cut short", v1: GAME, v2: GAME, damage: (folder) => truncate(join(folder, "bin/game"), 1000) },
  {
    name: "a folder was deleted",
    v1: GAME,
    v2: GAME,
    damage: (folder) => rm(join(folder, "data"), { recursive: true }),
  },
  {
    name: "a file was replaced by a link",
    v1: GAME,
    v2: { ...GAME, "read me.txt": "v2" },
    async damage(folder) {
      await rm(join(folder, "read me.txt"));
      await symlink("bin/game", join(folder, "read me.txt"));
    },
  },
  {
    name: "a file was replaced by a folder with things in it",
    v1: GAME,
    v2: GAME,
    async damage(folder) {
      await rm(join(folder, "read me.txt"));
      await mkdir(join(folder, "read me.txt"));
      await put(folder, { "read me.txt/mine": "mine" });
    },
    own: { "read me.txt.local-1/mine": "mine" },
  },
  {
    name: "an exec bit was taken away",
    v1: GAME,
    v2: GAME,
    exec1: ["bin/game"],
    exec2: ["bin/game"],
    damage: (folder) => chmod(join(folder, "bin/game"), 0o644),
  },
  {
    name: "mods beside and inside, and one in the way",
    v1: GAME,
    v2: { ...GAME, "new.txt": "new", "mods/official.txt": "o" },
    damage: (folder) => put(folder, { "mods/mine.txt": "m", "data/mine.sav": "s", "new.txt": "my own" }),
    own: { "mods/mine.txt": "m", "data/mine.sav": "s", "new.txt.local-1": "my own" },
  },
  {
    name: "the player already has the new file",
    v1: { a: "a" },
    v2: { a: "a", "b.bin": BIG },
    damage: (folder) => put(folder, { "b.bin": BIG }),
    fetchedAtMost: 0,
  },
  {
    name: "the state was lost",
    v1: GAME,
    v2: { ...GAME, "bin/game": BIG_EDITED },
    damage: (folder) => rm(join(folder, ".patchswarm/state.json")),
    own: { "bin/game.local-1": BIG },
    fetchedAtMost: 300 * KIB,
  },
  {
    name: "everything of ours was lost",
    v1: GAME,
    v2: { ...GAME, "read me.txt": "v2" },
    damage: (folder) => rm(join(folder, ".patchswarm"), { recursive: true }),
    own: { "read me.txt.local-1": "v1" },
    fetchedAtMost: 100,
  },
  {
    name: "the cached recipes were lost",
    v1: GAME,
    v2: { ...GAME, "bin/game": BIG_EDITED },
    damage: (folder) => rm(join(folder, ".patchswarm/objects"), { recursive: true }),
    fetchedAtMost: 300 * KIB,
  },
  {
    name: "the state is not ours",
    v1: GAME,
    v2: GAME,
    damage: (folder) => writeFile(join(folder, ".patchswarm/state.json"), '{"v":2}'),
    fetchedAtMost: 0,
  },
  {
    name: "staging is full of old things",
    v1: GAME,
    v2: { ...GAME, "read me.txt": "v2" },
    damage: (folder) =>
      put(folder, { [`.patchswarm/staging/${"0".repeat(64)}`]: "x", ".patchswarm/staging/progress": "?\n" }),
  },
  {
    name: "a file was renamed by hand",
    v1: GAME,
    v2: GAME,
    damage: (folder) => rename(join(folder, "bin/game"), join(folder, "bin/game.bak")),
    own: { "bin/game.bak": BIG },
  },
];

describe("an update ends with the new release and the player's own files", () => {
  test.each(SCENARIOS)("$name", async ({ v1, v2, exec1 = [], exec2 = [], damage, own = {}, fetchedAtMost }) => {
    await using publisher = await Publisher.start({ pieceLength: 32 * KIB });
    publisher.publish("1.0.0", { files: v1, exec: exec1 });
    await using player = await newPlayer(publisher);
    await player.patch();
    expect(await player.contents()).toEqual(contentsOfBuild(v1, exec1));
    await damage?.(player.folder);
    publisher.publish("2.0.0", { files: v2, exec: exec2 });
    const { fetched, to } = await player.patch();
    expect(to).toBe("2.0.0");
    expect(await player.contents()).toEqual({ ...contentsOfBuild(v2, exec2), ...contentsOfBuild(own) });
    if (fetchedAtMost !== undefined) expect(fetched.origin).toBeLessThanOrEqual(fetchedAtMost);
    const again = await player.patch();
    expect(again.plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
  });
});

function renamed(files: Files, name: (path: string) => string): Files {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [name(path), content]));
}

test("a staged file cut short is never taken for a file that moves", async () => {
  await using publisher = await Publisher.start({ pieceLength: 32 * KIB });
  publisher.publish("1.0.0", { files: { a: BIG } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { b: BIG } });
  const hasher = new FileHasher(sha256, 32 * KIB);
  hasher.update(BIG);
  await put(player.folder, { [`.patchswarm/staging/${hasher.finish().root}`]: new Uint8Array(BIG.length) });
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild({ b: BIG }));
});
