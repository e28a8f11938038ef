/** Slices of a stream, and the memory that they use by turns. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { cutStream, SlicePool, WrongLength } from "../../cli/sources/slices.ts";
import { toJson } from "../../cli/threads/as-json.ts";
import { closePool, runJob } from "../../cli/threads/pool.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

afterAll(closePool);

test("memory is never in two hands, is as long as was asked for, and there is no more of it than was in use at once", () => {
  const action = fc.oneof(
    fc.record({ bytes: fc.integer({ min: 1, max: 5000 }) }),
    fc.record({ giveBack: fc.nat({ max: 20 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const pool = new SlicePool();
      const out: Uint8Array<SharedArrayBuffer>[] = [];
      const seen = new Set<SharedArrayBuffer>();
      let most = 0;
      for (const act of actions) {
        if ("bytes" in act) {
          const slice = pool.take(act.bytes);
          expect(slice).toHaveLength(act.bytes);
          expect(out.some(({ buffer }) => buffer === slice.buffer)).toBe(false);
          out.push(slice);
          seen.add(slice.buffer);
          most = Math.max(most, out.length);
        } else {
          const [slice] = out.splice(act.giveBack % Math.max(1, out.length), 1);
          if (slice !== undefined) pool.giveBack(slice);
        }
      }
      // of what was in use at once, and is free now, no more than that is kept: the rest is new
      const idle: SharedArrayBuffer[] = [];
      for (let slice = pool.take(1); seen.has(slice.buffer); slice = pool.take(1)) idle.push(slice.buffer);
      expect(idle.length + out.length).toBeLessThanOrEqual(most);
    }),
  );
});

test("what is given back is used again, for anything that it is long enough for", () => {
  const pool = new SlicePool();
  const first = pool.take(1000);
  pool.giveBack(first);
  const second = pool.take(10);
  expect(second.buffer).toBe(first.buffer);
  expect(pool.take(10).buffer).not.toBe(first.buffer);
});

test("slices of a stream that was cut off are not used again, though more of it should come", async () => {
  const pool = new SlicePool();
  const taken: SharedArrayBuffer[] = [];
  const memory = (bytes: number): Uint8Array<SharedArrayBuffer> => {
    const slice = pool.take(bytes);
    taken.push(slice.buffer);
    return slice;
  };
  const read = async (): Promise<void> => {
    const stream = Readable.from([Buffer.alloc(150, 1)]);
    for await (const slice of cutStream(stream, { lengths: [100, 100], memory, onBytes: () => 0 }))
      pool.giveBack(slice);
  };
  await expect(read()).rejects.toThrow(WrongLength);
  const [whole, half] = taken;
  expect(pool.take(100).buffer).toBe(whole);
  expect(pool.take(100).buffer).not.toBe(half);
});

test("chunks are landed from memory that threads share", async () => {
  const plain = pseudoRandomBytes(5, 100_000).map((byte) => byte & 7);
  const frame = zstdCompressSync(plain);
  const raw = pseudoRandomBytes(6, 3000);
  const stored = new SlicePool().take(frame.length + raw.length + 8);
  stored.set(frame);
  stored.set(raw, frame.length);
  const chunks = [
    { at: 0, stored: frame.length, size: plain.length, raw: false },
    { at: frame.length, stored: raw.length, size: raw.length, raw: true },
  ];
  const path = join(await mkdtemp(join(tmpdir(), "patchswarm-slices-")), "landed");
  const bytes = plain.length + raw.length;
  const writes = [{ path, fileBytes: bytes, exec: false, offset: 0, from: 0, bytes }];
  const placing = { writes, pieces: [], pieceLength: 16 * 1024 };
  const work = toJson({ chunks, placing });
  expect(await runJob("landChunks", { stored, work })).toMatchObject({ value: { bad: [] } });
  expect((await readFile(path)).equals(Buffer.concat([plain, raw]))).toBe(true);
  await rm(dirname(path), { recursive: true });
  // a chunk that is no frame, and one that is longer than it says: both take the slow way
  const wrong = [
    { at: 1, stored: frame.length - 1, size: plain.length, raw: false },
    { at: 0, stored: frame.length, size: plain.length - 1, raw: false },
  ];
  const refused = await runJob("landChunks", { stored, work: toJson({ chunks: wrong, placing }) });
  expect(refused.value?.bad).toEqual([0, 1]);
});
