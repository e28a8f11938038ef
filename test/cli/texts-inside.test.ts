/** Base64 in what a deflate stream inflates to: decoded and written again, and the jobs that do it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { searchInside } from "../../cli/publish/packed-text.ts";
import { searchTextsInside } from "../../cli/threads/jobs/find-streams.ts";
import { packStreams, readParts, unpackStreams } from "../../cli/threads/jobs/unpack-streams.ts";
import type { StreamInFile } from "../../cli/threads/plain-bytes.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { TextsDecoder, withTextsWritten } from "../../cli/threads/texts-inside.ts";
import type { Base64Run } from "../../manifests/base64-text.ts";
import type { ReadBytes } from "../../manifests/deflate/find.ts";
import type { SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { PackedStream } from "../../manifests/delta/unpack.ts";
import { EMPTY_ROOT } from "../../manifests/digest.ts";
import {
  BASE64_RUNS_MAX,
  BASE64_SLICE_BYTES,
  TAKE_APART_JOB_BYTES,
  UNPACK_AT_ONCE_BYTES_MAX,
} from "../../manifests/limits.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { apart } from "../support/deflate-bytes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-texts-"));
});
afterAll(async () => {
  await closePool();
  await rm(folder, { recursive: true });
});

/** So many bytes as they are in front, and so many that base64 says. */
type Part = readonly [gap: number, said: number];

/** What a stream inflates to, where its base64 lies, and the same with that decoded. */
function inflatedOf(parts: readonly Part[], tail: number) {
  const texts: Base64Run[] = [];
  const inflated: Buffer[] = [];
  const plain: Buffer[] = [];
  let at = 0;
  const add = (some: Buffer, decoded = some): void => {
    inflated.push(some);
    plain.push(decoded);
    at += some.length;
  };
  for (const [i, [gap, said]] of parts.entries()) {
    add(Buffer.alloc(gap, "-"));
    const bytes = Buffer.from(pseudoRandomBytes(i + 1, said));
    const text = Buffer.from(bytes.toString("base64"));
    texts.push({ offset: at, bytes: text.length, plainBytes: said });
    add(text, bytes);
  }
  add(Buffer.alloc(tail, "."));
  return { texts, inflated: Buffer.concat(inflated), plain: Buffer.concat(plain) };
}

/** `bytes` in pieces of these lengths, again and again. */
function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += pieces.at(-1)?.length ?? 0)
    pieces.push(bytes.subarray(at, at + (lengths[pieces.length % lengths.length] ?? 1)));
  return pieces;
}

const layout = fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 300 })), { maxLength: 5 });
const lengths = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 4 });

test("base64 is decoded, and written again, whatever the pieces it comes in", () => {
  fc.assert(
    fc.property(layout, fc.nat(20), lengths, (parts, tail, pieces) => {
      const { texts, inflated, plain } = inflatedOf(parts, tail);
      const decoded: Buffer[] = [];
      const decoder = new TextsDecoder(texts, (some) => decoded.push(Buffer.from(some)) > 0);
      for (const piece of cut(inflated, pieces)) expect(decoder.push(piece)).toBe(true);
      expect(decoder.isBroken).toBe(false);
      expect(Buffer.concat(decoded).equals(plain)).toBe(true);

      const read: ReadBytes = (offset, target) => {
        if (offset + target.length > plain.length) throw new RangeError("beyond the end");
        target.set(plain.subarray(offset, offset + target.length));
      };
      const written = withTextsWritten(texts, read);
      let at = 0;
      for (const piece of cut(inflated, pieces)) {
        const target = new Uint8Array(piece.length);
        written(at, target);
        expect(Buffer.compare(target, piece)).toBe(0);
        at += piece.length;
      }
    }),
  );
});

test("base64 that says more or less than it should is found out, and no more is given than there may be", () => {
  fc.assert(
    fc.property(layout, fc.array(fc.tuple(fc.nat(), fc.nat(255))), lengths, (parts, flips, pieces) => {
      const { texts, inflated, plain } = inflatedOf(parts, 0);
      for (const [at, byte] of flips) if (inflated.length > 0) inflated[at % inflated.length] = byte;
      let given = 0;
      const decoder = new TextsDecoder(texts, (some) => (given += some.length) >= 0);
      for (const piece of cut(inflated, pieces)) if (!decoder.push(piece)) break;
      expect(decoder.isBroken ? given <= plain.length : given === plain.length).toBe(true);
    }),
  );
});

/** A file that is one stream. */
async function streamOf(name: string, parts: readonly Part[], tail = 50) {
  const made = inflatedOf(parts, tail);
  const packed = deflateRawSync(made.inflated);
  const path = join(folder, name);
  await writeFile(path, packed);
  const pieces = [{ offset: 0, bytes: packed.length }];
  const stream = { coding: "deflate" as const, path, pieces, plainBytes: made.plain.length, texts: made.texts };
  return { ...made, packed, stream };
}

test.each<readonly [string, readonly Part[], number]>([
  [
    "short",
    [
      [40, 5000],
      [3, 101],
      [0, 100],
      [7, 3000],
    ],
    50,
  ],
  [
    "long",
    [
      [40, 3 * BASE64_SLICE_BYTES + 1],
      [9, 1000],
    ],
    UNPACK_AT_ONCE_BYTES_MAX,
  ],
])("a %s stream is unpacked with its base64 decoded, and put together again", async (name, parts, tail) => {
  const { plain, packed, stream } = await streamOf(name, parts, tail);
  const half = Math.floor(plain.length / 2);
  for (const [skipped, bytes] of [
    [0, plain.length],
    [1, half],
    [half, plain.length - half],
    [plain.length - 1, 1],
  ] as const) {
    const target = new Uint8Array(bytes);
    const part = { of: "plain" as const, ...stream, skipped, bytes, at: 0 };
    expect(await readParts({ parts: [part], target })).toEqual({ changed: undefined });
    expect(Buffer.compare(target, plain.subarray(skipped, skipped + bytes))).toBe(0);
  }

  const step = Math.floor(plain.length / 60);
  const runs = Array.from({ length: 50 }, (_, i) => ({ skipped: i * step + (i % 7), bytes: 1 + i, at: i * 60 }));
  const expected = Buffer.alloc(50 * 60);
  for (const { skipped, bytes, at } of runs) expected.set(plain.subarray(skipped, skipped + bytes), at);
  const scratch = { path: join(folder, `${name}.scratch`), fileBytes: expected.length };
  expect(await unpackStreams({ streams: [{ ...stream, runs }], to: scratch })).toEqual({
    value: { refused: undefined },
  });
  expect(Buffer.compare(await readFile(scratch.path), expected)).toBe(0);

  const { recipe } = apart(packed) ?? expect.unreachable("no stream of zlib");
  const from = join(folder, `${name}.unpacked`);
  await writeFile(from, Buffer.concat([plain, recipe]));
  const to = { path: join(folder, `${name}.made`), fileBytes: packed.length, exec: false };
  const places = { plainAt: 0, recipeAt: plain.length, recipeBytes: recipe.length, guide: undefined };
  expect(packStreams({ from, streams: [{ ...stream, ...places }], to })).toEqual({ value: { refused: undefined } });
  expect(Buffer.compare(await readFile(to.path), packed)).toBe(0);
});

test("a stream with other text than it had is named by a publisher, and left as it is by a player", async () => {
  const { plain, inflated, stream, texts } = await streamOf("spoilt", [
    [10, 3000],
    [10, 3000],
  ]);
  const second = texts[1]?.offset ?? 0;
  // of the same length, but no base64 in the second run
  await writeFile(stream.path, deflateRawSync(inflated.fill(" ", second, second + 8)));
  const pieces = [{ offset: 0, bytes: (await readFile(stream.path)).length }];
  const target = new Uint8Array(plain.length);
  const part = { of: "plain" as const, ...stream, pieces, skipped: 0, bytes: plain.length, at: 0 };
  expect(await readParts({ parts: [part], target })).toEqual({ changed: stream.path });

  const other = await streamOf("other", [[10, 500]]);
  const to = { path: join(folder, "spoilt.scratch"), fileBytes: plain.length + other.plain.length };
  const all = (bytes: number, at: number) => ({ runs: [{ skipped: 0, bytes, at }] });
  const streams = [
    { ...stream, pieces, ...all(plain.length, 0) },
    { ...other.stream, ...all(other.plain.length, plain.length) },
  ];
  expect(await unpackStreams({ streams, to })).toEqual({ value: { refused: undefined } });
  const scratch = await readFile(to.path);
  expect(scratch.length).toBe(plain.length + other.plain.length);
  expect(Buffer.compare(scratch.subarray(0, 3020), plain.subarray(0, 3020))).toBe(0);
  expect(Buffer.compare(scratch.subarray(plain.length), other.plain)).toBe(0);
});

test.each([
  ["short", 50],
  ["long", UNPACK_AT_ONCE_BYTES_MAX],
])("base64 is found in what a %s stream inflates to", async (name, tail) => {
  // the first is longer than what is inflated at once
  const parts = [
    [40, 150_000],
    [9, 101],
    [3, 20],
    [1, 100],
  ] as const;
  const { stream, inflated, texts } = await streamOf(`found-${name}`, parts, tail);
  const { values } = await searchTextsInside([{ ...stream, texts: undefined, plainBytes: inflated.length }]);
  const found = values[0] ?? expect.unreachable("nothing was searched");
  // the third is too short
  const worth = [texts[0], texts[1], texts[3]];
  expect(found.texts.map(({ offset, bytes, plainBytes }) => ({ offset, bytes, plainBytes }))).toEqual(worth);
  for (const { offset, bytes, sha1 } of found.texts) {
    const digest = await crypto.subtle.digest("SHA-1", inflated.subarray(offset, offset + bytes));
    expect(sha1).toBe(Buffer.from(digest).toString("hex"));
  }
});

test("a stream with more base64 than is looked at says so, one that is another is named", async () => {
  const run = Buffer.from(pseudoRandomBytes(1, 96)).toString("base64");
  const path = join(folder, "many");
  for (const [count, hasMore] of [
    [1000, false],
    [BASE64_RUNS_MAX + 1, true],
  ] as const) {
    const plain = Buffer.from(`${run}"`.repeat(count));
    const packed = deflateRawSync(plain, { level: 1 });
    await writeFile(path, packed);
    const stream = { coding: "deflate" as const, path, pieces: [{ offset: 0, bytes: packed.length }] };
    const { values } = await searchTextsInside([{ ...stream, plainBytes: plain.length }]);
    expect(values[0]?.hasMore).toBe(hasMore);
    expect(values[0]?.texts.length).toBe(hasMore ? 0 : count);
    expect((await searchTextsInside([{ ...stream, plainBytes: plain.length - 1 }])).unread).toBe(path);
  }
});

test("what is looked at is counted over all streams", async () => {
  const run = Buffer.from(pseudoRandomBytes(1, 96)).toString("base64");
  const path = join(folder, "several");
  const counts = [BASE64_RUNS_MAX - 1, 1, 1, 0];
  const streams: StreamInFile[] = [];
  for (const [i, count] of counts.entries()) {
    const plain = Buffer.from(`.${`${run}"`.repeat(count)}`);
    const packed = deflateRawSync(plain, { level: 1 });
    await writeFile(`${path}-${i}`, packed);
    const pieces = [{ offset: 0, bytes: packed.length }];
    streams.push({ coding: "deflate", path: `${path}-${i}`, pieces, plainBytes: plain.length });
  }
  const { values } = await searchTextsInside(streams);
  expect(values.map(({ texts, hasMore }) => [texts.length, hasMore])).toEqual([
    [BASE64_RUNS_MAX - 1, false],
    [1, false],
    [0, true],
    [0, true],
  ]);
});

test.each([
  ["as much as is looked at", 0],
  ["more than that", 1],
] as const)("a side with %s is told apart, though no job of a thread sees all of it", async (name, more) => {
  const run = Buffer.from(pseudoRandomBytes(1, 96)).toString("base64");
  const paths = ["first", "second"].map((file) => parseSafePath(`${name}-${file}`));
  const streams: PackedStream[] = [];
  for (const [content, count] of [BASE64_RUNS_MAX / 2, BASE64_RUNS_MAX / 2 + more].entries()) {
    const plain = Buffer.from(`${run}"`.repeat(count));
    // not made shorter: each is a job of its own
    const packed = deflateRawSync(plain, { level: 0 });
    expect(packed.length).toBeGreaterThan(TAKE_APART_JOB_BYTES);
    await writeFile(join(folder, paths[content] as string), packed);
    const pieces = [{ offset: 0, bytes: packed.length }];
    streams.push({ coding: "deflate", content, pieces, plainBytes: plain.length, recipeBytes: 0 });
  }
  const contents = paths.map((path): SpaceContent => {
    return { root: EMPTY_ROOT, path, offset: 0, size: 0, fileBytes: 0 };
  });
  const space = { contents, bytes: 0 };
  const side = { space, streams, fileOf: (content: SpaceContent) => join(folder, content.path) };
  const found = await searchInside(side, new AbortController().signal);
  expect(found?.length).toBe(more === 0 ? BASE64_RUNS_MAX : undefined);
});
