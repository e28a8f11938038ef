/** The threads that make a group's delta, against the one thread that encodes it alone. */
import { afterAll, expect, test } from "vitest";
import { cutObjects, GroupMemory, makeGroupDelta } from "../../cli/publish/group-delta.ts";
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
  const made = await makeGroupDelta(
    { source, oldBytes: old.length },
    { signal: new AbortController().signal, memory, onScanned: (bytes) => (scanned += bytes) },
  );
  expect(scanned).toBe(fresh.length);
  const alone = encodeDelta(source, old.length, { compress, squeeze: squeezedBytes });
  expect(Buffer.compare(made.delta, alone)).toBe(0);
  expect(Buffer.compare(concatBytes([...cutObjects(made)]), alone)).toBe(0);
});

test("Node compiles what guesses references: where that fails nobody notices, but it takes four times as long", () => {
  expect(newReferences()).not.toBeInstanceOf(PlainReferences);
});
