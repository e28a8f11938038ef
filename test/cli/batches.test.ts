/** Jobs whose failures nobody may miss, and those that nobody waits for. */
import { setImmediate } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { inOrder, runAllOrStop } from "../../cli/threads/batches.ts";

const unheard: unknown[] = [];
const hear = (reason: unknown): void => void unheard.push(reason);
afterEach(() => void process.off("unhandledRejection", hear));

/** Jobs that fail after their reader has gone. */
async function read(take: (job: number) => void): Promise<unknown> {
  process.on("unhandledRejection", hear);
  const jobs = [Promise.resolve(0), setImmediate().then(() => Promise.reject(new Error("late")))];
  const reading = async (): Promise<void> => {
    for await (const job of inOrder(jobs)) take(job);
  };
  const outcome = await reading().catch((error: unknown) => error);
  // the late one fails in the first of these turns, and is called unheard of before the last
  for (let turn = 0; turn < 3; turn++) await setImmediate();
  return outcome;
}

test("a job that fails when its reader is gone ends no program", async () => {
  const full = new Error("the disk is full");
  const outcome = await read(() => {
    throw full;
  });
  expect(outcome).toBe(full);
  expect(unheard).toEqual([]);
});

test("what jobs give comes in their order, and a failure in its turn", async () => {
  const taken: number[] = [];
  expect(await read((job) => void taken.push(job))).toMatchObject({ message: "late" });
  expect(taken).toEqual([0]);
  expect(unheard).toEqual([]);
});

test("when one of many jobs fails no other is begun, and those under way are waited for", async () => {
  const full = new Error("the disk is full");
  const begun: number[] = [];
  const ended: number[] = [];
  const jobs = Array.from({ length: 100 }, (_, job) => job);
  const running = runAllOrStop(jobs, new AbortController().signal, async (job) => {
    begun.push(job);
    if (job === 0) throw full;
    for (let turn = 0; turn < 3; turn++) await setImmediate();
    ended.push(job);
  });
  await expect(running).rejects.toBe(full);
  expect(begun.length).toBeLessThan(jobs.length);
  expect(ended).toEqual(begun.slice(1));
  const begunByThen = begun.length;
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  expect(begun).toHaveLength(begunByThen);
});

test("when it is enough no job is begun", async () => {
  const begun: number[] = [];
  const running = runAllOrStop([1, 2], AbortSignal.abort(), (job) => Promise.resolve(void begun.push(job)));
  await expect(running).rejects.toMatchObject({ code: "source.interrupted" });
  expect(begun).toEqual([]);
});
