/**
 * What the edge says of each channel (the `live` role), and what a player makes of it. The edge chooses among releases
 * that the publisher signed and can stop them; everything here is read through that sentence.
 */
import * as v from "valibot";
import { type Sha256, fromHex, parseObjectId } from "../digest.ts";
import { Failure } from "../failures.ts";
import { DELTAS_EARLIER_MAX, DELTAS_MAX } from "../limits.ts";
import { type SignedRelease, type TargetsRole, livePath } from "./roles.ts";
import { parseShape } from "./shape.ts";

/** 100: everyone. */
export const ROLLOUT_ALL = 100;

const Seq = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

const Id = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/), v.transform(parseObjectId));

const DeltaShape = v.object({
  /** The release it starts from. */
  from: Seq,
  /** The index object (delta/release-delta.ts). */
  index: Id,
  /** All its objects together, what a player fetches; a hint, for choosing. */
  bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** The torrent over its objects, each a file named by its id. */
  torrent: v.object({
    object: Id,
    infohash: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)),
    infohashV2: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  }),
});

/** A delta that leads to what is live. The edge lists what it is told; whether it is any good, the roots tell. */
export type LiveDelta = v.InferOutput<typeof DeltaShape>;

const EarlierShape = v.object({
  ...DeltaShape.entries,
  /** The release it leads to. */
  to: Seq,
});

/** A delta that leads to a release that was live once: a step of a chain. */
export type EarlierDelta = v.InferOutput<typeof EarlierShape>;

/** Throws: what valibot throws when it is no delta. */
export function parseLiveDelta(value: unknown): LiveDelta {
  return v.parse(DeltaShape, value);
}

/** More than an edge lists is left aside: what comes of them is weighed one by one. */
function atMost<Input, Item>(count: number, list: v.GenericSchema<Input, Item[]>) {
  return v.pipe(
    list,
    v.transform((items) => items.slice(0, count)),
  );
}

const LiveShape = v.object({
  /** The release that is rolled out. */
  seq: Seq,
  /** Percent of installs that take it: those whose bucket is below. */
  rollout: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(ROLLOUT_ALL)),
  /** Nobody moves to `seq` any more; who has it keeps it. */
  hold: v.boolean(),
  /** What an install outside the rollout, or under a hold, gets: the last release that everyone got. */
  previous: v.nullable(Seq),
  /** Deltas that lead to `seq`. */
  deltas: atMost(DELTAS_MAX, v.array(DeltaShape)),
  /** Deltas that lead to releases before it, the newest first: steps of chains. Missing when there are none. */
  earlier: v.exactOptional(atMost(DELTAS_EARLIER_MAX, v.array(EarlierShape))),
});

export type LiveChannel = v.InferOutput<typeof LiveShape>;

/** What `live` says of the channel; undefined when it says nothing yet. Throws: metadata.invalid. */
export function liveOf(role: TargetsRole, channel: string): LiveChannel | undefined {
  const path = livePath(channel);
  // hasOwn: "constructor" and its like are not targets
  if (!Object.hasOwn(role.targets, path)) return undefined;
  return parseShape(LiveShape, role.targets[path]?.custom, path);
}

/** The channel's state after a release was published to it. */
export function afterPublish(live: LiveChannel | undefined, seq: number, rollout: number): LiveChannel {
  // the deltas to what was live until now still are steps on the way
  const earlier = live === undefined ? [] : listedDeltas(live).slice(0, DELTAS_EARLIER_MAX);
  return {
    seq,
    rollout,
    hold: false,
    previous: lastForEveryone(live),
    deltas: [],
    ...(earlier.length === 0 ? {} : { earlier }),
  };
}

/** Every delta that `live` tells of, and where it leads. */
export function listedDeltas({ seq, deltas, earlier = [] }: LiveChannel): EarlierDelta[] {
  return [...deltas.map((delta) => ({ ...delta, to: seq })), ...earlier];
}

/** The channel's state with one more delta to what it gives now; a second one from the same release takes its place. */
export function afterDelta(live: LiveChannel, delta: LiveDelta): LiveChannel {
  const others = live.deltas.filter(({ from }) => from !== delta.from);
  return { ...live, deltas: [...others, delta].toSorted((a, b) => b.from - a.from).slice(0, DELTAS_MAX) };
}

function lastForEveryone(live: LiveChannel | undefined): number | null {
  if (live === undefined) return null;
  return live.rollout === ROLLOUT_ALL && !live.hold ? live.seq : live.previous;
}

/**
 * Which hundredth of the installs this one falls in, for one release: SHA-256(info hash ‖ install id) mod 100. Decided
 * by the player, so the edge cannot single a player out; mixed with the release, so nobody is always first.
 * @param infohash  40 hex digits
 * @param installId  32 hex digits, drawn once an install
 */
export function rolloutBucket(infohash: string, installId: string, sha256: Sha256): number {
  const digest = sha256(fromHex(infohash + installId));
  return digest.reduce((remainder, byte) => (remainder * 256 + byte) % ROLLOUT_ALL, 0);
}

/** Why a player gets the release it gets. */
export type Choice =
  | { readonly release: SignedRelease; readonly because: "current" | "held" | "not-yet-rolled-out" }
  | { readonly release: undefined; readonly because: "held" | "not-yet-rolled-out" };

/** What the choice of a release depends on, apart from what the edge says. */
export interface RolloutPlace {
  /** seq of the installed release; undefined on a first install. */
  readonly installed: number | undefined;
  /** 32 hex digits. */
  readonly installId: string;
  /** Least seq that may be called current: the title's floor, and what was called so before. */
  readonly leastCurrent: number;
  /** Least seq that may be installed at all: the title's floor. */
  readonly leastInstalled: number;
  /** The highest `previous` seen so far; it never goes back. */
  readonly previous: number;
}

/**
 * The release of a channel that this install should have.
 * @param releases  what the publisher signed for the channel
 * Throws: metadata.invalid when `live` names a release that the publisher never signed; metadata.rollback when it names
 * one below `leastCurrent`, or below what is installed, or goes back behind the `previous` that was seen.
 */
export function chooseRelease(
  live: LiveChannel,
  releases: readonly SignedRelease[],
  install: RolloutPlace,
  sha256: Sha256,
): Choice {
  const current = signedRelease(releases, live.seq);
  const least = Math.max(install.leastCurrent, install.installed ?? 0);
  if (current.seq < least)
    throw new Failure("metadata.rollback", { found: current.seq, expected: `at least ${least}` });
  // null: the channel's role has dropped it since, and nobody is led back to nothing
  if (live.previous !== null && live.previous < install.previous) {
    throw new Failure("metadata.rollback", { found: live.previous, expected: `at least ${install.previous}` });
  }
  if (current.seq === install.installed) return { release: current, because: "current" };

  const admitted = rolloutBucket(current.infohash, install.installId, sha256) < live.rollout;
  if (admitted && !live.hold) return { release: current, because: "current" };

  const because = live.hold ? "held" : "not-yet-rolled-out";
  // the older release may lie below what is installed: then the install stays as it is
  const older = Math.max(live.previous ?? 0, install.installed ?? 0);
  const isNone = older < 1 || older < install.leastInstalled;
  return isNone ? { release: undefined, because } : { release: signedRelease(releases, older), because };
}

function signedRelease(releases: readonly SignedRelease[], seq: number): SignedRelease {
  const found = releases.find((release) => release.seq === seq);
  if (found === undefined) {
    throw new Failure("metadata.invalid", { role: "live", reason: `release ${seq} is not signed by the publisher` });
  }
  return found;
}
