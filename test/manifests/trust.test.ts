/** The trust formats and their checks, under Node and under workerd. */
import { assert, asyncProperty, dictionary, integer, jsonValue, nat, property, string, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { objectIdOf, toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTAS_EARLIER_MAX, DELTAS_MAX } from "../../manifests/limits.ts";
import { writeRelease } from "../../manifests/release.ts";
import { canonicalJson } from "../../manifests/trust/canonical.ts";
import { openFresh, parseFreshRequest, signFresh } from "../../manifests/trust/fresh.ts";
import {
  afterDelta,
  afterPublish,
  chooseRelease,
  listedDeltas,
  liveOf,
  rolloutBucket,
} from "../../manifests/trust/live.ts";
import {
  type RootRole,
  type SignedRelease,
  type TargetsPlan,
  type TargetsRole,
  type UnixSeconds,
  after,
  buildChannel,
  buildLive,
  buildRoot,
  buildSnapshot,
  buildTargets,
  buildTimestamp,
  encodeRole,
  formatTime,
  metaOf,
  parseTime,
  signRole,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { parseEdgeUrl, parseTitleFile, writeTitleFile } from "../../manifests/trust/title-file.ts";
import {
  type Authority,
  authorityOf,
  channelsOf,
  checkNotExpired,
  checkVersion,
  delegateOf,
  openDelegated,
  openRoot,
  openSnapshot,
  openTargets,
  openThreshold,
  openTimestamp,
  parseKey,
  publisherKeys,
  releasesOf,
  requestersFor,
  verifyRelease,
} from "../../manifests/trust/verify.ts";
import { sha256 } from "../support/hashes.ts";
import vectors from "../vectors/trust/vectors.json" with { type: "json" };
import { type TestKey, testCrypto, testKey, verifyEd25519 } from "../support/role-keys.ts";

const NOW = toUnixSeconds(Date.UTC(2026, 10, 22, 10));
const dates = { version: 1, expires: after(NOW, 3600) };
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);
const invalid = expect.objectContaining({ code: "metadata.invalid" });

const [ROOT_1, ROOT_2, ROOT_3, TARGETS, STABLE, BETA, ONLINE] = (await Promise.all(
  ["root-1", "root-2", "root-3", "targets", "stable", "beta", "online"].map(testKey),
)) as [TestKey, TestKey, TestKey, TestKey, TestKey, TestKey, TestKey];
const ROOT_KEYS = [ROOT_1, ROOT_2, ROOT_3];
const alone = (key: TestKey) => ({ keys: [key], threshold: 1 });

const rootPlan = { ...dates, root: { keys: ROOT_KEYS, threshold: 2 }, targets: alone(TARGETS), online: [ONLINE] };
const targetsPlan: TargetsPlan = { ...dates, channels: { stable: alone(STABLE), beta: alone(BETA) }, online: [ONLINE] };
const ROOT = buildRoot(rootPlan);
const TARGETS_ROLE = buildTargets(targetsPlan);

function release(seq: number, channel = "stable"): SignedRelease {
  return {
    channel,
    path: `${channel}/${seq}.json`,
    seq,
    version: `1.${seq}.0`,
    files: seq,
    bytes: 1000 * seq,
    infohash: seq.toString(16).padStart(40, "0"),
    torrent: objectIdOf(utf8(`torrent ${seq}`), sha256),
    created: "2026-11-22T10:00:00Z",
    document: { sha256: objectIdOf(utf8(`release ${seq}`), sha256), bytes: 400 },
  };
}

// --- Canonical JSON --------------------------------------------------------------------------------------------------

test.each([
  [{ b: 1, a: [true, null, "x"] }, '{"a":[true,null,"x"],"b":1}'],
  ['a\\b"c\nd\u0001é', '"a\\\\b\\"c\nd\u0001é"'],
  [{ aa: 0, a: -5, A: {} }, '{"A":{},"a":-5,"aa":0}'],
  [[], "[]"],
])("canonical JSON sorts keys, leaves no space, and escapes only backslash and quote", (value, expected) => {
  expect(text(canonicalJson(value))).toBe(expected);
});

test.each([[1.5], [2 ** 53], [Number.NaN], [undefined], [[undefined]], [1n], [() => 1], [nested(40)]])(
  "canonical JSON has no form for what signers could write differently",
  (value) => {
    expect(() => canonicalJson(value)).toThrow(invalid);
  },
);

test("canonical JSON does not depend on the order in which keys were written", () => {
  assert(
    property(dictionary(string(), integer()), (record) => {
      const reversed = Object.fromEntries(Object.entries(record).toReversed());
      expect(canonicalJson(reversed)).toEqual(canonicalJson(record));
    }),
  );
});

function nested(depth: number): unknown {
  return depth === 0 ? [] : [nested(depth - 1)];
}

// --- Keys and signatures ---------------------------------------------------------------------------------------------

test.each(vectors)("keys, canonical JSON and signatures of $seed are securesystemslib's", async (vector) => {
  const key = await testKey(vector.seed);
  expect(toHex(key.publicKey)).toBe(vector.public);
  expect(key.keyid).toBe(vector.keyid);
  for (const { value, canonical, sig } of vector.signatures) {
    expect(text(canonicalJson(value))).toBe(canonical);
    expect((await signRole(value, [key])).signatures).toEqual([{ keyid: key.keyid, sig }]);
  }
});

test("a role opens when enough of its keys signed it", async () => {
  const authority = authorityOf(ROOT, "root");
  const signed = await signRole(ROOT, [ROOT_3, ROOT_1]);
  expect(await openThreshold(encodeRole(signed), "root", authority, verifyEd25519)).toEqual(ROOT);
});

test.each<[string, () => Promise<{ bytes: Uint8Array; authority?: Authority }>]>([
  ["one key of two", async () => ({ bytes: encodeRole(await signRole(ROOT, [ROOT_1])) })],
  ["the same key twice", async () => ({ bytes: encodeRole(await signRole(ROOT, [ROOT_1, ROOT_1])) })],
  ["a key that does not hold the role", async () => ({ bytes: encodeRole(await signRole(ROOT, [ROOT_1, TARGETS])) })],
  [
    "one key under two ids",
    async () => {
      const alias = "0".repeat(64);
      const bytes = encodeRole(await signRole(ROOT, [ROOT_1, { ...ROOT_1, keyid: alias }]));
      const keys = { [ROOT_1.keyid]: ROOT_1.key, [alias]: ROOT_1.key };
      return { bytes, authority: { keys, keyids: Object.keys(keys), threshold: 2 } };
    },
  ],
  [
    "a signature moved to another key's id",
    async () => {
      const { signed, signatures } = await signRole(ROOT, [ROOT_1]);
      const moved = signatures.map(({ sig }) => ({ keyid: ROOT_2.keyid, sig }));
      return { bytes: encodeRole({ signed, signatures: [...signatures, ...moved] }) };
    },
  ],
  [
    "a signature twice, which tuf-js refuses",
    async () => {
      const { signed, signatures } = await signRole(ROOT, [ROOT_1, ROOT_2]);
      return { bytes: encodeRole({ signed, signatures: [...signatures, ...signatures.slice(0, 1)] }) };
    },
  ],
  ...["constructor", "prototype", "__proto__"].map((name): [string, () => Promise<{ bytes: Uint8Array }>] => [
    `a field ${name} that nobody signed`,
    async () => {
      const bytes = encodeRole(await signRole(ROOT, [ROOT_1, ROOT_2]));
      return { bytes: utf8(text(bytes).replace('"signed":{', `"signed":{"${name}":1,`)) };
    },
  ]),
  ["no signature", () => Promise.resolve({ bytes: encodeRole({ signed: ROOT, signatures: [] }) })],
  ["no envelope", () => Promise.resolve({ bytes: utf8("{}") })],
  ["no JSON", () => Promise.resolve({ bytes: utf8("<html>") })],
  ["bytes that are not UTF-8", () => Promise.resolve({ bytes: new Uint8Array([0x22, 0xff, 0x22]) })],
  ["33 signatures", async () => ({ bytes: encodeRole(await signRole(ROOT, Array(33).fill(ROOT_1) as TestKey[])) })],
])("a role with %s stays closed", async (_what, make) => {
  const { bytes, authority = authorityOf(ROOT, "root") } = await make();
  await expect(openThreshold(bytes, "root", authority, verifyEd25519)).rejects.toThrow(invalid);
});

test("a refused role is called what it was opened as", async () => {
  const bytes = encodeRole({ signed: ROOT, signatures: [] });
  await expect(openThreshold(bytes, "stable", authorityOf(ROOT, "root"), verifyEd25519)).rejects.toMatchObject({
    facts: { role: "stable" },
  });
});

test("a role over its cap is not even parsed", async () => {
  const bytes = encodeRole(await signRole(ROOT, [ROOT_1, ROOT_2]));
  await expect(
    openThreshold(bytes, "root", authorityOf(ROOT, "root"), verifyEd25519, bytes.length - 1),
  ).rejects.toThrow(invalid);
});

test("whatever byte is changed, a role either stays closed or says the same", async () => {
  const bytes = encodeRole(await signRole(TARGETS_ROLE, [TARGETS]));
  await assert(
    asyncProperty(nat({ max: bytes.length - 1 }), nat({ max: 254 }), async (at, by) => {
      const changed = bytes.map((byte, i) => (i === at ? byte ^ (by + 1) : byte));
      try {
        expect(await openTargets(changed, ROOT, testCrypto)).toEqual(TARGETS_ROLE);
      } catch (error) {
        expect(error).toEqual(invalid);
      }
    }),
  );
});

test("whatever arrives, the answer is a role or a refusal", async () => {
  await assert(
    asyncProperty(jsonValue(), async (value) => {
      await expect(openRoot(utf8(JSON.stringify(value)), undefined, testCrypto)).rejects.toThrow(invalid);
    }),
  );
  await assert(
    asyncProperty(uint8Array({ maxLength: 300 }), async (bytes) => {
      await expect(openRoot(bytes, undefined, testCrypto)).rejects.toThrow(invalid);
    }),
  );
});

test("a key is listed under its own id or not at all", () => {
  expect(parseKey(ROOT_1.key, sha256)).toEqual({ keyid: ROOT_1.keyid, key: ROOT_1.key });
  const upper = { ...ROOT_1.key, keyval: { public: ROOT_1.key.keyval.public.toUpperCase() } };
  for (const wrong of [null, {}, upper, { ...ROOT_1.key, keytype: "rsa" }, { ...ROOT_1.key, extra: 1 }]) {
    expect(() => parseKey(wrong, sha256)).toThrow(invalid);
  }
});

async function sealed(role: object, ...keys: TestKey[]): Promise<Uint8Array> {
  return encodeRole(await signRole(role, keys));
}

// --- Roles -----------------------------------------------------------------------------------------------------------

test("every role reads back as it was built", async () => {
  const channel = buildChannel({ ...dates, releases: [release(1), release(3)] });
  const live = buildLive({ ...dates, channels: { stable: afterPublish(undefined, 3, 100) } }, sha256);
  const meta = metaOf(1, utf8("{}"), sha256);
  const snapshot = buildSnapshot({ ...dates, roles: { targets: meta, stable: meta, live: meta } });
  const timestamp = buildTimestamp({ ...dates, snapshot: meta });

  expect(await openRoot(await sealed(ROOT, ROOT_1, ROOT_2), undefined, testCrypto)).toEqual(ROOT);
  const targets = await openTargets(await sealed(TARGETS_ROLE, TARGETS), ROOT, testCrypto);
  expect(targets).toEqual(TARGETS_ROLE);
  expect(channelsOf(targets)).toEqual(["stable", "beta"]);
  const opened = await openDelegated(await sealed(channel, STABLE), "stable", targets, testCrypto);
  expect(releasesOf(opened, "stable")).toEqual([release(1), release(3)]);
  const openedLive = await openDelegated(await sealed(live, ONLINE), "live", targets, testCrypto);
  expect(liveOf(openedLive, "stable")).toEqual({ seq: 3, rollout: 100, hold: false, previous: null, deltas: [] });
  expect(await openSnapshot(await sealed(snapshot, ONLINE), ROOT, testCrypto)).toEqual(snapshot);
  expect(await openTimestamp(await sealed(timestamp, ONLINE), ROOT, testCrypto)).toEqual(timestamp);
});

test("releases are listed by number, not by the spelling of their paths", () => {
  const role = buildChannel({ ...dates, releases: [10, 9, 100].map((seq) => release(seq)) });
  expect(releasesOf(role, "stable").map(({ seq }) => seq)).toEqual([9, 10, 100]);
});

const badRoots: [string, (root: RootRole) => unknown][] = [
  [
    "a threshold its keys can never reach",
    (r) => ({ ...r, roles: { ...r.roles, root: { ...r.roles.root, threshold: 4 } } }),
  ],
  ["a threshold of none", (r) => ({ ...r, roles: { ...r.roles, root: { ...r.roles.root, threshold: 0 } } })],
  [
    "the same key id twice",
    (r) => ({ ...r, roles: { ...r.roles, root: { keyids: [ROOT_1.keyid, ROOT_1.keyid], threshold: 1 } } }),
  ],
  ["a key under an id that is not its own", (r) => ({ ...r, keys: { ...r.keys, [ROOT_1.keyid]: TARGETS.key } })],
  ["a holder it has no key of", (r) => ({ ...r, keys: { [ROOT_1.keyid]: ROOT_1.key } })],
  ["no consistent snapshots", (r) => ({ ...r, consistent_snapshot: false })],
  ["TUF 2", (r) => ({ ...r, spec_version: "2.0.0" })],
  ["version 0", (r) => ({ ...r, version: 0 })],
  ["a version between two", (r) => ({ ...r, version: 1.5 })],
  ["a date that is none", (r) => ({ ...r, expires: "2026-13-45T00:00:00Z" })],
  ["a date with milliseconds", (r) => ({ ...r, expires: "2026-11-22T10:00:00.000Z" })],
  ["the type of another role", (r) => ({ ...r, _type: "targets" })],
  ["no role for the timestamp", (r) => ({ ...r, roles: { ...r.roles, timestamp: undefined } })],
];

test.each(badRoots)("a root with %s is refused, though its keys signed it", async (_what, spoil) => {
  const spoilt = JSON.parse(JSON.stringify(spoil(ROOT))) as object;
  const signed = { signed: spoilt, signatures: [] as { keyid: string; sig: string }[] };
  for (const key of ROOT_KEYS) {
    try {
      signed.signatures.push({ keyid: key.keyid, sig: toHex(await key.sign(canonicalJson(spoilt))) });
    } catch (error) {
      // what has no canonical form cannot be signed either
      expect(error).toEqual(invalid);
    }
  }
  await expect(openRoot(encodeRole(signed), undefined, testCrypto)).rejects.toThrow(invalid);
});

test("a new root needs the old root's keys and its own, and follows it by one", async () => {
  const keys = (await Promise.all(["new-1", "new-2", "new-3"].map(testKey))) as [TestKey, TestKey, TestKey];
  const next = buildRoot({ ...rootPlan, version: 2, root: { keys, threshold: 2 } });
  expect(await followed(next, [ROOT_1, ROOT_2, keys[0], keys[1]])).toEqual(next);
  await expect(followed(next, [ROOT_1, ROOT_2])).rejects.toThrow(invalid);
  await expect(followed(next, [keys[0], keys[1]])).rejects.toThrow(invalid);
  const skipping = buildRoot({ ...rootPlan, version: 3 });
  await expect(followed(skipping, [ROOT_1, ROOT_2])).rejects.toMatchObject({ code: "metadata.rollback" });
});

async function followed(root: RootRole, signers: TestKey[]): Promise<RootRole> {
  return openRoot(await sealed(root, ...signers), ROOT, testCrypto);
}

const badTargets: [string, (targets: TargetsRole) => TargetsRole][] = [
  ["lists a release itself", (t) => ({ ...t, targets: buildChannel({ ...dates, releases: [release(1)] }).targets })],
  ["delegates nothing", ({ delegations: _none, ...t }) => t],
  ["gives a channel another channel's folder", (t) => withRole(t, { paths: ["beta/*"] })],
  ["gives a channel two folders", (t) => withRole(t, { paths: ["stable/*", "live/*"] })],
  ["gives a channel everything", (t) => withRole(t, { paths: ["*"] })],
  ["delegates a name twice", (t) => withRole(t, { name: "beta", paths: ["beta/*"] })],
  ["delegates to a name that is no channel's", (t) => withRole(t, { name: "../x", paths: ["../x/*"] })],
  ["delegates to a top-level role", (t) => withRole(t, { name: "snapshot", paths: ["snapshot/*"] })],
];

test.each(badTargets)("a targets role that %s is refused", async (_what, spoil) => {
  const bytes = encodeRole(await signRole(spoil(TARGETS_ROLE), [TARGETS]));
  await expect(openTargets(bytes, ROOT, testCrypto)).rejects.toThrow(invalid);
});

function withRole(targets: TargetsRole, change: Partial<{ name: string; paths: string[] }>): TargetsRole {
  const { keys = {}, roles = [] } = targets.delegations ?? {};
  return {
    ...targets,
    delegations: { keys, roles: roles.map((role, i) => (i === 0 ? { ...role, ...change } : role)) },
  };
}

test("a channel may not speak for another, nor delegate on", async () => {
  const open = async (role: TargetsRole) =>
    openDelegated(encodeRole(await signRole(role, [STABLE])), "stable", TARGETS_ROLE, testCrypto);
  await expect(open(buildChannel({ ...dates, releases: [release(1, "beta")] }))).rejects.toThrow(invalid);
  await expect(open(TARGETS_ROLE)).rejects.toThrow(invalid);
  await expect(
    open(buildLive({ ...dates, channels: { stable: afterPublish(undefined, 1, 100) } }, sha256)),
  ).rejects.toThrow(invalid);
});

test.each(["stable/0.json", "stable/01.json", "stable/1.json/x", "stable/1", "stable/99999999999999999.json"])(
  "a channel that lists %s is refused",
  (path) => {
    const role = buildChannel({ ...dates, releases: [{ ...release(1), path }] });
    expect(() => releasesOf(role, "stable")).toThrow(invalid);
  },
);

test("a release's v1 torrent is listed when there is one", () => {
  const v1 = { torrent: objectIdOf(utf8("v1 torrent"), sha256), infohash: "ab".repeat(20) };
  const releases = [release(1), { ...release(2), v1 }];
  expect(releasesOf(buildChannel({ ...dates, releases }), "stable")).toEqual(releases);
  for (const broken of [{ torrent: v1.torrent }, { infohash: v1.infohash }, { ...v1, infohash: "xyz" }, "v1"]) {
    const role = buildChannel({ ...dates, releases: [{ ...release(1), v1: broken as typeof v1 }] });
    expect(() => releasesOf(role, "stable")).toThrow(invalid);
  }
});

test("a release document must say what its channel's role says of it, as far as that says it", () => {
  const { channel, path, seq, version, files, bytes, infohash, torrent, created } = release(5);
  const v1 = { torrent: objectIdOf(utf8("v1 torrent"), sha256), infohash: "ab".repeat(20) };
  const document = writeRelease({
    ...{ title: "demo", seq, version, created, files, bytes, rollbackOf: null, notes: "" },
    tree: { sha256: objectIdOf(utf8("tree"), sha256), bytes: 100 },
    torrent: {
      ...{ sha256: torrent, infohash, infohashV2: "cd".repeat(32), pieceLength: 16_384 },
      v1: { sha256: v1.torrent, infohash: v1.infohash },
    },
  });
  const wanted: SignedRelease = {
    ...{ channel, path, seq, version, files, bytes, infohash, torrent, v1, created },
    document: { sha256: objectIdOf(document, sha256), bytes: document.length },
  };
  expect(verifyRelease(document, "demo", wanted, sha256).torrent.v1?.infohash).toBe(v1.infohash);
  // a publisher's older tool wrote the role again and dropped what it did not know
  const { v1: _, ...forgotten } = wanted;
  expect(verifyRelease(document, "demo", forgotten, sha256).torrent.v1?.infohash).toBe(v1.infohash);
  const others: Partial<SignedRelease>[] = [
    ...[{ seq: 6 }, { version: "2" }, { files: 1 }, { bytes: 1 }, { infohash: "0".repeat(40) }],
    ...[{ torrent: v1.torrent }, { v1: { ...v1, torrent } }, { v1: { ...v1, infohash } }],
  ];
  for (const other of others) {
    expect(() => verifyRelease(document, "demo", { ...wanted, ...other }, sha256)).toThrow(invalid);
  }
  expect(() => verifyRelease(document, "other", wanted, sha256)).toThrow(invalid);
});

test.each([{ files: -1 }, { infohash: "xyz" }, { torrent: "short" }, { version: "" }, { bytes: 1.5 }])(
  "a release listed with %o is refused",
  (change) => {
    const role = buildChannel({ ...dates, releases: [{ ...release(1), ...(change as object) }] });
    expect(() => releasesOf(role, "stable")).toThrow(invalid);
  },
);

test("nobody holds a role that was not delegated, whatever its name", () => {
  for (const name of ["nightly", "constructor", "__proto__", "targets"]) {
    expect(() => delegateOf(TARGETS_ROLE, name)).toThrow(invalid);
  }
});

test("a channel's key may speak about its channel only; those of root and targets about everything", () => {
  const above = [...ROOT_KEYS, TARGETS].map(({ keyid }) => keyid);
  const about = (role: string, targets: TargetsRole | undefined = TARGETS_ROLE): string[] =>
    [...requestersFor(role, ROOT, targets)].toSorted();
  expect(about("stable")).toEqual([...above, STABLE.keyid].toSorted());
  expect(about("beta")).toEqual([...above, BETA.keyid].toSorted());
  for (const role of ["root", "targets", "live", "snapshot", "nightly", "constructor"]) {
    expect(about(role)).toEqual(above.toSorted());
  }
  expect([...requestersFor("stable", ROOT, undefined)].toSorted()).toEqual(above.toSorted());
});

test("publishers' keys are those of root, targets and channels, never the edge's", () => {
  const before = publisherKeys(ROOT, undefined);
  expect([...before.keys()].toSorted()).toEqual([...ROOT_KEYS, TARGETS].map(({ keyid }) => keyid).toSorted());
  const all = publisherKeys(ROOT, TARGETS_ROLE);
  expect(all.size).toBe(6);
  expect(all.has(ONLINE.keyid)).toBe(false);
});

test("a version is right exactly, above, or at least", () => {
  const rollback = expect.objectContaining({ code: "metadata.rollback" });
  checkVersion("root", 3, { exactly: 3 });
  checkVersion("root", 3, { above: 2 });
  checkVersion("root", 3, { atLeast: 3 });
  expect(() => checkVersion("root", 3, { exactly: 2 })).toThrow(rollback);
  expect(() => checkVersion("root", 3, { above: 3 })).toThrow(rollback);
  expect(() => checkVersion("root", 3, { atLeast: 4 })).toThrow(rollback);
});

test("a role lasts up to the second it names, and not that second", () => {
  expect(formatTime(NOW)).toBe("2026-11-22T10:00:00Z");
  expect(parseTime(formatTime(NOW))).toBe(NOW);
  checkNotExpired("root", { expires: formatTime(NOW) }, after(NOW, -1));
  expect(() => checkNotExpired("root", { expires: formatTime(NOW) }, NOW)).toThrow(
    expect.objectContaining({ code: "metadata.expired" }),
  );
});

// --- Live ------------------------------------------------------------------------------------------------------------

const RELEASES = [1, 2, 5].map((seq) => release(seq));
const INSTALL = "00112233445566778899aabbccddeeff";
const TORRENT = { object: objectIdOf(utf8("torrent"), sha256), infohash: "a".repeat(40), infohashV2: "b".repeat(64) };
const STATE = { installed: undefined, installId: INSTALL, leastCurrent: 0, leastInstalled: 0, previous: 0 };
const BUCKET = rolloutBucket(release(5).infohash, INSTALL, sha256);

test.each<[string, object, number | undefined, [number | undefined, string]]>([
  ["everyone gets the current release", {}, 2, [5, "current"]],
  ["a first install gets it too", {}, undefined, [5, "current"]],
  ["who has it keeps it", { rollout: 0, hold: true }, 5, [5, "current"]],
  ["below the rollout it is given", { rollout: BUCKET + 1 }, 2, [5, "current"]],
  ["outside the rollout the install stays", { rollout: BUCKET }, 2, [2, "not-yet-rolled-out"]],
  [
    "outside the rollout a first install gets the one before",
    { rollout: BUCKET },
    undefined,
    [2, "not-yet-rolled-out"],
  ],
  ["outside the rollout an old install moves up to the one before", { rollout: 0 }, 1, [2, "not-yet-rolled-out"]],
  ["under a hold nobody moves", { hold: true }, 2, [2, "held"]],
  ["under a hold a first install gets the one before", { hold: true }, undefined, [2, "held"]],
  ["under a hold of the only release there is none", { hold: true, previous: null }, undefined, [undefined, "held"]],
])("%s", (_what, change, installed, [seq, because]) => {
  const live = { seq: 5, rollout: 100, hold: false, previous: 2, deltas: [], ...change };
  const choice = chooseRelease(live, RELEASES, { ...STATE, installed }, sha256);
  expect([choice.release?.seq, choice.because]).toEqual([seq, because]);
});

test("the release before must be one the publisher signed, too", () => {
  const live = { seq: 5, rollout: 0, hold: false, previous: 4, deltas: [] };
  expect(() => chooseRelease(live, RELEASES, STATE, sha256)).toThrow(invalid);
});

test.each([
  { seq: 5, rollout: 0, hold: false, previous: 1, deltas: [] },
  { seq: 5, rollout: 100, hold: true, previous: 1, deltas: [] },
])("an edge leads nobody below the title's floor by the release before: $rollout, $hold", (live) => {
  const choice = chooseRelease(live, RELEASES, { ...STATE, leastCurrent: 2, leastInstalled: 2 }, sha256);
  expect(choice.release).toBe(undefined);
  // nor back to one that was the release before earlier
  expect(() => chooseRelease(live, RELEASES, { ...STATE, leastCurrent: 5, previous: 2 }, sha256)).toThrow(
    expect.objectContaining({ code: "metadata.rollback" }),
  );
});

test("a release before that the channel dropped since is no rollback: there is none", () => {
  const live = { seq: 5, rollout: 0, hold: false, previous: null, deltas: [] };
  const choose = (installed: number | undefined) =>
    chooseRelease(live, RELEASES, { ...STATE, installed, previous: 2 }, sha256).release?.seq;
  expect([choose(undefined), choose(2), choose(5)]).toEqual([undefined, 2, 5]);
});

test("of deltas no more are read than an edge lists", () => {
  const delta = { from: 1, index: "a".repeat(64), bytes: 1, torrent: TORRENT };
  const live = { seq: 2, rollout: 100, hold: false, previous: null, deltas: Array.from({ length: 500 }, () => delta) };
  const earlier = Array.from({ length: 500 }, () => ({ ...delta, to: 2 }));
  const target = { length: 0, hashes: { sha256: "0".repeat(64) }, custom: { ...live, earlier } };
  const role = { ...buildChannel({ ...dates, releases: [] }), targets: { "live/stable.json": target } };
  const read = liveOf(role, "stable");
  expect([read?.deltas.length, read?.earlier?.length]).toEqual([DELTAS_MAX, DELTAS_EARLIER_MAX]);
});

test("publishing remembers the last release that everyone got", () => {
  const first = afterPublish(undefined, 1, 100);
  expect(first).toEqual({ seq: 1, rollout: 100, hold: false, previous: null, deltas: [] });
  const partly = afterPublish(first, 2, 10);
  expect(partly.previous).toBe(1);
  expect(afterPublish(partly, 3, 100).previous).toBe(1);
  expect(afterPublish({ ...first, hold: true }, 2, 100).previous).toBe(null);
});

test("deltas to what is live lead to an earlier release after the next one, and the oldest are forgotten", () => {
  let live = afterPublish(undefined, 1, 100);
  for (let seq = 2; seq <= 20; seq++) {
    live = afterPublish(live, seq, 100);
    for (const from of [seq - 1, Math.max(1, seq - 2)]) {
      live = afterDelta(live, { from, index: objectIdOf(utf8(`${from} ${seq}`), sha256), bytes: 1, torrent: TORRENT });
    }
  }
  expect(live.deltas.map(({ from }) => from)).toEqual([19, 18]);
  expect(live.earlier).toHaveLength(DELTAS_EARLIER_MAX);
  expect(live.earlier?.slice(0, 3).map(({ from, to }) => [from, to])).toEqual([
    [18, 19],
    [17, 19],
    [17, 18],
  ]);
  expect(listedDeltas(live)).toHaveLength(DELTAS_EARLIER_MAX + 2);
  expect(listedDeltas(live)[0]?.to).toBe(20);
});

test("buckets are spread evenly over installs, and differ from release to release", () => {
  const counts = Array.from({ length: 10 }, () => 0);
  let same = 0;
  for (let i = 0; i < 2000; i++) {
    const install = toHex(sha256(utf8(`install ${i}`))).slice(0, 32);
    const bucket = rolloutBucket(release(5).infohash, install, sha256);
    const tenth = Math.floor(bucket / 10);
    counts[tenth] = (counts[tenth] ?? 0) + 1;
    if (bucket === rolloutBucket(release(2).infohash, install, sha256)) same += 1;
  }
  // 200 expected in each tenth, standard deviation 13; 20 expected the same, deviation 4.5. The inputs are fixed.
  for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(50);
  expect(same).toBeLessThan(50);
});

// --- Freshness -------------------------------------------------------------------------------------------------------

test("a freshness statement answers the one who asked", async () => {
  const statement = { title: "demo", nonce: "ab".repeat(32), now: NOW, timestamp: "0".repeat(64) };
  const bytes = await signFresh(statement, [ONLINE]);
  const asked = { title: "demo", nonce: statement.nonce };
  const authority = authorityOf(ROOT, "timestamp");
  expect(await openFresh(bytes, asked, authority, verifyEd25519)).toEqual(statement);
  for (const other of [
    { ...asked, title: "other" },
    { ...asked, nonce: "cd".repeat(32) },
  ]) {
    await expect(openFresh(bytes, other, authority, verifyEd25519)).rejects.toThrow(invalid);
  }
  await expect(openFresh(bytes, asked, authorityOf(ROOT, "targets"), verifyEd25519)).rejects.toThrow(invalid);
});

test("a nonce is 16 to 64 bytes in lowercase hex", () => {
  expect(parseFreshRequest({ nonce: "ab".repeat(16) })).toEqual({ nonce: "ab".repeat(16) });
  for (const body of [
    null,
    {},
    { nonce: 5 },
    { nonce: "ab" },
    { nonce: "AB".repeat(16) },
    { nonce: "ab".repeat(65) },
  ]) {
    expect(() => parseFreshRequest(body)).toThrow(expect.objectContaining({ code: "request.malformed" }));
  }
});

// --- title.json ------------------------------------------------------------------------------------------------------

test("title.json reads back as it was written, and takes nothing else", async () => {
  const file = {
    title: "demo",
    edges: ["https://updates.example.com/base"],
    channel: "stable",
    root: await signRole(ROOT, [ROOT_1, ROOT_2]),
    floor: { root: 1, targets: 1, seq: 0, time: NOW },
  };
  expect(parseTitleFile(writeTitleFile(file), sha256)).toEqual(file);
  const bad = expect.objectContaining({ code: "usage.bad-title-file" });
  for (const change of [
    { v: 2 },
    { title: "Demo Game" },
    { title: "../demo" },
    { channel: "root" },
    { edges: [] },
    { edges: ["ftp://x"] },
    { root: { signed: { ...ROOT, version: 0 }, signatures: [] } },
    { floor: { ...file.floor, time: -1 } },
  ]) {
    const written = { ...(JSON.parse(text(writeTitleFile(file))) as object), ...change };
    expect(() => parseTitleFile(utf8(JSON.stringify(written)), sha256)).toThrow(bad);
  }
  expect(() => parseTitleFile(utf8("{"), sha256)).toThrow(bad);
});

test("an edge is named by an http or https URL without credentials, query or fragment", () => {
  expect(parseEdgeUrl("http://127.0.0.1:8787/")).toBe("http://127.0.0.1:8787");
  expect(parseEdgeUrl("https://updates.example.com/a/b//")).toBe("https://updates.example.com/a/b");
  for (const url of [
    "",
    "updates.example.com",
    "file:///x",
    "https://u:p@x",
    "https://x?y",
    "https://x#y",
    "https://x y",
  ]) {
    expect(() => parseEdgeUrl(url)).toThrow(Failure);
  }
});

test("seconds are not milliseconds", () => {
  const seconds: UnixSeconds = toUnixSeconds(1_795_341_600_999);
  expect(seconds).toBe(1_795_341_600);
});
