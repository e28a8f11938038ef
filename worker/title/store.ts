/** What a Title object knows, as rows: the only code that speaks SQL. It decides nothing. */
import { type ObjectId, toHex } from "../../manifests/digest.ts";
import { type LiveChannel } from "../../manifests/trust/live.ts";
import { type MetaFile, type SignedRelease, type UnixSeconds } from "../../manifests/trust/roles.ts";
import { releasePath } from "../../manifests/release.ts";
import { sha256 } from "../crypto.ts";
import { type OnlineKey } from "./signer.ts";
import { migrate, schemaVersion } from "./schema.ts";

export interface Registration {
  readonly name: string;
  readonly open: boolean;
  readonly onlineKey: OnlineKey;
}

/** The current file of a role. */
export interface RoleFile {
  readonly name: string;
  readonly version: number;
  readonly bytes: Uint8Array;
  readonly expires: UnixSeconds;
}

/** The same as a row keeps it. */
export interface RoleRow {
  readonly meta: MetaFile;
  readonly expires: UnixSeconds;
  /** Undefined for channels: their bytes are in the bucket only. */
  readonly bytes: Uint8Array | undefined;
  readonly usable: boolean;
}

export interface ReleaseRow extends SignedRelease {
  readonly infohashV2: string | undefined;
  /** When it was published. Undefined: signed, but never made current. */
  readonly published: UnixSeconds | undefined;
  readonly listed: boolean;
}

export class TitleStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    // an object that was never registered stores nothing, not even tables
    if (schemaVersion(storage) > 0) migrate(storage);
  }

  /** All of it, or nothing. */
  transaction<T>(act: () => T): T {
    return this.#storage.transactionSync(act);
  }

  // --- Registration ---

  registration(): Registration | undefined {
    if (schemaVersion(this.#storage) === 0) return undefined;
    const [row] = this.#rows<TitleColumns>("SELECT name, open, online_public, online_wrapped FROM title");
    if (row === undefined) return undefined;
    return {
      name: row.name,
      open: row.open === 1,
      onlineKey: { publicKey: new Uint8Array(row.online_public), wrapped: new Uint8Array(row.online_wrapped) },
    };
  }

  register({ name, open, onlineKey }: Registration, now: UnixSeconds): void {
    migrate(this.#storage);
    this.#rows(
      "INSERT INTO title (only, name, open, created, online_public, online_wrapped) VALUES (1, ?, ?, ?, ?, ?)",
      name,
      open ? 1 : 0,
      now,
      onlineKey.publicKey,
      onlineKey.wrapped,
    );
  }

  // --- Roles ---

  role(name: string): RoleRow | undefined {
    const [row] = this.#rows<RoleColumns>("SELECT * FROM roles WHERE name = ?", name);
    if (row === undefined) return undefined;
    return {
      meta: metaOf(row),
      expires: row.expires as UnixSeconds,
      bytes: row.document === null ? undefined : new Uint8Array(row.document),
      usable: row.usable === 1,
    };
  }

  /**
   * The current file of every channel that there ever was, also those that nobody vouches for any more: an earlier edge
   * may have listed one before it left it out. Players ask for none that targets does not delegate.
   */
  channelMetas(): Record<string, MetaFile> {
    const rows = this.#rows<RoleColumns & { name: string }>("SELECT * FROM roles WHERE document IS NULL");
    return Object.fromEntries(rows.map((row) => [row.name, metaOf(row)]));
  }

  /** @param keepBytes  whether the row holds the bytes too; channels may be too long for a row */
  putRole({ name, version, bytes, expires }: RoleFile, keepBytes: boolean): void {
    this.#rows(
      "INSERT OR REPLACE INTO roles (name, version, length, sha256, expires, document, usable) VALUES (?, ?, ?, ?, ?, ?, 1)",
      name,
      version,
      bytes.length,
      toHex(sha256(bytes)),
      expires,
      keepBytes ? bytes : null,
    );
  }

  setUsable(name: string, usable: boolean): void {
    this.#rows("UPDATE roles SET usable = ? WHERE name = ?", usable ? 1 : 0, name);
  }

  putWaitingRoot({ version, bytes, expires }: RoleFile): void {
    this.#rows("INSERT INTO waiting_roots (version, document, expires) VALUES (?, ?, ?)", version, bytes, expires);
  }

  /** Accepted roots that players do not see yet, oldest first. */
  waitingRoots(): RoleFile[] {
    const rows = this.#rows<WaitingRootColumns>("SELECT * FROM waiting_roots ORDER BY version");
    return rows.map(({ version, document, expires }) => ({
      name: "root",
      version,
      bytes: new Uint8Array(document),
      expires: expires as UnixSeconds,
    }));
  }

  forgetWaitingRoots(): void {
    this.#rows("DELETE FROM waiting_roots");
  }

  /** The next version number of an online role. Numbers are never given twice, so a file once written never changes. */
  drawVersion(name: string): number {
    const [row] = this.#rows<{ version: number }>(
      `INSERT INTO drawn (name, version) VALUES (?, 1)
       ON CONFLICT (name) DO UPDATE SET version = version + 1 RETURNING version`,
      name,
    );
    return row?.version ?? 1;
  }

  // --- Releases ---

  /** Newest first. */
  releases(): ReleaseRow[] {
    return this.#rows<ReleaseColumns>("SELECT * FROM releases ORDER BY seq DESC").map(releaseOf);
  }

  release(seq: number): ReleaseRow | undefined {
    const [row] = this.#rows<ReleaseColumns>("SELECT * FROM releases WHERE seq = ?", seq);
    return row === undefined ? undefined : releaseOf(row);
  }

  newestSeq(): number {
    const [row] = this.#rows<{ seq: number | null }>("SELECT max(seq) AS seq FROM releases");
    return row?.seq ?? 0;
  }

  /**
   * Takes over what a channel's role lists: new releases are added. Those it dropped are marked when they were current
   * once, else forgotten: a number above all that the roles name would keep every publisher, who counts from the roles,
   * from ever signing one that is high enough.
   */
  putListed(channel: string, releases: readonly SignedRelease[]): void {
    this.#rows("UPDATE releases SET listed = 0 WHERE channel = ?", channel);
    for (const release of releases) {
      this.#rows(
        `INSERT INTO releases
           (seq, channel, version, document, document_bytes, files, bytes, infohash, torrent, torrent_v1, infohash_v1,
            created)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (seq) DO UPDATE SET listed = 1`,
        release.seq,
        channel,
        release.version,
        release.document.sha256,
        release.document.bytes,
        release.files,
        release.bytes,
        release.infohash,
        release.torrent,
        release.v1?.torrent ?? null,
        release.v1?.infohash ?? null,
        release.created,
      );
    }
    this.#rows("DELETE FROM releases WHERE channel = ? AND listed = 0 AND published IS NULL", channel);
  }

  /** @param infohashV2  64 hex digits */
  setPublished(seq: number, infohashV2: string, now: UnixSeconds): void {
    this.#rows(
      "UPDATE releases SET published = coalesce(published, ?), infohash_v2 = ? WHERE seq = ?",
      now,
      infohashV2,
      seq,
    );
  }

  // --- Live ---

  liveChannels(): Record<string, LiveChannel> {
    return Object.fromEntries(
      this.#rows<LiveColumns>("SELECT channel, state FROM live ORDER BY channel").map(({ channel, state }) => [
        channel,
        JSON.parse(state) as LiveChannel,
      ]),
    );
  }

  setLive(channel: string, state: LiveChannel): void {
    this.#rows("INSERT OR REPLACE INTO live (channel, state) VALUES (?, ?)", channel, JSON.stringify(state));
  }

  // --- Requests ---

  /** Remembers a nonce; false when it was seen before. Forgets those that ran out. */
  useNonce(nonce: string, expires: UnixSeconds, now: UnixSeconds): boolean {
    this.#rows("DELETE FROM nonces WHERE expires <= ?", now);
    const inserted = this.#rows(
      "INSERT INTO nonces (nonce, expires) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING nonce",
      nonce,
      expires,
    );
    return inserted.length === 1;
  }

  // --- Totals ---

  addTotal(name: string, value: number): void {
    this.#rows(
      "INSERT INTO totals (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
      name,
      value,
    );
  }

  total(name: string): number {
    return this.#rows<{ value: number }>("SELECT value FROM totals WHERE name = ?", name)[0]?.value ?? 0;
  }

  #rows<Row extends Record<string, SqlStorageValue> = Record<string, never>>(
    query: string,
    ...values: (SqlStorageValue | Uint8Array)[]
  ): Row[] {
    return this.#storage.sql.exec<Row>(query, ...values).toArray();
  }
}

type TitleColumns = { name: string; open: number; online_public: ArrayBuffer; online_wrapped: ArrayBuffer };
type RoleColumns = {
  version: number;
  length: number;
  sha256: string;
  expires: number;
  document: ArrayBuffer | null;
  usable: number;
};
type WaitingRootColumns = { version: number; document: ArrayBuffer; expires: number };
type LiveColumns = { channel: string; state: string };
type ReleaseColumns = {
  seq: number;
  channel: string;
  version: string;
  document: string;
  document_bytes: number;
  files: number;
  bytes: number;
  infohash: string;
  infohash_v2: string | null;
  torrent: string;
  torrent_v1: string | null;
  infohash_v1: string | null;
  created: string;
  published: number | null;
  listed: number;
};

function metaOf({ version, length, sha256: hash }: RoleColumns): MetaFile {
  return { version, length, hashes: { sha256: hash } };
}

function releaseOf(row: ReleaseColumns): ReleaseRow {
  const { seq, channel, version, files, bytes, infohash, created } = row;
  return {
    seq,
    channel,
    path: releasePath(channel, seq),
    version,
    files,
    bytes,
    infohash,
    infohashV2: row.infohash_v2 ?? undefined,
    torrent: row.torrent as ObjectId,
    ...(row.torrent_v1 === null || row.infohash_v1 === null
      ? {}
      : { v1: { torrent: row.torrent_v1 as ObjectId, infohash: row.infohash_v1 } }),
    created,
    document: { sha256: row.document as ObjectId, bytes: row.document_bytes },
    published: row.published === null ? undefined : (row.published as UnixSeconds),
    listed: row.listed === 1,
  };
}
