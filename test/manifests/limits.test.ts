/** What numbers must hold of each other; each by itself is a choice. */
import { expect, test } from "vitest";
import * as limits from "../../manifests/limits.ts";

test("caps and times are numbers above zero", () => {
  const numbers = Object.entries(limits).filter(([, value]) => typeof value === "number");
  expect(numbers.filter(([, value]) => !(Number(value) > 0))).toEqual([]);
});

test("a stalled peer is noticed soon after it has stalled", () => {
  expect(limits.PEERS_TICK_MS).toBeLessThan(limits.PEER_SNUB_MS / 10);
});

test("content is read ahead of its turn by more than a window", () => {
  expect(limits.READ_AHEAD_REQUESTS * limits.BLOCK_BYTES).toBeGreaterThan(limits.SERVE_WINDOW_BYTES);
});

test("a failed announce is not tried more often in the end than a good one is repeated", () => {
  expect(limits.ANNOUNCE_RETRY_MS).toBeLessThan(limits.ANNOUNCE_RETRY_MS_MAX);
  expect(limits.ANNOUNCE_RETRY_MS_MAX).toBeGreaterThanOrEqual(limits.ANNOUNCE_INTERVAL_S * 1000);
});

test("an honest peer's requests always fit", () => {
  expect(limits.PEER_REQUESTS_QUEUED_MAX).toBeGreaterThan(limits.PEER_REQUESTS_ACCEPTED);
  expect(limits.PEER_REQUESTS_MAX).toBeLessThanOrEqual(limits.PEER_REQUESTS_ACCEPTED);
});
