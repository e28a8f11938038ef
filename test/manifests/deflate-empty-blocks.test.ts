/** Deflate has blocks with nothing in them; any number of them costs their writer next to nothing, and us no more. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { BLOCK } from "../../manifests/deflate/alphabet.ts";
import * as blockPlan from "../../manifests/deflate/block-plan.ts";
import type { ReadBytes } from "../../manifests/deflate/find.ts";
import { RecipeWriter } from "../../manifests/deflate/recipe-format.ts";
import { takeSample } from "../../manifests/deflate/sample.ts";
import { takeApart } from "../../manifests/deflate/take-apart.ts";
import { withWorkspace } from "../../manifests/deflate/workspace.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { apart, together, words } from "../support/deflate-bytes.ts";

vi.mock("../../manifests/deflate/block-plan.ts", async (importOriginal) => {
  const original = await importOriginal<typeof blockPlan>();
  return { ...original, planBlock: vi.fn(original.planBlock) };
});

const planBlock = vi.mocked(blockPlan.planBlock);
beforeEach(() => {
  planBlock.mockClear();
});

/** A stored block, not the last, without a byte in it. */
const EMPTY_STORED = Uint8Array.of(0, 0, 0, 0xff, 0xff);
/** The last block, with the fixed codes and nothing in it. */
const NOTHING = Uint8Array.of(3, 0);

const text = words(1, 3000);
/** One stored block, not the last. */
const stored = concatBytes([
  Uint8Array.of(0, text.length & 255, text.length >> 8, ~text.length & 255, (~text.length >> 8) & 255),
  text,
]);
const emptyBlocks = (count: number): Uint8Array => concatBytes(Array.from({ length: count }, () => EMPTY_STORED));

/** Fails when it is read as though it had an end. */
const endless =
  (front: Uint8Array): ReadBytes =>
  (offset, target) => {
    if (offset > 1_000_000) throw new Error("read on and on");
    for (let i = 0; i < target.length; i++) {
      const at = offset + i;
      target[i] = (at < front.length ? front[at] : EMPTY_STORED[(at - front.length) % EMPTY_STORED.length]) ?? 0;
    }
  };

describe("a stream of empty blocks that does not end", () => {
  test.each([
    ["from its front on", new Uint8Array(0)],
    ["behind some content", stored],
  ])("is given up soon, %s", (_, front) => {
    expect(takeApart(endless(front), 0, 2 ** 40, { plainBytesMax: 2 ** 30 })).toBeUndefined();
    const sample = withWorkspace((workspace) =>
      takeSample({ read: endless(front), start: 0, end: 2 ** 40 }, 10_000, workspace),
    );
    expect(sample).toBeUndefined();
  });

  test("and one of some empty blocks is taken apart as ever", () => {
    const stream = concatBytes([emptyBlocks(20), stored, emptyBlocks(20), NOTHING]);
    const taken = apart(stream);
    expect(taken?.compressedBytes).toBe(stream.length);
    expect(Buffer.compare(together(taken?.recipe ?? stream, text, stream.length), stream)).toBe(0);
  });
});

describe("a recipe of very many empty blocks", () => {
  const COUNT = 20_000;

  const recipeOf = (type: (typeof BLOCK)[keyof typeof BLOCK] | undefined): Uint8Array => {
    const recipe = new RecipeWriter({
      level: 6,
      strategy: "default",
      hash: "zlib",
      hashBits: 15,
      windowBits: 15,
      blockTokens: 16_383,
    });
    for (let i = 0; i < COUNT; i++) recipe.block({ type, size: 0, isNotLast: true });
    recipe.block();
    return recipe.finish(0);
  };

  // bits of each: its type, an end, and of a dynamic one a header of 89
  test.each([
    ["as expected", undefined, 10],
    ["with the fixed codes", BLOCK.fixed, 10],
    ["with codes of their own", BLOCK.dynamic, 92],
  ])("does not make a plan for each of them: %s", (_, type, bits) => {
    const bytes = Math.ceil((COUNT * bits + 10) / 8);
    expect(together(recipeOf(type), new Uint8Array(0), bytes).length).toBe(bytes);
    expect(planBlock.mock.calls.length).toBeLessThanOrEqual(1);
  });
});
