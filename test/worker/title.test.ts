import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { objectIdOf, toHex } from "../../manifests/digest.ts";
import {
  RELEASE_SEQ_JUMP_MAX,
  REQUEST_SKEW_S,
  ROLE_LIFETIME_S,
  TIMESTAMP_RESIGN_BEFORE_S,
} from "../../manifests/limits.ts";
import { openFresh } from "../../manifests/trust/fresh.ts";
import { type LiveChannel, liveOf } from "../../manifests/trust/live.ts";
import type { UnixSeconds } from "../../manifests/trust/roles.ts";
import { authorityOf } from "../../manifests/trust/verify.ts";
import type { TitleObject } from "../../worker/title/title-object.ts";
import { sha256 } from "../support/hashes.ts";
import { testKey, verifyEd25519 } from "../support/role-keys.ts";
import { file, openRepository } from "./published.ts";
import { ADMIN_TOKEN, EDGE, Publisher, ask, buildRelease, expectOk, noise, now, problemCode } from "./publisher.ts";

const FILES = { "a.txt": noise(10, 1) };
const NONCE = "0123456789abcdef".repeat(2);

afterEach(() => vi.useRealTimers());

const titleObject = (title: string): DurableObjectStub<TitleObject> => env.TITLES.getByName(title);

/** What the published live role says of the stable channel. */
async function liveIn(title: string): Promise<LiveChannel | undefined> {
  return liveOf((await openRepository(title)).live, "stable");
}

async function noncesOf(title: string): Promise<number> {
  return await runInDurableObject(
    titleObject(title),
    (_, { storage }) => storage.sql.exec<{ count: number }>("SELECT count(*) AS count FROM nonces").one().count,
  );
}

describe("registration", () => {
  test("only the admin token registers a title", async () => {
    const publisher = await Publisher.make("reg-admin");
    const body = new TextEncoder().encode("{}");
    for (const token of ["wrong", "", `${ADMIN_TOKEN}x`]) {
      const response = await publisher.postAsAdmin("", body, token);
      expect(response.headers.get("www-authenticate")).not.toBeNull();
      expect(await problemCode(response)).toBe("request.unauthorized");
    }
    expect(await problemCode(await ask("/t/reg-admin", { method: "POST" }))).toBe("request.unauthorized");
    expect((await publisher.postAsAdmin("", body)).status).toBe(201);
  });

  test("until a root is set it gives the same key again; then the title exists", async () => {
    const publisher = await Publisher.make("reg-again");
    await publisher.openRegistration();
    const first = publisher.online.keyid;
    await publisher.openRegistration();
    expect(publisher.online.keyid).toBe(first);
    await expectOk(await publisher.postAsAdmin("/roles/root", await publisher.signedRoot(1)));
    expect(await problemCode(await publisher.postAsAdmin("", new Uint8Array()))).toBe("title.exists");
  });

  test("each title has a key of its own, and at rest it is wrapped", async () => {
    const [one, two] = [await Publisher.make("reg-key-1"), await Publisher.make("reg-key-2")];
    await one.openRegistration();
    await two.openRegistration();
    expect(one.online.keyid).not.toBe(two.online.keyid);
    await runInDurableObject(titleObject("reg-key-1"), (_, { storage }) => {
      const row = storage.sql.exec<{ wrapped: ArrayBuffer }>("SELECT online_wrapped AS wrapped FROM title").one();
      // PKCS #8 of Ed25519 begins with these bytes (RFC 8410)
      expect(toHex(new Uint8Array(row.wrapped))).not.toContain("302e0201");
    });
  });

  test("asking about a title that nobody registered writes nothing", async () => {
    expect(await problemCode(await ask("/t/reg-nobody/stats"))).toBe("title.not-found");
    expect(await problemCode(await ask("/t/reg-nobody/join", { method: "POST" }))).toBe("title.not-found");
    expect(await problemCode(await ask("/t/reg-nobody/metadata/timestamp.json"))).toBe("title.not-found");
    await runInDurableObject(titleObject("reg-nobody"), (_, { storage }) => {
      expect(
        storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\'").toArray(),
      ).toEqual([]);
    });
  });

  test.each(["UPPER", "a_b", "-a", "a".repeat(64), "ä"])("%s is not a title's name", async (name) => {
    expect(await problemCode(await ask(`/t/${name}/stats`))).toBe("name.invalid");
  });

  test("once complete, the repository opens from its root down", async () => {
    await Publisher.register("reg-complete", ["stable", "beta"]);
    const { snapshot, live } = await openRepository("reg-complete");
    expect(Object.keys(snapshot.meta).toSorted()).toEqual(["beta.json", "live.json", "stable.json", "targets.json"]);
    expect(live.targets).toEqual({});
  });

  test("nothing is current before every channel has its role", async () => {
    const publisher = await Publisher.make("reg-partial", ["stable", "beta"]);
    await publisher.openRegistration();
    await expectOk(await publisher.postAsAdmin("/roles/root", await publisher.signedRoot(1)));
    await expectOk(await publisher.postRole("targets", await publisher.signedTargets(1)));
    await expectOk(await publisher.postRole("stable", await publisher.signedChannel("stable", [])));
    expect((await ask("/t/reg-partial/metadata/timestamp.json")).status).toBe(404);
    await expectOk(await publisher.postRole("beta", await publisher.signedChannel("beta", [])));
    expect((await ask("/t/reg-partial/metadata/timestamp.json")).status).toBe(200);
  });
});

describe("roles", () => {
  test("a role that is not signed by its threshold is refused", async () => {
    const publisher = await Publisher.make("role-threshold");
    await publisher.openRegistration();
    const [one, two] = publisher.root;
    if (one === undefined || two === undefined) throw new Error("no keys");
    const stranger = await testKey("a stranger");
    for (const signers of [[one], [one, one], [one, stranger], [stranger, stranger]]) {
      const root = await publisher.signedRoot(1, { signers });
      expect(await problemCode(await publisher.postAsAdmin("/roles/root", root))).toBe("metadata.invalid");
    }
    expect((await publisher.postAsAdmin("/roles/root", await publisher.signedRoot(1))).status).toBe(200);
  });

  test("a root or targets that takes the online roles from the edge is refused", async () => {
    const publisher = await Publisher.make("role-online");
    await publisher.openRegistration();
    const root = await publisher.signedRoot(1, { online: [publisher.targets] });
    expect(await problemCode(await publisher.postAsAdmin("/roles/root", root))).toBe("metadata.invalid");
  });

  test("a root may name another edge's key beside this one's", async () => {
    const publisher = await Publisher.make("role-two-edges");
    await publisher.openRegistration();
    const root = await publisher.signedRoot(1, { online: [await testKey("another edge"), publisher.online] });
    expect((await publisher.postAsAdmin("/roles/root", root)).status).toBe(200);
  });

  test("the admin token sets the first root and no other role", async () => {
    const publisher = await Publisher.register("role-admin");
    const second = await publisher.signedRoot(2);
    expect(await problemCode(await publisher.postAsAdmin("/roles/root", second))).toBe("request.unauthorized");
    const targets = await publisher.signedTargets(2);
    expect(await problemCode(await publisher.postAsAdmin("/roles/targets", targets))).toBe("request.unauthorized");
  });

  test.each(["snapshot", "timestamp", "live"])("%s is the edge's to sign", async (role) => {
    const publisher = await Publisher.register(`role-own-${role}`);
    const response = await publisher.postRole(role, await publisher.signedChannel("stable", []));
    expect(response.status).toBe(400);
  });

  test("a version that is not above the last is refused; the same file again is a retry", async () => {
    const publisher = await Publisher.register("role-version");
    const second = await publisher.signedChannel("stable", []);
    expect((await publisher.postRole("stable", second)).status).toBe(200);
    expect((await publisher.postRole("stable", second)).status).toBe(200);
    const other = await publisher.signedChannel("stable", [], { version: 2, lifetime: 5000 });
    expect(await problemCode(await publisher.postRole("stable", other))).toBe("metadata.rollback");
    const first = await publisher.signedChannel("stable", [], { version: 1, lifetime: 5000 });
    expect(await problemCode(await publisher.postRole("stable", first))).toBe("metadata.rollback");
  });

  test("an expired role is refused", async () => {
    const publisher = await Publisher.register("role-expired");
    const expired = await publisher.signedChannel("stable", [], { lifetime: -1 });
    expect(await problemCode(await publisher.postRole("stable", expired))).toBe("metadata.expired");
  });

  test("a request sent twice is a replay", async () => {
    const publisher = await Publisher.register("role-replay");
    const body = await publisher.signedChannel("stable", []);
    const url = "/t/role-replay/roles/stable";
    const headers = await publisher.signedHeaders("POST", url, body);
    expect((await ask(url, { method: "POST", headers, body })).status).toBe(200);
    const again = await ask(url, { method: "POST", headers, body });
    expect([again.status, await problemCode(again)]).toEqual([401, "request.unauthorized"]);
  });

  test("a publisher's clock may be ahead or behind, by as much as is allowed", async () => {
    const publisher = await Publisher.register("role-clock");
    const body = await publisher.signedChannel("stable", []);
    const url = "/t/role-clock/roles/stable";
    const post = async (ahead: number): Promise<Response> => {
      const created = (now() + ahead) as UnixSeconds;
      return await ask(url, {
        method: "POST",
        headers: await publisher.signedHeaders("POST", url, body, { created }),
        body,
      });
    };
    setClock(0);
    for (const ahead of [1, REQUEST_SKEW_S, -REQUEST_SKEW_S]) expect((await post(ahead)).status).toBe(200);
    for (const ahead of [REQUEST_SKEW_S + 1, -REQUEST_SKEW_S - 1, 1e6]) {
      expect(await problemCode(await post(ahead))).toBe("request.clock-skew");
    }
  });

  test("a signature that says that it has expired is refused", async () => {
    const publisher = await Publisher.register("role-old-signature");
    const body = await publisher.signedChannel("stable", []);
    const url = "/t/role-old-signature/roles/stable";
    setClock(0);
    const post = async (expires: number): Promise<Response> =>
      await ask(url, { method: "POST", headers: await publisher.signedHeaders("POST", url, body, { expires }), body });
    expect(await problemCode(await post(now() - 1))).toBe("request.unauthorized");
    expect((await post(now() + 1)).status).toBe(200);
  });

  test("a channel's key acts on its own channel, and on nothing else", async () => {
    const publisher = await Publisher.register("role-own-channel", ["stable", "beta"]);
    const { stable, beta } = publisher.channels;
    if (stable === undefined || beta === undefined) throw new Error("no keys");
    const built = await buildRelease("role-own-channel", FILES, 1);
    for (const object of built.objects) await expectOk(await publisher.putObject(object, { signer: beta }));
    const refused = async (response: Response): Promise<void> => {
      expect([response.status, await problemCode(response)]).toEqual([401, "request.unauthorized"]);
    };
    // signed by those who hold the role, but sent by another
    const role = await publisher.signedChannel("stable", [built.signed]);
    await refused(await publisher.postRole("stable", role, beta));
    await refused(await publisher.postRole("targets", await publisher.signedTargets(2), beta));
    await refused(await publisher.postRole("root", await publisher.signedRoot(2), beta));
    await expectOk(await publisher.postRole("stable", role, stable));
    await refused(await publisher.publish({ channel: "stable", seq: 1 }, beta));
    expect(await liveIn("role-own-channel")).toBeUndefined();
    await expectOk(await publisher.publish({ channel: "stable", seq: 1 }, stable));
    expect(await liveIn("role-own-channel")).toMatchObject({ seq: 1 });
  });

  test("a request that was meant for another edge is refused", async () => {
    const publisher = await Publisher.register("role-elsewhere");
    const body = await publisher.signedChannel("stable", []);
    for (const edge of ["http://other.test", `${EDGE}:8080`]) {
      const response = await publisher.send("POST", "/roles/stable", body, { edge });
      expect([response.status, await problemCode(response)]).toEqual([401, "request.unauthorized"]);
    }
    // a name has no case, and http's port need not be said
    await expectOk(await publisher.send("POST", "/roles/stable", body, { edge: "http://EDGE.test:80" }));
  });

  test("a body that is not the one that was signed is refused", async () => {
    const publisher = await Publisher.register("role-swapped");
    const url = "/t/role-swapped/roles/stable";
    const signed = await publisher.signedChannel("stable", []);
    const headers = await publisher.signedHeaders("POST", url, signed);
    const body = await publisher.signedChannel("stable", []);
    expect(await problemCode(await ask(url, { method: "POST", headers, body }))).toBe("object.mismatch");
  });

  test("a release's number never goes down, and never becomes another release's", async () => {
    const publisher = await Publisher.register("role-seq", ["stable", "beta"]);
    const five = await buildRelease("role-seq", FILES, 5);
    await publisher.list(five.signed);
    const below = await buildRelease("role-seq", FILES, 4, "beta");
    const lower = await publisher.postRole("beta", await publisher.signedChannel("beta", [below.signed]));
    expect(await problemCode(lower)).toBe("release.not-newest");
    const twin = await buildRelease("role-seq", { "b.txt": noise(5, 2) }, 5);
    const changed = await publisher.postRole("stable", await publisher.signedChannel("stable", [twin.signed]));
    expect(await problemCode(changed)).toBe("release.not-newest");
  });

  test("a channel's key cannot use up the numbers of the other channels", async () => {
    const publisher = await Publisher.register("role-jump", ["stable", "beta"]);
    // each is built once: built again in another second, it would be another release of the same number
    const known = new Map<string, ReturnType<typeof buildRelease>>();
    const build = async (channel: string, seq: number) => {
      const name = `${channel}/${seq}`;
      const built = known.get(name) ?? buildRelease("role-jump", FILES, seq, channel);
      known.set(name, built);
      return (await built).signed;
    };
    const post = async (channel: string, ...seqs: number[]): Promise<Response> => {
      const releases = await Promise.all(seqs.map((seq) => build(channel, seq)));
      return await publisher.postRole(channel, await publisher.signedChannel(channel, releases));
    };
    await expectOk(await post("stable", 1));
    for (const seq of [RELEASE_SEQ_JUMP_MAX + 2, Number.MAX_SAFE_INTEGER]) {
      expect(await problemCode(await post("beta", 2, seq))).toBe("metadata.invalid");
    }
    await expectOk(await post("beta", RELEASE_SEQ_JUMP_MAX + 1));
    // listed no more and never current: as if it had not been, for publishers count from what the roles list
    await expectOk(await post("beta"));
    await expectOk(await post("stable", 1, 2));
  });

  test("a release that was current keeps its number when its role drops it", async () => {
    const publisher = await Publisher.register("role-dropped", ["stable", "beta"]);
    await publisher.release(FILES, 1);
    const second = await publisher.release({ "a.txt": noise(10, 2) }, 2);
    const keepsLive = await publisher.signedChannel("stable", [second.signed]);
    await expectOk(await publisher.postRole("stable", keepsLive));
    const stats = await (await ask("/t/role-dropped/stats")).json<{ releases: { seq: number; status: string }[] }>();
    expect(stats.releases.map(({ seq, status }) => [seq, status])).toEqual([
      [2, "live"],
      [1, "withdrawn"],
    ]);
    const again = await buildRelease("role-dropped", FILES, 1, "beta");
    const refused = await publisher.postRole("beta", await publisher.signedChannel("beta", [again.signed]));
    expect(await problemCode(refused)).toBe("release.not-newest");
  });

  test("a rotated root is followed; targets signed by a key it dropped wait for a new signature", async () => {
    const publisher = await Publisher.register("role-rotation");
    const before = await openRepository("role-rotation");
    const newTargets = await testKey("role-rotation/targets-2");
    await expectOk(await publisher.postRole("root", await publisher.signedRoot(2, { targets: newTargets })));

    // players keep the last complete set meanwhile, and the dropped key may sign nothing
    expect(await file("role-rotation", "timestamp.json")).not.toHaveLength(0);
    const late = await publisher.signedTargets(2);
    expect(await problemCode(await publisher.postRole("targets", late))).toBe("request.unauthorized");

    const rotated = await publisher.signedTargets(2, { signer: newTargets });
    await expectOk(await publisher.postRole("targets", rotated, newTargets));
    const after = await openRepository("role-rotation", 2);
    expect(after.targets.version).toBe(2);
    expect(after.timestamp.version).toBeGreaterThan(before.timestamp.version);
  });

  test("a channel taken from its key waits for the new key's signature", async () => {
    const publisher = await Publisher.register("role-channel-key");
    const newKey = await testKey("role-channel-key/stable-2");
    await expectOk(
      await publisher.postRole("targets", await publisher.signedTargets(2, { channels: { stable: newKey } })),
    );
    expect((await openRepository("role-channel-key")).targets.version).toBe(1);
    const old = await publisher.signedChannel("stable", [], { version: 2 });
    expect(await problemCode(await publisher.postRole("stable", old))).toBe("metadata.invalid");
    await expectOk(
      await publisher.postRole("stable", await publisher.signedChannel("stable", [], { signer: newKey, version: 2 })),
    );
    expect((await openRepository("role-channel-key")).targets.version).toBe(2);
  });
});

describe("publishing", () => {
  test("a published release is live, tracked and listed", async () => {
    const publisher = await Publisher.register("pub");
    const { signed } = await publisher.release(FILES, 1);
    const { live, snapshot } = await openRepository("pub");
    expect(liveOf(live, "stable")).toEqual({ seq: 1, rollout: 100, hold: false, previous: null, deltas: [] });
    expect(snapshot.meta["stable.json"]?.version).toBe(2);
    const stats = (await (await ask("/t/pub/stats")).json()) as { releases: unknown[]; swarms: unknown[] };
    expect(stats.releases).toEqual([expect.objectContaining({ seq: 1, status: "live", infohash: signed.infohash })]);
    expect(stats.swarms).toEqual([
      expect.objectContaining({ seq: 1, torrent: "hybrid", infohash: signed.infohash }),
      expect.objectContaining({ seq: 1, torrent: "v1", infohash: signed.v1?.infohash }),
    ]);
  });

  test("deltas to what is live are listed, the newest start first, and are steps on the way to the next release", async () => {
    const publisher = await Publisher.register("pub-deltas");
    for (const seq of [1, 2, 3]) await publisher.release({ "a.txt": noise(10, seq) }, seq);
    const index = noise(50, 9);
    await expectOk(await publisher.putObject(index));
    const id = objectIdOf(index, sha256);
    const delta = (from: number) => {
      const infohash = `${from}`.repeat(40);
      return { from, index: id, bytes: 1234, torrent: { object: id, infohash, infohashV2: `${from}`.repeat(64) } };
    };
    for (const from of [1, 2, 1]) {
      await expectOk(await publisher.listDelta({ channel: "stable", seq: 3, delta: delta(from) }));
    }
    expect(await liveIn("pub-deltas")).toMatchObject({ seq: 3, deltas: [delta(2), delta(1)] });
    // the tracker answers for their torrents
    const swarms = async (): Promise<unknown[]> => {
      const stats = await (
        await ask("/t/pub-deltas/stats")
      ).json<{ swarms: { torrent: string; infohash: string }[] }>();
      return stats.swarms.filter(({ torrent }) => torrent === "delta").map(({ infohash }) => infohash);
    };
    expect(await swarms()).toEqual(["2".repeat(40), "1".repeat(40)]);
    await publisher.release({ "a.txt": noise(10, 4) }, 4);
    expect(await liveIn("pub-deltas")).toMatchObject({
      seq: 4,
      deltas: [],
      earlier: [
        { ...delta(2), to: 3 },
        { ...delta(1), to: 3 },
      ],
    });
    expect(await swarms()).toEqual(["2".repeat(40), "1".repeat(40)]);
  });

  test.each([
    { change: { seq: 1 }, code: "release.not-newest" },
    { change: { delta: { from: 2 } }, code: "release.not-found" },
    { change: { delta: { from: 7 } }, code: "release.not-found" },
    { change: { delta: { index: "0".repeat(64) } }, code: "object.not-found" },
    { change: { delta: { bytes: -1 } }, code: "request.malformed" },
    { change: { delta: { torrent: {} } }, code: "request.malformed" },
  ])("a delta that cannot be is refused: $change", async ({ change, code }) => {
    const name = JSON.stringify(change)
      .replaceAll(/[^a-z0-9]+/g, "-")
      .slice(0, 40);
    const publisher = await Publisher.register(`pub-delta${name}x`);
    for (const seq of [1, 2]) await publisher.release({ "a.txt": noise(10, seq) }, seq);
    const index = noise(50, 9);
    await expectOk(await publisher.putObject(index));
    const id = objectIdOf(index, sha256);
    const torrent = { object: id, infohash: "a".repeat(40), infohashV2: "b".repeat(64) };
    const delta = { from: 1, index: id, bytes: 1, torrent };
    const order = { channel: "stable", seq: 2, ...change, delta: { ...delta, ...change.delta } };
    expect(await problemCode(await publisher.listDelta(order))).toBe(code);
  });

  test("the one before is what a partial rollout falls back to", async () => {
    const publisher = await Publisher.register("pub-rollout");
    await publisher.release(FILES, 1);
    await publisher.release({ "a.txt": noise(10, 2) }, 2, { rollout: 10 });
    expect(await liveIn("pub-rollout")).toMatchObject({ seq: 2, rollout: 10, previous: 1 });
    // again, with another share: the same release, rolled out further
    await expectOk(await publisher.publish({ channel: "stable", seq: 2, rollout: 50 }));
    expect(await liveIn("pub-rollout")).toMatchObject({ seq: 2, rollout: 50, previous: 1 });
    const back = await publisher.publish({ channel: "stable", seq: 1, rollout: 100 });
    expect(await problemCode(back)).toBe("release.not-newest");
  });

  test("a release whose objects are not all there does not become current", async () => {
    const publisher = await Publisher.register("pub-missing");
    const built = await buildRelease("pub-missing", FILES, 1);
    await publisher.list(built.signed);
    // tree, torrents, document: the last four; each is missed in turn
    for (const object of built.objects) {
      expect(await problemCode(await publisher.publish({ channel: "stable", seq: 1 }))).toBe("object.not-found");
      await expectOk(await publisher.putObject(object));
    }
    expect((await publisher.publish({ channel: "stable", seq: 1 })).status).toBe(200);
  });

  test("only what the channel's role lists can be published", async () => {
    const publisher = await Publisher.register("pub-unlisted", ["stable", "beta"]);
    await publisher.release(FILES, 1, { channel: "beta" });
    for (const order of [
      { channel: "stable", seq: 1 },
      { channel: "beta", seq: 2 },
    ]) {
      expect(await problemCode(await publisher.publish(order))).toBe("release.not-found");
    }
    for (const order of [
      { channel: "beta" },
      { channel: "beta", seq: "1" },
      { channel: "beta", seq: 1, rollout: 101 },
    ]) {
      expect(await problemCode(await publisher.publish(order))).toBe("request.malformed");
    }
  });

  test("a role that drops the live release is refused", async () => {
    const publisher = await Publisher.register("pub-drop");
    await publisher.release(FILES, 1);
    const empty = await publisher.signedChannel("stable", []);
    expect(await problemCode(await publisher.postRole("stable", empty))).toBe("metadata.invalid");
  });

  test("two titles do not see each other", async () => {
    const [one, two] = [await Publisher.register("twin-1"), await Publisher.register("twin-2")];
    await one.release(FILES, 1);
    expect(await liveIn("twin-2")).toBeUndefined();
    expect(await problemCode(await two.publish({ channel: "stable", seq: 1 }, one.targets))).toBe(
      "request.unauthorized",
    );
    const stats = await (await ask("/t/twin-2/stats")).json<{ releases: unknown[] }>();
    expect(stats.releases).toEqual([]);
  });
});

describe("staying current", () => {
  test("the freshness statement answers this nonce, about this timestamp", async () => {
    await Publisher.register("fresh");
    const response = await ask("/t/fresh/fresh", { method: "POST", body: JSON.stringify({ nonce: NONCE }) });
    const { root } = await openRepository("fresh");
    const statement = await openFresh(
      new Uint8Array(await response.arrayBuffer()),
      { title: "fresh", nonce: NONCE },
      authorityOf(root, "timestamp"),
      verifyEd25519,
    );
    expect(statement.timestamp).toBe(toHex(sha256(await file("fresh", "timestamp.json"))));
    expect(Math.abs(statement.now - now())).toBeLessThan(60);
    for (const body of [{}, { nonce: "short" }, { nonce: "X".repeat(32) }]) {
      const refused = await ask("/t/fresh/fresh", { method: "POST", body: JSON.stringify(body) });
      expect(await problemCode(refused)).toBe("request.malformed");
    }
  });

  test("the alarm signs a timestamp before it runs out, leaves what lasts, and arms itself again", async () => {
    await Publisher.register("alarm");
    const before = await openRepository("alarm");
    setClock((ROLE_LIFETIME_S.timestamp - TIMESTAMP_RESIGN_BEFORE_S + 60) * 1000);
    expect(await runDurableObjectAlarm(titleObject("alarm"))).toBe(true);
    const after = await openRepository("alarm");
    expect(after.timestamp.version).toBe(before.timestamp.version + 1);
    expect(after.snapshot.version).toBe(before.snapshot.version);
    expect(Date.parse(after.timestamp.expires)).toBeGreaterThan(Date.parse(before.timestamp.expires));
    await runInDurableObject(titleObject("alarm"), async (_, { storage }) => {
      expect(await storage.getAlarm()).toBeGreaterThan(Date.now());
    });
  });

  test("the alarm also signs snapshot and live, days before they run out", async () => {
    await Publisher.register("alarm-week");
    const before = await openRepository("alarm-week");
    setClock(5 * 86_400_000);
    await runDurableObjectAlarm(titleObject("alarm-week"));
    const after = await openRepository("alarm-week");
    expect(after.snapshot.version).toBeGreaterThan(before.snapshot.version);
    expect(after.live.version).toBeGreaterThan(before.live.version);
  });

  test("an alarm that finds nothing due signs nothing", async () => {
    await Publisher.register("alarm-early");
    const before = await file("alarm-early", "timestamp.json");
    await runDurableObjectAlarm(titleObject("alarm-early"));
    expect(await file("alarm-early", "timestamp.json")).toEqual(before);
  });

  test("a timestamp that never reached the bucket is put there by the alarm", async () => {
    await Publisher.register("alarm-repair");
    const current = await file("alarm-repair", "timestamp.json");
    await env.ORIGIN.put("alarm-repair/metadata/timestamp.json", "lost");
    // as after a crash between the database and the bucket
    await evictDurableObject(titleObject("alarm-repair"));
    await runDurableObjectAlarm(titleObject("alarm-repair"));
    expect(await file("alarm-repair", "timestamp.json")).toEqual(current);
  });

  test("an evicted object goes on with the same key and state", async () => {
    const publisher = await Publisher.register("evicted");
    await publisher.release(FILES, 1);
    await evictDurableObject(titleObject("evicted"));
    await publisher.release({ "a.txt": noise(10, 3) }, 2);
    const { live, root } = await openRepository("evicted");
    expect(liveOf(live, "stable")).toMatchObject({ seq: 2, previous: 1 });
    expect(root.roles.timestamp.keyids).toEqual([publisher.online.keyid]);
  });

  test("publishers that come at once are served one after another", async () => {
    const publisher = await Publisher.register("crowd", ["stable", "beta"]);
    const roles = await Promise.all(
      ["stable", "beta"].map(async (channel) => [channel, await publisher.signedChannel(channel, [])] as const),
    );
    const answers = await Promise.all(roles.map(([channel, role]) => publisher.postRole(channel, role)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const { snapshot } = await openRepository("crowd");
    expect([snapshot.meta["stable.json"]?.version, snapshot.meta["beta.json"]?.version]).toEqual([2, 2]);
  });

  test("nonces that ran out are forgotten", async () => {
    const publisher = await Publisher.register("nonces");
    expect(await noncesOf("nonces")).toBe(2);
    setClock(3600_000);
    await expectOk(await publisher.postRole("stable", await publisher.signedChannel("stable", [])));
    expect(await noncesOf("nonces")).toBe(1);
  });
});

describe("what caches may keep", () => {
  test("versioned metadata for ever, the timestamp not at all", async () => {
    await Publisher.register("caching");
    const root = await ask("/t/caching/metadata/1.root.json");
    expect(root.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const timestamp = await ask("/t/caching/metadata/timestamp.json");
    expect(timestamp.headers.get("cache-control")).toBe("no-store");
    for (const name of ["2.root.json", "9.snapshot.json"]) {
      expect(await problemCode(await ask(`/t/caching/metadata/${name}`))).toBe("object.not-found");
    }
    for (const name of ["root.json", "0.root.json", "1.root", "..%2Fobjects", "1.ROOT.json"]) {
      expect((await ask(`/t/caching/metadata/${name}`)).status).toBe(404);
    }
  });
});

/** Moves the clock that the worker reads; tests and worker share it. */
function setClock(aheadMs: number): void {
  vi.useFakeTimers({ now: Date.now() + aheadMs, toFake: ["Date"] });
}
