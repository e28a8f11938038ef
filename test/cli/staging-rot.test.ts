/** What an earlier run, or a delta, left in staging and is not what it should be is healed with what is at hand. */
import { chmod } from "node:fs/promises";
import { afterAll, expect, test } from "vitest";
import { closePool } from "../../cli/threads/pool.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { sha256 } from "../support/hashes.ts";
import { contentsOfBuild, newPlayer, noisy, type Player, put } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

const KIB = 1024;
const PIECE = 64 * KIB;
/** Its zeros are holes of the plan: they start and end within a piece, and most of their pieces are nothing else. */
const HOLED = Buffer.concat([noisy(300 * KIB, "a"), new Uint8Array(2048 * KIB), noisy(300 * KIB, "b")]);

/**
 * Leaves a content in staging as a run does that is killed. `finished`: bytes from its start that are on record. Gives
 * the file.
 */
async function leave(player: Player, content: Uint8Array, found: Uint8Array, finished: number): Promise<string> {
  const hasher = new FileHasher(sha256, PIECE);
  hasher.update(content);
  const { root } = hasher.finish();
  const progress = finished === 0 ? "" : `${root} 0 ${finished}\n`;
  await put(player.folder, {
    [`.patchswarm/staging/${root}`]: found,
    ".patchswarm/staging/progress": progress,
  });
  return player.at(".patchswarm", "staging", root);
}

/** The content with something else in places. */
function spoiled(content: Uint8Array, ...places: readonly number[]): Uint8Array {
  const copy = Uint8Array.from(content);
  for (const at of places) copy.fill(7, at, at + 1000);
  return copy;
}

test.for([
  ["on record from end to end", HOLED.length],
  ["on record but for its end, so that only its root tells", HOLED.length - 100 * KIB],
  ["not on record", 0],
] as const)("other bytes in holes of a staged file become zeros again: %s", async ([, finished]) => {
  await using publisher = await Publisher.start({ pieceLength: PIECE });
  publisher.publish("1.0.0", { files: { "a.bin": HOLED } });
  await using player = await newPlayer(publisher);
  await leave(player, HOLED, spoiled(HOLED, 600 * KIB, 1500 * KIB), finished);
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild({ "a.bin": HOLED }));
});

test("with a torrent, pieces beside spoiled holes keep their bytes", async () => {
  await using publisher = await Publisher.start({ pieceLength: PIECE });
  publisher.publish("1.0.0", { files: { "a.bin": HOLED } });
  publisher.players = 1;
  await using player = await newPlayer(publisher);
  await leave(player, HOLED, spoiled(HOLED, 600 * KIB, 1500 * KIB), HOLED.length);
  const { fetched } = await player.patch();
  expect(fetched.origin).toBe(0);
  expect(await player.contents()).toEqual(contentsOfBuild({ "a.bin": HOLED }));
});

test.for([
  ["before anything is copied", 700 * KIB],
  ["when the rest is there", 640 * KIB],
] as const)(
  "where a staged file is bad, the install's chunks are copied all the same: found %s",
  async ([, finished]) => {
    const files = { "game.bin": noisy(700 * KIB, "game") };
    const next = { "game.bin": noisy(700 * KIB, "game", [300 * KIB, 1000]) };
    await using publisher = await Publisher.start({ pieceLength: PIECE });
    publisher.publish("1.0.0", { files });
    await using player = await newPlayer(publisher);
    await player.patch();
    publisher.publish("1.1.0", { files: next });
    await leave(player, next["game.bin"], new Uint8Array(700 * KIB).fill(7), finished);
    const { fetched } = await player.patch();
    expect(fetched.origin).toBeLessThan(400 * KIB);
    expect(await player.contents()).toEqual(contentsOfBuild(next));
  },
);

test.for([
  ["can", 0o644, ["launch.sh"]],
  ["cannot", 0o755, []],
] as const)(
  "a file that was finished on the way to another release %s be run when this one says so",
  async ([, mode, exec]) => {
    const content = noisy(100 * KIB, "launch");
    await using publisher = await Publisher.start({ pieceLength: PIECE });
    publisher.publish("1.0.1", { files: { "launch.sh": content }, exec });
    await using player = await newPlayer(publisher);
    await chmod(await leave(player, content, content, content.length), mode);
    expect((await player.patch()).fetched.origin).toBe(0);
    expect(await player.contents()).toEqual(contentsOfBuild({ "launch.sh": content }, exec));
  },
);
