import { expect, test } from "vitest";
import { EarlyFlush } from "../../cli/patch/early-flush.ts";
import { EARLY_FLUSH_BYTES } from "../../manifests/limits.ts";

test("what is staged is written as it piles up, one flush after another", async () => {
  const running: (() => void)[] = [];
  const early = new EarlyFlush(() => new Promise((resolve) => running.push(resolve)));
  const flushesAfter = (bytes: number): number => {
    early.staged(bytes);
    return running.length;
  };
  expect(flushesAfter(EARLY_FLUSH_BYTES - 1)).toBe(0);
  expect(flushesAfter(EARLY_FLUSH_BYTES)).toBe(1);
  // it is at work
  expect(flushesAfter(5 * EARLY_FLUSH_BYTES)).toBe(1);
  running[0]?.();
  await Promise.resolve();
  await Promise.resolve();
  expect(flushesAfter(5 * EARLY_FLUSH_BYTES)).toBe(2);
  running[1]?.();
  await Promise.resolve();
  await Promise.resolve();
  expect(flushesAfter(6 * EARLY_FLUSH_BYTES - 1)).toBe(2);
  expect(flushesAfter(6 * EARLY_FLUSH_BYTES)).toBe(3);
});
