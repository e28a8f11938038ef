/**
 * A title's repository in memory, and a tiny edge that serves it over real HTTP. Everything is open to tampering: that
 * is what it is for.
 */
import { once } from "node:events";
import { type RequestListener, type ServerResponse, createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { type ObjectId, objectIdOf, toHex } from "../../manifests/digest.ts";
import { ROLE_LIFETIME_S } from "../../manifests/limits.ts";
import { releasePath, writeRelease } from "../../manifests/release.ts";
import { type FreshStatement, signFresh } from "../../manifests/trust/fresh.ts";
import { type LiveChannel, afterPublish } from "../../manifests/trust/live.ts";
import {
  type AnyRole,
  type MetaFile,
  type NamedKey,
  type RoleSigner,
  type RootRole,
  type Signed,
  type SignedRelease,
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
  metadataFileName,
  signRole,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { sha256 } from "./hashes.ts";
import { type TestKey, testKey } from "./role-keys.ts";

export const TITLE = "demo";
/** When the repository is made. Nothing here reads the machine's clock. */
export const START: UnixSeconds = toUnixSeconds(Date.UTC(2026, 10, 22, 10));

export interface RepositoryKeys {
  root: TestKey[];
  targets: TestKey;
  channels: Record<string, TestKey>;
  online: TestKey;
}

export class TestRepository {
  /** The edge's clock. */
  now: UnixSeconds = START;
  readonly keys: RepositoryKeys;
  /** File name -> bytes, as the edge serves them. */
  readonly files = new Map<string, Uint8Array>();
  readonly objects = new Map<ObjectId, Uint8Array>();
  /** Channel -> the releases the publisher signed. */
  readonly releases: Record<string, SignedRelease[]>;
  readonly live: Record<string, LiveChannel> = {};
  /** Role -> its current version and meta. */
  readonly meta: Record<string, MetaFile> = {};
  root!: Signed<RootRole>;

  constructor(keys: RepositoryKeys) {
    this.keys = keys;
    this.releases = Object.fromEntries(Object.keys(keys.channels).map((channel) => [channel, []]));
  }

  /** Registered, with one release (1.0.0, seq 1) current on stable. */
  static async create(): Promise<TestRepository> {
    const repository = new TestRepository({
      root: await Promise.all(["root-1", "root-2", "root-3"].map(testKey)),
      targets: await testKey("targets"),
      channels: { stable: await testKey("stable"), beta: await testKey("beta") },
      online: await testKey("online"),
    });
    await repository.signRoot(1);
    await repository.signTargets();
    await repository.signChannel("beta");
    await repository.publish("stable", 1, "1.0.0");
    return repository;
  }

  // --- The publisher ---

  /** @param signers  who signs; by default as many as the threshold asks for */
  async signRoot(version: number, signers: readonly RoleSigner[] = this.keys.root.slice(0, 2)): Promise<void> {
    const root = buildRoot({
      version,
      expires: after(this.now, ROLE_LIFETIME_S.root),
      root: { keys: this.keys.root, threshold: 2 },
      targets: { keys: [this.keys.targets], threshold: 1 },
      online: [this.keys.online],
    });
    this.root = await signRole(root, signers);
    this.files.set(metadataFileName("root", version), encodeRole(this.root));
  }

  async signTargets(): Promise<void> {
    const channels = Object.entries(this.keys.channels).map(([name, key]) => [name, holding(key)] as const);
    const version = this.nextVersion("targets");
    const expires = after(this.now, ROLE_LIFETIME_S.targets);
    const role = buildTargets({ version, expires, channels: Object.fromEntries(channels), online: [this.keys.online] });
    await this.put("targets", role, [this.keys.targets]);
  }

  async signChannel(channel: string, signer: RoleSigner | undefined = this.keys.channels[channel]): Promise<void> {
    const version = this.nextVersion(channel);
    const expires = after(this.now, ROLE_LIFETIME_S.channel);
    const role = buildChannel({ version, expires, releases: this.releases[channel] ?? [] });
    await this.put(channel, role, signer === undefined ? [] : [signer]);
  }

  /** A release document and its line in the channel; not signed yet. */
  addRelease(channel: string, seq: number, version: string, title: string = TITLE): SignedRelease {
    const infohash = seq.toString(16).padStart(40, "0");
    const torrent = objectIdOf(new TextEncoder().encode(`torrent ${seq}`), sha256);
    const created = formatTime(this.now);
    const bytes = writeRelease({
      title,
      seq,
      version,
      created,
      tree: { sha256: objectIdOf(new TextEncoder().encode(`tree ${seq}`), sha256), bytes: 100 },
      files: 3,
      bytes: 3000,
      torrent: { sha256: torrent, infohash, infohashV2: infohash.padStart(64, "0"), pieceLength: 16_384 },
      rollbackOf: null,
      notes: "",
    });
    const document = { sha256: objectIdOf(bytes, sha256), bytes: bytes.length };
    this.objects.set(document.sha256, bytes);
    const path = releasePath(channel, seq);
    const release = { channel, path, seq, version, files: 3, bytes: 3000, infohash, torrent, created, document };
    (this.releases[channel] ??= []).push(release);
    return release;
  }

  /** The whole honest way: release, channel, live, snapshot, timestamp. */
  async publish(channel: string, seq: number, version: string, rollout = 100): Promise<SignedRelease> {
    const release = this.addRelease(channel, seq, version);
    await this.signChannel(channel);
    this.live[channel] = afterPublish(this.live[channel], seq, rollout);
    await this.signOnline();
    return release;
  }

  // --- The edge (or whoever stole its key) ---

  async signOnline(): Promise<void> {
    await this.signLive();
    await this.signSnapshot();
    await this.signTimestamp();
  }

  async signLive(): Promise<void> {
    const version = this.nextVersion("live");
    const expires = after(this.now, ROLE_LIFETIME_S.live);
    await this.put("live", buildLive({ version, expires, channels: this.live }, sha256), [this.keys.online]);
  }

  /** @param roles  what the snapshot claims; by default the truth */
  async signSnapshot(roles: Readonly<Record<string, MetaFile>> = this.listedRoles()): Promise<void> {
    const version = this.nextVersion("snapshot");
    const role = buildSnapshot({ version, expires: after(this.now, ROLE_LIFETIME_S.snapshot), roles });
    await this.put("snapshot", role, [this.keys.online]);
  }

  async signTimestamp(snapshot = this.metaOf("snapshot"), version = this.nextVersion("timestamp")): Promise<void> {
    const role = buildTimestamp({ version, expires: after(this.now, ROLE_LIFETIME_S.timestamp), snapshot });
    await this.put("timestamp", role, [this.keys.online]);
  }

  /** What a snapshot lists: targets, live and the channels. */
  listedRoles(): Record<string, MetaFile> {
    const { snapshot: _snapshot, timestamp: _timestamp, ...listed } = this.meta;
    return listed;
  }

  metaOf(role: string): MetaFile {
    const meta = this.meta[role];
    if (meta === undefined) throw new Error(`${role} has not been signed yet`);
    return meta;
  }

  /** Stores a role's next file, whoever signed it. */
  async put(name: string, role: AnyRole, signers: readonly RoleSigner[]): Promise<void> {
    this.putBytes(name, role.version, encodeRole(await signRole(role, signers)));
  }

  putBytes(name: string, version: number, bytes: Uint8Array): void {
    this.meta[name] = metaOf(version, bytes, sha256);
    this.files.set(metadataFileName(name, version), bytes);
  }

  /** The current file of a role, parsed. */
  role<T = TargetsRole>(name: string): Signed<T> {
    return JSON.parse(new TextDecoder().decode(this.bytesOf(name))) as Signed<T>;
  }

  bytesOf(name: string): Uint8Array {
    const bytes = this.files.get(metadataFileName(name, this.metaOf(name).version));
    if (bytes === undefined) throw new Error(`${name} is not stored`);
    return bytes;
  }

  /** The statement an honest edge would sign now. */
  statement(nonce: string): FreshStatement {
    const timestamp = toHex(sha256(this.files.get("timestamp.json") ?? new Uint8Array()));
    return { title: TITLE, nonce, now: this.now, timestamp };
  }

  // --- What ships with the game ---

  titleFile(edges: readonly string[], floor: Partial<TitleFile["floor"]> = {}): TitleFile {
    return {
      title: TITLE,
      edges,
      channel: "stable",
      root: this.root,
      floor: { root: 1, targets: 1, seq: 0, time: START, ...floor },
    };
  }

  private nextVersion(role: string): number {
    return (this.meta[role]?.version ?? 0) + 1;
  }
}

function holding(key: NamedKey): { keys: NamedKey[]; threshold: number } {
  return { keys: [key], threshold: 1 };
}

/** Answers a request itself. */
export type Handler = (response: ServerResponse) => void;

export class TestEdge {
  readonly url: string;
  readonly repository: TestRepository;
  /** Path below /t/demo/ -> what happens instead of the honest answer. */
  readonly overrides = new Map<string, Handler>();
  /** The answer to /fresh; undefined: 503. */
  fresh: ((nonce: string) => Promise<Uint8Array>) | undefined;
  /** Paths asked for, in order. */
  readonly asked: string[] = [];
  readonly #close: () => Promise<void>;

  constructor(url: string, repository: TestRepository, close: () => Promise<void>) {
    this.url = url;
    this.repository = repository;
    this.#close = close;
    this.fresh = (nonce) => signFresh(repository.statement(nonce), [repository.keys.online]);
  }

  close(): Promise<void> {
    return this.#close();
  }

  /** On a free port of 127.0.0.1. */
  static async start(repository: TestRepository): Promise<TestEdge> {
    const listener: { current: RequestListener } = { current: () => undefined };
    const server = createServer((request, response) => listener.current(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const edge = new TestEdge(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, repository, async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    });
    listener.current = (request, response) => {
      const path = (request.url ?? "").replace(`/t/${TITLE}/`, "");
      edge.asked.push(path);
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => void edge.answer(path, Buffer.concat(parts).toString(), response));
    };
    return edge;
  }

  async answer(path: string, body: string, response: ServerResponse): Promise<void> {
    const override = this.overrides.get(path);
    if (override !== undefined) return override(response);
    if (path === "fresh") {
      const { nonce } = JSON.parse(body) as { nonce: string };
      if (this.fresh === undefined) response.writeHead(503).end();
      else response.end(await this.fresh(nonce));
      return;
    }
    const name = path.slice(path.indexOf("/") + 1);
    const { files, objects } = this.repository;
    const bytes = path.startsWith("metadata/") ? files.get(name) : objects.get(name as ObjectId);
    if (bytes === undefined) response.writeHead(404).end();
    else response.end(bytes);
  }
}
