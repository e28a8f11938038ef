/**
 * A publisher for tests of the edge: keys, signed requests, and small real releases, all over the worker's own fetch.
 */
import { zstdCompressSync } from "node:zlib";
import { exports } from "cloudflare:workers";
import { appendSignature, createSignature } from "http-message-sig";
import { type ChunkId, concatBytes, equalBytes, objectIdOf, parsePiecesRoot, toHex } from "../../manifests/digest.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { chooseStored } from "../../manifests/pack.ts";
import { type ClosedPack, PackBuilder, placeChunks } from "../support/pack-builder.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { writeRecipe } from "../../manifests/recipe.ts";
import { releasePath, writeRelease } from "../../manifests/release.ts";
import { type LayoutFile, makeTorrent, pieceLengthFor, readTorrent, torrentName } from "../../manifests/torrent.ts";
import { type TreeFile, writeTree } from "../../manifests/tree.ts";
import {
  type NamedKey,
  type RoleSigner,
  type SignedRelease,
  type UnixSeconds,
  after,
  buildChannel,
  buildRoot,
  buildTargets,
  encodeRole,
  formatTime,
  keyIdOf,
  signRole,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import {
  SIGNATURE_LABEL,
  SIGNED_COMPONENTS,
  contentDigest,
  requestParameters,
} from "../../manifests/wire/signed-request.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { type TestKey, testKey } from "../support/role-keys.ts";

export const EDGE = "http://edge.test";
export const ADMIN_TOKEN = "test-admin-token";
const LIFETIME_S = 30 * 86_400;
/** Chunks of test files: small, so that small files have several. */
const CHUNK_BYTES = 40_000;

/** Path -> content. */
export type Contents = Readonly<Record<string, Uint8Array>>;

export interface BuiltRelease {
  readonly signed: SignedRelease;
  /** Everything the origin must have before the release is published. */
  readonly objects: readonly Uint8Array<ArrayBuffer>[];
  /** The torrent's folder, and its files with padding left out. */
  readonly name: string;
  readonly files: readonly LayoutFile[];
}

export function now(): UnixSeconds {
  return toUnixSeconds(Date.now());
}

/** The worker's answer to a request. */
export async function ask(path: string, init?: RequestInit): Promise<Response> {
  return await exports.default.fetch(`${EDGE}${path}`, init);
}

/** The problem document's code, after checking that the answer is one. */
export async function problemCode(response: Response): Promise<string> {
  const type = response.headers.get("content-type");
  if (type !== "application/problem+json") throw new Error(`not a problem: ${response.status} ${type}`);
  return (await response.json<{ code: string }>()).code;
}

export class Publisher {
  readonly title: string;
  readonly root: readonly TestKey[];
  readonly targets: TestKey;
  readonly channels: Readonly<Record<string, TestKey>>;
  #versions = new Map<string, number>();
  #releases: SignedRelease[] = [];
  #online: NamedKey | undefined;

  private constructor(title: string, keys: { root: TestKey[]; targets: TestKey; channels: Record<string, TestKey> }) {
    this.title = title;
    this.root = keys.root;
    this.targets = keys.targets;
    this.channels = keys.channels;
  }

  /** Keys only; nothing is registered. */
  static async make(title: string, channels: readonly string[] = ["stable"]): Promise<Publisher> {
    const key = (name: string): Promise<TestKey> => testKey(`${title}/${name}`);
    const named = await Promise.all(channels.map(async (name) => [name, await key(name)] as const));
    return new Publisher(title, {
      root: [await key("root-1"), await key("root-2"), await key("root-3")],
      targets: await key("targets"),
      channels: Object.fromEntries(named),
    });
  }

  /** A registered title with empty channels. */
  static async register(title: string, channels?: readonly string[]): Promise<Publisher> {
    const publisher = await Publisher.make(title, channels);
    await publisher.openRegistration();
    await expectOk(await publisher.postAsAdmin("/roles/root", await publisher.signedRoot(1)));
    await expectOk(await publisher.postRole("targets", await publisher.signedTargets(1)));
    for (const channel of Object.keys(publisher.channels)) {
      await expectOk(await publisher.postRole(channel, await publisher.signedChannel(channel, [])));
    }
    return publisher;
  }

  // --- Registration ---

  async openRegistration(): Promise<void> {
    const response = await this.postAsAdmin("", new TextEncoder().encode("{}"));
    await expectOk(response);
    const { onlineKey: key } = await response.json<{ onlineKey: NamedKey["key"] }>();
    this.#online = { key, keyid: keyIdOf(key, sha256) };
  }

  get online(): NamedKey {
    if (this.#online === undefined) throw new Error("openRegistration comes first");
    return this.#online;
  }

  async signedRoot(
    version: number,
    {
      signers = this.root.slice(0, 2),
      root = this.root,
      targets = this.targets,
      online = [this.online],
    }: {
      signers?: readonly RoleSigner[];
      root?: readonly NamedKey[];
      targets?: NamedKey;
      online?: readonly NamedKey[];
    } = {},
  ): Promise<Uint8Array> {
    const holders = { root: { keys: root, threshold: 2 }, targets: { keys: [targets], threshold: 1 }, online };
    return encodeRole(await signRole(buildRoot({ version, expires: after(now(), LIFETIME_S), ...holders }), signers));
  }

  async signedTargets(
    version: number,
    {
      signer = this.targets,
      channels = this.channels,
      lifetime = LIFETIME_S,
    }: {
      signer?: RoleSigner;
      channels?: Readonly<Record<string, NamedKey>>;
      lifetime?: number;
    } = {},
  ): Promise<Uint8Array> {
    const plan = Object.fromEntries(
      Object.entries(channels).map(([name, key]) => [name, { keys: [key], threshold: 1 }]),
    );
    const expires = after(now(), lifetime);
    const targets = buildTargets({ version, expires, channels: plan, online: [this.online] });
    return encodeRole(await signRole(targets, [signer]));
  }

  /** The next version of a channel's role, unless another is asked for. */
  async signedChannel(
    channel: string,
    releases: readonly SignedRelease[],
    { signer = this.channels[channel], version = (this.#versions.get(channel) ?? 0) + 1, lifetime = LIFETIME_S } = {},
  ): Promise<Uint8Array> {
    if (signer === undefined) throw new Error(`no key for ${channel}`);
    this.#versions.set(channel, version);
    return encodeRole(await signRole(buildChannel({ version, expires: after(now(), lifetime), releases }), [signer]));
  }

  // --- Requests ---

  async postAsAdmin(path: string, body: Uint8Array, token = ADMIN_TOKEN): Promise<Response> {
    const headers = { authorization: `Bearer ${token}` };
    return await ask(`/t/${this.title}${path}`, { method: "POST", headers, body });
  }

  async postRole(role: string, body: Uint8Array, signer: RoleSigner = this.targets): Promise<Response> {
    return await this.send("POST", `/roles/${role}`, body, { signer });
  }

  async publish(order: object, signer?: RoleSigner): Promise<Response> {
    const body = new TextEncoder().encode(JSON.stringify(order));
    return await this.send("POST", "/publish", body, signer === undefined ? {} : { signer });
  }

  async listDelta(order: object): Promise<Response> {
    return await this.send("POST", "/deltas", new TextEncoder().encode(JSON.stringify(order)));
  }

  async putObject(bytes: Uint8Array, over: SignOptions & { name?: string } = {}): Promise<Response> {
    const name = over.name ?? objectIdOf(bytes, sha256);
    return await this.send("PUT", `/objects/${name}`, bytes, over);
  }

  async send(method: string, path: string, body: Uint8Array, over: SignOptions = {}): Promise<Response> {
    const url = `/t/${this.title}${path}`;
    return await ask(url, { method, body, headers: await this.signedHeaders(method, url, body, over) });
  }

  /** What a publisher's request carries; a request sent twice with the same headers is a replay. */
  async signedHeaders(
    method: string,
    url: string,
    body: Uint8Array,
    { signer = this.targets, created = now(), expires, digest = sha256(body), edge = EDGE }: SignOptions = {},
  ): Promise<Headers> {
    const value = contentDigest(digest);
    const nonce = toHex(crypto.getRandomValues(new Uint8Array(16)));
    const signature = await createSignature(
      { kind: "request", method, targetUri: `${edge}${url}`, fields: [{ name: "content-digest", value }] },
      {
        label: SIGNATURE_LABEL,
        components: SIGNED_COMPONENTS,
        parameters: {
          ...requestParameters(signer.keyid, nonce, created),
          ...(expires === undefined ? {} : { expires }),
        },
        signer: { algorithm: "ed25519", sign: (base) => signer.sign(base) },
      },
    );
    return appendSignature(new Headers({ "content-digest": value, "content-length": String(body.length) }), signature);
  }

  // --- Releases ---

  /** Objects up, role signed and sent, release made current. */
  async release(contents: Contents, seq: number, { channel = "stable", rollout = 100 } = {}): Promise<BuiltRelease> {
    const built = await buildRelease(this.title, contents, seq, channel);
    for (const object of built.objects) await expectOk(await this.putObject(object));
    await this.list(built.signed);
    await expectOk(await this.publish({ channel, seq, rollout }));
    return built;
  }

  /** Sends the channel's role with one release more. */
  async list(release: SignedRelease): Promise<void> {
    this.#releases.push(release);
    const releases = this.#releases.filter(({ channel }) => channel === release.channel);
    await expectOk(await this.postRole(release.channel, await this.signedChannel(release.channel, releases)));
  }
}

interface SignOptions {
  readonly signer?: RoleSigner;
  readonly created?: UnixSeconds;
  /** Seconds; ours do not say. */
  readonly expires?: number;
  readonly digest?: Uint8Array;
  /** Whom the request is meant for. */
  readonly edge?: string;
}

export async function expectOk(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.status} ${await response.clone().text()}`);
}

// --- Building --------------------------------------------------------------------------------------------------------

/** A release as `publish` makes one: chunks in packs, recipes in one object, tree, torrent, document. */
export async function buildRelease(
  title: string,
  contents: Contents,
  seq: number,
  channel = "stable",
): Promise<BuiltRelease> {
  const version = `1.0.${seq}`;
  const paths = Object.keys(contents).map(parseSafePath);
  const pieceLength = pieceLengthFor(Object.values(contents).map(({ length }) => length));
  const packs = packChunks(paths.map((path) => contents[path] ?? new Uint8Array()));
  const recipes = paths.map((_, index) => zstdCompressSync(writeRecipe(packs.chunksOf(index))));
  const recipeObject = concatBytes(recipes);
  const recipeId = objectIdOf(recipeObject, sha256);

  const hashes = paths.map((path) => {
    const hasher = new FileHasher(sha256, pieceLength, sha1);
    hasher.update(contents[path] ?? new Uint8Array());
    return hasher.finish();
  });
  let offset = 0;
  const files = paths.map((path, index): TreeFile => {
    const { size, root } = hashes[index] ?? { size: 0, root: parsePiecesRoot("0".repeat(64)) };
    const bytes = recipes[index]?.length ?? 0;
    const recipe = size === 0 ? null : { object: recipeId, offset, bytes };
    offset += bytes;
    return { path, size, root, exec: false, recipe };
  });
  const tree = compress(writeTree({ files }));

  const name = torrentName(title, version);
  const torrent = makeTorrent(
    {
      name,
      pieceLength,
      files: paths.flatMap((path, index) => {
        const hash = hashes[index];
        return hash === undefined ? [] : [{ ...hash, path, exec: false }];
      }),
      announce: [`${EDGE}/t/${title}/announce`],
      webSeeds: [`${EDGE}/t/${title}/seed/${seq}/`],
    },
    sha256,
    sha1,
  );
  const torrentId = objectIdOf(torrent.metainfo, sha256);
  const totals = { files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
  const created = formatTime(now());
  const { infohash, infohashV2 } = torrent;
  const torrentV1 = objectIdOf(torrent.v1.metainfo, sha256);
  const document = writeRelease({
    title,
    seq,
    version,
    created,
    tree: { sha256: objectIdOf(tree, sha256), bytes: tree.length },
    ...totals,
    torrent: {
      sha256: torrentId,
      infohash,
      infohashV2,
      pieceLength,
      v1: { sha256: torrentV1, infohash: torrent.v1.infohash },
    },
    rollbackOf: null,
    notes: "",
  });
  const layout = readTorrent(torrent.metainfo, sha256, sha1);
  return {
    signed: {
      channel,
      path: releasePath(channel, seq),
      seq,
      version,
      ...totals,
      infohash,
      torrent: torrentId,
      v1: { torrent: torrentV1, infohash: torrent.v1.infohash },
      created,
      document: { sha256: objectIdOf(document, sha256), bytes: document.length },
    },
    objects: [...packs.bytes, recipeObject, tree, torrent.metainfo, torrent.v1.metainfo, document],
    name,
    files: layout.files,
  };
}

/** Every file's chunks, in packs small enough that there are several. */
function packChunks(files: readonly Uint8Array[]): {
  bytes: Uint8Array<ArrayBuffer>[];
  chunksOf: (file: number) => ReturnType<typeof placeChunks>;
} {
  const builder = new PackBuilder(100_000);
  const closed: ClosedPack[] = [];
  const places: { file: number; pack: number; index: number }[] = [];
  let inPack = 0;
  for (const [file, content] of files.entries()) {
    for (let at = 0; at < content.length; at += CHUNK_BYTES) {
      const plain = content.subarray(at, at + CHUNK_BYTES);
      const { stored, raw } = chooseStored(plain, zstdCompressSync(plain));
      const id = toHex(sha256(plain)) as ChunkId;
      if (builder.add(id, plain.length, stored, raw) === undefined) {
        closed.push(builder.close());
        inPack = 0;
        builder.add(id, plain.length, stored, raw);
      }
      places.push({ file, pack: closed.length, index: inPack++ });
    }
  }
  closed.push(builder.close());
  const placed = closed.map(({ bytes, chunks }) => placeChunks(chunks, objectIdOf(bytes, sha256)));
  return {
    bytes: closed.map(({ bytes }) => bytes).filter((bytes) => bytes.length > 0),
    chunksOf: (file) =>
      places
        .filter((place) => place.file === file)
        .flatMap(({ pack, index }) => {
          const chunk = placed[pack]?.[index];
          return chunk === undefined ? [] : [chunk];
        }),
  };
}

function compress(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(zstdCompressSync(bytes));
}

/** Bytes that do not compress, the same each time. */
export function noise(length: number, seed: number): Uint8Array<ArrayBuffer> {
  let state = seed * 2_654_435_761 + 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

/** Whether a body is exactly these bytes. */
export async function bodyIs(response: Response, expected: Uint8Array): Promise<boolean> {
  return equalBytes(new Uint8Array(await response.arrayBuffer()), expected);
}
