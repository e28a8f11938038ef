/** Jobs that unpack streams of files, and the one that applies a delta to many files. */
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readParts, unpackStreams } from "../../cli/threads/jobs/unpack-streams.ts";
import { BASE64_SLICE_BYTES, UNPACK_AT_ONCE_BYTES_MAX } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-unpack-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file that is one stream, and its plain bytes. */
async function packed(name: string, plainBytes: number) {
  const plain = pseudoRandomBytes(7, plainBytes).map((byte) => byte & 15);
  const stream = deflateRawSync(plain);
  const path = join(folder, name);
  await writeFile(path, stream);
  return {
    plain,
    stream: { coding: "deflate" as const, path, pieces: [{ offset: 0, bytes: stream.length }], plainBytes },
  };
}

/** The same of base64, with other text in front and behind. */
async function written(name: string, plainBytes: number) {
  const plain = pseudoRandomBytes(8, plainBytes);
  const text = Buffer.from(plain).toString("base64");
  const path = join(folder, name);
  await writeFile(path, `url(${text})`);
  return {
    plain,
    stream: { coding: "base64" as const, path, pieces: [{ offset: 4, bytes: text.length }], plainBytes },
  };
}

test.each([
  ["short", 100_000, packed],
  ["long", 3 * UNPACK_AT_ONCE_BYTES_MAX, packed],
  ["base64", 100_000, written],
  ["base64 without padding", 99_999, written],
  ["long base64", 3 * BASE64_SLICE_BYTES + 1, written],
])("any part of a %s stream is read", async (name, plainBytes, make) => {
  const { plain, stream } = await make(name, plainBytes);
  const third = Math.floor(plainBytes / 3);
  for (const [skipped, bytes] of [
    [0, third],
    [third, third],
    [2 * third, plainBytes - 2 * third],
    [1, plainBytes - 2],
    [plainBytes - 1, 1],
    [10, 1],
  ] as const) {
    const target = new Uint8Array(bytes + 2);
    const part = { of: "plain" as const, ...stream, skipped, bytes, at: 1 };
    expect(await readParts({ parts: [part], target })).toEqual({ changed: undefined });
    expect(Buffer.compare(target.subarray(1, -1), plain.subarray(skipped, skipped + bytes))).toBe(0);
    expect([target[0], target.at(-1)]).toEqual([0, 0]);
  }
});

test("a file that is gone, or holds another stream, is named", async () => {
  const { stream } = await packed("named", 1000);
  const parts = [{ of: "plain" as const, ...stream, skipped: 0, bytes: 1000, at: 0 }];
  const target = new Uint8Array(1000);
  await writeFile(stream.path, deflateRawSync(new Uint8Array(999)));
  expect(await readParts({ parts, target })).toEqual({ changed: stream.path });
  await rm(stream.path);
  expect(await readParts({ parts, target })).toEqual({ changed: stream.path });
});

test.each([
  ["is cut short", (text: string) => text.slice(0, -50)],
  ["is no base64 any more", (text: string) => text.replaceAll("A", " ")],
])("base64 that %s is named", async (name, spoil) => {
  const { stream } = await written(name, 10_000);
  await writeFile(stream.path, spoil(await readFile(stream.path, "latin1")));
  const target = new Uint8Array(10_000);
  const parts = [{ of: "plain" as const, ...stream, skipped: 0, bytes: 10_000, at: 0 }];
  expect(await readParts({ parts, target })).toEqual({ changed: stream.path });
});

test("a stream that cannot be unpacked leaves zeros, and the others are there", async () => {
  const [gone, here] = [await packed("gone", 1000), await packed("here", 2000)];
  await rm(gone.stream.path);
  const to = { path: join(folder, "scratch"), fileBytes: 2500 };
  const streams = [
    { ...gone.stream, runs: [{ skipped: 0, bytes: 1000, at: 0 }] },
    { ...here.stream, runs: [{ skipped: 500, bytes: 1500, at: 1000 }] },
  ];
  expect(await unpackStreams({ streams, to })).toEqual({ value: { refused: undefined } });
  const scratch = await readFile(to.path);
  expect(scratch.subarray(0, 1000).every((byte) => byte === 0)).toBe(true);
  expect(Buffer.compare(scratch.subarray(1000), here.plain.subarray(500))).toBe(0);
});

test.each([
  ["short", 100_000, packed],
  ["long", 3 * UNPACK_AT_ONCE_BYTES_MAX, packed],
  ["long base64", 3 * BASE64_SLICE_BYTES + 1, written],
])("of a %s stream, many runs are unpacked in one go, and nothing behind them", async (name, plainBytes, make) => {
  const { plain, stream } = await make(`runs-${name}`, plainBytes);
  const step = Math.floor(plainBytes / 60);
  const runs = Array.from({ length: 50 }, (_, i) => ({ skipped: i * step + (i % 7), bytes: 1 + i * 3, at: i * 200 }));
  const expected = Buffer.alloc(50 * 200);
  for (const { skipped, bytes, at } of runs) expected.set(plain.subarray(skipped, skipped + bytes), at);
  const file = await open(stream.path, "r+");
  const to = { path: join(folder, `scratch-${name}`), fileBytes: expected.length };
  // what lies behind the last run is not looked at, where a stream is gone through slice by slice
  if (!name.startsWith("short")) await file.write(Buffer.alloc(100), 0, 100, (await file.stat()).size - 100);
  await file.close();
  expect(await unpackStreams({ streams: [{ ...stream, runs }], to })).toEqual({ value: { refused: undefined } });
  expect(Buffer.compare(await readFile(to.path), expected)).toBe(0);
});

test("a full disk is said as such", async () => {
  const { stream } = await packed("full", 1000);
  const to = { path: "/dev/full", fileBytes: 0 };
  const outcome = await unpackStreams({ streams: [{ ...stream, runs: [{ skipped: 0, bytes: 1000, at: 0 }] }], to });
  expect(outcome.error).toMatchObject({ code: "ENOSPC" });
});
