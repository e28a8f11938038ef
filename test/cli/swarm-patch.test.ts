/** Sessions with peers: who gives what, who lies, and what happens when only one side has the right bytes. */
import { hash } from "node:crypto";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { afterAll, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { InstalledBoard } from "../../cli/patch/installed-board.ts";
import { Objects } from "../../cli/patch/objects.ts";
import { Peers, type PeersOptions } from "../../cli/patch/peers.ts";
import { requireState } from "../../cli/patch/state.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { openTree } from "../../cli/patch/objects.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { makeTorrent, pieceOf, readTorrent } from "../../manifests/torrent.ts";
import type { Tree } from "../../manifests/tree.ts";
import { RateLimit } from "../../cli/peers/rates.ts";
import { fakeSwarm } from "../support/fake-swarm.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { contentsOfBuild, newPlayer, noisy } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

const KIB = 1024;
const FILES = {
  "game.bin": noisy(700 * KIB, "game"),
  "data/a.txt": "one",
  "data/empty": "",
  "data/b.pak": noisy(90 * KIB, "b"),
  "data/c.pak": noisy(90 * KIB, "b"),
};
const PEERS_ONLY = new Set(["local", "peers"] as const);

async function publisherWithPlayers(pieceLength = 64 * KIB): Promise<Publisher> {
  const publisher = await Publisher.start({ pieceLength });
  publisher.publish("1.0.0", { files: FILES });
  publisher.players = 1;
  return publisher;
}

test("with the origin forbidden, everything comes from peers, each content once", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES });
  const { fetched } = await player.patch({ sources: PEERS_ONLY }, { createSwarm });
  expect(fetched).toEqual({ origin: 0, peers: 790 * KIB + 3 });
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("an update takes from peers only the blocks that changed", async () => {
  await using publisher = await publisherWithPlayers(16 * KIB);
  await using player = await newPlayer(publisher);
  await player.patch({ sources: new Set(["local", "origin"] as const) });
  const files = { ...FILES, "game.bin": noisy(700 * KIB, "game", [300 * KIB, 1000]) };
  publisher.publish("1.1.0", { files });
  const { createSwarm } = fakeSwarm({ files });
  const { fetched } = await player.patch({ sources: PEERS_ONLY }, { createSwarm });
  expect(fetched.peers).toBeLessThan(400 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("a peer's lies are refused, and the truth is taken", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES, lies: 5 });
  await player.patch({ sources: PEERS_ONLY }, { createSwarm });
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("a disk that is full when a peer's piece comes is said to be full, not the peers to have nothing", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { "a.txt": "two" } });
  publisher.players = 1;
  await using player = await newPlayer(publisher);
  await mkdir(player.at(".patchswarm", "staging"), { recursive: true });
  // the root of a file of one block is the hash of its bytes
  await symlink("/dev/full", player.at(".patchswarm", "staging", hash("sha256", "two")));
  const { createSwarm } = fakeSwarm({ files: { "a.txt": "two" } });
  const full = player.patch({ sources: PEERS_ONLY }, { createSwarm });
  await expect(full).rejects.toMatchObject({ code: "install.no-space", family: "no-space" });
});

test("a patch that was cut short fetched the torrent for the next one too", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { "a.txt": "two" } });
  publisher.players = 1;
  await using player = await newPlayer(publisher);
  const staged = player.at(".patchswarm", "staging", hash("sha256", "two"));
  await mkdir(player.at(".patchswarm", "staging"), { recursive: true });
  await symlink("/dev/full", staged);
  const { createSwarm } = fakeSwarm({ files: { "a.txt": "two" } });
  await expect(player.patch({ sources: PEERS_ONLY }, { createSwarm })).rejects.toThrow();
  await rm(staged, { force: true });
  await player.patch({ sources: PEERS_ONLY }, { createSwarm: fakeSwarm({ files: { "a.txt": "two" } }).createSwarm });
  const { torrent } = (await requireState(new Install(player.folder))).release;
  expect(publisher.requests.filter(({ object }) => object === torrent)).toHaveLength(1);
});

test("what the peers do not have comes from the origin", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES, only: ["data/b.pak"] });
  const { fetched } = await player.patch({}, { createSwarm });
  expect(fetched.peers).toBeGreaterThan(0);
  expect(fetched.origin).toBeGreaterThan(0);
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("peers that are connected and give nothing only cost the grace", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES, silent: true });
  const { fetched } = await player.patch({}, { createSwarm });
  expect(fetched.peers).toBe(0);
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("named before peers, the origin does not rest for them", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES, silent: true });
  const sources = new Set(["local", "origin", "peers"] as const);
  // time stands still: a grace would never end
  const { fetched } = await player.patch({ sources }, { createSwarm, clock: () => 0 });
  expect(fetched.peers).toBe(0);
  expect(fetched.origin).toBeGreaterThan(0);
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("what the origin has corrupted for good, peers heal", async () => {
  await using publisher = await publisherWithPlayers();
  publisher.mishap = (_, isPack) => (isPack ? "corrupt" : undefined);
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES });
  await player.patch({}, { createSwarm });
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("a recipe that makes another file is found out by the root, and the file comes from peers", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  // the origin answers for this file with the recipe of another one of the same size
  let other: Uint8Array | undefined;
  publisher.spoilRecipe = (path, recipe) => {
    if (path === "a") other = recipe;
    return path === "b" && other !== undefined ? other : recipe;
  };
  const files = { a: "file a", b: "file b" };
  publisher.publish("1.0.0", { files });
  await using lonely = await newPlayer(publisher);
  await expect(lonely.patch()).rejects.toMatchObject({ code: "object.malformed", family: "damaged" });
  expect(await lonely.contents()).toEqual({});

  publisher.players = 1;
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files });
  await player.patch({}, { createSwarm });
  expect(await player.contents()).toEqual(files);
});

test("a swarm that cannot be joined costs nothing but a line", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  await player.patch({}, { createSwarm: () => Promise.reject(new Error("no port")) });
  expect(player.logs).toEqual(["going on without peers: no port"]);
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("a tracker that hangs does not keep the origin waiting", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const fetchOrHang: typeof fetch = (input, init) =>
    (input as string).includes("/scrape?")
      ? new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(new Error("aborted"))))
      : fetch(input, init);
  const start = performance.now();
  await player.patch({}, { fetch: fetchOrHang });
  expect(performance.now() - start).toBeLessThan(8000);
  expect(await player.contents()).toEqual(contentsOfBuild(FILES));
});

test("nobody there: no BitTorrent client is started, and no torrent is fetched", async () => {
  await using publisher = await publisherWithPlayers();
  publisher.players = 0;
  await using player = await newPlayer(publisher);
  let started = false;
  const createSwarm = (): Promise<never> => {
    started = true;
    return Promise.reject(new Error("not needed"));
  };
  await player.patch({}, { createSwarm });
  expect(started).toBe(false);
  const torrent = (await requireState(new Install(player.folder))).release.torrent;
  expect(publisher.requests.some(({ object }) => object === torrent)).toBe(false);
});

/** Peers of the first release. @param torrent  what comes instead of its own */
async function peersOf(
  publisher: Publisher,
  options: Partial<PeersOptions>,
  torrent?: Uint8Array,
): Promise<{ readonly peers: Peers; readonly tree: Promise<Tree> }> {
  const title = await publisher.openTitle({} as Parameters<typeof publisher.openTitle>[0]);
  const release = await title.release("stable", 1);
  const tree = title.object(release.tree.sha256, release.tree.bytes).then((object) => openTree(object, release));
  const { title: name, edge } = title;
  const peers = new Peers({
    title: { title: name, edge, object: async (id, bytes) => torrent ?? (await title.object(id, bytes)) },
    release,
    uploadLimit: null,
    download: new RateLimit(null, 0),
    fetch: globalThis.fetch,
    signal: new AbortController().signal,
    evenIfAlone: false,
    keepTorrent: () => Promise.resolve(),
    log: () => {},
    createSwarm: fakeSwarm({ files: FILES }).createSwarm,
    ...options,
  });
  return { peers, tree };
}

test("nobody there, and much to fetch: it joins all the same, to be found", async () => {
  await using publisher = await publisherWithPlayers();
  publisher.players = 0;
  const { peers, tree } = await peersOf(publisher, {});
  peers.start(tree);
  expect(await peers.board()).toBeUndefined();
  peers.start(tree, 64 * KIB * KIB);
  expect(await peers.board()).toBeDefined();
  await expect.poll(() => peers.membership).toBeDefined();
  await peers.close();
});

function torrentOf(files: Readonly<Record<string, Uint8Array | string>>, pieceLength: number): Uint8Array {
  const hasher = new FileHasher(sha256, pieceLength, sha1);
  const hashed = Object.entries(files).map(([path, content]) => {
    hasher.update(Buffer.from(content));
    return { path: parseSafePath(path), exec: false, ...hasher.finish() };
  });
  const content = { name: "demo-1.0.0", pieceLength, files: hashed, announce: [], webSeeds: [] };
  return makeTorrent(content, sha256, sha1).metainfo;
}

test.each([
  ["its own is kept", FILES, 64 * KIB, true],
  ["one of other files is not used", { ...FILES, "data/a.txt": "two" }, 64 * KIB, false],
  ["one of other pieces is not used", FILES, 32 * KIB, false],
])("the torrent of a release: %s", async (_, files, pieceLength, isUsed) => {
  await using publisher = await publisherWithPlayers();
  const torrent = torrentOf(files, pieceLength);
  const kept: Uint8Array[] = [];
  const keepTorrent = (bytes: Uint8Array): Promise<void> => Promise.resolve(void kept.push(bytes));
  const { peers, tree } = await peersOf(publisher, { evenIfAlone: true, keepTorrent }, torrent);
  peers.start(tree);
  expect((await peers.board()) !== undefined).toBe(isUsed);
  await peers.close();
  expect(kept).toEqual(isUsed ? [torrent] : []);
});

test("while it patches, a player serves what is proven, and nothing else", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm, board } = fakeSwarm({ files: FILES });
  await player.patch({ sources: PEERS_ONLY }, { createSwarm });
  const served = board();
  if (served === undefined) throw new Error("never joined");
  expect([...served.verified()]).toHaveLength(served.layout.pieceCount);
  expect([...served.missing()]).toEqual([]);
});

test("an install is a seed of what looks as it was proven", async () => {
  await using publisher = await publisherWithPlayers();
  await using player = await newPlayer(publisher);
  const { createSwarm } = fakeSwarm({ files: FILES });
  await player.patch({ sources: PEERS_ONLY }, { createSwarm });
  const install = new Install(player.folder);
  const state = await requireState(install);
  const torrent = await new Objects(install).read(state.release.torrent);
  const layout = readTorrent(torrent ?? new Uint8Array(), sha256, sha1);

  const seed = new InstalledBoard(install, state, layout);
  expect(seed.touched).toBe(0);
  for (const piece of seed.verified()) {
    const { file, offset, bytes } = pieceOf(layout, piece);
    const content = Buffer.from(FILES[file.path as keyof typeof FILES]);
    const given = Buffer.from((await seed.readVerified(piece, 0, bytes)) ?? []);
    expect(given.equals(content.subarray(offset, offset + bytes))).toBe(true);
  }

  // changed while it is served: the read fails rather than give what nobody proved
  await writeFile(player.at("data/a.txt"), "two");
  const piece = layout.files.find(({ path }) => path === "data/a.txt")?.firstPiece ?? -1;
  await expect(seed.readVerified(piece, 0, 3)).rejects.toMatchObject({ code: "install.damaged" });
  await seed.close();

  const later = new InstalledBoard(install, state, layout);
  expect(later.touched).toBe(1);
  expect(later.has(piece)).toBe(false);
  expect([...later.verified()]).not.toContain(piece);
  await later.close();

  // a file stands where a folder was: what was in it is not given, and nothing fails
  await rm(player.at("data"), { recursive: true });
  await writeFile(player.at("data"), "");
  const without = new InstalledBoard(install, state, layout);
  expect(without.touched).toBe(Object.keys(FILES).filter((file) => file.startsWith("data/")).length);
  await without.close();
});
