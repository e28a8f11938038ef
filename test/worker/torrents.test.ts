/** Info hashes that belong to another torrent: whoever may publish to one channel must not take another's players. */
import { expect, test } from "vitest";
import { objectIdOf } from "../../manifests/digest.ts";
import { type RegisteredTorrent } from "../../worker/swarm/tracker.ts";
import { TRACKED_RELEASES_MAX } from "../../manifests/limits.ts";
import { type TitleStore } from "../../worker/title/store.ts";
import { clashOf, trackedTorrents } from "../../worker/title/torrents.ts";
import { sha256 } from "../support/hashes.ts";
import { type BuiltRelease, Publisher, buildRelease, expectOk, noise, problemCode } from "./publisher.ts";

const FILES = { "a.txt": noise(10, 1) };
const HELD: RegisteredTorrent = { seq: 1, v1: "1".repeat(40), v2: "2".repeat(64), v1Alone: "3".repeat(40) };
const other = { v1: "a".repeat(40), v2: "b".repeat(64), v1Alone: "c".repeat(40) };

test.each([
  ["the same torrent", HELD, false],
  ["the same, without the v1 torrent", { v1: HELD.v1, v2: HELD.v2 }, false],
  ["another torrent", other, false],
  ["one half of a hybrid torrent", { ...other, v1: HELD.v1 }, true],
  ["the other half", { ...other, v2: HELD.v2 }, true],
  ["the other half, where the tracker cuts it", { ...other, v2: HELD.v2.slice(0, 40).padEnd(64, "f") }, true],
  ["the other half as a v1 hash", { ...other, v1: HELD.v2.slice(0, 40) }, true],
  ["a v1 torrent as half of a hybrid one", { ...other, v1: HELD.v1Alone ?? "" }, true],
  ["half of a hybrid torrent as a v1 one", { ...other, v1Alone: HELD.v1 }, true],
])("%s: clash is %3$s", (_, torrent, clashes) => {
  expect(clashOf(torrent, [HELD])).toBe(clashes ? HELD : undefined);
});

test("a title that published for years tracks its newest releases and what each channel gives", () => {
  const hash = (kind: string, seq: number, digits: number): string => `${kind}${seq}`.padStart(digits, "0");
  const releases = Array.from({ length: 2 * TRACKED_RELEASES_MAX }, (_, older) => {
    const seq = 2 * TRACKED_RELEASES_MAX - older;
    const v1 = { torrent: hash("d", seq, 64), infohash: hash("c", seq, 40) };
    return { seq, infohash: hash("a", seq, 40), infohashV2: hash("b", seq, 64), v1 };
  });
  const live = { rollout: 50, hold: false, deltas: [] };
  const store = {
    releases: () => releases,
    liveChannels: () => ({
      beta: { ...live, seq: releases.length, previous: releases.length - 1 },
      stable: { ...live, seq: 9, previous: 7 },
    }),
  } as unknown as TitleStore;
  const tracked = trackedTorrents(store);
  const newest = releases.slice(0, TRACKED_RELEASES_MAX).map(({ seq }) => seq);
  expect(tracked.map(({ seq }) => seq)).toEqual([...newest, 9, 7]);
});

/** The release as a publisher would make it that claims another info hash for its torrent. */
function claiming(infohash: string, { signed, objects, ...rest }: BuiltRelease): BuiltRelease {
  const fields = JSON.parse(new TextDecoder().decode(objects.at(-1))) as { torrent: object };
  const document = new TextEncoder().encode(JSON.stringify({ ...fields, torrent: { ...fields.torrent, infohash } }));
  const named = { sha256: objectIdOf(document, sha256), bytes: document.length };
  return { ...rest, signed: { ...signed, infohash, document: named }, objects: [...objects.slice(0, -1), document] };
}

test("a release that claims the info hash of another channel's release is not published", async () => {
  const publisher = await Publisher.register("clash", ["stable", "beta"]);
  const first = await publisher.release(FILES, 1);
  const second = claiming(first.signed.infohash, await buildRelease("clash", FILES, 2, "beta"));
  for (const object of second.objects) await expectOk(await publisher.putObject(object));
  await publisher.list(second.signed);
  expect(await problemCode(await publisher.publish({ channel: "beta", seq: 2 }))).toBe("metadata.invalid");
  // the one that has it goes on
  await expectOk(await publisher.publish({ channel: "stable", seq: 1, rollout: 50 }));
});

test("a delta that claims a release's info hash is not listed, and one that does so first keeps no release back", async () => {
  const publisher = await Publisher.register("clash-delta", ["stable", "beta"]);
  for (const seq of [1, 2]) await publisher.release({ "a.txt": noise(10, seq) }, seq, { channel: "beta" });
  const stable = await buildRelease("clash-delta", FILES, 3);
  const index = noise(50, 9);
  await expectOk(await publisher.putObject(index));
  const object = objectIdOf(index, sha256);
  const torrent = { object, infohash: stable.signed.infohash, infohashV2: "b".repeat(64) };
  const order = { channel: "beta", seq: 2, delta: { from: 1, index: object, bytes: 1, torrent } };
  await expectOk(await publisher.listDelta(order));
  for (const built of stable.objects) await expectOk(await publisher.putObject(built));
  await publisher.list(stable.signed);
  await expectOk(await publisher.publish({ channel: "stable", seq: 3 }));
  expect(await problemCode(await publisher.listDelta(order))).toBe("request.malformed");
});
