/** Pieces from peers, proven by threads, on a real disk. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { type PieceInput, Prover } from "../../cli/patch/prover.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { PIECE_BYTES_MIN } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const CONTENTS = [1, 2, 3].map((seed) => pseudoRandomBytes(seed, 1000 + seed));
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "patchswarm-prover-"));
});

afterEach(() => rm(folder, { recursive: true }));
afterAll(closePool);

/** A file of one piece that peers sent as a whole. */
function inputOf(content: Uint8Array, piece: PieceInput["piece"], index: number): PieceInput {
  return {
    piece,
    blocks: [0],
    expected: sha256(content),
    whole: true,
    path: path.join(folder, `${index}`),
    fileBytes: content.length,
    exec: false,
    offset: 0,
  };
}

async function expectProven(inputs: readonly PieceInput[]): Promise<void> {
  const prover = new Prover(PIECE_BYTES_MIN);
  const proven = await Promise.all(inputs.map((input) => prover.prove(input)));
  expect(proven).toEqual(inputs.map(() => ({ value: true })));
  for (const [index, { path: file }] of inputs.entries()) {
    expect(Buffer.compare(await readFile(file), CONTENTS[index] ?? new Uint8Array(0))).toBe(0);
  }
}

test("pieces that are proven together are written, and their memory is given back at once", async () => {
  const inputs = CONTENTS.map((content, index) => inputOf(content, Uint8Array.from(content), index));
  await expectProven(inputs);
  expect(inputs.map(({ piece }) => piece.buffer.detached)).toEqual([true, true, true]);
});

test.each([1, 2])("what else is in the buffer of a piece stays (%i together)", async (count) => {
  const shared = new Uint8Array(8 * 1024).fill(7);
  const inputs = CONTENTS.slice(0, count).map((content, index) => {
    shared.set(content, 2048 * index);
    return inputOf(content, shared.subarray(2048 * index, 2048 * index + content.length), index);
  });
  await expectProven(inputs);
  expect(shared.at(-1)).toBe(7);
});
