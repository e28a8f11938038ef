/**
 * A title as a player may believe it. `refresh` asks an edge and verifies everything; the rest answers only from what
 * was verified. Nothing here chooses to trust: it says what the publisher signed and what the edge made current.
 */
import { type ObjectId, objectIdOf, toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { EDGE_WAIT_TOLD_MS, HASTY_IDLE_TIMEOUT_S, RELEASE_BYTES_MAX } from "../../manifests/limits.ts";
import { type Choice, type LiveChannel, chooseRelease, liveOf } from "../../manifests/trust/live.ts";
import {
  type RoleHolders,
  type SignedRelease,
  type TargetsRole,
  type UnixSeconds,
  metadataFileName,
  parseTime,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { type TitleFile, pinnedRoot } from "../../manifests/trust/title-file.ts";
import {
  type VerifiedRelease,
  checkNotExpired,
  checkVersion,
  delegateOf,
  releasesOf,
  verifyRelease,
} from "../../manifests/trust/verify.ts";
import { sha256 } from "./crypto.ts";
import { askFresh } from "./fresh.ts";
import { type Fetch, PATIENCE, type Patience, fetchCapped, isJson, refuseEndless } from "./fetch-capped.ts";
import { WRONG_OBJECT, fetchObject } from "./fetch-object.ts";
import { type Memory, recall, remember, rememberedTime, timestampKeys } from "./memory.ts";
import { type MetadataStore, diskMetadata, memoryMetadata, unwritten } from "./store.ts";
import { type TrustedRoles, followWorkflow } from "./workflow.ts";

export interface TitleOptions {
  readonly titleFile: TitleFile;
  /**
   * Where verified metadata is remembered: `<install>/.patchswarm/metadata`. Without it, only this process remembers.
   */
  readonly metadataDir?: string | undefined;
  /** Nothing is written to it: what this process learns, a new install id too, is forgotten with it. */
  readonly readOnly?: boolean | undefined;
  /** Asked instead of the title file's edges. */
  readonly edge?: string | undefined;
  /** Objects already on this disk, such as a release document; their bytes are checked like any other's. */
  readonly readObject?: ((id: ObjectId) => Promise<Uint8Array | undefined>) | undefined;
  readonly now: Date;
  readonly fetch: Fetch;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
  /** An edge that is silent for a few seconds is passed over when another one proves what is current. */
  readonly isHasty?: boolean | undefined;
  /** What somebody who waits would like to know: one sentence. */
  readonly onLog?: ((text: string) => void) | undefined;
}

/** How a release stands on its channel. */
export type ReleaseStatus = "live" | "held" | "superseded";

export interface ListedRelease extends SignedRelease {
  readonly status: ReleaseStatus;
}

/** A channel as its publisher finds it. */
export interface ChannelState {
  /** Of the role; the next one has to be above. */
  readonly version: number;
  readonly expires: UnixSeconds;
  /** Who signs it. */
  readonly holders: RoleHolders;
  readonly releases: readonly SignedRelease[];
}

export interface Freshness {
  /**
   * Whether the edge answered our nonce. If not, the metadata is only known to be unexpired by the newest time we know.
   */
  readonly proven: boolean;
  /** The edge's clock less ours, seconds; undefined when it was not asked. */
  readonly clockBehindSeconds: number | undefined;
}

/** Opens what is remembered of a title. Call `refresh` or `loadCached` before anything else. */
export async function openTitle(options: TitleOptions): Promise<TrustedTitle> {
  const { metadataDir, readOnly = false } = options;
  const kept = metadataDir === undefined ? memoryMetadata() : diskMetadata(metadataDir);
  const store = readOnly ? unwritten(kept) : kept;
  return new TrustedTitle(options, store, await recall(store));
}

export class TrustedTitle {
  readonly file: TitleFile;
  readonly #options: TitleOptions;
  readonly #store: MetadataStore;
  readonly #now: UnixSeconds;
  #memory: Memory;
  #roles: TrustedRoles | undefined;
  /** What the verified metadata was judged by. */
  #time = 0 as UnixSeconds;
  #edge: string;
  /** That gave the last object, where it was another one: not each object is to wait for one that gives none. */
  #objectEdge: string | undefined;
  #bytesFetched = 0;

  /** Use `openTitle`. */
  constructor(options: TitleOptions, store: MetadataStore, memory: Memory) {
    this.file = options.titleFile;
    this.#options = options;
    this.#store = store;
    this.#memory = memory;
    this.#now = toUnixSeconds(options.now.getTime());
    this.#edge = this.#edges[0] ?? "";
  }

  get title(): string {
    return this.file.title;
  }

  /** Base URL of the edge that answered; before `refresh`, the first one. */
  get edge(): string {
    return this.#edge;
  }

  /** Bytes of metadata and objects that crossed the wire. */
  get bytesFetched(): number {
    return this.#bytesFetched;
  }

  /**
   * Brings the metadata up to date from the first edge that answers, and asks it to prove that it is current. Who is in
   * haste takes the first that proves it soon, if there is one.
   * Throws: metadata.expired, metadata.invalid, metadata.rollback, title.not-found, edge.unreachable, edge.busy,
   * object.not-found, source.interrupted, install.no-space.
   */
  async refresh(): Promise<Freshness> {
    const { isHasty = false, patience = PATIENCE } = this.#options;
    const quick = { ...patience, idleSeconds: Math.min(patience.idleSeconds, HASTY_IDLE_TIMEOUT_S), tries: 1 };
    const found =
      isHasty && this.#edges.length > 1 ? await this.#refreshFromAny(quick, true).catch(unlessStopped) : undefined;
    const freshness = found ?? (await this.#refreshFromAny(patience, false));
    this.#objectEdge = undefined;
    return freshness;
  }

  /** @param mustProve  an edge that does not prove that it is current is as good as silent */
  async #refreshFromAny(patience: Patience, mustProve: boolean): Promise<Freshness> {
    let last: Failure | undefined;
    let behind: Failure | undefined;
    for (const edge of this.#edges) {
      try {
        const freshness = await this.#whileTelling(edge, this.#refreshFrom(edge, patience));
        if (mustProve && !freshness.proven)
          throw new Failure("edge.unreachable", { url: `${edge}/t/${this.title}/fresh` });
        this.#edge = edge;
        return freshness;
      } catch (error) {
        // it has less than is remembered, perhaps of another edge; that is refused, and the other one may be there
        // again
        if (error instanceof Failure && error.code === "metadata.rollback") {
          behind ??= error;
          continue;
        }
        // else only an edge that gives nothing sends us to the next one; a lie is a refusal
        if (!(error instanceof Failure && GIVES_NOTHING.has(error.code))) throw error;
        const isUnknown = error.code === "title.not-found";
        // one that is silent may know the title: there is none only when all say so
        if (last !== undefined && isUnknown) continue;
        last = isUnknown ? new Failure("title.not-found", { title: this.title, edge }, { cause: error }) : error;
      }
    }
    throw behind ?? last;
  }

  /** Whoever waits for an edge is told which. */
  async #whileTelling<Value>(edge: string, coming: Promise<Value>): Promise<Value> {
    const tell = (): void => this.#options.onLog?.(`Waiting for ${edge} to say what is current.`);
    const timer = setTimeout(tell, EDGE_WAIT_TOLD_MS);
    try {
      return await coming;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Without the network: what is remembered, verified again, judged as of the last run that reached an edge. Says what
   * the publisher signed, not what is current. Throws: edge.unreachable when too little is remembered; metadata.*.
   */
  async loadCached(): Promise<void> {
    const now = this.#memory.checked as UnixSeconds;
    const roles = await followWorkflow({ ...this.#start(), source: undefined, now });
    checkAges(roles, now);
    this.#roles = roles;
    this.#time = now;
  }

  /** The verified metadata itself, for those who sign its next version or show when it expires. */
  get roles(): TrustedRoles {
    return this.#verified();
  }

  /** Names of the title's channels. */
  channels(): string[] {
    return [...this.#verified().channels.keys()];
  }

  /** Channels whose own metadata is refused, and why. The others are not affected. */
  problems(): Map<string, Failure> {
    const problems = new Map<string, Failure>();
    for (const channel of this.channels()) {
      try {
        this.#role(channel);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        problems.set(channel, error);
      }
    }
    return problems;
  }

  /**
   * What the publisher signed, oldest first: of one channel, or of every channel that can be trusted.
   * Throws: release.not-found for an unknown channel, metadata.* for one that is refused.
   */
  releases(channel?: string): ListedRelease[] {
    if (channel !== undefined) return this.#listed(channel);
    const refused = this.problems();
    return this.channels()
      .filter((name) => !refused.has(name))
      .flatMap((name) => this.#listed(name))
      .toSorted((a, b) => a.seq - b.seq);
  }

  /**
   * For a publisher: what the next version of a channel's role builds upon, whether or not the last one has expired.
   * Throws: release.not-found for an unknown channel, metadata.* when the role is not sound.
   */
  channelState(channel: string): ChannelState {
    const role = this.#soundRole(channel);
    const { keyids, threshold } = delegateOf(this.#verified().targets, channel);
    const expires = parseTime(role.expires);
    return { version: role.version, expires, holders: { keyids, threshold }, releases: releasesOf(role, channel) };
  }

  /** What the edge says of a channel; undefined when nothing has been made current there. Throws: metadata.invalid. */
  live(channel: string): LiveChannel | undefined {
    return liveOf(this.#verified().live, channel);
  }

  /**
   * The release this install should have: the edge's choice among what the publisher signed, seen from this install's
   * place in the rollout. Never one below the floor, below what the edge called current before, or below `installed`.
   * @param installed  seq of the installed release; undefined on a first install
   * Throws: release.not-found when nothing is current; metadata.invalid, metadata.rollback.
   */
  current(channel: string, installed: number | undefined): Choice {
    const releases = releasesOf(this.#role(channel), channel);
    const live = this.live(channel);
    if (live === undefined) throw new Failure("release.not-found", { channel, reason: "nothing is current yet" });
    return chooseRelease(
      live,
      releases,
      {
        installed,
        installId: this.#memory.install,
        leastCurrent: this.#leastCurrent(channel),
        leastInstalled: this.#leastInstalled(channel),
        previous: this.#memory.previous[channel] ?? 0,
      },
      sha256,
    );
  }

  /**
   * The release document, fetched by its hash and checked against what the channel's role says of it.
   * Throws: release.not-found, object.mismatch, object.malformed, metadata.invalid, and what `object` throws.
   */
  async release(channel: string, seq: number): Promise<VerifiedRelease> {
    const wanted = releasesOf(this.#role(channel), channel).find((release) => release.seq === seq);
    if (wanted === undefined) throw new Failure("release.not-found", { channel, seq });
    const { sha256: id, bytes } = wanted.document;
    if (bytes > RELEASE_BYTES_MAX)
      throw new Failure("object.too-large", { object: id, bytes, limit: RELEASE_BYTES_MAX });
    return verifyRelease(await this.object(id, bytes), this.title, wanted, sha256);
  }

  /**
   * An object's bytes, from this disk or an edge, proven by their hash: first the edge that answered, or that gave the
   * last object, then the others when it does not give it, or has it wrong.
   * Throws: object.not-found, object.mismatch, object.too-large, edge.unreachable, edge.busy, source.interrupted.
   */
  async object(id: ObjectId, bytesMax: number): Promise<Uint8Array> {
    const local = await this.#options.readObject?.(id);
    if (local !== undefined && objectIdOf(local, sha256) === id) return local;
    let refused: Failure | undefined;
    const { fetch, signal, patience, onLog } = this.#options;
    const edges = [...new Set([this.#objectEdge ?? this.#edge, this.#edge, ...this.#edges])];
    for (const edge of edges) {
      try {
        const object = await fetchObject(edge, this.title, id, { fetch, signal, patience, bytesMax });
        this.#bytesFetched += object.length;
        this.#objectEdge = edge;
        return object;
      } catch (error) {
        if (!(error instanceof Failure && GIVES_NO_OBJECT.has(error.code))) throw error;
        const isWrong = WRONG_OBJECT.has(error.code);
        // one that is silent may have it; and one that has it wrong says more than one that has nothing
        const saysMore = NO_ANSWER.has(error.code) || (isWrong && refused?.code === "object.not-found");
        if (refused === undefined || saysMore) refused = error;
        if (isWrong && edge !== edges.at(-1)) onLog?.(`${edge} has wrong bytes for ${id}; asking another edge`);
      }
    }
    throw refused;
  }

  get #edges(): readonly string[] {
    return this.#options.edge === undefined ? this.file.edges : [this.#options.edge];
  }

  async #refreshFrom(edge: string, patience: Patience): Promise<Freshness> {
    let { roles, statement } = await this.#ask(edge, patience);
    // the edge may have signed again between the two answers; it will not do so twice
    if (speaksOfAnother(statement, roles)) ({ roles, statement } = await this.#ask(edge, patience));

    await this.#rememberTime(roles, statement?.now ?? 0);
    const time = Math.max(this.#now, rememberedTime(this.#memory, roles.root), this.file.floor.time) as UnixSeconds;
    const { floor } = this.file;
    // freeze (TUF 1.0.31 §5.4.4), by the newest time we know
    checkAges(roles, time);
    // replay: an answer to our own question is about this very timestamp
    checkSpeaksOf(statement, roles);
    // rollback (TUF 1.0.31 §5.4.3) below what this install or its title.json ever saw
    checkVersion("root", roles.root.version, { atLeast: Math.max(floor.root, this.#memory.root) });
    checkVersion("targets", roles.targets.version, { atLeast: floor.targets });

    this.#roles = roles;
    this.#time = time;
    await this.#rememberRun(time);
    const clockBehindSeconds = statement === undefined ? undefined : statement.now - this.#now;
    return { proven: statement !== undefined, clockBehindSeconds };
  }

  async #ask(edge: string, patience: Patience) {
    const { fetch, signal } = this.#options;
    const halt = new AbortController();
    const either = signal === undefined ? halt.signal : AbortSignal.any([signal, halt.signal]);
    // a round trip beside the others: what is proven is what was current when the walk began
    const asking = askFresh(edge, this.title, { fetch, patience, signal: either });
    asking.catch(() => {}); // heard of below, unless the metadata is refused first
    const roles = await followWorkflow({
      ...this.#start(),
      source: (fileName, bytesMax) => this.#fetchMetadata(edge, patience, fileName, bytesMax),
      now: this.#now,
    }).catch((error: unknown) => {
      halt.abort();
      throw error;
    });
    return { roles, statement: await (await asking)(roles.root) };
  }

  #start() {
    return { store: this.#store, pinnedRoot: pinnedRoot(this.file) };
  }

  async #fetchMetadata(
    edge: string,
    patience: Patience,
    fileName: string,
    bytesMax: number,
  ): Promise<Buffer | undefined> {
    // the one file that changes: a cache that keeps it, though it may not, would pass for an edge that goes back
    const pastCaches = fileName === metadataFileName("timestamp", 0);
    const { fetch, signal } = this.#options;
    const bytes = await fetchCapped(`${edge}/t/${this.title}/metadata/${fileName}`, {
      ...{ fetch, signal, patience, bytesMax, isWhole: isJson },
      ...(pastCaches ? { init: { headers: { "cache-control": "no-cache" } } } : {}),
    }).catch(refuseEndless);
    this.#bytesFetched += bytes?.length ?? 0;
    return bytes;
  }

  /** At once, even if this run ends in a refusal: with the edge cut off, the next one must not know less. */
  async #rememberTime({ root }: TrustedRoles, signedNow: number): Promise<void> {
    const time = Math.max(rememberedTime(this.#memory, root), signedNow);
    this.#memory = { ...this.#memory, signed: { time, keys: timestampKeys(root) } };
    await remember(this.#store, this.#memory);
  }

  /** Of the roles that were verified last. */
  async #rememberRun(time: UnixSeconds): Promise<void> {
    this.#memory = {
      ...this.#memory,
      root: this.#verified().root.version,
      checked: time,
      live: this.#highest(this.#memory.live, ({ seq }) => seq),
      previous: this.#highest(this.#memory.previous, ({ previous }) => previous ?? 0),
    };
    await remember(this.#store, this.#memory);
  }

  /** For each channel the highest number that was ever named; one that no role signs does not count: it is refused. */
  #highest(before: Memory["live"], named: (live: LiveChannel) => number): Memory["live"] {
    const highestOf = (channel: string): number => {
      const role = this.#verified().channels.get(channel);
      const live = this.live(channel);
      const seq = live === undefined ? 0 : named(live);
      const signed =
        role !== undefined && !(role instanceof Failure) && Object.hasOwn(role.targets, `${channel}/${seq}.json`);
      return Math.max(before[channel] ?? 0, signed ? seq : 0);
    };
    return Object.fromEntries(this.channels().map((channel) => [channel, highestOf(channel)]));
  }

  #leastCurrent(channel: string): number {
    return Math.max(this.#leastInstalled(channel), this.#memory.live[channel] ?? 0);
  }

  /** The floor speaks of the title file's own channel; other channels may lag behind it. */
  #leastInstalled(channel: string): number {
    return channel === this.file.channel ? this.file.floor.seq : 0;
  }

  #listed(channel: string): ListedRelease[] {
    const live = this.live(channel);
    return releasesOf(this.#role(channel), channel).map((release) => ({ ...release, status: statusOf(release, live) }));
  }

  #role(channel: string): TargetsRole {
    const role = this.#soundRole(channel);
    checkNotExpired(channel, role, this.#time);
    return role;
  }

  #soundRole(channel: string): TargetsRole {
    const role = this.#verified().channels.get(channel);
    if (role === undefined) throw new Failure("release.not-found", { channel, expected: this.channels() });
    if (role instanceof Failure) throw role;
    return role;
  }

  #verified(): TrustedRoles {
    if (this.#roles === undefined) throw new Error("refresh() or loadCached() comes first");
    return this.#roles;
  }
}

const NO_ANSWER: ReadonlySet<string> = new Set([
  "edge.unreachable",
  "edge.busy",
  "edge.wrong-protocol",
  "edge.bad-certificate",
]);
const GIVES_NOTHING: ReadonlySet<string> = new Set([...NO_ANSWER, "title.not-found"]);
/** Other bytes than the object's are no lie that could be believed: its name tells. */
const GIVES_NO_OBJECT: ReadonlySet<string> = new Set([...NO_ANSWER, "object.not-found", ...WRONG_OBJECT]);

/** What was refused in haste is looked at again without: only who was stopped stops. */
function unlessStopped(error: unknown): undefined {
  if (!(error instanceof Failure) || error.family === "interrupted") throw error;
  return undefined;
}

function statusOf(release: SignedRelease, live: LiveChannel | undefined): ReleaseStatus {
  if (live?.seq !== release.seq) return "superseded";
  return live.hold ? "held" : "live";
}

function speaksOfAnother(statement: { readonly timestamp: string } | undefined, roles: TrustedRoles): boolean {
  return statement !== undefined && statement.timestamp !== toHex(sha256(roles.timestampBytes));
}

/** Throws: metadata.rollback. */
function checkSpeaksOf(statement: { readonly timestamp: string } | undefined, roles: TrustedRoles): void {
  if (!speaksOfAnother(statement, roles)) return;
  throw new Failure("metadata.rollback", { role: "timestamp", reason: "the edge says that another one is current" });
}

/** Throws: metadata.expired. Channels are judged one by one, when they are asked for. */
function checkAges(roles: TrustedRoles, time: UnixSeconds): void {
  for (const name of ["root", "timestamp", "snapshot", "targets", "live"] as const) {
    checkNotExpired(name, roles[name], time);
  }
}
