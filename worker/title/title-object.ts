/**
 * Durable Object: one a title, the only writer of what is current there. It knows who may act, keeps calls from
 * overlapping and wakes itself to sign again; repository.ts and publish.ts decide. Objects and published metadata lie
 * in the bucket, where players read them without waking this object.
 */
import { DurableObject } from "cloudflare:workers";
import { Failure } from "../../manifests/failures.ts";
import { ALARM_RETRY_S } from "../../manifests/limits.ts";
import { signFresh } from "../../manifests/trust/fresh.ts";
import { type LiveChannel } from "../../manifests/trust/live.ts";
import {
  type Key,
  type MetaFile,
  type RoleSigner,
  type UnixSeconds,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { type SignedRequestParameters, nonceExpiry } from "../../manifests/wire/signed-request.ts";
import { type Env } from "../env.ts";
import { type Answer, answer } from "./answer.ts";
import { type DeltaOrder, type PublishOrder, listDelta, makeCurrent } from "./publish.ts";
import { Repository } from "./repository.ts";
import { makeOnlineKey, onlineKeyName, openSigner } from "./signer.ts";
import { type Registration, type ReleaseRow, TitleStore } from "./store.ts";
import { type ReleaseSummary, summaryOf } from "./summary.ts";
import { trackedTorrents } from "./torrents.ts";

/** Who sent a request: the operator with the admin token, or a publisher whose signature the worker has checked. */
export type Sender = "admin" | SignedRequestParameters;

/** What isolates keep of a title for a few seconds (known-titles.ts). */
export interface TitleFacts {
  readonly open: boolean;
  /** Key id -> key of everyone who may sign requests. */
  readonly publisherKeys: Readonly<Record<string, Key>>;
}

/** A registered title, ready to act on. */
interface Title extends Registration {
  readonly repository: Repository;
}

/** Served content bytes, in `totals`. */
const SERVED = "origin-bytes";

export class TitleObject extends DurableObject<Env> {
  readonly #store: TitleStore;
  /** Calls that write wait for each other: an await on the bucket must not let another in between. */
  #last: Promise<unknown> = Promise.resolve();
  #known: Title | undefined;
  #signer: Promise<RoleSigner> | undefined;

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    this.#store = new TitleStore(state.storage);
  }

  /** Makes the title's online key. Repeatable until a root is set, then title.exists. */
  async register(name: string, open: boolean): Promise<Answer<Key>> {
    return await this.#exclusively(async () => {
      if (this.#store.registration() === undefined) {
        const onlineKey = await makeOnlineKey(this.env.KEY_WRAP_SECRET, name);
        this.#store.register({ name, open, onlineKey }, now());
      }
      const title = this.#title();
      if (title.repository.meta("root") !== undefined) throw new Failure("title.exists", { title: name });
      await this.#tellSwarm(title);
      return onlineKeyName(title.onlineKey.publicKey).key;
    });
  }

  async facts(): Promise<Answer<TitleFacts>> {
    return await answer(() => {
      const { open, repository } = this.#title();
      return { open, publisherKeys: Object.fromEntries(repository.publisherKeys()) };
    });
  }

  /** Takes a role that publishers sign; sending the current file again changes nothing. */
  async acceptRole(name: string, bytes: Uint8Array, sender: Sender): Promise<Answer<MetaFile>> {
    return await this.#exclusively(async () => {
      const { repository } = this.#title();
      const again = repository.holds(name, bytes);
      // the first root is what the admin token is for; sending it again is a retry
      const firstRoot = name === "root" && (again || repository.meta(name) === undefined);
      if (sender !== "admin") this.#admit(sender, name);
      else if (!firstRoot) throw new Failure("request.unauthorized", { reason: "the admin token sets the first root" });
      if (!again) await repository.accept(name, bytes, now());
      // a role may take a lost key's rights away: it does not wait for the tracker
      await this.#signBeforeAlarm();
      const meta = repository.meta(name);
      if (meta === undefined) throw new Error(`role ${name} was accepted but is not kept`);
      return meta;
    });
  }

  /** Makes a signed release the current one of its channel. Repeatable. */
  async publish(
    order: PublishOrder,
    sender: SignedRequestParameters,
  ): Promise<Answer<{ seq: number; live: LiveChannel }>> {
    return await this.#exclusively(async () => {
      const title = this.#title();
      this.#admit(sender, order.channel);
      const live = await makeCurrent(title.name, order, this.#store, this.env.ORIGIN, now());
      await this.#tellSwarmThenPlayers(title);
      return { seq: order.seq, live };
    });
  }

  /** Lists a delta to what is live. Repeatable. */
  async listDelta(
    order: DeltaOrder,
    sender: SignedRequestParameters,
  ): Promise<Answer<{ seq: number; live: LiveChannel }>> {
    return await this.#exclusively(async () => {
      const title = this.#title();
      this.#admit(sender, order.channel);
      const live = await listDelta(title.name, order, this.#store, this.env.ORIGIN);
      await this.#tellSwarmThenPlayers(title);
      return { seq: order.seq, live };
    });
  }

  /** The signed statement of what is current now, bound to the caller's nonce. */
  async fresh(nonce: string): Promise<Answer<Uint8Array>> {
    return await this.#exclusively(async () => {
      const { name: title, repository } = this.#title();
      const timestamp = (await repository.publishedTimestamp())?.hashes.sha256;
      if (timestamp === undefined) throw new Failure("title.not-found", { title, reason: "not set up yet" });
      return await signFresh({ title, nonce, now: now(), timestamp }, [await this.#openSigner()]);
    });
  }

  /** A release that was published at least once, by number. */
  async releaseAt(seq: number): Promise<Answer<ReleaseRow>> {
    return await answer(() => {
      this.#title();
      const release = this.#store.release(seq);
      if (release?.published === undefined) throw new Failure("release.not-found", { found: seq });
      return release;
    });
  }

  /** Every release, newest first, and the content bytes that the origin served. */
  async releases(): Promise<Answer<{ releases: ReleaseSummary[]; servedBytes: number }>> {
    return await answer(() => {
      this.#title();
      const live = this.#store.liveChannels();
      const releases = this.#store.releases().map((release) => summaryOf(release, live[release.channel]));
      return { releases, servedBytes: this.#store.total(SERVED) };
    });
  }

  /** Bytes of content that an isolate sent to players since it last said so. */
  addServed(bytes: number): void {
    if (this.#store.registration() !== undefined) this.#store.addTotal(SERVED, bytes);
  }

  /** Signs again what runs out. Runs at least once; it is armed again whatever happens. */
  override async alarm(): Promise<void> {
    await this.#exclusively(async () => {
      const title = this.#title();
      // the runtime does not try again what has set an alarm itself
      await this.#wakeSoon();
      try {
        await this.#tellSwarm(title);
      } catch (error) {
        // what players have must not run out because a tracker cannot be reached; what is new waits for it
        await title.repository.renew(await this.#openSigner(), now());
        throw error;
      }
      await this.#sign();
    });
  }

  /** Throws: title.not-found. */
  #title(): Title {
    if (this.#known !== undefined) return this.#known;
    const registration = this.#store.registration();
    if (registration === undefined) throw new Failure("title.not-found", { title: this.ctx.id.name });
    const { name, onlineKey } = registration;
    const { keyid } = onlineKeyName(onlineKey.publicKey);
    this.#known = { ...registration, repository: new Repository(name, keyid, this.#store, this.env.ORIGIN) };
    return this.#known;
  }

  /**
   * The worker has checked the signature; here is the current word on whose key it is, and whether it is a replay.
   * @param role  what the request is about
   */
  #admit({ keyid, nonce, created }: SignedRequestParameters, role: string): void {
    if (!this.#title().repository.mayAct(keyid, role)) {
      throw new Failure("request.unauthorized", { reason: "not a key of this role or of one above it", role, keyid });
    }
    if (!this.#store.useNonce(nonce, nonceExpiry(created), now())) {
      throw new Failure("request.unauthorized", { reason: "replayed: this nonce was used before" });
    }
  }

  /** The tracker knows a release before any player can. */
  async #tellSwarmThenPlayers(title: Title): Promise<void> {
    await this.#wakeSoon();
    await this.#tellSwarm(title);
    await this.#sign();
  }

  /** Which torrents the tracker answers for. */
  async #tellSwarm({ name: title, open }: Registration): Promise<void> {
    const infohashes = trackedTorrents(this.#store);
    await this.env.SWARMS.getByName(title).configure({ title, open, infohashes });
  }

  async #sign(): Promise<void> {
    const { repository } = this.#title();
    await this.#wakeSoon();
    await repository.sign(await this.#openSigner(), now());
    const { due } = repository;
    if (due === undefined) await this.ctx.storage.deleteAlarm();
    else await this.ctx.storage.setAlarm(Math.max(due, now() + ALARM_RETRY_S) * 1000);
  }

  /** Signs, and leaves an alarm that is near where it is: it has to do again what failed. */
  async #signBeforeAlarm(): Promise<void> {
    const alarm = await this.ctx.storage.getAlarm();
    await this.#sign();
    if (alarm !== null && alarm <= Date.now() + ALARM_RETRY_S * 1000) await this.ctx.storage.setAlarm(alarm);
  }

  /** Should what comes next fail, or we die before the timestamp is out, the alarm does it again. */
  async #wakeSoon(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + ALARM_RETRY_S * 1000);
  }

  async #openSigner(): Promise<RoleSigner> {
    const { name, onlineKey } = this.#title();
    this.#signer ??= openSigner(this.env.KEY_WRAP_SECRET, name, onlineKey);
    try {
      return await this.#signer;
    } catch (error) {
      this.#signer = undefined; // the next call tries again
      throw error;
    }
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
