/** A build against a real edge: what becomes a release, what is sent for it, and what an interruption leaves behind. */
import { chmod, copyFile, link, mkdir, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { generateKeyPairSync } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { readTorrent } from "../../manifests/torrent.ts";
import { type ObjectId } from "../../manifests/digest.ts";
import { type Failure } from "../../manifests/failures.ts";
import { type TestEdge } from "../support/edge.ts";
import { ForgetfulOrigin } from "../support/forgetful-origin.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { type Press, type PressOptions, pressForEachTest, urlOf } from "../support/press.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { type Files } from "../support/studio.ts";

const MIB = 1024 * 1024;

let edge: TestEdge;
let press: Press;
pressForEachTest((...opened) => ([press, edge] = opened));
afterAll(closePool);

const puts = (requests: readonly string[]): number => requests.filter((request) => request === "PUT objects").length;
const posts = (requests: readonly string[]): string[] => requests.filter((request) => request.startsWith("POST "));

test("a published build is current, and the origin has all of it", async () => {
  const game = pseudoRandomBytes(1, 3 * MIB);
  const folder = await press.build("v1", { "game.bin": game, "data/read me #1.txt": "hello", empty: "" });
  const result = await press.publish(folder, "1.0.0");
  const bytes = { total: 3 * MIB + 5, uploaded: expect.any(Number) };
  expect(result).toMatchObject({ outcome: "published", seq: 1, files: 3, bytes });
  expect(result.bytes.uploaded).toBeGreaterThan(3 * MIB);

  const title = await press.title();
  expect(title.live("stable")).toMatchObject({ seq: 1, rollout: 100, hold: false });
  const [release] = title.releases("stable");
  expect(release).toMatchObject({ version: "1.0.0", files: 3, bytes: 3 * MIB + 5, status: "live" });
  const files = await press.files("stable", 1);
  expect([...files.keys()]).toEqual(["data/read me #1.txt", "empty", "game.bin"]);
  expect(Buffer.compare(files.get("game.bin") ?? new Uint8Array(), game)).toBe(0);

  const { torrent } = await title.release("stable", 1);
  const layout = readTorrent(await title.object(torrent.sha256, MIB), sha256, sha1);
  const url = `${edge.url}/t/${press.name}`;
  expect(layout).toMatchObject({
    name: `${press.name}-1.0.0`,
    infohash: release?.infohash,
    announce: [`${url}/announce`, `${url.replace("http", "ws")}/announce`],
    webSeeds: [`${url}/seed/1/`],
  });
});

test("published again with nothing changed, nothing is sent and the release stays", async () => {
  const folder = await press.build("v1", { "a.bin": 200_000, "b.txt": "b" });
  await press.publish(folder, "1.0.0");
  press.requests();
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "unchanged", seq: 1, bytes: { uploaded: 0 } });
  expect(posts(press.requests())).toEqual(["POST fresh"]);
  expect((await press.title()).releases()).toHaveLength(1);
});

test("an older build published again says what players get meanwhile", async () => {
  const old = await press.build("v1", { "a.txt": "old" });
  await press.publish(old, "1.0.0");
  expect(await press.publish(old, "1.0.0")).toMatchObject({ seq: 1, live: { seq: 1, version: "1.0.0" } });
  await press.publish(await press.build("v2", { "a.txt": "new" }), "1.1.0");
  const live = { seq: 2, version: "1.1.0" };
  expect(await press.publish(old, "1.0.0")).toMatchObject({ outcome: "unchanged", seq: 1, live });
  expect(await press.publish(old, "1.0.0", { dryRun: true })).toMatchObject({ outcome: "unchanged", seq: 1, live });
});

const V1 = { "a.bin": "a", "b.bin": "b" };
const otherBuilds: Readonly<Record<string, Files>> = {
  "other content": { ...V1, "b.bin": "c" },
  "another name": { "a.bin": "a", "c.bin": "b" },
  "a file more": { ...V1, "c.bin": "" },
  "a file less": { "a.bin": "a" },
  "its files swapped": { "a.bin": "b", "b.bin": "a" },
};

test.each(Object.entries(otherBuilds))("a version is not published again with %s", async (_, files) => {
  await press.publish(await press.build("v1", V1), "1.0.0");
  press.requests();
  await expect(press.publish(await press.build("other", files), "1.0.0")).rejects.toMatchObject({
    code: "release.version-taken",
    facts: { version: "1.0.0", channel: "stable", seq: 1 },
  });
  expect(press.requests().filter((request) => /^(PUT|POST (roles|publish))/.test(request))).toEqual([]);
});

test("a version is not published again with another exec bit", async () => {
  const folder = await press.build("v1", V1);
  await press.publish(folder, "1.0.0");
  await chmod(press.at("v1", "a.bin"), 0o755);
  await expect(press.publish(folder, "1.0.0")).rejects.toMatchObject({ code: "release.version-taken" });
});

test("a new version of the same content costs two torrents and a document", async () => {
  const folder = await press.build("v1", { "a.bin": 2 * MIB });
  await press.publish(folder, "1.0.0");
  press.requests();
  const again = await press.publish(folder, "1.0.1");
  expect(again).toMatchObject({ outcome: "published", seq: 2, added: { chunks: 0, packs: 0 } });
  expect(again.bytes.uploaded).toBeLessThan(10_000);
  expect(puts(press.requests())).toBe(3);
  const title = await press.title();
  expect((await title.release("stable", 2)).tree).toEqual((await title.release("stable", 1)).tree);
});

test("of an update only what is new is sent, whichever channel had the rest", async () => {
  const game = pseudoRandomBytes(2, 4 * MIB);
  await press.publish(await press.build("v1", { "game.bin": game, "b.bin": 300_000 }), "1.0.0");
  const changed = game.slice();
  changed.fill(0, MIB, MIB + 1000);
  const folder = await press.build("v2", { "game.bin": changed, "moved/b.bin": 300_000 });
  const update = await press.publish(folder, "2.0.0-rc1", { channel: "beta" });
  expect(update).toMatchObject({ outcome: "published", seq: 2 });
  expect(update.bytes.uploaded).toBeLessThan(600_000);
  expect(Buffer.compare((await press.files("beta", 2)).get("game.bin") ?? game, changed)).toBe(0);
});

test("releases are numbered over all channels", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  expect((await press.publish(folder, "1.0.0")).seq).toBe(1);
  expect((await press.publish(folder, "1.0.0", { channel: "beta" })).seq).toBe(2);
  expect((await press.publish(folder, "1.1.0")).seq).toBe(3);
  expect((await press.title()).releases().map(({ channel, status }) => [channel, status])).toEqual([
    ["stable", "superseded"],
    ["beta", "live"],
    ["stable", "live"],
  ]);
});

test("a rollout reaches the players as it was asked for", async () => {
  await press.publish(await press.build("v1", { "a.txt": "a" }), "1.0.0", { rollout: 25 });
  expect((await press.title()).live("stable")).toMatchObject({ seq: 1, rollout: 25 });
  // of what is out it can be changed, and is left alone by a run that does not ask for it
  const again = async (rollout: number | undefined, dryRun = false) => {
    const build = await press.build("v1", { "a.txt": "a" });
    const { outcome, rollout: change } = await press.publish(build, "1.0.0", { rollout, dryRun });
    return { outcome, change, live: (await press.title()).live("stable")?.rollout };
  };
  expect(await again(undefined)).toEqual({ outcome: "unchanged", change: undefined, live: 25 });
  const wider = { before: 25, now: 60 };
  expect(await again(60, true)).toEqual({ outcome: "unchanged", change: wider, live: 25 });
  expect(await again(60)).toEqual({ outcome: "unchanged", change: wider, live: 60 });
  expect(await again(60)).toEqual({ outcome: "unchanged", change: undefined, live: 60 });
  expect(await again(10)).toEqual({ outcome: "unchanged", change: { before: 60, now: 10 }, live: 10 });
});

test("a dry run says what would be sent, needs no keys and touches nothing", async () => {
  const folder = await press.build("v1", {
    "a.bin": pseudoRandomBytes(3, 2 * MIB),
    "b.bin": pseudoRandomBytes(3, 2 * MIB),
  });
  const dry = await press.publish(folder, "1.0.0", { dryRun: true, keysDir: press.at("no-keys") });
  expect(dry).toMatchObject({ outcome: "dry-run", seq: 1, files: 2, bytes: { total: 4 * MIB }, added: { packs: 1 } });
  expect(press.requests().filter((request) => /objects|roles|publish/.test(request))).toEqual([]);
  const real = await press.publish(folder, "1.0.0");
  expect(real.added).toEqual(dry.added);
  expect((await press.publish(folder, "1.0.0", { dryRun: true })).outcome).toBe("unchanged");
  const other = await press.build("v2", { "a.bin": "other" });
  await expect(press.publish(other, "1.0.0", { dryRun: true })).rejects.toMatchObject({
    code: "release.version-taken",
  });
});

/** Lets requests pass until `stop` says so; from then on the line is dead. */
function cutLine(stop: (method: string, url: string) => boolean): Fetch {
  let isCut = false;
  return (input, init) => {
    isCut ||= stop(init?.method ?? "GET", urlOf(input));
    return isCut ? Promise.reject(new TypeError("fetch failed")) : fetch(input, init);
  };
}

test("cut off while sending, the next run sends only the rest", async () => {
  const folder = await press.build("v1", { "a.bin": pseudoRandomBytes(4, 30 * MIB) });
  let sent = 0;
  const line = cutLine((method) => method === "PUT" && ++sent > 2);
  await expect(press.publish(folder, "1.0.0", { fetch: line })).rejects.toMatchObject({ code: "edge.unreachable" });
  expect((await press.title()).releases()).toEqual([]);
  const result = await press.publish(folder, "1.0.0");
  expect(result).toMatchObject({ outcome: "published", seq: 1 });
  expect(result.bytes.uploaded).toBeLessThan(15 * MIB);
  expect(
    Buffer.compare((await press.files("stable", 1)).get("a.bin") ?? Buffer.of(), pseudoRandomBytes(4, 30 * MIB)),
  ).toBe(0);
});

test("stopped by its user, it says so and leaves nothing behind; the next run goes on", async () => {
  const folder = await press.build("v1", { "a.bin": pseudoRandomBytes(6, 20 * MIB) });
  const stop = new AbortController();
  const line: Fetch = (input, init) => {
    if (init?.method === "PUT") stop.abort();
    return fetch(input, init);
  };
  await expect(press.publish(folder, "1.0.0", { fetch: line, signal: stop.signal })).rejects.toMatchObject({
    code: "source.interrupted",
  });
  expect(await readdir(press.at("cache", "spool"))).toEqual([]);
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "published", seq: 1 });
});

test("what is left of patching the build's folder is left out, and said so", async () => {
  const logged: string[] = [];
  const folder = await press.build("v1", { "a.txt": "a", ".patchswarm/state.json": "{}" });
  const published = await press.publish(folder, "1.0.0", { onLog: (text) => void logged.push(text) });
  expect(published).toMatchObject({ outcome: "published", files: 1 });
  expect(logged).toEqual([expect.stringContaining("The build's .patchswarm is left out")]);
});

test("a build of empty files is a release too", async () => {
  await press.publish(await press.build("v1", { empty: "", "also/empty": "" }), "1.0.0");
  expect([...(await press.files("stable", 1)).values()].map(({ length }) => length)).toEqual([0, 0]);
});

test("cut off between the signed role and the last call, the next run makes that release current", async () => {
  const folder = await press.build("v1", { "a.bin": 100_000 });
  const line = cutLine((_, url) => url.endsWith("/publish"));
  await expect(press.publish(folder, "1.0.0", { fetch: line })).rejects.toMatchObject({ code: "edge.unreachable" });
  expect((await press.title()).live("stable")).toBeUndefined();
  const next = await press.publish(folder, "1.0.0");
  expect(next).toMatchObject({ outcome: "published", seq: 1, bytes: { uploaded: 0 } });
  expect((await press.title()).live("stable")?.seq).toBe(1);
});

test("an answer that got lost does not publish twice", async () => {
  const folder = await press.build("v1", { "a.bin": 100_000 });
  let lost = false;
  const line: Fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (lost || !urlOf(input).endsWith("/roles/stable")) return response;
    lost = true;
    throw new TypeError("fetch failed");
  };
  await expect(press.publish(folder, "1.0.0", { fetch: line })).rejects.toMatchObject({ code: "edge.unreachable" });
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "published", seq: 1 });
  expect((await press.title()).releases()).toHaveLength(1);
});

test("overtaken by another publish, it takes the next number", async () => {
  const [mine, theirs] = [
    await press.build("mine", { "a.txt": "mine" }),
    await press.build("theirs", { "a.txt": "theirs" }),
  ];
  let overtaken = false;
  const line: Fetch = async (input, init) => {
    if (!overtaken && urlOf(input).endsWith("/roles/stable")) {
      overtaken = true;
      await press.publish(theirs, "1.0.0");
    }
    return await fetch(input, init);
  };
  expect(await press.publish(mine, "1.1.0", { fetch: line })).toMatchObject({ outcome: "published", seq: 2 });
  const title = await press.title();
  expect(title.releases().map(({ seq, version }) => [seq, version])).toEqual([
    [1, "1.0.0"],
    [2, "1.1.0"],
  ]);
  expect(title.live("stable")?.seq).toBe(2);
});

test("a lost cache costs downloads, not another upload", async () => {
  const files = { "a.bin": pseudoRandomBytes(5, 2 * MIB), "b.txt": "b" };
  await press.publish(await press.build("v1", files), "1.0.0");
  await rm(press.at("cache"), { recursive: true });
  const update = await press.publish(await press.build("v2", { ...files, "c.txt": "c" }), "1.1.0");
  expect(update.added).toMatchObject({ chunks: 1 });
  expect(update.bytes.uploaded).toBeLessThan(20_000);
});

test("a pack that the origin lost is sent again, by way of new packs", async () => {
  const files = { "a.bin": pseudoRandomBytes(7, 2 * MIB) };
  const origin = new ForgetfulOrigin();
  await press.publish(await press.build("v1", files), "1.0.0", origin);
  const [pack = "" as ObjectId] = origin.sent();
  origin.lose([pack]);
  // with one file more the new pack is another than the lost one
  const folder = await press.build("v2", { "0.txt": "new", ...files });
  const update = await press.publish(folder, "1.1.0", origin);
  expect(update.bytes.uploaded).toBeGreaterThan(2 * MIB);
  expect(Buffer.compare((await press.files("stable", 2)).get("a.bin") ?? Buffer.of(), files["a.bin"])).toBe(0);

  press.requests();
  const next = await press.publish(await press.build("v3", { "0.txt": "newer", ...files }), "1.2.0");
  expect(next.added.chunks).toBe(1);
});

test("a damaged cache is not believed", async () => {
  const files = { "a.bin": pseudoRandomBytes(5, 2 * MIB) };
  await press.publish(await press.build("v1", files), "1.0.0");
  await press.publish(await press.build("v1", files), "1.0.1");
  const cached = press.at("cache", "objects");
  for (const name of await readdir(cached)) await writeFile(`${cached}/${name}`, "rot");
  expect(await press.publish(await press.build("v1", files), "1.0.1")).toMatchObject({ outcome: "unchanged", seq: 2 });
});

test("the signing keys are not published with the build", async () => {
  const folder = press.at();
  await press.build("v1", { "a.bin": "a" });
  await expect(press.publish(folder, "1.0.0", { dryRun: true })).rejects.toMatchObject({
    code: "build.refused",
    facts: { refused: expect.arrayContaining(['"keys/root-1.pem" (in the folder of signing keys)']) },
  });
  expect((await press.publish(folder, "1.0.0", { ignore: ["keys", "cache"] })).outcome).toBe("published");
});

/** The names that a publish refuses as keys. */
async function refusedKeys(folder: string, options: PressOptions = {}): Promise<unknown> {
  const error = await press.publish(folder, "1.0.0", options).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: "build.refused" });
  expect(puts(press.requests())).toBe(0);
  return (error as Failure).facts["refused"];
}

const KEY_NAMES = ["channel-beta", "channel-stable", "root-1", "root-2", "root-3", "targets"];
const inKeysFolder = KEY_NAMES.map((name) => `"keys/${name}.pem" (in the folder of signing keys)`);

test("the keys' folder is the same by every name, and so is the build", async () => {
  const folder = await press.build("v1", { "a.bin": "a" });
  await rename(press.at("keys"), press.at("v1", "keys"));
  await symlink("v1", press.at("link"));
  await symlink(press.at("v1", "keys"), press.at("keys-link"));
  const keysDir = press.at("v1", "keys");
  expect(await refusedKeys(press.at("link"), { keysDir })).toEqual(inKeysFolder);
  expect(await refusedKeys(folder, { keysDir: press.at("link", "keys") })).toEqual(inKeysFolder);
  expect(await refusedKeys(folder, { keysDir: press.at("keys-link") })).toEqual(inKeysFolder);
});

test("a copy of a key is not published either, whatever it is called and wherever it lies", async () => {
  const folder = await press.build("v1", {
    "a.bin": "a",
    // keys on both sides of it are not read together
    "large.bin": 9 * MIB,
    "note.txt": "-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----",
  });
  await mkdir(press.at("v1", "data"));
  await copyFile(press.at("keys", "root-1.pem"), press.at("v1", "data", "old.bak"));
  await link(press.at("keys", "channel-stable.pem"), press.at("v1", "linked.pem"));
  const all = await Promise.all(["root-2", "targets"].map((name) => readFile(press.at("keys", `${name}.pem`), "utf8")));
  await writeFile(press.at("v1", "all.txt"), `of another program\r\n${all.join("").replaceAll("\n", "\r\n")}`);
  const named = ["all.txt", "data/old.bak", "linked.pem"].map((path) => `"${path}" (a private key of this title)`);
  expect(await refusedKeys(folder)).toEqual(named);
  expect(await refusedKeys(folder, { dryRun: true, keysDir: press.at("none") })).toEqual(named);
  expect(await readdir(press.at("cache", "spool")).catch(() => [])).toEqual([]);
  // one that is found late is kept out of what was sent until then
  for (const name of ["all.txt", "data/old.bak"]) await rm(press.at("v1", name));
  await expect(press.publish(folder, "1.0.0")).rejects.toMatchObject({ code: "build.refused", facts: { count: 1 } });
  expect((await press.title()).releases()).toEqual([]);
  // a game may have keys of its own
  const { privateKey } = generateKeyPairSync("ed25519");
  const own = await press.build("v2", { "server.pem": privateKey.export({ type: "pkcs8", format: "pem" }) });
  expect((await press.publish(own, "1.0.0")).outcome).toBe("published");
});

test("a key's name is spelled out where a terminal would not show it", async () => {
  const folder = await press.build("v1", { "a.bin": "a" });
  await copyFile(press.at("keys", "root-1.pem"), press.at("v1", "a\u2028key"));
  expect(await refusedKeys(folder)).toEqual([String.raw`"a\u{2028}key" (a private key of this title)`]);
});

test("a channel that is not there, and keys that are not there, are said before anything is sent", async () => {
  const folder = await press.build("v1", { "a.bin": 100_000 });
  await expect(press.publish(folder, "1.0.0", { channel: "nightly" })).rejects.toMatchObject({
    code: "usage.bad-flag",
    facts: { option: "--channel", found: "nightly", expected: ["stable", "beta"] },
  });
  await expect(press.publish(folder, "1.0.0", { keysDir: press.at("none") })).rejects.toMatchObject({
    code: "usage.no-keys",
  });
  expect(puts(press.requests())).toBe(0);
});
