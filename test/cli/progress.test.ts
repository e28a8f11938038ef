/** What people are told of speed and time left while a patch runs. */
import { expect, test } from "vitest";
import type { Progress } from "../../cli/output.ts";
import { type Arrived, PatchProgress } from "../../cli/patch/progress.ts";
import { PartTable } from "../../manifests/parts.ts";
import type { Plan } from "../../manifests/plan.ts";

const MB = 1_000_000;
const TOTAL = 100 * MB;
const PLAN: Plan = {
  keep: [],
  chmod: [],
  contents: [],
  parts: new PartTable(),
  remove: [],
  aside: [],
  files: { added: 0, changed: 0, removed: 0, kept: 0 },
  cost: { total: TOTAL, kept: 0, reused: 0, fetch: { plain: TOTAL, stored: TOTAL }, write: TOTAL, disk: TOTAL },
};

function record() {
  const seen: Progress[] = [];
  let clock = 0;
  const progress = new PatchProgress({ progress: (each) => void seen.push(each) }, () => clock);
  const at = (ms: number, origin: number): Progress | undefined => {
    clock = ms;
    const arrived: Arrived = { reused: 0, origin, peers: 0, earlier: 0 };
    progress.staging(PLAN, arrived);
    return seen.at(-1);
  };
  return { progress, at, last: () => seen.at(-1), wait: (ms: number) => (clock += ms) };
}

test("a tenth of a second after the first byte, speed and time left are what they are", () => {
  const { at } = record();
  expect(at(1000, 0)).toMatchObject({ bytesPerSecond: 0 });
  const { bytesPerSecond = 0, secondsLeft = 0 } = at(1100, 10 * MB) ?? {};
  expect(bytesPerSecond / MB).toBeGreaterThan(95);
  expect(bytesPerSecond / MB).toBeLessThan(105);
  expect(secondsLeft).toBeGreaterThan(0.85);
  expect(secondsLeft).toBeLessThan(0.95);
});

test("what a delta brought and what repeats inside it are not counted twice", () => {
  const { progress, last } = record();
  progress.staging(PLAN, { reused: 20 * MB, origin: 10 * MB, peers: 5 * MB, earlier: 75 * MB });
  expect(last()).toMatchObject({ done: TOTAL, sources: { kept: 0, reused: 85 * MB, peers: 5 * MB, origin: 10 * MB } });
  // some of it was wrong, and came again
  progress.staging(PLAN, { reused: 0, origin: TOTAL + MB, peers: 0, earlier: 0 });
  expect(last()).toMatchObject({ done: TOTAL, sources: { kept: 0, reused: 0, origin: TOTAL + MB } });
});

test("the speed of a delta is not that of what comes after it", () => {
  const { progress, at, last, wait } = record();
  progress.delta(0, 10 * MB);
  // two pieces at once say nothing of how fast they come
  wait(1);
  progress.delta(MB, 10 * MB);
  expect(last()).toMatchObject({ bytesPerSecond: 0 });
  wait(99);
  progress.delta(10 * MB, 10 * MB);
  expect((last()?.bytesPerSecond ?? 0) / MB).toBeGreaterThan(95);
  progress.afterDelta();
  expect(at(200, 0)).toMatchObject({ bytesPerSecond: 0 });
  expect((at(300, MB)?.bytesPerSecond ?? 0) / MB).toBeLessThan(11);
});
