/** What a player refuses, and by which code. Each attack is one row: what the attacker does to an honest repository. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { type FailureCode } from "../../manifests/failures.ts";
import { signFresh } from "../../manifests/trust/fresh.ts";
import { type AnyRole, type Signed, type UnixSeconds, encodeRole } from "../../manifests/trust/roles.ts";
import { type TrustedTitle } from "../../cli/trust/client.ts";
import { type Stage, onStage } from "../support/player.ts";
import { testKey } from "../support/role-keys.ts";
import { START, type TestRepository } from "../support/tuf-repo.ts";

interface Attack {
  readonly name: string;
  readonly code: FailureCode;
  /** The player has never asked before: no memory, only title.json. */
  readonly firstRun?: true;
  readonly attack: (stage: Stage) => Promise<void> | void;
  /** What the player does beyond refreshing; by default it opens the current release. */
  readonly act?: (title: TrustedTitle) => unknown;
}

const HOUR = 3600;
const DAY = 86_400;

const ATTACKS: readonly Attack[] = [
  // --- Content ---
  {
    name: "a tampered release document",
    code: "object.mismatch",
    attack: ({ repository }) => {
      for (const [id, bytes] of repository.objects) repository.objects.set(id, flipped(bytes, 10));
    },
  },
  {
    name: "a release document of another title",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.addRelease("stable", 2, "2.0.0", "othertitle");
      await signedAndCurrent(repository, 2);
    },
  },
  // --- Who signed ---
  {
    name: "a timestamp with one byte changed",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.signTimestamp();
      const text = new TextDecoder().decode(repository.bytesOf("timestamp"));
      store(repository, "timestamp", new TextEncoder().encode(text.replace('"version":2', '"version":3')));
    },
  },
  {
    name: "a forged signature",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.signTimestamp();
      const role = repository.role("timestamp");
      const signatures = role.signatures.map(({ keyid, sig }) => ({ keyid, sig: sig.replace(/^./, differentDigit) }));
      store(repository, "timestamp", encodeRole({ ...role, signatures }));
    },
  },
  {
    name: "a timestamp signed by a stranger under the edge's key id",
    code: "metadata.invalid",
    async attack({ repository }) {
      const stranger = { ...(await testKey("stranger")), keyid: repository.keys.online.keyid };
      await repository.put("timestamp", next(repository, "timestamp"), [stranger]);
    },
  },
  {
    name: "a channel signed by the edge",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.addRelease("stable", 2, "2.0.0");
      await repository.signChannel("stable", repository.keys.online);
      repository.live["stable"] = { seq: 2, rollout: 100, hold: false, previous: 1, deltas: [] };
      await repository.signOnline();
    },
  },
  {
    name: "a channel signed by another channel's key",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.addRelease("stable", 2, "2.0.0");
      await repository.signChannel("stable", repository.keys.channels["beta"]);
      await repository.signOnline();
    },
  },
  {
    name: "a targets role signed by the edge",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.put("targets", next(repository, "targets"), [repository.keys.online]);
      await repository.signOnline();
    },
  },
  {
    name: "an unsigned channel",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.put("stable", next(repository, "stable"), []);
      await repository.signOnline();
    },
  },
  {
    name: "a root signed by one key of the two it takes",
    code: "metadata.invalid",
    attack: ({ repository }) => repository.signRoot(2, repository.keys.root.slice(0, 1)),
  },
  {
    name: "a root signed twice by the same key",
    code: "metadata.invalid",
    async attack({ repository }) {
      const [one] = repository.keys.root;
      if (one !== undefined) await repository.signRoot(2, [one, one]);
    },
  },
  {
    name: "a root signed only by its own new keys",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.keys.root = await Promise.all(["evil-1", "evil-2", "evil-3"].map(testKey));
      await repository.signRoot(2);
    },
  },
  {
    name: "a root that skips a version",
    code: "metadata.rollback",
    async attack({ repository }) {
      await repository.signRoot(3);
      repository.files.set("2.root.json", required(repository.files.get("3.root.json")));
    },
  },
  // --- Which way ---
  {
    name: "an older timestamp",
    code: "metadata.rollback",
    async attack({ repository, player }) {
      const old = repository.bytesOf("timestamp");
      await repository.publish("stable", 2, "2.0.0");
      await player.refreshed();
      store(repository, "timestamp", old);
    },
  },
  {
    name: "a new timestamp over an older snapshot",
    code: "metadata.rollback",
    async attack({ repository, player }) {
      const old = repository.metaOf("snapshot");
      await repository.publish("stable", 2, "2.0.0");
      await player.refreshed();
      await repository.signTimestamp(old);
    },
  },
  {
    name: "a new snapshot over an older channel",
    code: "metadata.rollback",
    async attack({ repository, player }) {
      const old = repository.metaOf("stable");
      await repository.publish("stable", 2, "2.0.0");
      await player.refreshed();
      await repository.signSnapshot({ ...repository.listedRoles(), stable: old });
      await repository.signTimestamp();
    },
  },
  {
    name: "live pointing back at an older release",
    code: "metadata.rollback",
    async attack({ repository, player }) {
      await repository.publish("stable", 2, "2.0.0");
      await player.refreshed();
      repository.live["stable"] = { seq: 1, rollout: 100, hold: false, previous: null, deltas: [] };
      await repository.signOnline();
    },
  },
  {
    name: "live pointing below what is installed",
    code: "metadata.rollback",
    firstRun: true,
    attack: ({ repository }) => void repository.addRelease("stable", 2, "2.0.0"),
    act: (title) => title.current("stable", 2),
  },
  {
    name: "live pointing below the floor of title.json, on a first run",
    code: "metadata.rollback",
    firstRun: true,
    attack: ({ player }) => void Object.assign(player.titleFile.floor, { seq: 2 }),
  },
  {
    name: "targets older than the floor of title.json, on a first run",
    code: "metadata.rollback",
    firstRun: true,
    attack: ({ player }) => void Object.assign(player.titleFile.floor, { targets: 2 }),
  },
  {
    name: "the chain of roots withheld from a player whose cache is gone",
    code: "metadata.rollback",
    async attack({ repository, player }) {
      await repository.signRoot(2);
      const title = await player.refreshed();
      expect(title.channels()).toContain("stable");
      repository.files.delete("2.root.json");
      await writeFile(path.join(player.metadataDir, "root.json"), "{");
    },
  },
  // --- How old ---
  {
    name: "an expired timestamp",
    code: "metadata.expired",
    attack: ({ player }) => void (player.now = (START + 25 * HOUR) as UnixSeconds),
  },
  {
    name: "an expired timestamp, on a first run, with the edge cut off",
    code: "metadata.expired",
    firstRun: true,
    attack({ edge, player }) {
      edge.fresh = undefined;
      player.now = (START + 25 * HOUR) as UnixSeconds;
    },
  },
  {
    name: "a timestamp frozen for 25 hours, to a player whose clock is slow",
    code: "metadata.expired",
    attack: ({ repository }) => void (repository.now = (START + 25 * HOUR) as UnixSeconds),
  },
  {
    name: "the same with the edge cut off, once the player has heard the time",
    code: "metadata.expired",
    async attack({ repository, edge, player }) {
      repository.now = (START + 25 * HOUR) as UnixSeconds;
      await expect(player.refreshed()).rejects.toMatchObject({ code: "metadata.expired" });
      edge.fresh = undefined;
    },
  },
  {
    name: "the same on a first run with the edge cut off, when title.json is younger",
    code: "metadata.expired",
    firstRun: true,
    attack({ edge, player }) {
      edge.fresh = undefined;
      Object.assign(player.titleFile.floor, { time: START + 25 * HOUR });
    },
  },
  {
    name: "an old but unexpired timestamp, when the edge says another one is current",
    code: "metadata.rollback",
    async attack({ repository, edge }) {
      const old = repository.bytesOf("timestamp");
      await repository.publish("stable", 2, "2.0.0");
      edge.overrides.set("metadata/timestamp.json", (response) => response.end(old));
    },
  },
  {
    name: "an expired channel",
    code: "metadata.expired",
    async attack({ repository, player }) {
      player.now = repository.now = (START + 181 * DAY) as UnixSeconds;
      await repository.signOnline();
    },
  },
  {
    name: "an expired root",
    code: "metadata.expired",
    async attack({ repository, player }) {
      player.now = repository.now = (START + 366 * DAY) as UnixSeconds;
      await repository.signChannel("stable");
      await repository.signTargets();
      await repository.signOnline();
    },
  },
  // --- What belongs together ---
  {
    name: "an older snapshot under the name of the newest",
    code: "metadata.invalid",
    async attack({ repository }) {
      const old = repository.bytesOf("snapshot");
      await repository.publish("stable", 2, "2.0.0");
      repository.files.set(`${repository.metaOf("snapshot").version}.snapshot.json`, old);
    },
  },
  {
    name: "a channel's file that the snapshot does not name",
    code: "metadata.invalid",
    async attack({ repository }) {
      const old = repository.bytesOf("stable");
      await repository.publish("stable", 2, "2.0.0");
      repository.files.set(`${repository.metaOf("stable").version}.stable.json`, old);
    },
  },
  {
    name: "a snapshot without the channel, on a first run",
    code: "metadata.invalid",
    firstRun: true,
    attack: ({ repository }) => withoutRole(repository, "stable"),
  },
  {
    name: "a snapshot without targets, on a first run",
    code: "metadata.invalid",
    firstRun: true,
    attack: ({ repository }) => withoutRole(repository, "targets"),
  },
  {
    name: "a snapshot that dropped a channel",
    code: "metadata.invalid",
    attack: ({ repository }) => withoutRole(repository, "beta"),
  },
  {
    name: "a targets role in place of a snapshot",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.put("snapshot", next(repository, "targets"), [repository.keys.online]);
      await repository.signTimestamp();
    },
  },
  // --- What the edge may choose ---
  {
    name: "live naming a release that the publisher never signed",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.live["stable"] = { seq: 7, rollout: 100, hold: false, previous: 1, deltas: [] };
      await repository.signOnline();
    },
  },
  {
    name: "live naming another channel's release",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.publish("beta", 2, "2.0.0-beta");
      repository.live["stable"] = { seq: 2, rollout: 100, hold: false, previous: 1, deltas: [] };
      await repository.signOnline();
    },
  },
  {
    name: "live listing a release of its own",
    code: "metadata.invalid",
    async attack({ repository }) {
      const { signed } = repository.role("live");
      const targets = { ...signed.targets, ...repository.role("stable").signed.targets };
      await repository.put("live", { ...signed, version: signed.version + 1, targets }, [repository.keys.online]);
      await repository.signSnapshot();
      await repository.signTimestamp();
    },
  },
  {
    name: "live asking for a rollout of 1000 percent",
    code: "metadata.invalid",
    async attack({ repository }) {
      repository.live["stable"] = { seq: 1, rollout: 1000, hold: false, previous: null, deltas: [] };
      await repository.signOnline();
    },
  },
  // --- How much, how long ---
  {
    name: "a timestamp larger than it may be",
    code: "metadata.invalid",
    attack: ({ edge }) =>
      void edge.overrides.set("metadata/timestamp.json", (response) => response.end(" ".repeat(20_000))),
  },
  {
    name: "a root that never ends",
    code: "metadata.invalid",
    attack: ({ edge }) => {
      edge.overrides.set("metadata/2.root.json", (response) => {
        const more = (): void =>
          void (response.writable && response.write("x".repeat(65_536), () => setImmediate(more)));
        more();
      });
    },
  },
  {
    name: "a snapshot longer than the timestamp says",
    code: "metadata.invalid",
    async attack({ repository }) {
      await repository.signSnapshot();
      await repository.signTimestamp();
      const { version } = repository.metaOf("snapshot");
      const longer = Buffer.concat([repository.bytesOf("snapshot"), Buffer.from(" ")]);
      repository.files.set(`${version}.snapshot.json`, longer);
    },
  },
  {
    name: "an answer that begins and then says nothing",
    code: "edge.unreachable",
    attack: ({ edge }) =>
      void edge.overrides.set("metadata/timestamp.json", (response) => void response.writeHead(200).write("{")),
  },
  {
    name: "a timestamp that is not JSON",
    code: "metadata.invalid",
    attack: ({ edge }) =>
      void edge.overrides.set("metadata/timestamp.json", (response) => response.end("<html>Sign in to WiFi</html>")),
  },
  {
    name: "a timestamp nested seven thousand deep",
    code: "metadata.invalid",
    attack({ edge, repository }) {
      const text = new TextDecoder().decode(repository.bytesOf("timestamp"));
      const deep = text.replace('"version":1', `"version":2,"deep":${"[".repeat(7000)}${"]".repeat(7000)}`);
      edge.overrides.set("metadata/timestamp.json", (response) => response.end(deep));
    },
  },
  // --- The freshness statement ---
  {
    name: "a freshness statement longer than it may be",
    code: "metadata.invalid",
    attack: ({ edge }) => {
      edge.fresh = () => Promise.resolve(new Uint8Array(20_000));
    },
  },
  {
    name: "a freshness statement for another nonce",
    code: "metadata.invalid",
    attack: ({ edge, repository }) => {
      edge.fresh = (nonce) =>
        signFresh(repository.statement(nonce.replace(/^./, differentDigit)), [repository.keys.online]);
    },
  },
  {
    name: "a freshness statement for another title",
    code: "metadata.invalid",
    attack: ({ edge, repository }) => {
      edge.fresh = (nonce) => signFresh({ ...repository.statement(nonce), title: "other" }, [repository.keys.online]);
    },
  },
  {
    name: "a freshness statement signed by another key",
    code: "metadata.invalid",
    attack: ({ edge, repository }) => {
      edge.fresh = (nonce) => signFresh(repository.statement(nonce), [repository.keys.targets]);
    },
  },
  {
    name: "a timestamp in place of a freshness statement",
    code: "metadata.invalid",
    attack: ({ edge, repository }) => {
      edge.fresh = () => Promise.resolve(repository.bytesOf("timestamp"));
    },
  },
];

test.each(ATTACKS)("refused: $name ($code)", async ({ attack, firstRun, code, act = openCurrent }) => {
  await onStage(async (stage) => {
    if (firstRun !== true) await openCurrent(await stage.player.refreshed());
    await attack(stage);
    const run = async (): Promise<unknown> => act(await stage.player.refreshed());
    await expect(run()).rejects.toMatchObject({ name: "Failure", code });
  });
});

test("no attack has left a player stuck: the honest edge is believed again afterwards", async () => {
  const recoverable = ATTACKS.filter(({ name }) => /never ends|not JSON|another nonce|says nothing/.test(name));
  expect(recoverable.length).toBeGreaterThan(3);
  for (const { attack } of recoverable) {
    await onStage(async (stage) => {
      const honest = stage.edge.fresh;
      await attack(stage);
      await expect(stage.player.refreshed()).rejects.toMatchObject({ name: "Failure" });
      stage.edge.overrides.clear();
      stage.edge.fresh = honest;
      await openCurrent(await stage.player.refreshed());
    });
  }
});

async function openCurrent(title: TrustedTitle): Promise<void> {
  const { release } = title.current("stable", undefined);
  if (release === undefined) throw new Error("nothing to install");
  await title.release("stable", release.seq);
}

async function signedAndCurrent(repository: TestRepository, seq: number): Promise<void> {
  await repository.signChannel("stable");
  repository.live["stable"] = { seq, rollout: 100, hold: false, previous: null, deltas: [] };
  await repository.signOnline();
}

/** The role as it is, under its next version: what a signer of the wrong kind would sign. */
function next(repository: TestRepository, role: string): AnyRole {
  const { signed } = repository.role<AnyRole>(role);
  return { ...signed, version: signed.version + 1 };
}

/** A snapshot that lists everything but one role. */
async function withoutRole(repository: TestRepository, role: string): Promise<void> {
  const { [role]: _left, ...rest } = repository.listedRoles();
  await repository.signSnapshot(rest);
  await repository.signTimestamp();
}

/** Serves the bytes as the role's newest file, whatever version they name. */
function store(repository: TestRepository, role: string, bytes: Uint8Array): void {
  const { signed } = JSON.parse(new TextDecoder().decode(bytes)) as Signed<AnyRole>;
  repository.putBytes(role, signed.version, bytes);
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
}

function differentDigit(digit: string): string {
  return digit === "0" ? "1" : "0";
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the test's own premise is wrong");
  return value;
}
