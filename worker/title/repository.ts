/**
 * A title's TUF repository at the edge: what publishers signed, checked and kept in rows, and over it what the edge
 * signs; both lie in the bucket for players to read. Its methods must not overlap (TitleObject sees to that).
 */
import { toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { parseChannelName } from "../../manifests/release.ts";
import {
  type Key,
  type MetaFile,
  type RoleSigner,
  type RootRole,
  type TargetsRole,
  type UnixSeconds,
  metadataFileName,
} from "../../manifests/trust/roles.ts";
import {
  channelsOf,
  openDelegated,
  openTargets,
  parseRootRole,
  parseTargetsRole,
  publisherKeys,
  requestersFor,
  signedPart,
} from "../../manifests/trust/verify.ts";
import { CRYPTO, sha256 } from "../crypto.ts";
import { metadataKey } from "../origin/keys.ts";
import { acceptChannel, acceptRoot, acceptTargets } from "./accept.ts";
import { nextDue, publisherRolesOf, signOnline } from "./online.ts";
import { type RoleFile, type TitleStore } from "./store.ts";

export class Repository {
  readonly #title: string;
  readonly #onlineKeyid: string;
  readonly #store: TitleStore;
  readonly #bucket: R2Bucket;
  /** Version that this instance put into the bucket; after an eviction it is put once more. */
  #timestampInBucket: number | undefined;

  constructor(title: string, onlineKeyid: string, store: TitleStore, bucket: R2Bucket) {
    this.#title = title;
    this.#onlineKeyid = onlineKeyid;
    this.#store = store;
    this.#bucket = bucket;
  }

  /** Key id -> key of everyone who may sign requests; empty before the first root. */
  publisherKeys(): Map<string, Key> {
    const root = this.#root();
    return root === undefined ? new Map() : publisherKeys(root, this.#targets());
  }

  /** Whether a key may send requests about a role, or about the releases of a channel. */
  mayAct(keyid: string, role: string): boolean {
    const root = this.#root();
    return root !== undefined && requestersFor(role, root, this.#targets()).has(keyid);
  }

  /** The current file of a role. */
  meta(name: string): MetaFile | undefined {
    return this.#store.role(name)?.meta;
  }

  /** Whether these bytes are the current file of the role. */
  holds(name: string, bytes: Uint8Array): boolean {
    return this.meta(name)?.hashes.sha256 === toHex(sha256(bytes));
  }

  // --- What publishers sign ---

  /** Checks and keeps a role. Throws: metadata.*, release.not-newest, object.too-large, name.invalid. */
  async accept(name: string, bytes: Uint8Array, now: UnixSeconds): Promise<void> {
    if (name === "root") {
      await this.#keep(await acceptRoot(bytes, this.#root(), this.#onlineKeyid, now));
      await this.#recheckTargets();
    } else if (name === "targets") {
      const above = this.meta(name)?.version ?? 0;
      await this.#keep(await acceptTargets(bytes, this.#needRoot(name), above, this.#onlineKeyid, now));
      await this.#recheckChannels();
    } else {
      await this.#acceptChannel(parseChannelName(name), bytes, now);
    }
  }

  async #acceptChannel(channel: string, bytes: Uint8Array, now: UnixSeconds): Promise<void> {
    const targets = this.#targets();
    if (targets === undefined) throw new Failure("metadata.invalid", { role: channel, reason: "targets comes first" });
    const known = {
      newestSeq: this.#store.newestSeq(),
      live: this.#store.liveChannels()[channel]?.seq,
      find: (seq: number) => this.#store.release(seq),
    };
    const above = this.meta(channel)?.version ?? 0;
    const { file, releases } = await acceptChannel(bytes, channel, targets, above, known, now);
    await this.#putMetadata(file);
    this.#store.transaction(() => {
      this.#store.putRole(file, false);
      this.#store.putListed(channel, releases);
    });
  }

  async #keep(file: RoleFile): Promise<void> {
    await this.#putMetadata(file);
    this.#store.putRole(file, true);
  }

  /** A new root may take the targets role away from those who signed the current file. */
  async #recheckTargets(): Promise<void> {
    const [root, bytes] = [this.#root(), this.#store.role("targets")?.bytes];
    if (root === undefined || bytes === undefined) return;
    this.#store.setUsable("targets", await stillOpens(openTargets(bytes, root, CRYPTO)));
  }

  /** New targets may take a channel away from those who signed its current file. */
  async #recheckChannels(): Promise<void> {
    const targets = this.#targets();
    if (targets === undefined) return;
    for (const channel of channelsOf(targets)) {
      const meta = this.meta(channel);
      if (meta === undefined) continue;
      const bytes = await this.#getMetadata(metadataFileName(channel, meta.version));
      this.#store.setUsable(channel, await stillOpens(openDelegated(bytes, channel, targets, CRYPTO)));
    }
  }

  #needRoot(role: string): RootRole {
    const root = this.#root();
    if (root === undefined) throw new Failure("metadata.invalid", { role, reason: "root comes first" });
    return root;
  }

  #root(): RootRole | undefined {
    const bytes = this.#store.role("root")?.bytes;
    return bytes === undefined ? undefined : parseRootRole(signedPart(bytes), sha256);
  }

  /** Undefined also while a new root waits for targets signed by the keys that it names. */
  #targets(): TargetsRole | undefined {
    const row = this.#store.role("targets");
    const bytes = row?.usable === true ? row.bytes : undefined;
    return bytes === undefined ? undefined : parseTargetsRole(signedPart(bytes), "targets", sha256);
  }

  // --- What the edge signs ---

  /** When `sign` has something to do by itself, at the latest. Undefined before the first complete set of roles. */
  get due(): UnixSeconds | undefined {
    return nextDue((role) => this.#store.role(role));
  }

  /**
   * Signs what changed or runs out, and publishes it: named before naming, the timestamp last.
   * @param beforeKeeping  awaited before the new files count: from there on a crash leaves the timestamp unpublished
   */
  async sign(signer: RoleSigner, now: UnixSeconds, beforeKeeping: () => Promise<void>): Promise<void> {
    const publisherRoles = this.#publisherRoles();
    if (publisherRoles === undefined) return;
    const renewed = await signOnline(
      {
        publisherRoles,
        live: this.#store.liveChannels(),
        held: (role) => this.#store.role(role),
        drawVersion: (role) => this.#store.drawVersion(role),
      },
      signer,
      now,
    );
    for (const file of renewed) if (file.name !== "timestamp") await this.#putMetadata(file);
    if (renewed.length > 0) await beforeKeeping();
    this.#store.transaction(() => {
      for (const file of renewed) this.#store.putRole(file, true);
    });
    await this.#putTimestamp();
  }

  /** What snapshot shall list. Undefined before the first complete set; while a later set is not complete, the last. */
  #publisherRoles(): Readonly<Record<string, MetaFile>> | undefined {
    const targets = this.#targets();
    const names = targets === undefined ? [] : ["targets", ...channelsOf(targets)];
    const rows = names.map((name) => [name, this.#store.role(name)] as const);
    if (targets !== undefined && rows.every(([, row]) => row?.usable === true)) {
      return Object.fromEntries(rows.flatMap(([name, row]) => (row === undefined ? [] : [[name, row.meta]])));
    }
    const snapshot = this.#store.role("snapshot");
    return snapshot === undefined ? undefined : publisherRolesOf(snapshot);
  }

  /** The bucket's timestamp is a copy of ours; it is written again whenever it may differ. */
  async #putTimestamp(): Promise<void> {
    const row = this.#store.role("timestamp");
    if (row?.bytes === undefined || this.#timestampInBucket === row.meta.version) return;
    await this.#putMetadata({ name: "timestamp", version: row.meta.version, bytes: row.bytes });
    this.#timestampInBucket = row.meta.version;
  }

  // --- In the bucket ---

  async #putMetadata({ name, version, bytes }: Pick<RoleFile, "name" | "version" | "bytes">): Promise<void> {
    await this.#bucket.put(metadataKey(this.#title, metadataFileName(name, version)), bytes);
  }

  async #getMetadata(file: string): Promise<Uint8Array> {
    const object = await this.#bucket.get(metadataKey(this.#title, file));
    if (object === null) throw new Error(`the bucket has lost ${file} of ${this.#title}`);
    return new Uint8Array(await object.arrayBuffer());
  }
}

/** Whether a file that was accepted once still verifies. */
async function stillOpens(opening: Promise<unknown>): Promise<boolean> {
  try {
    await opening;
    return true;
  } catch (error) {
    if (error instanceof Failure && error.code === "metadata.invalid") return false;
    throw error;
  }
}
