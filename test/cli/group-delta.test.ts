/** The threads that make a group's delta, against the one thread that encodes it alone. */
import { afterAll, expect, test } from "vitest";
import { checkGroupDelta, cutObjects, GroupMemory, makeGroupDelta } from "../../cli/publish/group-delta.ts";
import { compress, squeezedBytes } from "../../cli/threads/delta-codecs.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { newReferences } from "../../manifests/delta/compiled-references.ts";
import { encodeDelta } from "../../manifests/delta/encode.ts";
import { PlainReferences } from "../../manifests/delta/plain-references.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { DELTA_SEGMENT_BYTES } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

afterAll(closePool);

test("however many threads make a delta, it is the same bytes", async () => {
  const old = pseudoRandomBytes(3, 500_000);
  const edited = old.slice();
  for (let at = 0; at < edited.length; at += 700) edited[at] = (edited[at] ?? 0) + 9;
  // three segments: what is repeated, what is edited, and what is new
  const repeats = Math.ceil((2 * DELTA_SEGMENT_BYTES) / old.length);
  const fresh = concatBytes([...Array.from({ length: repeats }, () => old), edited, pseudoRandomBytes(4, 300_000)]);
  const joined = concatBytes([old, fresh]);
  const source = new Uint8Array(new SharedArrayBuffer(joined.length));
  source.set(joined);
  let scanned = 0;
  const memory = new GroupMemory();
  // what an earlier group left there is of no account
  memory.take(10_000_000).fill(1);
  const { signal } = new AbortController();
  const work = { source, oldBytes: old.length };
  const made = await makeGroupDelta(work, { signal, memory, onScanned: (bytes) => (scanned += bytes) });
  expect(scanned).toBe(fresh.length);
  const alone = encodeDelta(source, old.length, { compress, squeeze: squeezedBytes });
  expect(Buffer.compare(made.delta, alone)).toBe(0);
  expect(Buffer.compare(concatBytes([...cutObjects(await checkGroupDelta(work, made, signal))]), alone)).toBe(0);
});

test("a delta that makes anything else is not let pass", async () => {
  const { signal } = new AbortController();
  const source = new Uint8Array(new SharedArrayBuffer(60_000));
  source.set(pseudoRandomBytes(5, source.length));
  const work = { source, oldBytes: 0 };
  const made = await makeGroupDelta(work, { signal, onScanned() {}, memory: new GroupMemory() });
  // bytes that do not compress: nearly all of it is new content as it is
  const middle = Math.floor(made.delta.length / 2);
  const right = made.delta[middle] as number;
  made.delta[middle] = right ^ 1;
  await expect(checkGroupDelta(work, made, signal)).rejects.toThrow("does not make what it was made from");
  made.delta[middle] = right;
  expect(await checkGroupDelta(work, made, signal)).toBe(made);
});

test("Node compiles what guesses references: where that fails nobody notices, but it takes four times as long", () => {
  expect(newReferences()).not.toBeInstanceOf(PlainReferences);
});
