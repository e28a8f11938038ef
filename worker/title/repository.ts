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
import { type OnlineState, liveChannelsOf, nextDue, publisherRolesOf, signOnline } from "./online.ts";
import { type RoleFile, type TitleStore } from "./store.ts";

export class Repository {
  readonly #title: string;
  readonly #onlineKeyid: string;
  readonly #store: TitleStore;
  readonly #bucket: R2Bucket;
  /** Version that lies in the bucket. Undefined after an eviction, until it is asked. */
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
      await this.#acceptRoot(bytes, now);
    } else if (name === "targets") {
      await this.#acceptTargets(bytes, now);
    } else {
      await this.#acceptChannel(parseChannelName(name), bytes, now);
    }
  }

  async #acceptChannel(channel: string, bytes: Uint8Array, now: UnixSeconds): Promise<void> {
    const targets = this.#targets();
    if (targets === undefined) throw new Failure("metadata.invalid", { role: channel, reason: "targets comes first" });
    const known = {
      newestSeq: this.#store.newestSeq(),
      live: this.#store.liveChannels()[channel],
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

  /**
   * Once there is a snapshot, a root waits until `sign` lets it out: players who saw it while snapshot still lists
   * targets of a key that it dropped would refuse them.
   */
  async #acceptRoot(bytes: Uint8Array, now: UnixSeconds): Promise<void> {
    const file = await acceptRoot(bytes, this.#root(), this.#onlineKeyid, now);
    const root = parseRootRole(signedPart(bytes), sha256);
    const targets = this.#store.role("targets")?.bytes;
    const usable = targets !== undefined && (await stillOpens(openTargets(targets, root, CRYPTO)));
    const waits = this.meta("snapshot") !== undefined;
    if (!waits) await this.#putMetadata(file);
    this.#store.transaction(() => {
      this.#store.putRole(file, true);
      this.#store.setUsable("targets", usable);
      if (waits) this.#store.putWaitingRoot(file);
    });
  }

  /** New targets may take a channel away from those who signed its current file. */
  async #acceptTargets(bytes: Uint8Array, now: UnixSeconds): Promise<void> {
    const above = this.meta("targets")?.version ?? 0;
    const file = await acceptTargets(bytes, this.#needRoot(), above, this.#onlineKeyid, now);
    const usable = await this.#usableUnder(parseTargetsRole(signedPart(bytes), "targets", sha256));
    await this.#putMetadata(file);
    // at once: sent again after a failure in between, the file would count as held
    this.#store.transaction(() => {
      this.#store.putRole(file, true);
      for (const [channel, isUsable] of usable) this.#store.setUsable(channel, isUsable);
    });
  }

  /** Which current files of channels are signed by those who hold them under these targets. */
  async #usableUnder(targets: TargetsRole): Promise<Map<string, boolean>> {
    const usable = new Map<string, boolean>();
    for (const channel of channelsOf(targets)) {
      const meta = this.meta(channel);
      if (meta === undefined) continue;
      const bytes = await this.#getMetadata(metadataFileName(channel, meta.version));
      usable.set(channel, await stillOpens(openDelegated(bytes, channel, targets, CRYPTO)));
    }
    return usable;
  }

  #needRoot(): RootRole {
    const root = this.#root();
    if (root === undefined) throw new Failure("metadata.invalid", { role: "targets", reason: "root comes first" });
    return root;
  }

  #root(): RootRole | undefined {
    const bytes = this.#store.role("root")?.bytes;
    return bytes === undefined ? undefined : parseRootRole(signedPart(bytes), sha256);
  }

  /** Undefined also while the current root has no targets signed by the keys that it names. */
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

  /** Signs what changed or runs out, and publishes it: named before naming, the timestamp last. Repeatable. */
  async sign(signer: RoleSigner, now: UnixSeconds): Promise<void> {
    const publisherRoles = this.#publisherRoles();
    if (publisherRoles !== undefined) await this.#signAs(publisherRoles, this.#store.liveChannels(), signer, now);
  }

  /** Signs only what runs out, and it goes on saying what it says: what is new waits. Repeatable. */
  async renew(signer: RoleSigner, now: UnixSeconds): Promise<void> {
    const [snapshot, live] = [this.#store.role("snapshot"), this.#store.role("live")];
    if (snapshot === undefined || live === undefined) return;
    await this.#signAs(publisherRolesOf(snapshot), liveChannelsOf(live), signer, now);
  }

  async #signAs(
    publisherRoles: OnlineState["publisherRoles"],
    live: OnlineState["live"],
    signer: RoleSigner,
    now: UnixSeconds,
  ): Promise<void> {
    const renewed = await signOnline(
      {
        publisherRoles,
        live,
        held: (role) => this.#store.role(role),
        drawVersion: (role) => this.#store.drawVersion(role),
      },
      signer,
      now,
    );
    const roots = await this.#rootsFor(publisherRoles["targets"]);
    for (const file of renewed) if (file.name !== "timestamp") await this.#putMetadata(file);
    // as late as can be: until the timestamp is out, snapshot may still list targets of a key that a root dropped
    for (const root of roots) await this.#putMetadata(root);
    this.#store.transaction(() => {
      for (const file of renewed) this.#store.putRole(file, true);
      if (roots.length > 0) this.#store.forgetWaitingRoots();
    });
    await this.#putTimestamp();
  }

  /** The timestamp that players find, put there first if need be. Undefined before the first complete set of roles. */
  async publishedTimestamp(): Promise<MetaFile | undefined> {
    await this.#putTimestamp();
    return this.meta("timestamp");
  }

  /**
   * What snapshot shall list. Undefined before the first complete set; while a later set is not complete, the last. A
   * role that was listed once stays, also one that an earlier edge left out: players refuse a snapshot that drops one
   * (TUF 1.0.31 §5.5.5).
   */
  #publisherRoles(): Readonly<Record<string, MetaFile>> | undefined {
    const snapshot = this.#store.role("snapshot");
    const listed = snapshot === undefined ? undefined : publisherRolesOf(snapshot);
    const targets = this.#targets();
    if (targets === undefined) return listed;
    const rows = ["targets", ...channelsOf(targets)].map((name) => [name, this.#store.role(name)] as const);
    if (!rows.every(([, row]) => row?.usable === true)) return listed;
    const current = Object.fromEntries(rows.flatMap(([name, row]) => (row ? [[name, row.meta]] : [])));
    return { ...this.#store.channelMetas(), ...listed, ...current };
  }

  /** Roots that wait, oldest first, when the last of them names keys that signed these targets; else none. */
  async #rootsFor(targets: MetaFile | undefined): Promise<RoleFile[]> {
    const waiting = this.#store.waitingRoots();
    const root = this.#root();
    if (waiting.length === 0 || root === undefined || targets === undefined) return [];
    const bytes = await this.#getMetadata(metadataFileName("targets", targets.version));
    return (await stillOpens(openTargets(bytes, root, CRYPTO))) ? waiting : [];
  }

  /** The bucket's timestamp is a copy of ours; it is written again whenever it differs. */
  async #putTimestamp(): Promise<void> {
    const row = this.#store.role("timestamp");
    if (row?.bytes === undefined || this.#timestampInBucket === row.meta.version) return;
    // after an eviction asking is cheaper than writing
    const known = this.#timestampInBucket !== undefined;
    if (known || !(await this.#bucketHas("timestamp.json", row.meta))) {
      await this.#putMetadata({ name: "timestamp", version: row.meta.version, bytes: row.bytes });
    }
    this.#timestampInBucket = row.meta.version;
  }

  // --- In the bucket ---

  /** With its hash: R2 checks the bytes, and `#bucketHas` can tell files of one name apart. */
  async #putMetadata({ name, version, bytes }: Pick<RoleFile, "name" | "version" | "bytes">): Promise<void> {
    const key = metadataKey(this.#title, metadataFileName(name, version));
    await this.#bucket.put(key, bytes, { sha256: sha256(bytes) });
  }

  async #bucketHas(file: string, { hashes }: MetaFile): Promise<boolean> {
    const checksum = (await this.#bucket.head(metadataKey(this.#title, file)))?.checksums.sha256;
    return checksum !== undefined && toHex(new Uint8Array(checksum)) === hashes.sha256;
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
