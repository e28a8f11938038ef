/**
 * A publisher and an origin in a few lines, for tests of the player's side: releases are made by the core, kept in
 * memory and served by a real HTTP server with ranges. Trust is left out on purpose: it has its own tests.
 */
import { constants, zstdCompressSync } from "node:zlib";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Chunker, chunkSizesFor } from "../../manifests/chunker.ts";
import { objectIdOf, toHex, type ChunkId, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { chooseStored } from "../../manifests/pack.ts";
import { PACK_BYTES_MAX } from "../../manifests/limits.ts";
import { PackBuilder, placeChunks, type PackedChunk } from "./pack-builder.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { writeRecipe, type RecipeChunk } from "../../manifests/recipe.ts";
import type { Release } from "../../manifests/release.ts";
import { makeTorrent, pieceLengthFor, torrentName } from "../../manifests/torrent.ts";
import { writeTree, type TreeFile } from "../../manifests/tree.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import type { VerifiedRelease } from "../../manifests/trust/verify.ts";
import type { Title } from "../../cli/patch/session.ts";
import { sha1, sha256 } from "../../cli/threads/digests.ts";
import type { TitleOptions } from "../../cli/trust/client.ts";

/** Path -> content; a path in `exec` may be run. */
export interface Build {
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  readonly exec?: readonly string[];
}

/** What happens to one request for an object: answered, or made to fail. */
export type Mishap = "corrupt" | "cut" | "busy" | "missing" | "hang" | undefined;

export interface PublisherOptions {
  /** Bytes. Small, so that small tests have many pieces. */
  readonly pieceLength?: number;
  /** Largest pack. */
  readonly packBytes?: number;
}

export class Publisher {
  readonly objects = new Map<ObjectId, Uint8Array>();
  readonly packs = new Set<ObjectId>();
  /** Object and range of each request, in the order they came. */
  readonly requests: { readonly object: string; readonly range: string; readonly fresh: boolean }[] = [];
  /** Decides about every request. */
  mishap: (object: ObjectId, isPack: boolean) => Mishap = () => undefined;
  /** How many other players the tracker says there are. */
  players = 0;
  /** Called with the plain bytes of each recipe before it is stored. */
  spoilRecipe: (path: string, recipe: Uint8Array) => Uint8Array = (_, recipe) => recipe;
  readonly titleFile: TitleFile;
  readonly #options: PublisherOptions;
  readonly #releases: Release[] = [];
  readonly #placed = new Map<ChunkId, RecipeChunk>();
  readonly #server: Server;
  #port = 0;
  #current = 0;

  private constructor(options: PublisherOptions) {
    this.#options = options;
    this.titleFile = { title: "demo", channel: "stable", edges: [], v: 1 } as unknown as TitleFile;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(options: PublisherOptions = {}): Promise<Publisher> {
    const publisher = new Publisher(options);
    await publisher.listen();
    return publisher;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async hangUp(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hangUp();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Publishes a build and makes it current. */
  publish(version: string, build: Build): Release {
    const entries = Object.entries(build.files).map(
      ([path, content]) => [parseSafePath(path), typeof content === "string" ? Buffer.from(content) : content] as const,
    );
    const sizes = entries.map(([, content]) => content.length);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const pieceLength = this.#options.pieceLength ?? pieceLengthFor(sizes);
    const hasher = new FileHasher(sha256, pieceLength, sha1);
    const hashes = entries.map(([, content]) => {
      hasher.update(content);
      return hasher.finish();
    });
    this.#pack(
      entries.map(([, content]) => content),
      total,
    );

    const recipes: Uint8Array[] = [];
    let at = 0;
    const places = entries.map(([path, content]) => {
      if (content.length === 0) return null;
      const stored = zstdCompressSync(this.spoilRecipe(path, writeRecipe(this.#chunksOf(content, total))));
      recipes.push(stored);
      at += stored.length;
      return { offset: at - stored.length, bytes: stored.length };
    });
    const recipeObject = this.#keep(Buffer.concat(recipes));
    const isExec = (path: string): boolean => build.exec?.includes(path) === true;
    const files = entries.map(([path], index): TreeFile => {
      const { root, size } = hashes[index] ?? { root: "", size: 0 };
      const place = places[index];
      const recipe = place === null || place === undefined ? null : { object: recipeObject, ...place };
      return { path, size, root: root as TreeFile["root"], exec: isExec(path), recipe };
    });
    const tree = zstdCompressSync(writeTree({ files }));
    const torrent = makeTorrent(
      {
        name: torrentName("demo", version),
        pieceLength,
        files: entries.flatMap(([path], index) => {
          const of = hashes[index];
          return of === undefined ? [] : [{ ...of, path, exec: isExec(path) }];
        }),
        announce: [`${this.url}/t/demo/announce`],
        webSeeds: [],
      },
      sha256,
      sha1,
    );
    const release: Release = {
      title: "demo",
      seq: this.#releases.length + 1,
      version,
      created: "2026-11-22T10:00:00Z",
      tree: { sha256: this.#keep(tree), bytes: tree.length },
      files: files.length,
      bytes: total,
      torrent: {
        sha256: this.#keep(torrent.metainfo),
        infohash: torrent.infohash,
        infohashV2: torrent.infohashV2,
        pieceLength,
      },
      rollbackOf: null,
      notes: "",
    };
    this.#releases.push(release);
    this.#current = release.seq;
    return release;
  }

  /** The title as a player sees it once it is verified. */
  readonly openTitle = async ({ readObject }: TitleOptions): Promise<Title> => {
    let bytesFetched = 0;
    const find = (seq: number): VerifiedRelease => {
      const release = this.#releases[seq - 1];
      if (release === undefined) throw new Failure("release.not-found", { seq });
      return { ...release, channel: "stable" } as VerifiedRelease;
    };
    const base = this.url;
    return {
      title: "demo",
      file: { ...this.titleFile, edges: [base] },
      edge: base,
      get bytesFetched() {
        return bytesFetched;
      },
      refresh: () => Promise.resolve({ proven: true, clockBehindSeconds: 0 }),
      current: () => ({ release: signed(find(this.#current)), because: "current" }),
      live: () => undefined,
      release: (_channel, seq) => Promise.resolve(find(seq)),
      releases: () => this.#releases.map((release) => ({ ...signed(release), status: "live" as const })),
      async object(id) {
        const local = await readObject?.(id);
        if (local !== undefined) return local;
        const response = await fetch(`${base}/t/demo/objects/${id}`);
        const bytes = new Uint8Array(await response.arrayBuffer());
        bytesFetched += bytes.length;
        if (objectIdOf(bytes, sha256) !== id) throw new Failure("object.mismatch", { expected: id });
        return bytes;
      },
    };
  };

  #keep(bytes: Uint8Array): ObjectId {
    const id = objectIdOf(bytes, sha256);
    this.objects.set(id, bytes);
    return id;
  }

  #chunksOf(content: Uint8Array, total: number): RecipeChunk[] {
    return cut(content, total).map((chunk) => {
      const placed = this.#placed.get(idOf(chunk));
      if (placed === undefined) throw new Error("a chunk in no pack");
      return placed;
    });
  }

  #pack(contents: readonly Uint8Array[], total: number): void {
    const builder = new PackBuilder(this.#options.packBytes ?? PACK_BYTES_MAX);
    const pending = new Map<ChunkId, PackedChunk>();
    const close = (): void => {
      const { bytes, chunks } = builder.close();
      if (chunks.length === 0) return;
      const pack = this.#keep(bytes);
      this.packs.add(pack);
      for (const chunk of placeChunks(chunks, pack)) this.#placed.set(chunk.id, chunk);
      pending.clear();
    };
    for (const chunk of contents.flatMap((content) => cut(content, total))) {
      const id = idOf(chunk);
      if (this.#placed.has(id) || pending.has(id)) continue;
      const compressed = zstdCompressSync(chunk, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
      const { stored, raw } = chooseStored(chunk, compressed);
      let packed = builder.add(id, chunk.length, stored, raw);
      if (packed === undefined) {
        close();
        packed = builder.add(id, chunk.length, stored, raw);
      }
      if (packed !== undefined) pending.set(id, packed);
    }
    close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const [, id = ""] = /^\/t\/demo\/objects\/([0-9a-f]{64})$/.exec(request.url ?? "") ?? [];
    if (request.url?.startsWith("/t/demo/scrape") === true) {
      const [, escaped = ""] = /info_hash=([^&]*)/.exec(request.url) ?? [];
      const hash = escaped.replaceAll(/%(..)/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 16)),
      );
      response.end(Buffer.from(`d5:filesd20:${hash}d8:completei${this.players}e10:incompletei0eeee`, "latin1"));
      return;
    }
    if (request.url === "/t/demo/join") {
      const announce = [`${this.url}/t/demo/announce`];
      response.end(JSON.stringify({ announce, upload: { allowed: true, limit: null }, origin: { fastEnough: 25e6 } }));
      return;
    }
    const object = this.objects.get(id as ObjectId);
    if (object === undefined) {
      response.writeHead(404).end();
      return;
    }
    const range = request.headers.range ?? "";
    this.requests.push({ object: id, range, fresh: request.headers["cache-control"] === "no-cache" });
    const [, from = "0", to = String(object.length - 1)] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
    const body = Buffer.from(object.subarray(Number(from), Number(to) + 1));
    const headers = {
      "content-length": body.length,
      ...(range === "" ? {} : { "content-range": `bytes ${from}-${to}/${object.length}` }),
    };
    switch (this.mishap(id as ObjectId, this.packs.has(id as ObjectId))) {
      case "busy":
        response.writeHead(503).end();
        return;
      case "missing":
        response.writeHead(404).end();
        return;
      case "hang":
        return;
      case "cut":
        response.writeHead(range === "" ? 200 : 206, headers);
        response.write(body.subarray(0, body.length / 2), () => response.destroy());
        return;
      case "corrupt":
        // somewhere a chunk has content; a frame's first bytes would make it no frame at all
        if (body.length > 0) body[body.length - 1] = (body.at(-1) ?? 0) ^ 0xff;
        break;
      case undefined:
        break;
    }
    response.writeHead(range === "" ? 200 : 206, headers).end(body);
  }
}

function signed({ seq, version, files, bytes, torrent, created }: Release): ReturnType<Title["releases"]>[number] {
  return {
    channel: "stable",
    seq,
    version,
    files,
    bytes,
    created,
    status: "live",
    infohash: torrent.infohash,
    torrent: torrent.sha256,
    document: { sha256: torrent.sha256, bytes: 0 },
  } as unknown as ReturnType<Title["releases"]>[number];
}

function cut(content: Uint8Array, total: number): Uint8Array[] {
  const chunker = new Chunker(chunkSizesFor(total));
  const lengths = chunker.push(content);
  const rest = chunker.finish();
  if (rest > 0) lengths.push(rest);
  let at = 0;
  return lengths.map((length) => content.subarray(at, (at += length)));
}

function idOf(chunk: Uint8Array): ChunkId {
  return toHex(sha256(chunk)) as ChunkId;
}
