/** Publishing a version again after the origin lost objects of it. */
import { rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { closePool } from "../../cli/threads/pool.ts";
import { type ObjectId } from "../../manifests/digest.ts";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { ForgetfulOrigin } from "../support/forgetful-origin.ts";
import { type Press, openPress } from "../support/press.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

/** A publisher before trees were named uncompressed cannot be had otherwise. */
const publisher = vi.hoisted(() => ({ isEarlier: false }));
vi.mock("../../cli/publish/tree-writer.ts", async (importOriginal) => {
  const real = await importOriginal<typeof import("../../cli/publish/tree-writer.ts")>();
  const sendTree: typeof real.sendTree = (...args) => {
    const tree = real.sendTree(...args);
    return publisher.isEarlier ? { ...tree, plain: undefined as never } : tree;
  };
  return { ...real, sendTree };
});

const MIB = 1024 * 1024;
const V1 = { "a.bin": pseudoRandomBytes(1, 2 * MIB), "b.txt": "b" };
const V2 = { ...V1, "c.bin": pseudoRandomBytes(2, 9 * MIB), "d.txt": "d" };

let edge: TestEdge;
let press: Press;
let origin: ForgetfulOrigin;
/** What was sent for 1.0.0 and for 1.1.0, packs first. */
let first: readonly ObjectId[];
let second: readonly ObjectId[];
let folder: string;
beforeAll(async () => {
  edge = await startTestEdge();
});
beforeEach(async () => {
  press = await openPress(edge);
  origin = new ForgetfulOrigin();
  await press.publish(await press.build("v1", V1), "1.0.0", origin);
  first = origin.sent();
  folder = await press.build("v2", V2);
  await press.publish(folder, "1.1.0", origin);
  second = origin.sent();
});
afterEach(async () => {
  await press[Symbol.asyncDispose]();
});
afterAll(async () => {
  await closePool();
  await edge[Symbol.asyncDispose]();
});

test("a pack that the origin lost is sent again under its name, and nothing else", async () => {
  const [pack = "" as ObjectId] = second;
  origin.lose([pack]);
  expect(await press.publish(folder, "1.1.0", origin)).toMatchObject({
    outcome: "unchanged",
    seq: 2,
    lost: { packs: 1, others: 0 },
    bytes: { uploaded: expect.any(Number) },
  });
  expect(origin.sent()).toEqual([pack]);
  expect(await press.publish(folder, "1.1.0", origin)).toMatchObject({ outcome: "unchanged", lost: undefined });
  expect((await press.title()).releases()).toHaveLength(2);
});

test.each([["with"], ["without"]])(
  "of a release that is lost altogether all is sent again, %s a cache",
  async (how) => {
    expect(second).toHaveLength(7); // two packs, recipes, tree, two torrents, document
    origin.lose(second);
    if (how === "without") await rm(press.at("cache"), { recursive: true });
    const again = await press.publish(folder, "1.1.0", origin);
    expect(again).toMatchObject({ outcome: "unchanged", seq: 2, lost: { packs: 2, others: 5 } });
    expect(again.bytes.uploaded).toBeGreaterThan(9 * MIB);
    expect(origin.sent()).toEqual(second);
  },
);

test("of a release by an earlier publisher all is sent again as it was", async () => {
  publisher.isEarlier = true;
  const old = await press.build("v3", { ...V2, "e.txt": "e" });
  await press.publish(old, "1.2.0", origin);
  publisher.isEarlier = false;
  const sent = origin.sent();
  origin.lose(sent);
  expect(await press.publish(old, "1.2.0", origin)).toMatchObject({ outcome: "unchanged", seq: 3 });
  expect(origin.sent()).toEqual(sent);
});

test.each([["a pack"], ["all"]])("another build is refused when %s of the release is lost", async (what) => {
  origin.lose(what === "all" ? second : second.slice(0, 1));
  const other = await press.build("other", { ...V2, "d.txt": "e" });
  await expect(press.publish(other, "1.1.0", origin)).rejects.toMatchObject({
    code: "release.version-taken",
    facts: { version: "1.1.0", channel: "stable", seq: 2 },
  });
  expect(origin.sent()).toEqual([]);
});

test("a pack of an earlier release comes back with that release's build only", async () => {
  origin.lose(first.slice(0, 1));
  await expect(press.publish(folder, "1.1.0", origin)).rejects.toMatchObject({ code: "release.incomplete" });
  expect(origin.sent()).toEqual([]);
  await press.publish(press.at("v1"), "1.0.0", origin);
  expect(origin.sent()).toEqual(first.slice(0, 1));
  expect(await press.publish(folder, "1.1.0", origin)).toMatchObject({ outcome: "unchanged", lost: undefined });
});

test("a dry run says that something is lost and sends nothing", async () => {
  origin.lose(second);
  expect(await press.publish(folder, "1.1.0", { fetch: origin.fetch, dryRun: true })).toMatchObject({
    outcome: "unchanged",
    lost: "some",
    bytes: { uploaded: 0 },
  });
  expect(origin.sent()).toEqual([]);
});

test("a new version is published although the newest release is lost, and knows what an older one has", async () => {
  await rm(press.at("cache"), { recursive: true });
  origin.lose(second);
  const again = await press.publish(folder, "1.2.0", { fetch: origin.fetch, deltas: 1 });
  expect(again).toMatchObject({ outcome: "published", seq: 3, deltas: [] });
  expect(again.bytes.uploaded).toBeGreaterThan(9 * MIB);
  expect(again.bytes.uploaded).toBeLessThan(10 * MIB);
});

test("recipes that only the cache still has are written again for a new version", async () => {
  // the first publish of this version reads the recipes of the one before into the cache
  const next = await press.build("v3", { ...V2, "e.txt": "e" });
  await press.publish(next, "1.2.0", origin);
  origin.sent();
  const recipes = second.slice(2, 3);
  origin.lose(recipes);
  await press.publish(next, "1.3.0", origin);
  const files = await press.files("stable", 4);
  expect(Buffer.compare(files.get("c.bin") ?? Buffer.of(), V2["c.bin"])).toBe(0);
  const before = origin.sent();
  expect(before).not.toContain(recipes[0]);
  expect(await press.publish(next, "1.3.0", origin)).toMatchObject({ outcome: "unchanged", lost: undefined });
});
