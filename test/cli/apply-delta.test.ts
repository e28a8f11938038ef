/** A delta is decoded in a thread while it still comes: what is there of it is made at once, and hashed. */
import { existsSync } from "node:fs";
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeEach, expect, test } from "vitest";
import { writtenBy } from "../../cli/patch/apply-group.ts";
import { Arrival } from "../../cli/threads/arrival.ts";
import { toJson } from "../../cli/threads/as-json.ts";
import { closePool, runJob } from "../../cli/threads/pool.ts";
import { writeDeltaHeader } from "../../manifests/delta/encode.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { BLOCK_BYTES, DELTA_OUTPUT_BYTES } from "../../manifests/limits.ts";
import { pieceHash } from "../../manifests/merkle.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { literalDelta, literalSection } from "../support/literal-delta.ts";
import { noise } from "../support/studio.ts";

/** Twice what a decoder collects before it gives it on: it keeps the last of it until more comes. */
const FIRST = noise(2 * DELTA_OUTPUT_BYTES, "first");
const SECOND = noise(DELTA_OUTPUT_BYTES, "second");
const OLD_BYTES = 1000;
const PIECE = 4 * BLOCK_BYTES;

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-apply-"));
  return () => rm(folder, { recursive: true });
});
afterAll(closePool);

/** 32 B a piece, of each of these contents. */
function piecesOf(...contents: readonly Uint8Array[]): Uint8Array {
  const hashes = contents.flatMap((content) => {
    const isWhole = content.length <= PIECE;
    return Array.from({ length: Math.ceil(content.length / PIECE) }, (_, i) =>
      pieceHash(content.subarray(i * PIECE, (i + 1) * PIECE), PIECE, isWhole, sha256),
    );
  });
  return concatBytes(hashes);
}

const BEGINNING = concatBytes([writeDeltaHeader(OLD_BYTES, FIRST.length + SECOND.length), literalSection(FIRST)]);
const REST = literalSection(SECOND);

/** Applies the delta, of which only the beginning is on the disk; nobody has the old file. */
async function applyBeginning(arrival: Arrival) {
  const fileBytes = FIRST.length + SECOND.length;
  const fresh = { path: join(folder, "made"), offset: 0, bytes: fileBytes, fileBytes, exec: false, toHash: true };
  const delta = { path: join(folder, "delta"), offset: 0, bytes: BEGINNING.length + REST.length };
  await writeFile(delta.path, BEGINNING);
  const old = { path: null, offset: 0, bytes: OLD_BYTES };
  const work = toJson({ delta: [delta], old: [old], fresh: [fresh], pieceLength: PIECE });
  return { made: fresh.path, delta: delta.path, applied: runJob("applyDelta", { work, arrival: arrival.memory }) };
}

/**
 * Waits until the first section is on the disk, all but what the decoder keeps; for ever when the job waits for more.
 */
async function untilFirstIsMade(made: string): Promise<void> {
  const expected = FIRST.subarray(0, DELTA_OUTPUT_BYTES);
  for (;;) {
    if (existsSync(made) && (await readFile(made)).subarray(0, DELTA_OUTPUT_BYTES).equals(expected)) return;
    await setImmediate();
  }
}

test("a section is decoded as soon as it is there, before the next one is", async () => {
  const arrival = new Arrival();
  // the reader of a section's head looks a little beyond it
  arrival.reach(BEGINNING.length);
  const { made, delta, applied } = await applyBeginning(arrival);
  await untilFirstIsMade(made);
  await appendFile(delta, REST);
  arrival.reach(BEGINNING.length + REST.length);
  const hashes = piecesOf(concatBytes([FIRST, SECOND]));
  const outcome = await applied;
  const { mtimeNs } = await stat(made, { bigint: true });
  expect(outcome).toEqual({ value: { refused: undefined, hashes, mtimesNs: BigInt64Array.of(mtimeNs) } });
  expect((await readFile(made)).equals(concatBytes([FIRST, SECOND]))).toBe(true);
});

test("when the rest does not come, the thread is let go and says so", async () => {
  const arrival = new Arrival();
  arrival.reach(BEGINNING.length);
  const { made, applied } = await applyBeginning(arrival);
  await untilFirstIsMade(made);
  arrival.giveUp();
  // too late
  arrival.reach(BEGINNING.length + REST.length);
  const { value } = await applied;
  expect(value?.refused).toMatch("did not come");
  expect(value?.hashes).toHaveLength(0);
});

test("contents that are made from end to end are hashed piece by piece, others are not", async () => {
  const sizes = [PIECE + 1, 1, 3 * PIECE, PIECE, 5, 3 * PIECE + 2 * BLOCK_BYTES + 7, 2 * BLOCK_BYTES + 1];
  const content = noise(
    sizes.reduce((sum, size) => sum + size),
    "hashed",
  );
  const delta = join(folder, "delta");
  const stored = literalDelta(OLD_BYTES, [content]);
  await writeFile(delta, stored);
  let from = 0;
  const contents = sizes.map((size) => content.subarray(from, (from += size)));
  const fresh = sizes.map((bytes, index) => {
    return { path: join(folder, `${index}`), offset: 0, bytes, fileBytes: bytes, exec: false, toHash: index !== 2 };
  });
  const old = { path: null, offset: 0, bytes: OLD_BYTES };
  const work = toJson({
    delta: [{ path: delta, offset: 0, bytes: stored.length }],
    old: [old],
    fresh,
    pieceLength: PIECE,
  });
  const { value } = await runJob("applyDelta", { work });
  if (value === undefined) throw new Error("no such disk");
  const written = writtenBy({ fresh, pieceLength: PIECE }, value);
  for (const [index, { path }] of fresh.entries()) {
    const content = contents[index] ?? new Uint8Array(0);
    expect((await readFile(path)).equals(content)).toBe(true);
    const { mtimeNs } = await stat(path, { bigint: true });
    expect(written.get(path)).toEqual(index === 2 ? undefined : { hashes: piecesOf(content), mtimeNs });
  }
});
