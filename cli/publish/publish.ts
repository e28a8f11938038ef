/**
 * A build folder -> a release that players get. Look at the folder and at what the origin has; read the build once and
 * send what is new; then name it, sign it and make it current. Interrupted anywhere, the next run continues: what was
 * sent is found by its hash, and a release that was signed but not made current yet is made so.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { objectIdOf } from "../../manifests/digest.ts";
import { CHANNEL_ROOM_WARNING_RELEASES, OLD_MEMORY_TITLE_FILES, SIGNING_TRIES } from "../../manifests/limits.ts";
import { Failure } from "../../manifests/failures.ts";
import { STATE_FOLDER } from "../../manifests/paths.ts";
import { type LiveChannel, ROLLOUT_ALL } from "../../manifests/trust/live.ts";
import { type SignedRelease, toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { delegateOf } from "../../manifests/trust/verify.ts";
import { sha256 } from "../threads/digests.ts";
import { failureOfDisk } from "../patch/disk-failure.ts";
import { closePool } from "../threads/pool.ts";
import { keepOldMemory } from "../threads/keep-memory.ts";
import { type Fetch, type Patience } from "../trust/fetch-capped.ts";
import { isOvertaken, makeCurrent, signRelease } from "./sign-release.ts";
import { type PublisherAccess, openAccess } from "./publisher-access.ts";
import { webSeedWarning } from "./caps.ts";
import { channelRoles, nextSeq } from "./channel-roles.ts";
import { CountingSink } from "./counting-sink.ts";
import { type ListedTree, type MadeDelta, measureDeltas, publishDeltas } from "./deltas.ts";
import { type OldBuildWorld } from "./old-build.ts";
import { type PublishedTitle, type EarlierRelease, readPublished } from "./published-title.ts";
import { type IngestedFile } from "./ingest.ts";
import { type KnownContent } from "./known-content.ts";
import { type OnProgress, PublishMeter } from "./meter.ts";
import { ownKeysIn, refuseKeysFolder } from "./own-keys.ts";
import { type ReadingPlan, planReading, readBuild } from "./read-build.ts";
import { writeRecipes } from "./recipe-writer.ts";
import { type Renewal, expiryWarnings, renewChannel, renewalOf } from "./renewal.ts";
import { type SentAgain, isSameBuild, restoreRelease } from "./restore.ts";
import { type PlannedRelease, roomLeftAfter } from "./room.ts";
import { sendContent } from "./send-content.ts";
import { sendTree, treeOf } from "./tree-writer.ts";
import { walk } from "./walk.ts";

export interface PublishOptions {
  readonly folder: string;
  readonly titleFile: TitleFile;
  readonly keysDir: string;
  readonly version: string;
  readonly channel: string;
  /** Globs over paths relative to the folder. */
  readonly ignore: readonly string[];
  /** Percent of installs that get it; undefined: all of them, and what is out already stays as far out as it is. */
  readonly rollout: number | undefined;
  /** Deltas from so many of the channel's last releases; 0 for none. */
  readonly deltas: number;
  /** Only say what would be sent. */
  readonly dryRun: boolean;
}

export interface PublishWorld {
  readonly fetch: Fetch;
  readonly now: Date;
  /** Milliseconds of a clock that never goes back. */
  readonly clock: () => number;
  /** For cached objects, and for what waits to be sent. */
  readonly cacheDir: string;
  readonly onProgress: OnProgress;
  /** One sentence of news. */
  readonly onLog: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

export interface PublishResult {
  /**
   * published: this run made it current. unchanged: that version is there already; what of it was lost, ran out or was
   * asked for otherwise is in `lost`, `renewed` and `rollout`, and a dry run says what would be done. dry-run: that
   * version is not there yet, and nothing was touched.
   */
  readonly outcome: "published" | "unchanged" | "dry-run";
  /** Of the release; in a dry run, the number it would get. */
  readonly seq: number;
  readonly files: number;
  readonly bytes: {
    readonly total: number;
    /** Sent; in a dry run, the chunks that would be. */
    readonly uploaded: number;
  };
  /** Of a release that is there already: what players get on the channel, which may be a later one. */
  readonly live: { readonly seq: number; readonly version: string } | undefined;
  /** What the origin did not have. */
  readonly added: { readonly chunks: number; readonly packs: number };
  /** Of a release that is there already: what the origin had lost. "some" in a dry run, which does not count it. */
  readonly lost: SentAgain | "some" | undefined;
  /** Deltas that lead to the release and were made by this run. */
  readonly deltas: readonly MadeDelta[];
  /** Percent of installs that get a release which was out already, where that changed, or would in a dry run. */
  readonly rollout: { readonly before: number; readonly now: number } | undefined;
  /**
   * Of a release that is there already: how long its channel's signature lasted, and lasts now, or would after a dry
   * run.
   */
  readonly renewed: Renewal | undefined;
  /** Why there are no more of them. The release stands: players update by chunks. */
  readonly deltasFailed: Failure | undefined;
}

/**
 * Throws: build.* for the folder; usage.no-keys, usage.bad-key-file, usage.bad-flag (a channel that is not there);
 * channel.full, release.version-taken, release.incomplete; metadata.*, object.*, edge.*, request.unauthorized from the
 * edge; install.no-space; source.interrupted.
 */
export async function publish(options: PublishOptions, world: PublishWorld): Promise<PublishResult> {
  try {
    return await publishBuild(options, world);
  } catch (cause) {
    // threads, streams and requests each have a way of their own to say that they were stopped
    if (world.signal?.aborted === true) throw new Failure("source.interrupted", {}, { cause });
    throw cause;
  }
}

async function publishBuild(options: PublishOptions, world: PublishWorld): Promise<PublishResult> {
  const files = await walk(options.folder, options.ignore);
  await refuseKeysFolder(files, options);
  if (existsSync(join(options.folder, STATE_FOLDER))) {
    world.onLog(`The build's ${STATE_FOLDER} is left out: in an install, the patcher has its own state there.`);
  }
  if (files.length > OLD_MEMORY_TITLE_FILES) keepOldMemory();
  const published = await readPublished(options, world);
  for (const warning of expiryWarnings(published.title, world.now)) world.onLog(warning);
  const reading = planReading(files, published.known, ownKeysIn(files, options.folder, published.title.roles));
  if (published.earlier === undefined) checkRoom(reading, published, options, world);
  if (options.dryRun) return await rehearse(reading, published, options, world);
  const access = await openAccess(options, published.title, world);
  return published.earlier === undefined
    ? await publishNew(reading, published, access, options, world)
    : await publishAgain(reading, published, published.earlier, access, options, world);
}

/**
 * Whether a release of these files fits, as far as that is known before they are read; says so when few more will.
 * Throws: build.too-large, channel.full.
 */
function checkRoom(
  reading: ReadingPlan,
  { title, roles }: PublishedTitle,
  options: PublishOptions,
  { now, onLog }: PublishWorld,
): void {
  const { channel } = options;
  const { threshold } = delegateOf(title.roles.targets, channel);
  const planned = { ...plannedRelease(reading, title, options, now), files: reading.files };
  const left = roomLeftAfter(planned, nextSeq(roles), roleOf(roles, channel), threshold);
  if (left >= CHANNEL_ROOM_WARNING_RELEASES) return;
  onLog(
    `The list of releases on ${channel} has room for this one and ${left} more. Then publish on another of the title's ` +
      "channels, which players choose with `patch --channel`, or register a new title with `patchswarm init`.",
  );
}

/** What is known of a release before its files are read. */
function plannedRelease(
  { pieceLength }: ReadingPlan,
  { title, file: { edges } }: PublishedTitle["title"],
  { version, channel }: PublishOptions,
  now: Date,
): Omit<PlannedRelease, "files"> {
  return { title, channel, version, edges, pieceLength, created: toUnixSeconds(now.getTime()) };
}

/**
 * A version that the channel does not have yet; when it came meanwhile, as one that it has.
 * Throws: release.version-taken.
 */
async function publishNew(
  reading: ReadingPlan,
  published: PublishedTitle,
  access: PublisherAccess,
  options: PublishOptions,
  world: PublishWorld,
): Promise<PublishResult> {
  const { title, known } = published;
  const { channel, rollout, folder } = options;
  const { read, tree, counts, upload } = await sendContent(folder, reading, known, access, world);
  const warning = webSeedWarning(tree.plain?.bytes ?? 0);
  if (warning !== undefined) world.onLog(warning);
  // the torrents take the most memory of all: the 50 MB that idle threads hold go first, and deltas start them again
  if (reading.files.length > OLD_MEMORY_TITLE_FILES) await closePool();
  const release = {
    ...plannedRelease(reading, title, options, world.now),
    tree,
    files: read.map(({ file: { path, exec }, hashes }) => ({ path, exec, ...hashes })),
  };
  const seq = await untilNotOvertaken(published, async (roles) => {
    const role = roleOf(roles, channel);
    // whoever overtook us may have published this very version
    if (role.releases.some((other) => other.version === release.version)) return undefined;
    const number = nextSeq(roles);
    await signRelease(release, number, role, access, upload);
    return number;
  });
  if (seq === undefined) {
    const later = await readPublished(options, world);
    if (later.earlier === undefined) throw versionTaken(options, later);
    const readAgain = planReading(reading.files, later.known, reading.ownKeys);
    return await publishAgain(readAgain, later, later.earlier, access, options, world);
  }
  await makeCurrent(title.title, { channel, seq }, rollout ?? ROLLOUT_ALL, access);
  const followed = await followWithDeltas(seq, published, access, options, world);
  await published.cache.prune(world.now.getTime());
  return resultOf("published", seq, read, upload.bytes.sent, counts, followed);
}

/**
 * A version that the channel has: there is nothing to send but what the origin lost, and nothing to sign but what runs
 * out; or it is not that version.
 * Throws: release.version-taken, release.incomplete.
 */
async function publishAgain(
  reading: ReadingPlan,
  published: PublishedTitle,
  earlier: EarlierRelease,
  access: PublisherAccess,
  options: PublishOptions,
  world: PublishWorld,
): Promise<PublishResult> {
  const { title } = published;
  const { read, sink } = await readAndCount(reading, published, options, world);
  if (!isSameBuild(read, reading.pieceLength, earlier, options.titleFile)) throw versionTaken(options, published);
  const lost = earlier.isWhole ? undefined : await sendLost(reading, published, earlier.signed, access, options, world);
  const { seq, channel } = earlier.signed;
  // whoever overtakes us has signed it
  const renewed = await untilNotOvertaken(
    published,
    async (roles) => await renewChannel(channel, roleOf(roles, channel), access, world.now),
  );
  // signed by a run that was cut short before the edge made it current
  const current = title.live(channel);
  const isWaiting = (current?.seq ?? 0) < seq;
  const isOut = current?.seq === seq;
  const rollout = isOut ? rolloutChange(current, options) : undefined;
  if (isWaiting || rollout !== undefined) {
    await makeCurrent(title.title, { channel, seq }, options.rollout ?? ROLLOUT_ALL, access);
  }
  // a run that was cut short may not have made them all
  const followed = isWaiting || isOut ? await followWithDeltas(seq, published, access, options, world) : {};
  const outcome = isWaiting ? "published" : "unchanged";
  const live = isWaiting ? undefined : liveOn(channel, title);
  const also = { ...followed, lost, rollout, renewed, live };
  return resultOf(outcome, seq, read, lost?.bytes ?? 0, sink.counts, also);
}

/** What is asked for of a release that is out, when that is something else than it has. */
function rolloutChange(live: LiveChannel, { rollout: now }: PublishOptions): PublishResult["rollout"] {
  return now === undefined || now === live.rollout ? undefined : { before: live.rollout, now };
}

/** Sends again what the origin lost of a release, and looks whether that was all. Throws: release.incomplete. */
async function sendLost(
  { files, ownKeys }: ReadingPlan,
  published: PublishedTitle,
  release: SignedRelease,
  access: PublisherAccess,
  options: PublishOptions,
  world: PublishWorld,
): Promise<SentAgain> {
  const { folder, titleFile } = options;
  const sent = await restoreRelease({ folder, titleFile, files, ownKeys, release }, published, access, world);
  const { earlier } = await readPublished(options, world);
  if (earlier?.isWhole === true) return sent;
  const { version, channel, seq } = release;
  throw new Failure("release.incomplete", {
    ...{ version, channel, seq, sent: sent.packs + sent.others },
    reason: "what is lacking was published with other releases",
  });
}

/** The release is live; deltas to it come after, as they are ready. */
async function followWithDeltas(
  seq: number,
  { title, cache }: PublishedTitle,
  access: PublisherAccess,
  { folder, titleFile, channel, deltas }: PublishOptions,
  world: PublishWorld,
): Promise<FollowingDeltas> {
  const options = { folder, titleFile, channel, seq, count: deltas };
  return await takeDeltas(publishDeltas(options, { title, cache, access }, deltaWorld(world)), world);
}

type FollowingDeltas = Pick<PublishResult, "deltas" | "deltasFailed">;

/** Those that come, and what ended them: whatever that is, players do without, and the release stands. */
async function takeDeltas(coming: AsyncIterable<MadeDelta>, world: PublishWorld): Promise<FollowingDeltas> {
  const deltas: MadeDelta[] = [];
  try {
    for await (const delta of coming) deltas.push(delta);
    return { deltas, deltasFailed: undefined };
  } catch (error) {
    const failure = failureOfDisk(error, world.cacheDir);
    if (!(failure instanceof Failure) || world.signal?.aborted === true) throw error;
    // what the origin has lost of an earlier release has no deltas from it, and nothing can be done about that
    const isLost = failure.code === "object.not-found";
    world.onLog(
      isLost
        ? "The origin has lost objects of an earlier release: no more deltas are made."
        : `No more deltas are made; to try again, publish this build again. ${failure.message}`,
    );
    return { deltas, deltasFailed: isLost ? undefined : failure };
  }
}

function deltaWorld({ cacheDir, now, clock, onProgress, onLog, signal }: PublishWorld): OldBuildWorld {
  const output = { log: onLog, progress: onProgress };
  return { cacheDir, now, clock, output, signal: signal ?? new AbortController().signal };
}

/** What a publish would send, without sending it. Throws: release.version-taken. */
async function rehearse(
  reading: ReadingPlan,
  published: PublishedTitle,
  options: PublishOptions,
  world: PublishWorld,
): Promise<PublishResult> {
  const { read, sink } = await readAndCount(reading, published, options, world);
  if (published.earlier === undefined) {
    const { folder, titleFile, channel, deltas: count } = options;
    const measuring = async function* () {
      const to = await rehearseTree(read, published.known);
      yield* measureDeltas({ folder, titleFile, channel, count }, to, published, deltaWorld(world));
    };
    const measured = count === 0 ? {} : await takeDeltas(measuring(), world);
    return resultOf("dry-run", nextSeq(published.roles), read, sink.counts.bytes, sink.counts, measured);
  }
  const { signed, isWhole } = published.earlier;
  if (!isSameBuild(read, reading.pieceLength, published.earlier, options.titleFile))
    throw versionTaken(options, published);
  const current = published.title.live(options.channel);
  const rollout = current?.seq === signed.seq ? rolloutChange(current, options) : undefined;
  const live = liveOn(options.channel, published.title);
  const renewed = renewalOf(roleOf(published.roles, options.channel), world.now);
  const also = { rollout, renewed, live, ...(isWhole ? {} : { lost: "some" as const }) };
  return resultOf("unchanged", signed.seq, read, 0, sink.counts, also);
}

/**
 * What a publish would send of recipes and tree, but for the names of packs, which make no difference to their sizes.
 */
async function rehearseTree(read: readonly IngestedFile[], known: KnownContent): Promise<ListedTree> {
  const nowhere = {
    ready: () => Promise.resolve(),
    send: (bytes: Uint8Array) => objectIdOf(bytes, sha256),
  };
  await writeRecipes(read, known, nowhere);
  const tree = treeOf(read, known);
  const chunks = function* () {
    for (const file of read) for (const entry of file.chunks) yield known.table.at(entry);
  };
  return { tree, release: { tree: sendTree(tree, nowhere) }, chunks };
}

/** Also of a channel whose role has expired: the publisher may build on it. */
function liveOn(channel: string, title: PublishedTitle["title"]): PublishResult["live"] {
  const seq = title.live(channel)?.seq;
  const release = title.channelState(channel).releases.find((one) => one.seq === seq);
  return release === undefined ? undefined : { seq: release.seq, version: release.version };
}

async function readAndCount(
  reading: ReadingPlan,
  published: PublishedTitle,
  options: PublishOptions,
  world: PublishWorld,
): Promise<{ read: readonly IngestedFile[]; sink: CountingSink }> {
  const { known, earlier } = published;
  const sink = new CountingSink(known.packs, () => {
    // all chunks of a release that is whole are known: one that is not settles it, without reading on
    if (earlier?.isWhole === true) throw versionTaken(options, published);
  });
  const meter = new PublishMeter(reading.bytes, undefined, world);
  const read = await readBuild(reading, { folder: options.folder, known, sink, meter, signal: world.signal });
  return { read, sink };
}

/** Runs it on the title's roles, and again on newer ones when another publish came in between. */
async function untilNotOvertaken<T>(
  { title, roles }: PublishedTitle,
  attempt: (roles: PublishedTitle["roles"]) => Promise<T>,
): Promise<T> {
  let current = roles;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(current);
    } catch (error) {
      if (!isOvertaken(error) || tries === SIGNING_TRIES) throw error;
      await title.refresh();
      current = channelRoles(title);
    }
  }
}

function roleOf(roles: PublishedTitle["roles"], channel: string) {
  const role = roles.get(channel);
  if (role === undefined) throw new Failure("usage.bad-flag", { option: "--channel", found: channel });
  return role;
}

function versionTaken({ version, channel }: PublishOptions, { earlier }: PublishedTitle): Failure {
  return new Failure("release.version-taken", { version, channel, seq: earlier?.signed.seq });
}

/** What only some runs have to say. */
type Extras = "deltas" | "deltasFailed" | "lost" | "live" | "rollout" | "renewed";

function resultOf(
  outcome: PublishResult["outcome"],
  seq: number,
  read: readonly IngestedFile[],
  uploaded: number,
  added: PublishResult["added"],
  { deltas = [], deltasFailed, lost, live, rollout, renewed }: Partial<Pick<PublishResult, Extras>> = {},
): PublishResult {
  const total = read.reduce((sum, { hashes }) => sum + hashes.size, 0);
  const { chunks, packs } = added;
  const bytes = { total, uploaded };
  const others = { deltas, deltasFailed, lost, live, rollout, renewed };
  return { outcome, seq, files: read.length, bytes, added: { chunks, packs }, ...others };
}
