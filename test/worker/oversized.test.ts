/** Objects that are larger than the edge reads are refused before they are in memory, or before they are unpacked. */
import { zstdCompressSync } from "node:zlib";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { type ChunkId, type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { RELEASE_BYTES_MAX, WEB_SEED_RECIPE_BYTES_MAX, WEB_SEED_TREE_BYTES_MAX } from "../../manifests/limits.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { parseRelease, writeRelease } from "../../manifests/release.ts";
import { writeRecipe } from "../../manifests/recipe.ts";
import type { TreeFile } from "../../manifests/tree.ts";
import { type Env } from "../../worker/env.ts";
import { findFile, recipeOf } from "../../worker/origin/release-files.ts";
import { readsFor } from "../../worker/origin/stitch.ts";
import { makeCurrent } from "../../worker/title/publish.ts";
import type { TitleStore } from "../../worker/title/store.ts";
import { sha256 } from "../support/hashes.ts";
import { type BuiltRelease, Publisher, buildRelease, noise, now } from "./publisher.ts";

const FILES = { "a.bin": noise(10, 1) };

/** The release document is the last of a release's objects. */
function documentOf({ objects }: BuiltRelease): Uint8Array<ArrayBuffer> {
  return objects.at(-1) ?? new Uint8Array();
}

test("a release document over its cap is not read, and does not become current", async () => {
  const { signed } = await buildRelease("oversized", FILES, 1);
  const store = { release: () => ({ ...signed, listed: true }), liveChannels: () => ({}) } as unknown as TitleStore;
  let isCancelled = false;
  const body = { cancel: () => Promise.resolve(void (isCancelled = true)) };
  const bucket = { get: () => Promise.resolve({ size: RELEASE_BYTES_MAX + 1, body }) } as unknown as R2Bucket;
  const order = { channel: "stable", seq: 1, rollout: 100 };
  await expect(makeCurrent("oversized", order, store, bucket, now())).rejects.toMatchObject({
    code: "object.too-large",
    facts: { kind: "release", found: RELEASE_BYTES_MAX + 1, expected: RELEASE_BYTES_MAX },
  });
  expect(isCancelled).toBe(true);
});

describe("the web seed", () => {
  const TITLE = "oversized-seed";
  let document: Uint8Array<ArrayBuffer>;
  let tree: string;
  beforeAll(async () => {
    document = documentOf(await (await Publisher.register(TITLE)).release(FILES, 1));
    tree = parseRelease(document).tree.sha256;
  });

  /** The edge with these objects in its bucket instead, by name. What is but a size cannot be read. */
  function edgeWith(objects: Readonly<Record<string, number | Uint8Array>>) {
    const asked: string[] = [];
    const cancelled: string[] = [];
    const get = async (key: string): Promise<unknown> => {
      const id = key.slice(key.lastIndexOf("/") + 1);
      asked.push(id);
      const object = objects[id];
      if (object === undefined) return await env.ORIGIN.get(key);
      if (typeof object !== "number") return { size: object.length, arrayBuffer: () => Promise.resolve(object) };
      return { size: object, body: { cancel: () => Promise.resolve(void cancelled.push(id)) } };
    };
    return { edge: { ...env, ORIGIN: { get } } as unknown as Env, asked, cancelled };
  }

  const find = (edge: Env) => findFile(edge, TITLE, 1, parseSafePath("a.bin"));
  const tooLarge = (kind: string, expected: number) => ({ code: "object.too-large", facts: { kind, expected } });

  test("reads no release document and no tree over their caps", async () => {
    const id = objectIdOf(document, sha256);
    const long = edgeWith({ [id]: RELEASE_BYTES_MAX + 1 });
    await expect(find(long.edge)).rejects.toMatchObject(tooLarge("release", RELEASE_BYTES_MAX));
    expect(long.cancelled).toEqual([id]);
    const wide = edgeWith({ [tree]: WEB_SEED_TREE_BYTES_MAX + 1 });
    await expect(find(wide.edge)).rejects.toMatchObject(tooLarge("tree", WEB_SEED_TREE_BYTES_MAX));
    expect(wide.cancelled).toEqual([tree]);
  });

  test("asks for no tree that says it is over its cap", async () => {
    const release = parseRelease(document);
    const plain = { sha256: release.tree.sha256, bytes: WEB_SEED_TREE_BYTES_MAX + 1 };
    const id = objectIdOf(document, sha256);
    const { edge, asked } = edgeWith({ [id]: writeRelease({ ...release, tree: { ...release.tree, plain } }) });
    await expect(find(edge)).rejects.toMatchObject(tooLarge("tree", WEB_SEED_TREE_BYTES_MAX));
    expect(asked).toEqual([id]);
  });

  test("unpacks no tree over its cap", async () => {
    const { edge } = edgeWith({ [tree]: zstdCompressSync(new Uint8Array(WEB_SEED_TREE_BYTES_MAX + 1)) });
    await expect(find(edge)).rejects.toMatchObject(tooLarge("tree", WEB_SEED_TREE_BYTES_MAX));
  });

  test("asks for no recipe over its cap, and unpacks none", async () => {
    const file = (await find(env)) as TreeFile;
    const object = file.recipe?.object ?? ("" as never);
    const withRecipe = (bytes: number): TreeFile => ({ ...file, recipe: { object, offset: 0, bytes } });
    const long = edgeWith({});
    await expect(recipeOf(long.edge, TITLE, withRecipe(WEB_SEED_RECIPE_BYTES_MAX + 1))).rejects.toMatchObject(
      tooLarge("recipe", WEB_SEED_RECIPE_BYTES_MAX),
    );
    expect(long.asked).toEqual([]);
    const packed = zstdCompressSync(new Uint8Array(WEB_SEED_RECIPE_BYTES_MAX + 1));
    const { edge } = edgeWith({ [object]: packed });
    await expect(recipeOf(edge, TITLE, withRecipe(packed.length))).rejects.toMatchObject(
      tooLarge("recipe", WEB_SEED_RECIPE_BYTES_MAX),
    );
  });

  // 26 GB in chunks of 64 KiB; the ids do not matter
  test("keeps the longest recipe that it reads, and takes what a range needs from any place of it", async () => {
    const id = "1".repeat(64);
    const [size, stored] = [65_536, 60_000];
    const chunk = { id: id as ChunkId, pack: id as ObjectId, size, stored, raw: false };
    const chunks = Array.from({ length: 410_000 }, (_, index) => ({ ...chunk, offset: (index % 100) * stored }));
    const plain = writeRecipe(chunks);
    expect(plain.length).toBeLessThan(WEB_SEED_RECIPE_BYTES_MAX);
    const packed = zstdCompressSync(plain);
    const { edge, asked } = edgeWith({ [id]: packed });
    const recipe = { object: id as ObjectId, offset: 0, bytes: packed.length };
    const file = { ...((await find(env)) as TreeFile), size: chunks.length * size, recipe };
    const [position, length] = [300_000 * size + 5, 3 * size];
    for (let time = 0; time < 2; time++) {
      const read = [...readsFor((await recipeOf(edge, TITLE, file)).from(position), { offset: position, length })];
      expect(read.flatMap(({ cuts }) => cuts.map(({ chunk: { offset } }) => offset / stored))).toEqual([0, 1, 2, 3]);
    }
    expect(asked).toEqual([id]);
  });
});
