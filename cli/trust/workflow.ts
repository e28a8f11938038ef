/**
 * TUF's client workflow (1.0.31 §5) over tuf-js's trusted metadata set: what to fetch, in which order, with which cap,
 * and when to remember it. tuf-js decides whether it is believed; then our own stricter reading must agree.
 *
 * Why the set and not tuf-js's `Updater`: that one writes its cache in place (a crash bricks it), turns every error
 * after the timestamp into a text, has no clock option and cannot list what a role holds: docs/decisions/0006.
 */
import { BadVersionError, EqualVersionError, ExpiredMetadataError } from "tuf-js/dist/error.js";
import { TrustedMetadataStore } from "tuf-js/dist/store.js";
import * as v from "valibot";
import { Failure } from "../../manifests/failures.ts";
import { ROLE_BYTES_MAX, ROOT_BYTES_MAX, ROOT_ROTATIONS_MAX, TIMESTAMP_BYTES_MAX } from "../../manifests/limits.ts";
import { isChannelName } from "../../manifests/release.ts";
import {
  LIVE_ROLE,
  type MetaFile,
  type RootRole,
  type SnapshotRole,
  type TargetsRole,
  type TimestampRole,
  type UnixSeconds,
  metadataFileName,
} from "../../manifests/trust/roles.ts";
import {
  channelsOf,
  checkNotExpired,
  openDelegated,
  openRoot,
  openSnapshot,
  openTargets,
  openTimestamp,
} from "../../manifests/trust/verify.ts";
import { machineCrypto } from "./crypto.ts";
import { quickenLongRoles } from "./long-roles.ts";
import { type MetadataStore } from "./store.ts";

// here and not where a title is opened: it holds for the process, and whoever reads roles reads them by this module
quickenLongRoles();

/** File name and cap -> its bytes; undefined when the edge has no such file. */
export type MetadataSource = (fileName: string, bytesMax: number) => Promise<Buffer | undefined>;

export interface WorkflowInput {
  readonly store: MetadataStore;
  /** The first root, from title.json. */
  readonly pinnedRoot: Uint8Array;
  /** The edge; undefined to look only at what is remembered. */
  readonly source: MetadataSource | undefined;
  readonly now: UnixSeconds;
}

/** A title's metadata, all of it verified, of one snapshot. */
export interface TrustedRoles {
  readonly root: RootRole;
  readonly timestamp: TimestampRole;
  /** The bytes of timestamp.json, which the freshness statement names by their hash. */
  readonly timestampBytes: Buffer;
  readonly snapshot: SnapshotRole;
  readonly targets: TargetsRole;
  readonly live: TargetsRole;
  /**
   * Channel -> its role, or why that channel alone cannot be trusted: a neglected beta must not stop stable. A role
   * here may have expired: that is for the caller to judge, because its publisher must still be able to build upon it.
   */
  readonly channels: ReadonlyMap<string, TargetsRole | Failure>;
}

/** Throws: metadata.expired, metadata.invalid, metadata.rollback, title.not-found, and what `source` throws. */
export async function followWorkflow(input: WorkflowInput): Promise<TrustedRoles> {
  const writing = new WriteBehind(input.store);
  const asking = input.source === undefined ? undefined : new AskAhead(input.source);
  try {
    const roles = await follow({ ...input, store: writing, source: asking?.source }, asking);
    await writing.done();
    return roles;
  } catch (error) {
    // what was believed is remembered, whatever was refused afterwards
    await writing.done().catch(() => {}); // the refusal is the news
    throw error;
  }
}

async function follow(input: WorkflowInput, ahead: AskAhead | undefined): Promise<TrustedRoles> {
  ahead?.ask(metadataFileName("timestamp", 0), TIMESTAMP_BYTES_MAX);
  const { set, root } = await takeRoot(input); //                        §5.3
  checkNotExpired("root", root, input.now);
  const timestampBytes = await takeTimestamp(set, input); //             §5.4
  const timestamp = await openTimestamp(timestampBytes, root, machineCrypto);
  checkNotExpired("timestamp", timestamp, input.now);
  const snapshotBytes = await takeSnapshot(set, input, timestamp); //    §5.5
  const snapshot = await openSnapshot(snapshotBytes, root, machineCrypto);
  checkNotExpired("snapshot", snapshot, input.now);
  if (ahead !== undefined) await askForChanged(snapshot, input.store, ahead);
  const targetsBytes = await takeTargets(set, input, snapshot, "targets", "root"); // §5.6
  const targets = await openTargets(targetsBytes, root, machineCrypto);
  checkNotExpired("targets", targets, input.now);

  const take = async (name: string): Promise<TargetsRole> =>
    openDelegated(await takeTargets(set, input, snapshot, name, "targets"), name, targets, machineCrypto);
  const live = await take(LIVE_ROLE);
  checkNotExpired(LIVE_ROLE, live, input.now);
  const channels = new Map<string, TargetsRole | Failure>();
  for (const name of channelsOf(targets)) {
    channels.set(name, await take(name).catch((error: unknown) => setAside(error, input.source)));
  }
  return { root, timestamp, timestampBytes, snapshot, targets, live, channels };
}

// --- §5.3: the root, from the newest one remembered, one version at a time -------------------------------------------

async function takeRoot({ store, pinnedRoot, source, now }: WorkflowInput) {
  const start = trustedRoot(await store.read("root"), Buffer.from(pinnedRoot));
  const set = new TrustedMetadataStore(start);
  setClock(set, now);
  let newest = start;
  for (let rotation = 0; rotation < ROOT_ROTATIONS_MAX; rotation++) {
    const next = await source?.(metadataFileName("root", set.root.signed.version + 1), ROOT_BYTES_MAX);
    if (next === undefined) break;
    accept("root", () => set.updateRoot(next));
    // remembered at once: whatever fails later, a retired key stays retired
    await store.write("root", next);
    newest = next;
  }
  return { set, root: await openRoot(newest, undefined, machineCrypto) };
}

/** The remembered root, or the pinned one when that is newer or the remembered one cannot be read. */
function trustedRoot(remembered: Buffer | undefined, pinned: Buffer): Buffer {
  const pinnedVersion = accept("root", () => new TrustedMetadataStore(pinned).root.signed.version);
  if (remembered === undefined) return pinned;
  try {
    return new TrustedMetadataStore(remembered).root.signed.version >= pinnedVersion ? remembered : pinned;
  } catch {
    // a crash or a bad disk: the chain from the pinned root is walked again
    return pinned;
  }
}

/** tuf-js reads the clock itself, once, into this field; ours is passed in. A test fails if the field goes away. */
function setClock(set: TrustedMetadataStore, now: UnixSeconds): void {
  Object.assign(set, { referenceTime: new Date(now * 1000) });
}

// --- §5.4 to §5.6: the remembered file first, as memory against rollback, then the edge's ----------------------------

async function takeTimestamp(set: TrustedMetadataStore, { store, source }: WorkflowInput): Promise<Buffer> {
  const remembered = await store.read("timestamp");
  if (source === undefined) {
    const cached = required(remembered);
    accept("timestamp", () => set.updateTimestamp(cached));
    return cached;
  }
  // even an expired one still says below which version nothing is believed
  if (remembered !== undefined) believe(() => set.updateTimestamp(remembered));
  const fetched = await source(metadataFileName("timestamp", 0), TIMESTAMP_BYTES_MAX);
  if (fetched === undefined) throw new Failure("title.not-found", {});
  try {
    set.updateTimestamp(fetched);
  } catch (error) {
    if (error instanceof EqualVersionError && remembered !== undefined) return remembered;
    throw refusal("timestamp", error);
  }
  await store.write("timestamp", fetched);
  return fetched;
}

async function takeSnapshot(
  set: TrustedMetadataStore,
  { store, source }: WorkflowInput,
  timestamp: TimestampRole,
): Promise<Buffer> {
  const remembered = await store.read("snapshot");
  if (remembered !== undefined && believe(() => set.updateSnapshot(remembered, true))) return remembered;
  const fetched = await fetchListed("snapshot", timestamp.meta["snapshot.json"], source);
  accept("snapshot", () => set.updateSnapshot(fetched));
  await store.write("snapshot", fetched);
  return fetched;
}

/** `targets` under root, or a role that `targets` delegates; sound, but perhaps expired: the caller checks that. */
async function takeTargets(
  set: TrustedMetadataStore,
  { store, source }: WorkflowInput,
  snapshot: SnapshotRole,
  name: string,
  parent: string,
): Promise<Buffer> {
  const remembered = await store.read(name);
  if (remembered !== undefined && believe(() => takeUnlessUnsound(set, remembered, name, parent))) return remembered;
  const fileName = `${name}.json`;
  // tuf-js's Updater meets a role that is missing here with a TypeError (docs/decisions/0006)
  const meta = Object.hasOwn(snapshot.meta, fileName) ? snapshot.meta[fileName] : undefined;
  if (meta === undefined) throw new Failure("metadata.invalid", { role: name, reason: "not in the snapshot" });
  const fetched = await fetchListed(name, meta, source);
  accept(name, () => takeUnlessUnsound(set, fetched, name, parent));
  await store.write(name, fetched);
  return fetched;
}

/**
 * The snapshot is not expired, and a role's own expiry is looked at last (§5.6.6): expired, it is otherwise in order.
 */
function takeUnlessUnsound(set: TrustedMetadataStore, bytes: Buffer, name: string, parent: string): void {
  try {
    set.updateDelegatedTargets(bytes, name, parent);
  } catch (error) {
    if (!(error instanceof ExpiredMetadataError)) throw error;
  }
}

async function fetchListed(role: string, meta: MetaFile, source: MetadataSource | undefined): Promise<Buffer> {
  if (source === undefined) return required(undefined);
  const fileName = metadataFileName(role, meta.version);
  const fetched = await source(fileName, Math.min(meta.length, ROLE_BYTES_MAX));
  if (fetched === undefined) throw new Failure("object.not-found", { file: fileName });
  return fetched;
}

function required(cached: Buffer | undefined): Buffer {
  if (cached === undefined) throw new Failure("edge.unreachable", { reason: "nothing usable is remembered" });
  return cached;
}

/**
 * Files that will be needed and are not remembered in the version that the snapshot lists, asked for at once. A
 * snapshot goes on listing a channel that targets dropped (TUF 1.0.31 §5.5.5); nobody needs that one.
 */
async function askForChanged(snapshot: SnapshotRole, store: MetadataStore, ahead: AskAhead): Promise<void> {
  const targets = seemingRole(await store.read("targets"));
  const isRemembered = targets?.version === snapshot.meta["targets.json"]?.version;
  const delegated = isRemembered ? targets?.delegations?.roles.map(({ name }) => name) : undefined;
  for (const [fileName, { version, length }] of Object.entries(snapshot.meta)) {
    const role = fileName.slice(0, -".json".length);
    // hostile: the edge lists what it likes, and what is looked up becomes a path
    const isNeeded = isListable(role) && (role === "targets" || delegated?.includes(role) !== false);
    if (!isNeeded || seemingRole(await store.read(role))?.version === version) continue;
    ahead.ask(metadataFileName(role, version), Math.min(length, ROLE_BYTES_MAX));
  }
}

/** Whether a snapshot of ours could list such a role. */
function isListable(role: string): boolean {
  return role === "targets" || role === LIVE_ROLE || isChannelName(role);
}

/** What remembered bytes say of themselves: a hint of what will have to be fetched, believed in nothing else. */
function seemingRole(remembered: Buffer | undefined): SeemingRole | undefined {
  try {
    return v.parse(SeemingRoleShape, JSON.parse(String(remembered))).signed;
  } catch {
    return undefined; // none, or cut short: it will be fetched
  }
}

const SeemingRoleShape = v.object({
  signed: v.object({
    version: v.number(),
    delegations: v.optional(v.object({ roles: v.array(v.object({ name: v.string() })) })),
  }),
});
type SeemingRole = v.InferOutput<typeof SeemingRoleShape>["signed"];

// --- Round trips and flushes that need not wait for each other -------------------------------------------------------

/** Answers that will be wanted, asked for early. Each is given out once; what was not asked for is asked for then. */
class AskAhead {
  readonly #source: MetadataSource;
  readonly #answers = new Map<string, Promise<Buffer | undefined>>();

  constructor(source: MetadataSource) {
    this.#source = source;
  }

  ask(fileName: string, bytesMax: number): void {
    const answer = this.#source(fileName, bytesMax);
    // whoever takes it hears of it; perhaps nobody does
    answer.catch(() => {});
    this.#answers.set(fileName, answer);
  }

  readonly source: MetadataSource = (fileName, bytesMax) => {
    const answer = this.#answers.get(fileName) ?? this.#source(fileName, bytesMax);
    this.#answers.delete(fileName);
    return answer;
  };
}

/** A store whose writes are begun at once and waited for at the end. Each is still whole, or not there (store.ts). */
class WriteBehind implements MetadataStore {
  readonly #store: MetadataStore;
  readonly #writes: Promise<void>[] = [];

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  read(name: string): Promise<Buffer | undefined> {
    return this.#store.read(name);
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    // a retired key stays retired, whatever happens next
    if (name === "root") return this.#store.write(name, bytes);
    const write = this.#store.write(name, bytes);
    write.catch(() => {}); // heard of in `done`
    this.#writes.push(write);
    return Promise.resolve();
  }

  async done(): Promise<void> {
    const [failed] = (await Promise.allSettled(this.#writes)).filter(({ status }) => status === "rejected");
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  }
}

// --- Verdicts --------------------------------------------------------------------------------------------------------

/** Whether tuf-js takes remembered bytes. If not, the edge's are asked for; a bad cache is no attack. */
function believe(take: () => unknown): boolean {
  try {
    take();
    return true;
  } catch {
    return false;
  }
}

/** Whatever tuf-js throws is a refusal; never a bug to step over: it meets hostile input with any kind of error. */
function accept<T>(role: string, take: () => T): T {
  try {
    return take();
  } catch (error) {
    throw refusal(role, error);
  }
}

function refusal(role: string, cause: unknown): Failure {
  const reason = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof ExpiredMetadataError) return new Failure("metadata.expired", { role }, { cause });
  if (cause instanceof BadVersionError) return new Failure("metadata.rollback", { role, reason }, { cause });
  return new Failure("metadata.invalid", { role, reason }, { cause });
}

/**
 * A channel that is refused or has no file, or without a network none remembered, concerns nobody but its own players.
 */
function setAside(error: unknown, source: MetadataSource | undefined): Failure {
  if (!(error instanceof Failure)) throw error;
  if (error.family === "untrusted" || error.code === "object.not-found" || source === undefined) return error;
  throw error;
}
