/**
 * What is too large to be released is refused before anything names it, if it can be before anything is sent, and a
 * channel's list says in time that it fills up.
 */
import { truncate } from "node:fs/promises";
import { afterAll, expect, test, vi } from "vitest";
import { Upload } from "../../cli/publish/upload.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { CHANNEL_ROOM_WARNING_RELEASES, OBJECT_BYTES_MAX, ROLE_BYTES_MAX } from "../../manifests/limits.ts";
import { type Press, pressForEachTest } from "../support/press.ts";

/**
 * The real caps take 8,600 releases, and a million files; the edge of these tests, in a process of its own, goes by
 * those.
 */
const ROLE_BYTES = 8192;
const TREE_BYTES = 4096;
vi.mock("../../manifests/limits.ts", async (original) => ({
  ...(await original<typeof import("../../manifests/limits.ts")>()),
  ROLE_BYTES_MAX: 8192,
  TREE_BYTES_MAX: 4096,
  WEB_SEED_TREE_BYTES_MAX: 2048,
}));

const TIB = 2 ** 40;

let press: Press;
pressForEachTest((opened) => (press = opened));
afterAll(closePool);

const sent = (requests: readonly string[]): string[] =>
  requests.filter((request) => /^(PUT|POST (roles|publish))/.test(request));

test.each([false, true])("a build whose .torrent would be over its cap is not read (dry run: %s)", async (dryRun) => {
  const folder = await press.build("v1", { "a.txt": "a", "world.bin": "" });
  // a hole: it takes no room on the disk
  await truncate(press.at("v1", "world.bin"), 8 * TIB);
  press.requests();
  await expect(press.publish(folder, "1.0.0", { dryRun })).rejects.toMatchObject({
    code: "build.too-large",
    facts: { kind: ".torrent", limit: OBJECT_BYTES_MAX },
  });
  expect(sent(press.requests())).toEqual([]);
});

test("an object that the edge would refuse for its length is not even asked for", () => {
  const asked: string[] = [];
  const origin = {
    has: (id: string) => Promise.resolve(asked.push(id) > 0),
    put: () => Promise.resolve(),
  };
  const upload = new Upload(origin, () => {});
  expect(() => upload.send(new Uint8Array(OBJECT_BYTES_MAX + 1))).toThrow(
    expect.objectContaining({
      code: "build.too-large",
      facts: { kind: "object", bytes: OBJECT_BYTES_MAX + 1, limit: OBJECT_BYTES_MAX },
    }),
  );
  expect(asked).toEqual([]);
});

test("a list of files that players would not read is not released", async () => {
  const names = Array.from({ length: 200 }, (_, n) => [`${n * 7919}-${(n * 104_729) % 9973}.txt`, `${n}`]);
  const folder = await press.build("v1", Object.fromEntries(names));
  press.requests();
  await expect(press.publish(folder, "1.0.0")).rejects.toMatchObject({
    code: "build.too-large",
    facts: { kind: "list of files, compressed", limit: TREE_BYTES },
  });
  expect(press.requests().filter((request) => request.startsWith("POST roles"))).toEqual([]);
});

test.each([
  [1, []],
  [30, [expect.stringMatching(/^The list of files has .* kB, and an edge's web seed reads 2.05 kB/)]],
])("of a list of files that the web seed would not read it is told: %i files", async (count, told) => {
  const names = Array.from({ length: count }, (_, n) => [`${n}.txt`, `${n}`]);
  const folder = await press.build("v1", Object.fromEntries(names));
  const logged: string[] = [];
  const onLog = (text: string): void => {
    if (text.includes("web seed")) logged.push(text);
  };
  expect(await press.publish(folder, "1.0.0", { onLog })).toMatchObject({ outcome: "published", files: count });
  expect(logged).toEqual(told);
});

test("a channel counts the releases it has room for, and when there is none for another, nothing is sent", async () => {
  expect(ROLE_BYTES_MAX).toBe(ROLE_BYTES);
  const folder = await press.build("v1", { "a.txt": "a" });
  const left: number[] = [];
  const onLog = (text: string): void => {
    const [, more] = /on stable has room for this one and (\d+) more/.exec(text) ?? [];
    if (more !== undefined) left.push(Number(more));
  };
  await press.publish(folder, "1.0.0", { onLog });
  const [first = 0] = left;
  expect(first).toBeGreaterThan(10);
  expect(first).toBeLessThan(CHANNEL_ROOM_WARNING_RELEASES);
  for (let more = 1; more <= first; more++) await press.publish(folder, `1.0.${more}`, { onLog });
  expect(left.at(-1)).toBe(0);
  await press.publish(folder, "1.0.0", { onLog });
  expect(left).toHaveLength(first + 1);

  press.requests();
  for (const dryRun of [false, true]) {
    await expect(press.publish(folder, "1.1.0", { dryRun })).rejects.toMatchObject({
      code: "channel.full",
      facts: { channel: "stable", releases: first + 2, limit: ROLE_BYTES },
    });
  }
  expect(sent(press.requests())).toEqual([]);
  expect(await press.publish(folder, "1.1.0", { channel: "beta" })).toMatchObject({ outcome: "published" });
});
