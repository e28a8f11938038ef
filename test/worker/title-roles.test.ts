/**
 * Roles that replace others while players read, and buckets that fail in between: no state in which players are shut
 * out.
 */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { toHex } from "../../manifests/digest.ts";
import { ALARM_RETRY_S, ROLE_LIFETIME_S, TIMESTAMP_RESIGN_BEFORE_S } from "../../manifests/limits.ts";
import { liveOf } from "../../manifests/trust/live.ts";
import { sha256 } from "../support/hashes.ts";
import { testKey } from "../support/role-keys.ts";
import { file, openRepository } from "./published.ts";
import { Publisher, ask, buildRelease, expectOk, noise, now, problemCode } from "./publisher.ts";

const NONCE = "0123456789abcdef".repeat(2);

afterEach(() => vi.useRealTimers());

const rootStatus = async (title: string, version: number): Promise<number> =>
  (await ask(`/t/${title}/metadata/${version}.root.json`)).status;

/** Wakes the title's object anew, with a bucket whose next call of this kind about such a key fails, once. */
async function failOnce(title: string, call: "get" | "put", about: string): Promise<void> {
  const stub = env.TITLES.getByName(title);
  await evictDurableObject(stub);
  await runInDurableObject(stub, (object) => {
    let fails = 1;
    const failing = new Proxy(env.ORIGIN, {
      get(bucket, name) {
        const real: unknown = Reflect.get(bucket, name);
        if (typeof real !== "function") return real;
        return (key: string, ...rest: unknown[]): unknown => {
          if (name === call && key.includes(about) && fails-- > 0) throw new Error("R2 said no (10001)");
          return Reflect.apply(real, bucket, [key, ...rest]);
        };
      },
    });
    Object.assign(object, { env: { ...env, ORIGIN: failing } });
  });
}

async function alarmOf(title: string): Promise<number | null> {
  return await runInDurableObject(env.TITLES.getByName(title), (_, { storage }) => storage.getAlarm());
}

/** SHA-256 of the timestamp that the freshness statement names. */
async function freshTimestamp(title: string): Promise<string> {
  const response = await ask(`/t/${title}/fresh`, { method: "POST", body: JSON.stringify({ nonce: NONCE }) });
  await expectOk(response);
  return (await response.json<{ signed: { timestamp: string } }>()).signed.timestamp;
}

describe("a snapshot", () => {
  test("goes on listing a channel that targets delegates no more: players refuse one that drops a role", async () => {
    const publisher = await Publisher.register("snap-dropped", ["stable", "beta"]);
    const { stable } = publisher.channels;
    if (stable === undefined) throw new Error("no key");
    await expectOk(await publisher.postRole("targets", await publisher.signedTargets(2, { channels: { stable } })));
    const after = await openRepository("snap-dropped");
    expect(after.targets.version).toBe(2);
    expect(after.snapshot.meta["beta.json"]?.version).toBe(1);
    // also in the snapshots that come later
    await expectOk(await publisher.postRole("stable", await publisher.signedChannel("stable", [])));
    const { meta } = (await openRepository("snap-dropped")).snapshot;
    expect([meta["stable.json"]?.version, meta["beta.json"]?.version]).toEqual([2, 1]);
  });

  test.each([
    ["", "snap-healed", 1],
    [", also one that nobody vouched for any more", "snap-healed-unusable", 0],
  ])("lists again a channel that an earlier edge left out when targets dropped it%s", async (_, title, usable) => {
    const publisher = await Publisher.register(title, ["stable", "beta"]);
    const { stable } = publisher.channels;
    if (stable === undefined) throw new Error("no key");
    await expectOk(await publisher.postRole("beta", await publisher.signedChannel("beta", [])));
    await expectOk(await publisher.postRole("targets", await publisher.signedTargets(2, { channels: { stable } })));
    await runInDurableObject(env.TITLES.getByName(title), (_, { storage }) => {
      const [row] = storage.sql.exec("SELECT document FROM roles WHERE name = 'snapshot'").toArray();
      const snapshot = JSON.parse(new TextDecoder().decode(row?.["document"] as ArrayBuffer)) as {
        signed: { meta: Record<string, unknown> };
      };
      delete snapshot.signed.meta["beta.json"];
      const bytes = new TextEncoder().encode(JSON.stringify(snapshot));
      storage.sql.exec("UPDATE roles SET document = ? WHERE name = 'snapshot'", bytes);
      storage.sql.exec("UPDATE roles SET usable = ? WHERE name = 'beta'", usable);
    });
    await expectOk(await publisher.postRole("stable", await publisher.signedChannel("stable", [])));
    const { meta } = (await openRepository(title)).snapshot;
    expect([meta["stable.json"]?.version, meta["beta.json"]?.version]).toEqual([2, 2]);
  });
});

describe("a root that takes targets from its key", () => {
  test("is not shown to players before targets that it vouches for", async () => {
    const publisher = await Publisher.register("root-waits");
    const newTargets = await testKey("root-waits/targets-2");
    await expectOk(await publisher.postRole("root", await publisher.signedRoot(2, { targets: newTargets })));
    expect(await rootStatus("root-waits", 2)).toBe(404);
    expect((await openRepository("root-waits", 1)).targets.version).toBe(1);
    const targets = await publisher.signedTargets(2, { signer: newTargets });
    await expectOk(await publisher.postRole("targets", targets, newTargets));
    expect((await openRepository("root-waits", 2)).targets.version).toBe(2);
  });

  test("waits for the channels too, when the same targets takes them from their keys", async () => {
    const publisher = await Publisher.register("root-waits-more");
    const newTargets = await testKey("root-waits-more/targets-2");
    const newStable = await testKey("root-waits-more/stable-2");
    await expectOk(await publisher.postRole("root", await publisher.signedRoot(2, { targets: newTargets })));
    const targets = await publisher.signedTargets(2, { signer: newTargets, channels: { stable: newStable } });
    await expectOk(await publisher.postRole("targets", targets, newTargets));
    expect(await rootStatus("root-waits-more", 2)).toBe(404);
    expect((await openRepository("root-waits-more", 1)).targets.version).toBe(1);
    const stable = await publisher.signedChannel("stable", [], { signer: newStable });
    await expectOk(await publisher.postRole("stable", stable, newStable));
    expect((await openRepository("root-waits-more", 2)).targets.version).toBe(2);
  });

  test("may be followed by another while it waits; both are shown once targets fits the last", async () => {
    const publisher = await Publisher.register("root-waits-twice");
    const [lost, found] = [await testKey("root-waits-twice/lost"), await testKey("root-waits-twice/found")];
    await expectOk(await publisher.postRole("root", await publisher.signedRoot(2, { targets: lost })));
    const third = await publisher.signedRoot(3, { targets: found });
    await expectOk(await publisher.postRole("root", third, publisher.root[0]));
    await evictDurableObject(env.TITLES.getByName("root-waits-twice"));
    expect(await rootStatus("root-waits-twice", 2)).toBe(404);
    await expectOk(await publisher.postRole("targets", await publisher.signedTargets(2, { signer: found }), found));
    expect([await rootStatus("root-waits-twice", 2), await rootStatus("root-waits-twice", 3)]).toEqual([200, 200]);
    expect((await openRepository("root-waits-twice", 3)).targets.version).toBe(2);
  });

  test("is shown at once when it leaves targets its key", async () => {
    const publisher = await Publisher.register("root-at-once");
    await expectOk(await publisher.postRole("root", await publisher.signedRoot(2)));
    expect((await openRepository("root-at-once", 2)).root.version).toBe(2);
  });
});

describe("a bucket that fails once", () => {
  test("at the alarm's timestamp: the alarm tries again soon, and no statement names what is not there", async () => {
    await Publisher.register("bucket-alarm");
    const before = await openRepository("bucket-alarm");
    await failOnce("bucket-alarm", "put", "timestamp.json");
    const ahead = (ROLE_LIFETIME_S.timestamp - TIMESTAMP_RESIGN_BEFORE_S + 60) * 1000;
    vi.useFakeTimers({ now: Date.now() + ahead, toFake: ["Date"] });
    await expect(runDurableObjectAlarm(env.TITLES.getByName("bucket-alarm"))).rejects.toThrow("R2 said no");
    expect(await alarmOf("bucket-alarm")).toBeLessThanOrEqual((now() + ALARM_RETRY_S + 1) * 1000);
    const stated = await freshTimestamp("bucket-alarm");
    expect(toHex(sha256(await file("bucket-alarm", "timestamp.json")))).toBe(stated);
    expect((await openRepository("bucket-alarm")).timestamp.version).toBe(before.timestamp.version + 1);
  });

  test("at a role's timestamp: the role is out with the alarm", async () => {
    const publisher = await Publisher.register("bucket-role");
    await failOnce("bucket-role", "put", "timestamp.json");
    const response = await publisher.postRole("stable", await publisher.signedChannel("stable", []));
    expect(response.status).toBe(500);
    expect(await alarmOf("bucket-role")).toBeLessThanOrEqual((now() + ALARM_RETRY_S + 1) * 1000);
    await runDurableObjectAlarm(env.TITLES.getByName("bucket-role"));
    expect((await openRepository("bucket-role")).snapshot.meta["stable.json"]?.version).toBe(2);
  });

  test("while new targets are weighed: sent again, they still take the channel from its old key", async () => {
    const publisher = await Publisher.register("bucket-targets");
    await failOnce("bucket-targets", "get", ".stable.json");
    const newStable = await testKey("bucket-targets/stable-2");
    const targets = await publisher.signedTargets(2, { channels: { stable: newStable } });
    expect((await publisher.postRole("targets", targets)).status).toBe(500);
    await expectOk(await publisher.postRole("targets", targets));
    expect((await openRepository("bucket-targets")).targets.version).toBe(1);
    const stable = await publisher.signedChannel("stable", [], { signer: newStable });
    await expectOk(await publisher.postRole("stable", stable, newStable));
    expect((await openRepository("bucket-targets")).targets.version).toBe(2);
  });
});

describe("a tracker that cannot be told", () => {
  const withTracker = async (title: string, tracker: object): Promise<void> =>
    runInDurableObject(env.TITLES.getByName(title), (object) => {
      Object.assign(object, { env: { ...env, SWARMS: tracker } });
    });
  const deaf = { getByName: () => ({ configure: () => Promise.reject(new Error("overloaded")) }) };
  const tracked = async (title: string): Promise<readonly unknown[]> =>
    (await env.SWARMS.getByName(title).stats()).swarms;

  test("of a release is told by the alarm, a minute later", async () => {
    const publisher = await Publisher.register("deaf-tracker");
    await withTracker("deaf-tracker", deaf);
    await expect(publisher.release({ "a.txt": noise(10, 1) }, 1)).rejects.toThrow("500");
    expect(await alarmOf("deaf-tracker")).toBeLessThanOrEqual((now() + ALARM_RETRY_S + 1) * 1000);
    await withTracker("deaf-tracker", env.SWARMS);
    await runDurableObjectAlarm(env.TITLES.getByName("deaf-tracker"));
    expect(liveOf((await openRepository("deaf-tracker")).live, "stable")).toMatchObject({ seq: 1 });
    expect(await tracked("deaf-tracker")).toHaveLength(2);
  });

  test("keeps no timestamp from being renewed; its release waits, and is told soon", async () => {
    const publisher = await Publisher.register("deaf-for-long");
    await publisher.release({ "a.txt": noise(10, 1) }, 1);
    await withTracker("deaf-for-long", deaf);
    await expect(publisher.release({ "a.txt": noise(10, 2) }, 2)).rejects.toThrow("500");
    const before = await openRepository("deaf-for-long");
    const ahead = (ROLE_LIFETIME_S.timestamp - TIMESTAMP_RESIGN_BEFORE_S + 60) * 1000;
    vi.useFakeTimers({ now: Date.now() + ahead, toFake: ["Date"] });
    await expect(runDurableObjectAlarm(env.TITLES.getByName("deaf-for-long"))).rejects.toThrow("overloaded");
    const after = await openRepository("deaf-for-long");
    expect(after.timestamp.version).toBe(before.timestamp.version + 1);
    expect(liveOf(after.live, "stable")).toMatchObject({ seq: 1 });
    expect(await alarmOf("deaf-for-long")).toBeLessThanOrEqual((now() + ALARM_RETRY_S + 1) * 1000);
    await withTracker("deaf-for-long", env.SWARMS);
    await runDurableObjectAlarm(env.TITLES.getByName("deaf-for-long"));
    expect(liveOf((await openRepository("deaf-for-long")).live, "stable")).toMatchObject({ seq: 2 });
    expect(await tracked("deaf-for-long")).toHaveLength(4);
  });

  test("is told soon also when a role comes in between", async () => {
    const publisher = await Publisher.register("deaf-role");
    await withTracker("deaf-role", deaf);
    const release = await buildRelease("deaf-role", { "a.txt": noise(10, 1) }, 1);
    for (const object of release.objects) await expectOk(await publisher.putObject(object));
    await publisher.list(release.signed);
    expect((await publisher.publish({ channel: "stable", seq: 1, rollout: 100 })).status).toBe(500);
    const alarm = await alarmOf("deaf-role");
    for (let role = 0; role < 2; role++) await publisher.list(release.signed);
    expect(await alarmOf("deaf-role")).toBe(alarm);
  });
});

test("a role that drops what players outside the rollout get is refused", async () => {
  const publisher = await Publisher.register("drop-previous");
  await publisher.release({ "a.txt": noise(10, 1) }, 1);
  const second = await publisher.release({ "a.txt": noise(10, 2) }, 2, { rollout: 10 });
  const withoutFirst = await publisher.signedChannel("stable", [second.signed]);
  expect(await problemCode(await publisher.postRole("stable", withoutFirst))).toBe("metadata.invalid");
  await expectOk(await publisher.publish({ channel: "stable", seq: 2, rollout: 100 }));
  await expectOk(await publisher.postRole("stable", withoutFirst));
  // who is left out by a later, smaller share has nothing to fall back to
  await expectOk(await publisher.publish({ channel: "stable", seq: 2, rollout: 50 }));
  const { live } = await openRepository("drop-previous");
  expect(liveOf(live, "stable")).toMatchObject({ seq: 2, rollout: 50, previous: null });
});
