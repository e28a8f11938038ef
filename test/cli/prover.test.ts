/** Pieces from peers, proven by threads, on a real disk. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { Prover } from "../../cli/patch/prover.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { PIECE_BYTES_MIN } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

afterAll(closePool);

test("pieces that are proven together are written, and their memory is given back at once", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "patchswarm-prover-"));
  try {
    const prover = new Prover(PIECE_BYTES_MIN);
    const contents = [1, 2, 3].map((seed) => pseudoRandomBytes(seed, 1000 + seed));
    const inputs = contents.map((content, index) => ({
      piece: Uint8Array.from(content),
      blocks: [0],
      expected: sha256(content),
      whole: true,
      path: path.join(folder, `${index}`),
      fileBytes: content.length,
      exec: false,
      offset: 0,
    }));
    const proven = await Promise.all(inputs.map((input) => prover.prove(input)));
    expect(proven).toEqual(inputs.map(() => ({ value: true })));
    for (const [index, content] of contents.entries()) {
      expect(Buffer.compare(await readFile(path.join(folder, `${index}`)), content)).toBe(0);
    }
    expect(inputs.map(({ piece }) => piece.buffer.detached)).toEqual([true, true, true]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
