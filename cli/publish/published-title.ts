/** What a publish looks at before it reads the build: the title's roles, and what the origin has already. */
import { join } from "node:path";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { type SignedRelease } from "../../manifests/trust/roles.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { type TrustedTitle, openTitle } from "../trust/client.ts";
import { type Fetch, type Patience, fetchCapped } from "../trust/fetch-capped.ts";
import { ObjectCache } from "./cache.ts";
import { type ChannelRole, channelRoles } from "./channel-roles.ts";
import { type KnownContent, type ReleaseTree, learnKnown, readTreeIfThere } from "./known-content.ts";

export interface PublishedTitle {
  readonly title: TrustedTitle;
  readonly roles: ReadonlyMap<string, ChannelRole>;
  readonly cache: ObjectCache;
  /** The channel's earlier release of this very version. */
  readonly earlier: EarlierRelease | undefined;
  readonly known: KnownContent;
}

export interface EarlierRelease {
  readonly signed: SignedRelease;
  /** Undefined when the origin has lost its document or its tree. */
  readonly found: ReleaseTree | undefined;
  /** Whether the origin still has all of its objects. Its deltas do not count: players do without. */
  readonly isWhole: boolean;
}

export interface PublishedOptions {
  readonly titleFile: TitleFile;
  readonly channel: string;
  readonly version: string;
}

export interface PublishedWorld {
  readonly fetch: Fetch;
  readonly now: Date;
  readonly cacheDir: string;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
  readonly onLog?: ((text: string) => void) | undefined;
}

/** Throws: usage.bad-flag for a channel that the title does not have; metadata.*, object.*, edge.*. */
export async function readPublished(
  { titleFile, channel, version }: PublishedOptions,
  world: PublishedWorld,
): Promise<PublishedTitle> {
  const { fetch, now, signal, cacheDir, patience, onLog } = world;
  const cache = new ObjectCache(join(cacheDir, "objects"));
  const readObject = (id: ObjectId): Promise<Uint8Array | undefined> => cache.read(id);
  const title = await openTitle({ titleFile, fetch, now, signal, patience, onLog, readObject });
  await title.refresh();
  const roles = channelRoles(title);
  const role = roles.get(channel);
  if (role === undefined) {
    throw new Failure("usage.bad-flag", { option: "--channel", found: channel, expected: [...roles.keys()] });
  }
  const same = role.releases.findLast((release) => release.version === version);
  const trees = await newestTrees({ title, cache, roles });
  const found = same === undefined ? undefined : await readTreeIfThere(title, cache, same);
  if (found !== undefined && trees.every(({ release }) => release.seq !== found.release.seq)) trees.push(found);
  const hasObject = async (id: ObjectId): Promise<boolean> => {
    const url = `${title.edge}/t/${title.title}/objects/${id}`;
    return (await fetchCapped(url, { fetch, signal, patience, bytesMax: 0, init: { method: "HEAD" } })) !== undefined;
  };
  const known = await learnKnown(title, cache, trees, hasObject);
  if (same === undefined) return { title, roles, cache, earlier: undefined, known };
  const isWhole = await isAllThere(same, found, known, hasObject);
  return { title, roles, cache, earlier: { signed: same, found, isWhole }, known };
}

/**
 * What was known when the release was published: what the newest releases before it have. The origin is not asked
 * whether it still has that.
 */
export async function knownBefore(
  { title, cache, roles }: Pick<PublishedTitle, "title" | "cache" | "roles">,
  seq: number,
): Promise<KnownContent> {
  const trees = await newestTrees({ title, cache, roles }, seq);
  return await learnKnown(title, cache, trees, () => Promise.resolve(true));
}

/** The newest release of each channel; what the origin has lost is passed over. */
async function newestTrees(
  { title, cache, roles }: Pick<PublishedTitle, "title" | "cache" | "roles">,
  below = Number.POSITIVE_INFINITY,
): Promise<ReleaseTree[]> {
  const newest = [...roles.values()].map(async ({ releases }) => {
    for (const release of releases.toReversed()) {
      const tree = release.seq < below ? await readTreeIfThere(title, cache, release) : undefined;
      if (tree !== undefined) return tree;
    }
    return undefined;
  });
  return (await Promise.all(newest)).filter((tree) => tree !== undefined);
}

async function isAllThere(
  { document, torrent, v1 }: SignedRelease,
  found: ReleaseTree | undefined,
  { recipes }: KnownContent,
  hasObject: (id: ObjectId) => Promise<boolean>,
): Promise<boolean> {
  if (found === undefined) return false;
  // a file has a known recipe when that and all of its packs are there
  if (!found.tree.files.every(({ recipe, root }) => recipe === null || recipes.has(root))) return false;
  const objects = [document.sha256, found.release.tree.sha256, torrent, ...(v1 === undefined ? [] : [v1.torrent])];
  return (await Promise.all(objects.map(hasObject))).every(Boolean);
}
