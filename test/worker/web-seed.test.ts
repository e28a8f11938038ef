import { zstdCompressSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { assert, nat, property } from "fast-check";
import { type ChunkId, concatBytes, equalBytes, type ObjectId } from "../../manifests/digest.ts";
import { CHUNK_BYTES, CHUNK_BYTES_MAX, WEB_SEED_HELD_BYTES, WEB_SEED_READ_BYTES } from "../../manifests/limits.ts";
import { type SafePath } from "../../manifests/paths.ts";
import { writeTree } from "../../manifests/tree.ts";
import { findInTree } from "../../worker/origin/release-files.ts";
import { plainParts, readsFor } from "../../worker/origin/stitch.ts";
import { recipeChunks, treeFiles } from "../support/release-files.ts";
import { type BuiltRelease, Publisher, ask, bodyIs, noise, problemCode } from "./publisher.ts";

const TITLE = "seeds";
/** Sizes on both sides of a chunk (40,000) and a pack (100,000); text that compresses and noise that does not. */
const CONTENTS = {
  "empty.bin": new Uint8Array(),
  "one.bin": noise(1, 1),
  "chunk.bin": noise(40_000, 2),
  "packs.bin": noise(333_333, 3),
  "text/readme.txt": new TextEncoder().encode("play ".repeat(30_000)),
  "odd/a b#c%d%20e.txt": noise(100, 4),
  "odd/50% & more+plus;x=y,z.txt": noise(101, 5),
  "odd/日本語/ゲーム.dat": noise(102, 6),
  "odd/émoji-🎮.dat": noise(103, 7),
};
const PATHS = Object.keys(CONTENTS) as (keyof typeof CONTENTS)[];

let release: BuiltRelease;

beforeAll(async () => {
  const publisher = await Publisher.register(TITLE);
  release = await publisher.release(CONTENTS, 7);
});

/** As a BEP 19 client builds it: url-list entry, torrent name, path, each segment escaped. */
function urlOf(path: string): string {
  const segments = [release.name, ...path.split("/")].map(encodeURIComponent);
  return `/t/${TITLE}/seed/7/${segments.join("/")}`;
}

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => ask(urlOf(path), { headers });

describe("the plain files of a release", () => {
  test.each(PATHS)("%s comes whole", async (path) => {
    const response = await get(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe(String(CONTENTS[path].length));
    expect(await bodyIs(response, CONTENTS[path])).toBe(true);
  });

  const ranges: [path: keyof typeof CONTENTS, range: string, from: number, to: number][] = [
    ["packs.bin", "bytes=0-0", 0, 1],
    ["packs.bin", "bytes=39999-40000", 39_999, 40_001],
    ["packs.bin", "bytes=40000-79999", 40_000, 80_000],
    ["packs.bin", "bytes=79990-200010", 79_990, 200_011],
    ["packs.bin", "bytes=333332-", 333_332, 333_333],
    ["packs.bin", "bytes=-1000", 332_333, 333_333],
    ["text/readme.txt", "bytes=65536-131071", 65_536, 131_072],
  ];
  test.each(ranges)("%s, %s", async (path, range, from, to) => {
    const response = await get(path, { range });
    expect(response.status).toBe(206);
    expect(response.headers.get("content-range")).toBe(`bytes ${from}-${to - 1}/${CONTENTS[path].length}`);
    expect(await bodyIs(response, CONTENTS[path].subarray(from, to))).toBe(true);
  });

  test("a range outside the file is 416", async () => {
    const response = await get("one.bin", { range: "bytes=1-" });
    expect([response.status, response.headers.get("content-range")]).toEqual([416, "bytes */1"]);
    expect((await get("empty.bin", { range: "bytes=0-" })).status).toBe(416);
  });

  test("HEAD tells the size; an unchanged file is not sent again", async () => {
    const head = await ask(urlOf("packs.bin"), { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "333333"]);
    const tag = head.headers.get("etag") ?? "";
    expect((await get("packs.bin", { "if-none-match": tag })).status).toBe(304);
  });

  test("every piece of the torrent can be had, padding included", async () => {
    for (const file of release.files) {
      const response = await get(file.path);
      expect((await response.arrayBuffer()).byteLength).toBe(file.size);
    }
    for (const bytes of [1, 1000, 300_000]) {
      const padding = await ask(`/t/${TITLE}/seed/7/${release.name}/.pad/${bytes}`, {
        headers: { range: `bytes=${bytes - 1}-` },
      });
      expect(padding.status).toBe(206);
      expect(await bodyIs(padding, new Uint8Array(1))).toBe(true);
      const whole = await ask(`/t/${TITLE}/seed/7/${release.name}/.pad/${bytes}`);
      expect(await bodyIs(whole, new Uint8Array(bytes))).toBe(true);
    }
  });
});

test("padding is no content: it does not count as served", async () => {
  const served = async (): Promise<number> => {
    const { bytes } = await (await ask(`/t/${TITLE}/stats`)).json<{ bytes: { origin: number } }>();
    return bytes.origin;
  };
  const before = await served();
  await (await ask(`/t/${TITLE}/seed/7/${release.name}/.pad/1000`)).arrayBuffer();
  expect(await served()).toBe(before);
  await (await get("chunk.bin")).arrayBuffer();
  expect(await served()).toBe(before + CONTENTS["chunk.bin"].length);
});

describe("what is not there", () => {
  test.each([
    ["another file", "request.not-found", () => urlOf("nothing.bin")],
    ["a folder", "request.not-found", () => urlOf("odd")],
    ["the release's folder itself", "request.not-found", () => `/t/${TITLE}/seed/7/x/`],
    ["a climbing path", "request.not-found", () => `/t/${TITLE}/seed/7/x/a/..%5C..%5Cetc/passwd`],
    ["a slash that was escaped", "request.not-found", () => urlOf("text/readme.txt").replace("text/", "text%2F")],
    ["broken escapes", "request.malformed", () => `/t/${TITLE}/seed/7/x/%ff%fe`],
    ["padding longer than a piece", "request.not-found", () => `/t/${TITLE}/seed/7/x/.pad/99999999`],
    ["padding of another release", "release.not-found", () => `/t/${TITLE}/seed/8/x/.pad/1000`],
    ["padding of another title", "title.not-found", () => "/t/nobody/seed/7/x/.pad/1000"],
    ["another release", "release.not-found", () => urlOf("one.bin").replace("/7/", "/8/")],
    ["no release at all", "release.not-found", () => urlOf("one.bin").replace("/7/", "/latest/")],
    ["another title", "title.not-found", () => urlOf("one.bin").replace(TITLE, "nobody")],
  ])("%s is %s", async (_, code, url) => {
    expect(await problemCode(await ask(url()))).toBe(code);
  });
});

describe("finding a file in a tree", () => {
  test("every file of a tree is found, and nothing else", () => {
    assert(
      property(treeFiles, nat(), (files, pick) => {
        const plain = writeTree({ files });
        for (const file of files) expect(findInTree(plain, file.path)).toEqual(file);
        const missing = files[pick % Math.max(files.length, 1)];
        if (missing !== undefined) {
          const others = files.filter((file) => file !== missing);
          expect(findInTree(writeTree({ files: others }), missing.path)).toBeUndefined();
        }
      }),
    );
  });

  test("a tree without files has no file", () => {
    expect(findInTree(new Uint8Array(), "a" as SafePath)).toBeUndefined();
  });
});

test("chunks of any size are unpacked", async () => {
  const sizes: number[] = [];
  for (let size: number = CHUNK_BYTES.min; size < CHUNK_BYTES_MAX; size = Math.ceil(size * 1.1)) sizes.push(size);
  const unpacked = async (size: number): Promise<number> => {
    const plain = new TextEncoder().encode("play ".repeat(size)).subarray(0, size);
    const pack = zstdCompressSync(plain);
    const bucket = { get: () => Promise.resolve({ body: new Response(pack).body }) };
    const place = { id: "" as ChunkId, pack: "" as ObjectId, offset: 0, stored: pack.length, raw: false };
    const reads = readsFor({ start: 0, chunks: [{ ...place, size }] }, { offset: 0, length: size });
    const parts: Uint8Array[] = [];
    for await (const part of plainParts(bucket as unknown as R2Bucket, TITLE, reads)) parts.push(part);
    return equalBytes(concatBytes(parts), plain) ? size : -1;
  };
  expect(await Promise.all([...sizes, CHUNK_BYTES_MAX].map(unpacked))).toEqual([...sizes, CHUNK_BYTES_MAX]);
});

describe("a client that does not read", () => {
  const CHUNK = 64 * 1024;
  const CHUNKS = (2 * WEB_SEED_READ_BYTES) / CHUNK;
  const place = { id: "" as ChunkId, pack: "" as ObjectId, size: CHUNK, stored: CHUNK, raw: true };
  const chunks = Array.from({ length: CHUNKS }, (_, index) => ({ ...place, offset: index * CHUNK }));

  /** A bucket that counts what is taken out of its bodies, and tells when each of them was let go. */
  function countingBucket() {
    const count = { taken: 0, asked: 0, cancelled: 0 };
    const letGo: Promise<void>[] = [];
    const bodyOf = (length: number): ReadableStream => {
      let left = length;
      const { promise, resolve } = Promise.withResolvers<void>();
      letGo.push(promise);
      return new ReadableStream({
        type: "bytes",
        pull(controller: ReadableByteStreamController) {
          if (left === 0) return controller.close();
          const piece = Math.min(left, 16 * 1024);
          left -= piece;
          count.taken += piece;
          controller.enqueue(new Uint8Array(piece));
        },
        cancel() {
          count.cancelled += 1;
          resolve();
        },
      });
    };
    const get = (_: string, { range }: { range: { length: number } }): Promise<unknown> => {
      count.asked += 1;
      const body = bodyOf(range.length);
      return Promise.resolve({ body, arrayBuffer: () => new Response(body).arrayBuffer() });
    };
    return { bucket: { get } as unknown as R2Bucket, count, letGo };
  }

  test("holds a piece of what the bucket was asked for", async () => {
    const { bucket, count } = countingBucket();
    const parts = plainParts(bucket, TITLE, readsFor({ start: 0, chunks }, { offset: 0, length: CHUNKS * CHUNK }));
    expect((await parts.next()).value).toHaveLength(CHUNK);
    expect(count).toEqual({ taken: expect.any(Number), asked: 1, cancelled: 0 });
    expect(count.taken).toBeLessThanOrEqual(WEB_SEED_HELD_BYTES + CHUNK);
    await parts.return(undefined);
    expect(count).toMatchObject({ asked: 1, cancelled: 1 });
  });

  test("and goes away after the next read has begun, leaves nothing open", async () => {
    const { bucket, count, letGo } = countingBucket();
    const parts = plainParts(bucket, TITLE, readsFor({ start: 0, chunks }, { offset: 0, length: CHUNKS * CHUNK }));
    for (let chunk = 0; chunk < CHUNKS / 2; chunk++) await parts.next();
    expect(count).toMatchObject({ asked: 2, cancelled: 0 });
    await parts.return(undefined);
    // the one that was ahead; a test that waits in vain fails by its timeout
    await letGo[1];
    expect(letGo).toHaveLength(2);
  });
});

describe("what is read for a range", () => {
  test("the cuts of a range are its bytes, once each and in order", () => {
    assert(
      property(recipeChunks, nat(), nat(), (chunks, a, b) => {
        const size = chunks.reduce((sum, chunk) => sum + chunk.size, 0);
        const offset = a % size;
        const length = 1 + (b % (size - offset));
        const reads = [...readsFor({ start: 0, chunks }, { offset, length })];
        expect(reads.flatMap(({ cuts }) => cuts).reduce((sum, { from, to }) => sum + to - from, 0)).toBe(length);
        for (const { pack, offset: start, bytes, cuts } of reads) {
          const stored = cuts.reduce((sum, { chunk }) => sum + chunk.stored, 0);
          expect([stored, cuts[0]?.chunk.offset]).toEqual([bytes, start]);
          expect(cuts.every(({ chunk }) => chunk.pack === pack)).toBe(true);
        }
        const order = reads.flatMap(({ cuts }) => cuts.map(({ chunk }) => chunks.indexOf(chunk)));
        expect(order).toEqual(order.toSorted((x, y) => x - y));
      }),
    );
  });
});
