/** What a player gets from an honest title, and what it survives. What it refuses is trust-attacks.test.ts. */
import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { type ObjectId } from "../../manifests/digest.ts";
import { rolloutBucket } from "../../manifests/trust/live.ts";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import { looksOf } from "../support/folders.ts";
import { sha256 } from "../support/hashes.ts";
import { Player, onStage } from "../support/player.ts";
import { testKey } from "../support/role-keys.ts";
import { type Handler, START, TestEdge } from "../support/tuf-repo.ts";

const DAY = 86_400;

test("a first run lists what the publisher signed and opens what the edge made current", async () => {
  await onStage(async ({ repository, player }) => {
    await repository.publish("beta", 2, "2.0.0-beta");
    await repository.publish("stable", 3, "1.1.0");
    const title = await player.open();
    expect(await title.refresh()).toEqual({ proven: true, clockBehindSeconds: 0 });

    expect(title.channels()).toEqual(["stable", "beta"]);
    expect(title.releases().map(({ seq, version, status }) => [seq, version, status])).toEqual([
      [1, "1.0.0", "superseded"],
      [2, "2.0.0-beta", "live"],
      [3, "1.1.0", "live"],
    ]);
    const choice = title.current("stable", undefined);
    expect(choice).toMatchObject({ because: "current", release: { seq: 3, channel: "stable" } });
    const release = await title.release("stable", 3);
    expect(release).toMatchObject({ title: "demo", seq: 3, version: "1.1.0", channel: "stable" });
    expect(title.bytesFetched).toBeGreaterThan(2000);
  });
});

test("a second run with nothing new fetches a timestamp and asks for no role again", async () => {
  await onStage(async ({ edge, player }) => {
    await player.refreshed();
    edge.asked.length = 0;
    await player.refreshed();
    // at the same time, in whatever order they arrive
    expect(edge.asked.toSorted()).toEqual(["fresh", "metadata/2.root.json", "metadata/timestamp.json"]);
  });
});

test("who only reads goes by what is remembered, and remembers nothing", async () => {
  await onStage(async ({ repository, edge, player }) => {
    await player.refreshed({ readOnly: true });
    await expect(readdir(player.metadataDir)).rejects.toMatchObject({ code: "ENOENT" });

    await player.refreshed();
    const before = await looksOf(player.metadataDir);
    edge.asked.length = 0;
    await repository.publish("stable", 2, "1.1.0");
    const title = await player.refreshed({ readOnly: true });
    expect(title.current("stable", undefined)).toMatchObject({ release: { seq: 2 } });
    expect(edge.asked).not.toContain("metadata/1.targets.json");
    expect(await looksOf(player.metadataDir)).toEqual(before);
  });
});

test("roots are followed one by one, and the keys of the first count no more", async () => {
  await onStage(async ({ repository, player }) => {
    const first = repository.keys.root;
    await player.refreshed();
    for (const version of [2, 3]) {
      const before = repository.keys.root;
      repository.keys.root = await Promise.all(["a", "b", "c"].map((name) => testKey(`root ${version} ${name}`)));
      await repository.signRoot(version, [...before.slice(0, 2), ...repository.keys.root.slice(0, 2)]);
    }
    await player.refreshed();
    await repository.signRoot(4, first);
    await expect(player.refreshed()).rejects.toMatchObject({ code: "metadata.invalid" });
  });
});

test("a player who slept through two roots catches up in one run", async () => {
  await onStage(async ({ repository, edge, player }) => {
    await repository.signRoot(2);
    await repository.signRoot(3);
    await player.refreshed();
    const roots = edge.asked.filter((file) => file.endsWith(".root.json"));
    expect(roots).toEqual(["metadata/2.root.json", "metadata/3.root.json", "metadata/4.root.json"]);
  });
});

test.each(["root", "timestamp", "snapshot", "targets", "stable", "live", "memory"])(
  "a remembered %s.json that a crash cut short is replaced",
  async (name) => {
    await onStage(async ({ repository, player }) => {
      await repository.signRoot(2);
      await player.refreshed();
      const file = path.join(player.metadataDir, `${name}.json`);
      const whole = await readFile(file);
      await truncate(file, Math.floor(whole.length / 2));
      const title = await player.refreshed();
      expect(title.current("stable", undefined).because).toBe("current");
      // the memory's install id is drawn again; everything signed is byte for byte what it was
      if (name !== "memory") expect(await readFile(file)).toEqual(whole);
    });
  },
);

test("a write that was interrupted leaves a staged file behind and the old one in force", async () => {
  await onStage(async ({ repository, player }) => {
    await repository.signRoot(2);
    await player.refreshed();
    const root = path.join(player.metadataDir, "root.json");
    const before = await readFile(root);
    await writeFile(`${root}.new`, "{");
    await player.refreshed();
    expect(await readFile(root)).toEqual(before);
  });
});

test("names that every object has are not channels, releases or targets", async () => {
  await onStage(async ({ player }) => {
    const title = await player.refreshed();
    for (const name of ["constructor", "__proto__", "toString", "live", "targets"]) {
      expect(title.live(name)).toBeUndefined();
      expect(() => title.releases(name)).toThrow(expect.objectContaining({ code: "release.not-found" }));
      expect(() => title.current(name, undefined)).toThrow(expect.objectContaining({ code: "release.not-found" }));
    }
    await expect(title.release("stable", 99)).rejects.toMatchObject({ code: "release.not-found" });
  });
});

test("the clock that is passed in is the one that counts", async () => {
  // the machine running this test lives after the repository's timestamp has expired, or before it was signed
  await onStage(async ({ repository, edge, player }) => {
    edge.fresh = undefined;
    repository.now = player.now = (START - 400 * DAY) as UnixSeconds;
    Object.assign(player.titleFile.floor, { time: 0 });
    await repository.signOnline();
    await player.refreshed();
    player.now = (START - 398 * DAY) as UnixSeconds;
    await expect(player.refreshed()).rejects.toMatchObject({ code: "metadata.expired", facts: { role: "timestamp" } });
  });
});

test("an edge that cannot be asked what is current leaves it unproven, and is believed until the timestamp expires", async () => {
  await onStage(async ({ edge, player }) => {
    edge.fresh = undefined;
    const title = await player.open();
    expect(await title.refresh()).toEqual({ proven: false, clockBehindSeconds: undefined });
  });
});

test("an edge that signs again between two answers is asked once more", async () => {
  await onStage(async ({ repository, edge, player }) => {
    const honest = edge.fresh;
    edge.fresh = async (nonce) => {
      edge.fresh = honest;
      await repository.publish("stable", 2, "2.0.0");
      return (await honest?.(nonce)) ?? new Uint8Array();
    };
    const title = await player.refreshed();
    expect(title.current("stable", undefined).release?.seq).toBe(2);
  });
});

test("how far the clocks differ is told", async () => {
  await onStage(async ({ repository, player }) => {
    repository.now = (START + 500) as UnixSeconds;
    const title = await player.open();
    expect(await title.refresh()).toEqual({ proven: true, clockBehindSeconds: 500 });
  });
});

test("after the online key was stolen, a new root brings back players who were sent far ahead", async () => {
  await onStage(async ({ repository, player }) => {
    // the thief signs version 2^40, and a time in the year 2100
    await repository.signTimestamp(repository.metaOf("snapshot"), 2 ** 40);
    repository.now = (START + 74 * 365 * DAY) as UnixSeconds;
    await expect(player.refreshed()).rejects.toMatchObject({ code: "metadata.expired" });

    repository.now = START;
    repository.keys.online = await testKey("online, the second");
    await repository.signRoot(2);
    await repository.signTargets();
    for (const role of ["snapshot", "timestamp"]) delete repository.meta[role];
    await repository.signOnline();
    await player.refreshed();
  });
});

test("a beta that nobody signs any more does not stop stable", async () => {
  await onStage(async ({ repository, player }) => {
    player.now = repository.now = (START + 181 * DAY) as UnixSeconds;
    await repository.signChannel("stable");
    await repository.signOnline();
    const title = await player.refreshed();
    expect(title.current("stable", 1).because).toBe("current");
    expect([...title.problems()]).toMatchObject([["beta", { code: "metadata.expired" }]]);
    expect(title.releases().map(({ channel }) => channel)).toEqual(["stable"]);
    expect(() => title.releases("beta")).toThrow(expect.objectContaining({ code: "metadata.expired" }));
    // its publisher can still build upon it
    expect(title.channelState("beta")).toEqual({
      version: 1,
      expires: START + 180 * DAY,
      holders: { keyids: [repository.keys.channels["beta"]?.keyid], threshold: 1 },
      releases: [],
    });
  });
});

test("a channel that targets dropped is not needed, though the snapshot goes on listing it", async () => {
  await onStage(async ({ repository, edge, player }) => {
    await player.refreshed();
    const newcomer = new Player(`${player.metadataDir}-2`, player.titleFile);
    const { beta: _dropped, ...rest } = repository.keys.channels;
    Object.assign(repository.keys, { channels: rest });
    await repository.signTargets();
    await repository.signOnline();
    repository.files.delete("1.beta.json");
    for (const known of [player, newcomer]) {
      const title = await known.refreshed();
      expect(title.channels()).toEqual(["stable"]);
      expect(title.current("stable", undefined).release?.seq).toBe(1);
    }
    edge.asked.length = 0;
    await newcomer.refreshed();
    expect(edge.asked.filter((file) => file.endsWith("beta.json"))).toEqual([]);
  });
});

test("a channel whose file is gone does not stop the others", async () => {
  await onStage(async ({ repository, player }) => {
    repository.files.delete("1.beta.json");
    const title = await player.refreshed();
    expect(title.current("stable", undefined).release?.seq).toBe(1);
    expect([...title.problems()]).toMatchObject([["beta", { code: "object.not-found" }]]);
    expect(() => title.current("beta", undefined)).toThrow(expect.objectContaining({ code: "object.not-found" }));
  });
});

test.each([
  ["too long for a file", "x".repeat(300)],
  ["a way out of the folder", "../../../../etc/hostname"],
  ["no text for a path", "a\u0000b"],
  ["the player's own memory", "memory"],
])("a snapshot that lists %s has it neither looked up nor asked for", async (_what, name) => {
  await onStage(async ({ repository, edge, player }) => {
    await player.refreshed();
    await repository.signSnapshot({ ...repository.listedRoles(), [name]: repository.metaOf("beta") });
    await repository.signTimestamp();
    edge.asked.length = 0;
    await player.refreshed();
    const { version } = repository.metaOf("snapshot");
    expect(edge.asked.toSorted()).toEqual([
      "fresh",
      "metadata/2.root.json",
      `metadata/${version}.snapshot.json`,
      "metadata/timestamp.json",
    ]);
  });
});

test("a channel to which nothing was published yet has nothing current", async () => {
  await onStage(async ({ player }) => {
    const title = await player.refreshed();
    expect(title.releases("beta")).toEqual([]);
    expect(() => title.current("beta", undefined)).toThrow(expect.objectContaining({ code: "release.not-found" }));
  });
});

test("without a network, what was verified is verified again, years later", async () => {
  await onStage(async ({ repository, edge, player }) => {
    await player.refreshed();
    await edge.close();
    player.now = (START + 900 * DAY) as UnixSeconds;
    const held = (id: ObjectId): Promise<Uint8Array | undefined> => Promise.resolve(repository.objects.get(id));
    const title = await player.open({ readObject: held });
    await expect(title.refresh()).rejects.toMatchObject({ code: "edge.unreachable" });
    await title.loadCached();
    expect(await title.release("stable", 1)).toMatchObject({ version: "1.0.0" });
  });
});

test("without a network, remembered metadata that was tampered with is refused", async () => {
  await onStage(async ({ player }) => {
    await player.refreshed();
    const file = path.join(player.metadataDir, "stable.json");
    await writeFile(file, (await readFile(file, "utf8")).replace("1.0.0", "6.6.6"));
    const title = await player.open();
    await title.loadCached();
    expect(() => title.releases("stable")).toThrow(expect.objectContaining({ code: "edge.unreachable" }));
    expect(title.releases()).toEqual([]);
  });
});

test("without a network, a channel that was refused before does not hide the others", async () => {
  await onStage(async ({ repository, player }) => {
    await repository.signChannel("beta", repository.keys.online);
    await repository.signOnline();
    await player.refreshed();
    const title = await player.open();
    await title.loadCached();
    expect(title.releases().map(({ seq }) => seq)).toEqual([1]);
    expect([...title.problems().keys()]).toEqual(["beta"]);
  });
});

test("without a network or a memory there is nothing to say", async () => {
  await onStage(async ({ player }) => {
    const title = await player.open();
    await expect(title.loadCached()).rejects.toMatchObject({ code: "edge.unreachable" });
    expect(() => title.channels()).toThrow("refresh() or loadCached() comes first");
  });
});

test("an object on this disk is used when its hash is right, and fetched when it is not", async () => {
  await onStage(async ({ edge, player }) => {
    const title = await player.refreshed({ readObject: () => Promise.resolve(new Uint8Array([1, 2, 3])) });
    edge.asked.length = 0;
    await title.release("stable", 1);
    expect(edge.asked).toHaveLength(1);
  });
});

test.each([
  ["", false],
  [", in haste too", true],
])("a silent edge sends the player to the next one; a lying edge does not%s", async (_, isHasty) => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      Object.assign(player.titleFile, { edges: [edge.url, second.url] });
      edge.overrides.set("metadata/2.root.json", (response) => response.writeHead(500).end());
      expect((await player.refreshed({ isHasty })).edge).toBe(second.url);

      edge.overrides.set("metadata/2.root.json", (response) => response.end("{}"));
      await expect(player.refreshed({ isHasty })).rejects.toMatchObject({ code: "metadata.invalid" });
    } finally {
      await second.close();
    }
  });
});

test("an edge that is behind what is remembered sends the player to the next one, and is refused when there is none", async () => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      Object.assign(player.titleFile, { edges: [edge.url, second.url] });
      const old = repository.bytesOf("timestamp");
      await repository.publish("stable", 3, "1.1.0");
      await player.refreshed();
      edge.overrides.set("metadata/timestamp.json", (response) => response.end(old));
      expect((await player.refreshed()).edge).toBe(second.url);

      second.overrides.set("metadata/timestamp.json", (response) => response.writeHead(503).end());
      await expect(player.refreshed()).rejects.toMatchObject({ code: "metadata.rollback" });
    } finally {
      await second.close();
    }
  });
});

test("who is in haste takes the edge that proves what is current, and the first when none does", async () => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      Object.assign(player.titleFile, { edges: [edge.url, second.url] });
      edge.fresh = undefined;
      expect((await player.refreshed()).edge).toBe(edge.url);
      expect((await player.refreshed({ isHasty: true })).edge).toBe(second.url);

      // neither proves it: one cannot, and the other lies
      second.overrides.set("metadata/2.root.json", (response) => response.end("{}"));
      expect((await player.refreshed({ isHasty: true })).edge).toBe(edge.url);
    } finally {
      await second.close();
    }
  });
});

test.each<[string, Handler]>([
  ["503", (response) => response.writeHead(503).end()],
  ["404", (response) => response.writeHead(404).end()],
  ["other bytes", (response) => response.end("none of it")],
  ["more than it may be", (response) => response.end("none of it".repeat(1000))],
])("an object that the edge answers with %s is asked of the next one", async (_, answer) => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      Object.assign(player.titleFile, { edges: [edge.url, second.url] });
      for (const id of repository.objects.keys()) {
        edge.overrides.set(`objects/${id}`, answer);
      }
      const title = await player.refreshed();
      expect(title.edge).toBe(edge.url);
      expect((await title.release("stable", 1)).version).toBe("1.0.0");

      // and the next object is not asked of the first one again
      edge.asked.length = 0;
      await title.release("stable", 1);
      expect(edge.asked).toEqual([]);
      await title.refresh();
      await title.release("stable", 1);
      expect(edge.asked.some((asked) => asked.startsWith("objects/"))).toBe(true);
    } finally {
      await second.close();
    }
  });
});

test("an object that one edge does not have and another one has wrong is wrong, whoever is asked first", async () => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      for (const id of repository.objects.keys()) {
        edge.overrides.set(`objects/${id}`, (response) => response.end("none of it"));
        second.overrides.set(`objects/${id}`, (response) => response.writeHead(404).end());
      }
      for (const edges of [
        [edge.url, second.url],
        [second.url, edge.url],
      ]) {
        Object.assign(player.titleFile, { edges });
        const title = await player.refreshed();
        await expect(title.release("stable", 1)).rejects.toMatchObject({ code: "object.mismatch" });
      }
    } finally {
      await second.close();
    }
  });
});

test.each([403, 404])("an edge that answers %i for the title sends the player to the next one", async (status) => {
  await onStage(async ({ repository, edge, player }) => {
    const second = await TestEdge.start(repository);
    try {
      Object.assign(player.titleFile, { edges: [edge.url, second.url] });
      const refuse: Handler = (response) => response.writeHead(status).end();
      edge.overrides.set("metadata/timestamp.json", refuse);
      expect((await player.refreshed()).edge).toBe(second.url);

      // one that is silent may know it
      second.overrides.set("metadata/timestamp.json", (response) => response.writeHead(500).end());
      await expect(player.refreshed()).rejects.toMatchObject({ code: "edge.unreachable" });
      Object.assign(player.titleFile, { edges: [second.url, edge.url] });
      await expect(player.refreshed()).rejects.toMatchObject({ code: "edge.unreachable" });

      second.overrides.set("metadata/timestamp.json", refuse);
      await expect(player.refreshed()).rejects.toMatchObject({ code: "title.not-found" });
    } finally {
      await second.close();
    }
  });
});

test("a title the edge does not know is named so, and the edge too", async () => {
  await onStage(async ({ repository, player }) => {
    repository.files.clear();
    const { title, edges } = player.titleFile;
    await expect(player.refreshed()).rejects.toMatchObject({
      code: "title.not-found",
      facts: { title, edge: edges[0] },
    });
  });
});

test("a busy edge is asked again", async () => {
  await onStage(async ({ edge, player }) => {
    edge.overrides.set("metadata/timestamp.json", (response) => {
      edge.overrides.clear();
      response.writeHead(503).end();
    });
    await player.refreshed({ patience: { idleSeconds: 5, tries: 2, retryMs: 1 } });
    expect(edge.asked.filter((asked) => asked === "metadata/timestamp.json")).toHaveLength(2);
  });
});

test("a cache on the way that keeps an old timestamp, or a rotten object, is asked past", async () => {
  await onStage(async ({ repository, edge, player }) => {
    const kept = new Map([["metadata/timestamp.json", repository.files.get("timestamp.json")]]);
    await repository.publish("stable", 2, "2.0.0");
    for (const [id, bytes] of repository.objects) kept.set(`objects/${id}`, bytes.toReversed());
    for (const [path, bytes] of kept) {
      const now = path.startsWith("objects/") ? bytes?.toReversed() : repository.files.get("timestamp.json");
      edge.overrides.set(path, (response) => {
        response.end(response.req.headers["cache-control"] === "no-cache" ? now : bytes);
      });
    }
    const title = await player.refreshed();
    expect((await title.release("stable", 2)).version).toBe("2.0.0");
  });
});

test("an interrupted run says so, and keeps what it verified", async () => {
  await onStage(async ({ edge, player }) => {
    const stop = new AbortController();
    edge.overrides.set("metadata/timestamp.json", () => stop.abort());
    await expect(player.refreshed({ signal: stop.signal })).rejects.toMatchObject({ code: "source.interrupted" });
    edge.overrides.clear();
    await player.refreshed();
  });
});

test("an install takes a release once its own hundredth is reached, and waits on the last full one", async () => {
  await onStage(async ({ repository, player }) => {
    await player.refreshed();
    const memory = JSON.parse(await readFile(path.join(player.metadataDir, "memory.json"), "utf8")) as {
      install: string;
    };
    const release = await repository.publish("stable", 2, "2.0.0", 0);
    const bucket = rolloutBucket(release.infohash, memory.install, sha256);
    const at = async (rollout: number, hold = false) => {
      repository.live["stable"] = { seq: 2, rollout, hold, previous: 1, deltas: [] };
      await repository.signOnline();
      const { release, because } = (await player.refreshed()).current("stable", 1);
      return [release?.seq, because];
    };
    expect(await at(bucket)).toEqual([1, "not-yet-rolled-out"]);
    expect(await at(bucket + 1)).toEqual([2, "current"]);
    expect(await at(100, true)).toEqual([1, "held"]);
    expect((await player.refreshed()).releases("stable").at(-1)?.status).toBe("held");
  });
});
