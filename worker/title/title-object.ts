/**
 * Durable Object: one a title, the only writer of what is current there. It checks what publishers send, keeps it, and
 * signs snapshot, timestamp and live over it. Objects and published metadata lie in the bucket, where players read them
 * without waking this object.
 */
import { DurableObject } from "cloudflare:workers";
import { Failure } from "../../manifests/failures.ts";
import { toHex } from "../../manifests/digest.ts";
import { ALARM_RETRY_S } from "../../manifests/limits.ts";
import { signFresh } from "../../manifests/trust/fresh.ts";
import { type LiveChannel, afterPublish } from "../../manifests/trust/live.ts";
import {
  type Key,
  type MetaFile,
  type RoleSigner,
  type RootRole,
  type TargetsRole,
  type UnixSeconds,
  metadataFileName,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import {
  channelsOf,
  openDelegated,
  openTargets,
  parseRootRole,
  parseTargetsRole,
  publisherKeys,
  signedPart,
  verifyRelease,
} from "../../manifests/trust/verify.ts";
import { parseChannelName } from "../../manifests/release.ts";
import { type SignedRequestParameters, nonceExpiry } from "../../manifests/wire/signed-request.ts";
import { CRYPTO, sha256 } from "../crypto.ts";
import { type Env } from "../env.ts";
import { metadataKey, objectKey } from "../origin/keys.ts";
import { hasObject } from "../origin/objects.ts";
import { acceptChannel, acceptRoot, acceptTargets } from "./accept.ts";
import { type Answer, answer } from "./answer.ts";
import { type OnlineState, nextDue, publisherRolesOf, signOnline } from "./online.ts";
import { makeOnlineKey, onlineKeyName, openSigner } from "./signer.ts";
import { type Registration, type ReleaseRow, type RoleFile, TitleStore } from "./store.ts";

/** Who sent a request: the operator with the admin token, or a publisher whose signature the worker has checked. */
export type Sender = "admin" | SignedRequestParameters;

/** What isolates keep of a title for a few seconds (known-titles.ts). */
export interface TitleFacts {
  readonly open: boolean;
  /** Key id -> key of everyone who may sign requests. */
  readonly publisherKeys: Readonly<Record<string, Key>>;
}

export interface PublishOrder {
  readonly channel: string;
  readonly seq: number;
  readonly rollout: number;
}

/** One line of `stats`. */
export interface ReleaseSummary {
  readonly seq: number;
  readonly version: string;
  readonly channel: string;
  readonly files: number;
  readonly bytes: number;
  readonly infohash: string;
  readonly torrent: string;
  readonly created: string;
  /** live: what its channel gives; published: was live before; signed: never published; withdrawn: not listed any more. */
  readonly status: "live" | "published" | "signed" | "withdrawn";
  readonly rollout?: number;
}

/** Served content bytes, in `totals`. */
const SERVED = "origin-bytes";

export class TitleObject extends DurableObject<Env> {
  readonly #store: TitleStore;
  /** Calls that write wait for each other: an await on the bucket must not let another in between. */
  #last: Promise<unknown> = Promise.resolve();
  #signer: Promise<RoleSigner> | undefined;

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    this.#store = new TitleStore(state.storage);
  }

  /** Makes the title's online key. Repeatable until a root is set, then title.exists. */
  async register(name: string, open: boolean): Promise<Answer<Key>> {
    return await this.#exclusively(async () => {
      const known = this.#store.registration();
      if (known !== undefined) {
        if (this.#root() !== undefined) throw new Failure("title.exists", { title: name });
        return onlineKeyName(known.onlineKey.publicKey).key;
      }
      const onlineKey = await makeOnlineKey(this.env.KEY_WRAP_SECRET, name);
      const registration = { name, open, onlineKey };
      this.#store.register(registration, now());
      await this.#tellSwarm(registration);
      return onlineKeyName(onlineKey.publicKey).key;
    });
  }

  async facts(): Promise<Answer<TitleFacts>> {
    return await answer(() => {
      const { open } = this.#registered();
      const root = this.#root();
      const keys = root === undefined ? new Map<string, Key>() : publisherKeys(root, this.#targets());
      return { open, publisherKeys: Object.fromEntries(keys) };
    });
  }

  /** Takes a role that publishers sign; sending the current file again changes nothing. */
  async acceptRole(name: string, bytes: Uint8Array, sender: Sender): Promise<Answer<MetaFile>> {
    return await this.#exclusively(async () => {
      const { onlineKey } = this.#registered();
      const held = this.#store.role(name);
      const again = held?.meta.hashes.sha256 === toHex(sha256(bytes));
      // the first root is what the admin token is for; sending it again is a retry
      if (sender !== "admin") this.#admit(sender);
      else if (name !== "root" || (held !== undefined && !again)) {
        throw new Failure("request.unauthorized", { reason: "the admin token sets the first root only" });
      }
      if (!again) await this.#keepRole(name, bytes, held?.meta.version ?? 0, onlineKeyName(onlineKey.publicKey).keyid);
      await this.#sign();
      return this.#roleMeta(name);
    });
  }

  /** Makes a signed release the current one of its channel. Repeatable. */
  async publish(
    order: PublishOrder,
    sender: SignedRequestParameters,
  ): Promise<Answer<{ seq: number; live: LiveChannel }>> {
    return await this.#exclusively(async () => {
      const registration = this.#registered();
      this.#admit(sender);
      const live = await this.#makeLive(registration.name, order);
      // the tracker knows the release before any player can
      await this.#tellSwarm(registration);
      await this.#sign();
      return { seq: order.seq, live };
    });
  }

  /** The signed statement of what is current now, bound to the caller's nonce. */
  async fresh(nonce: string): Promise<Answer<Uint8Array>> {
    return await this.#exclusively(async () => {
      const { name: title } = this.#registered();
      const timestamp = this.#store.role("timestamp");
      if (timestamp === undefined) throw new Failure("title.not-found", { title, reason: "not set up yet" });
      const statement = { title, nonce, now: now(), timestamp: timestamp.meta.hashes.sha256 };
      return await signFresh(statement, [await this.#openSigner()]);
    });
  }

  /** A release that was published at least once, by number. */
  async releaseAt(seq: number): Promise<Answer<ReleaseRow>> {
    return await answer(() => {
      this.#registered();
      const release = this.#store.release(seq);
      if (release?.published === undefined) throw new Failure("release.not-found", { found: seq });
      return release;
    });
  }

  async releases(): Promise<Answer<{ releases: ReleaseSummary[]; servedBytes: number }>> {
    return await answer(() => {
      this.#registered();
      const live = this.#store.liveChannels();
      return {
        releases: this.#store.releases().map((release) => summaryOf(release, live)),
        servedBytes: this.#store.total(SERVED),
      };
    });
  }

  /** Bytes of content that an isolate sent to players since it last said so. */
  addServed(bytes: number): void {
    if (this.#store.registration() !== undefined) this.#store.addTotal(SERVED, bytes);
  }

  /** Signs again what runs out. Runs at least once; re-arms itself whatever happened. */
  override async alarm(): Promise<void> {
    try {
      await this.#exclusively(() => this.#sign());
    } finally {
      await this.#armAlarm();
    }
  }

  // --- Who ---

  #registered(): Registration {
    const registration = this.#store.registration();
    if (registration === undefined) throw new Failure("title.not-found", { title: this.ctx.id.name });
    return registration;
  }

  /** The worker has checked the signature; here is the current word on whose key it is, and whether it is a replay. */
  #admit(sender: SignedRequestParameters): void {
    const root = this.#root();
    if (root === undefined || !publisherKeys(root, this.#targets()).has(sender.keyid)) {
      throw new Failure("request.unauthorized", { reason: "not a key of this title", keyid: sender.keyid });
    }
    if (!this.#store.useNonce(sender.nonce, nonceExpiry(sender.created), now())) {
      throw new Failure("request.unauthorized", { reason: "replayed: this nonce was used before" });
    }
  }

  // --- What publishers sign ---

  async #keepRole(name: string, bytes: Uint8Array, above: number, onlineKeyid: string): Promise<void> {
    if (name === "root") {
      const file = await acceptRoot(bytes, this.#root(), onlineKeyid, now());
      await this.#putMetadata(file);
      this.#store.putRole(file, true);
      await this.#recheckTargets();
      return;
    }
    const root = this.#root();
    if (root === undefined) throw new Failure("metadata.invalid", { role: name, reason: "root comes first" });
    if (name === "targets") {
      const file = await acceptTargets(bytes, root, above, onlineKeyid, now());
      await this.#putMetadata(file);
      this.#store.putRole(file, true);
      await this.#recheckChannels();
      return;
    }
    const channel = parseChannelName(name);
    const targets = this.#targets();
    if (targets === undefined) throw new Failure("metadata.invalid", { role: name, reason: "targets comes first" });
    const known = {
      newestSeq: this.#store.newestSeq(),
      live: this.#store.liveChannels()[channel]?.seq,
      find: (seq: number) => this.#store.release(seq),
    };
    const { file, releases } = await acceptChannel(bytes, channel, targets, above, known, now());
    await this.#putMetadata(file);
    this.#store.transaction(() => {
      this.#store.putRole(file, false);
      this.#store.putListed(channel, releases);
    });
  }

  /** A new root may take the targets role away from those who signed the current file. */
  async #recheckTargets(): Promise<void> {
    const [root, row] = [this.#root(), this.#store.role("targets")];
    if (root === undefined || row?.bytes === undefined) return;
    this.#store.setUsable("targets", await stillOpens(openTargets(row.bytes, root, CRYPTO)));
  }

  /** New targets may take a channel away from those who signed its current file. */
  async #recheckChannels(): Promise<void> {
    const { name: title } = this.#registered();
    const targets = this.#targets();
    for (const channel of targets === undefined ? [] : channelsOf(targets)) {
      const row = this.#store.role(channel);
      if (targets === undefined || row === undefined) continue;
      const file = metadataFileName(channel, row.meta.version);
      const object = await this.env.ORIGIN.get(metadataKey(title, file));
      if (object === null) throw new Error(`the bucket has lost ${file} of ${title}`);
      const bytes = new Uint8Array(await object.arrayBuffer());
      this.#store.setUsable(channel, await stillOpens(openDelegated(bytes, channel, targets, CRYPTO)));
    }
  }

  async #makeLive(title: string, { channel, seq, rollout }: PublishOrder): Promise<LiveChannel> {
    const release = this.#store.release(seq);
    if (release === undefined || !release.listed || release.channel !== channel) {
      throw new Failure("release.not-found", {
        found: `${channel}/${seq}`,
        reason: "not in the channel's signed role",
      });
    }
    const before = this.#store.liveChannels()[channel];
    if (before !== undefined && before.seq > seq) {
      throw new Failure("release.not-newest", { found: seq, expected: `above ${before.seq}` });
    }
    const infohashV2 = await this.#checkComplete(title, release);
    const live = before?.seq === seq ? { ...before, rollout } : afterPublish(before, seq, rollout);
    this.#store.transaction(() => {
      this.#store.setPublished(seq, infohashV2, now());
      this.#store.setLive(channel, live);
    });
    return live;
  }

  /** Nothing becomes current before the origin has what it names. Gives the v2 info hash. */
  async #checkComplete(title: string, release: ReleaseRow): Promise<string> {
    const object = await this.env.ORIGIN.get(objectKey(title, release.document.sha256));
    if (object === null) throw new Failure("object.not-found", { kind: "release", found: release.document.sha256 });
    const document = verifyRelease(new Uint8Array(await object.arrayBuffer()), title, release, sha256);
    for (const [kind, id] of Object.entries({ tree: document.tree.sha256, torrent: document.torrent.sha256 })) {
      if (!(await hasObject(this.env.ORIGIN, title, id))) throw new Failure("object.not-found", { kind, found: id });
    }
    return document.torrent.infohashV2;
  }

  /** The tracker answers for every release that was ever published: players of old ones still seed. */
  async #tellSwarm({ name: title, open }: Registration): Promise<void> {
    const infohashes = this.#store
      .releases()
      .flatMap(({ seq, infohash: v1, infohashV2: v2 }) => (v2 === undefined ? [] : [{ seq, v1, v2 }]));
    await this.env.SWARMS.getByName(title).configure({ title, open, infohashes });
  }

  // --- What the edge signs ---

  /** Signs what changed or runs out, and publishes it: named before naming, the timestamp last. */
  async #sign(): Promise<void> {
    const publisherRoles = this.#publisherRoles();
    if (publisherRoles === undefined) return;
    const state: OnlineState = {
      publisherRoles,
      live: this.#store.liveChannels(),
      held: (role) => this.#store.role(role),
      drawVersion: (role) => this.#store.drawVersion(role),
    };
    const renewed = await signOnline(state, await this.#openSigner(), now());
    for (const file of renewed) if (file.name !== "timestamp") await this.#putMetadata(file);
    // should we die before the timestamp is out, the alarm puts it there
    if (renewed.length > 0) await this.ctx.storage.setAlarm(Date.now() + ALARM_RETRY_S * 1000);
    this.#store.transaction(() => {
      for (const file of renewed) this.#store.putRole(file, true);
    });
    await this.#putTimestamp();
    await this.#armAlarm();
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

  async #putMetadata({ name, version, bytes }: Pick<RoleFile, "name" | "version" | "bytes">): Promise<void> {
    await this.env.ORIGIN.put(metadataKey(this.#registered().name, metadataFileName(name, version)), bytes);
  }

  /** The bucket's timestamp is a copy of ours; it is written again whenever it may differ. */
  async #putTimestamp(): Promise<void> {
    const row = this.#store.role("timestamp");
    if (row?.bytes === undefined || this.#timestampInBucket === row.meta.version) return;
    await this.#putMetadata({ name: "timestamp", version: row.meta.version, bytes: row.bytes });
    this.#timestampInBucket = row.meta.version;
  }

  /** Version that this instance put into the bucket; after an eviction it is put once more. */
  #timestampInBucket: number | undefined;

  async #armAlarm(): Promise<void> {
    const due = nextDue((role) => this.#store.role(role));
    if (due === undefined) return;
    await this.ctx.storage.setAlarm(Math.max(due, now() + ALARM_RETRY_S) * 1000);
  }

  async #openSigner(): Promise<RoleSigner> {
    const { name, onlineKey } = this.#registered();
    this.#signer ??= openSigner(this.env.KEY_WRAP_SECRET, name, onlineKey);
    return await this.#signer;
  }

  // --- What is kept ---

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

  #roleMeta(name: string): MetaFile {
    const row = this.#store.role(name);
    if (row === undefined) throw new Error(`role ${name} was accepted but is not kept`);
    return row.meta;
  }

  /** One call at a time, in the order in which they came. */
  async #exclusively<T>(call: () => Promise<T>): Promise<Answer<T>> {
    const turn = this.#last.then(() => answer(call));
    // the next one waits for this one's end, not for its success
    this.#last = turn.catch(() => {});
    return await turn;
  }
}

/** The time of one request; workerd's clock stands still within one. */
function now(): UnixSeconds {
  return toUnixSeconds(Date.now());
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

function summaryOf(release: ReleaseRow, live: Readonly<Record<string, LiveChannel>>): ReleaseSummary {
  const { seq, version, channel, files, bytes, infohash, torrent, created } = release;
  const current = live[channel]?.seq === seq ? live[channel] : undefined;
  const status =
    current === undefined
      ? !release.listed
        ? "withdrawn"
        : release.published === undefined
          ? "signed"
          : "published"
      : "live";
  const summary = { seq, version, channel, files, bytes, infohash, torrent, created, status } as const;
  return current === undefined ? summary : { ...summary, rollout: current.rollout };
}
