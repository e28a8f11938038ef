/** When a tracker over HTTP is asked again: its clock is the test's. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HttpTracker } from "../../cli/peers/http-tracker.ts";
import { ANNOUNCE_INTERVAL_S } from "../../manifests/limits.ts";
import { urlOf } from "../support/press.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A client of a tracker that gives these replies, the last one again and again, and what it was asked. */
function clientOf(...replies: readonly string[]) {
  const events: (string | null)[] = [];
  let heard = Promise.withResolvers<void>();
  const hear = (): void => {
    heard.resolve();
    heard = Promise.withResolvers();
  };
  const announcer = {
    infohash: "11".repeat(20),
    peerId: "22".repeat(20),
    port: 6881,
    progress: () => ({ uploaded: 0, downloaded: 0, left: 1 }),
  };
  const tracker = new HttpTracker("http://tracker.test/announce", announcer, {
    fetch: (input) => {
      events.push(new URL(urlOf(input)).searchParams.get("event"));
      return Promise.resolve(new Response(replies[events.length - 1] ?? replies.at(-1)));
    },
    onPeer: () => {},
    onHeard: hear,
    onWarning: hear,
  });
  return { tracker, events, heard: () => heard.promise };
}

const minutes = (count: number): number => count * 60_000;

test("a tracker that says when to ask again is not asked before, whatever happens meanwhile", async () => {
  const { tracker, events, heard } = clientOf("d14:failure reason4:full8:retry ini7ee", "d8:intervali120e5:peers0:e");
  tracker.announce("started");
  await heard();
  tracker.announce("update");
  tracker.announce("completed");
  await vi.advanceTimersByTimeAsync(minutes(7) - 1);
  expect(events).toEqual(["started"]);
  await Promise.all([heard(), vi.advanceTimersByTimeAsync(1)]);
  expect(events).toEqual(["started", "completed"]);
  // and then as ever
  await Promise.all([heard(), vi.advanceTimersByTimeAsync(ANNOUNCE_INTERVAL_S * 1000)]);
  expect(events).toEqual(["started", "completed", null]);
});

test("a tracker that says never is not asked again, nor told that we leave", async () => {
  const { tracker, events, heard } = clientOf("d14:failure reason2:no8:retry in5:nevere");
  tracker.announce("started");
  await heard();
  tracker.announce("update");
  await vi.advanceTimersByTimeAsync(minutes(600));
  await tracker.leave();
  expect(events).toEqual(["started"]);
});

test("a tracker that refuses and says no more is asked again when it would have been anyway", async () => {
  const { tracker, events, heard } = clientOf("d14:failure reason2:noe");
  tracker.announce("started");
  await heard();
  await Promise.all([heard(), vi.advanceTimersByTimeAsync(ANNOUNCE_INTERVAL_S * 1000)]);
  expect(events).toEqual(["started", null]);
  await tracker.leave();
  expect(events.at(-1)).toBe("stopped");
});
