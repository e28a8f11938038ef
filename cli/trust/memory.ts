/**
 * What a player remembers of a title besides the metadata itself: how far it got, so that nobody can lead it back, and
 * its install id. Losing this file loses no safety that title.json's floor does not give back.
 */
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { type RootRole, type UnixSeconds } from "../../manifests/trust/roles.ts";
import { type MetadataStore } from "./store.ts";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Shape = v.object({
  v: v.literal(1),
  /** Drawn once an install, 32 hex digits; decides its place in every rollout and is never sent. */
  install: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  /** Highest root version verified. */
  root: Count,
  /** Newest time an edge signed for us, Unix seconds, and the keys (sorted ids) that held the timestamp role then. */
  signed: v.object({ time: Count, keys: v.array(v.string()) }),
  /** Local time of the last run that verified everything: offline, the cache is judged as of then. */
  checked: Count,
  /** Channel -> highest release the edge has named current. */
  live: v.record(v.string(), Count),
  /** Channel -> highest release the edge has named as the one for who does not get the current one. */
  previous: v.optional(v.record(v.string(), Count), {}),
});

export type Memory = v.InferOutput<typeof Shape>;

const NAME = "memory";

/** What was remembered, or a fresh memory when there is none or it cannot be read. */
export async function recall(store: MetadataStore): Promise<Memory> {
  const bytes = await store.read(NAME);
  try {
    return v.parse(Shape, JSON.parse((bytes ?? "").toString()));
  } catch {
    // first run, or cut short: begin again; the floor of title.json still holds
    const install = randomBytes(16).toString("hex");
    return { v: 1, install, root: 0, signed: { time: 0, keys: [] }, checked: 0, live: {}, previous: {} };
  }
}

export async function remember(store: MetadataStore, memory: Memory): Promise<void> {
  await store.write(NAME, Buffer.from(JSON.stringify(memory)));
}

/** Ids of the keys that hold the timestamp role, sorted. */
export function timestampKeys(root: RootRole): string[] {
  return root.roles.timestamp.keyids.toSorted();
}

/**
 * The newest signed time that still counts: a new timestamp key forgets what the old one said, as TUF forgets versions
 * (1.0.31 §5.3.11), so that a stolen key which signed the year 3000 can be recovered from.
 */
export function rememberedTime(memory: Memory, root: RootRole): UnixSeconds {
  const held = timestampKeys(root);
  const same = memory.signed.keys.length === held.length && memory.signed.keys.every((key, i) => key === held[i]);
  return (same ? memory.signed.time : 0) as UnixSeconds;
}
