/** What a publish looks at before it reads the build: the title's roles, and what the origin has already. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { type TrustedTitle, openTitle } from "../trust/client.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { type Fetch, type Patience, fetchCapped } from "../trust/fetch-capped.ts";
import { ObjectCache } from "./cache.ts";
import { type ChannelRole, channelRoles } from "./channel-roles.ts";
import { type KnownContent, type ReleaseTree, learnKnown, readReleaseTree } from "./known-content.ts";

export interface Desk {
  readonly title: TrustedTitle;
  readonly roles: ReadonlyMap<string, ChannelRole>;
  readonly cache: ObjectCache;
  /** The newest release of each channel, and the channel's earlier release of this very version. */
  readonly trees: readonly ReleaseTree[];
  readonly earlier: ReleaseTree | undefined;
  readonly known: KnownContent;
}

export interface DeskOptions {
  readonly titleFile: TitleFile;
  readonly channel: string;
  readonly version: string;
}

export interface DeskWorld {
  readonly fetch: Fetch;
  readonly now: Date;
  readonly cacheDir: string;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

/** Throws: usage.bad-flag for a channel that the title does not have; metadata.*, object.*, edge.*. */
export async function openDesk({ titleFile, channel, version }: DeskOptions, world: DeskWorld): Promise<Desk> {
  const { fetch, now, signal, cacheDir, patience } = world;
  const cache = new ObjectCache(join(cacheDir, "objects"));
  const title = await openTitle({ titleFile, fetch, now, signal, patience, readObject: (id) => cache.read(id) });
  await title.refresh();
  const roles = await channelRoles(title, fetch, signal);
  const role = roles.get(channel);
  if (role === undefined) {
    throw new Failure("usage.bad-flag", { option: "--channel", found: channel, expected: [...roles.keys()] });
  }
  const same = role.releases.findLast((release) => release.version === version);
  const newest = [...roles.values()].flatMap(({ releases }) => releases.slice(-1));
  const wanted = new Set(same === undefined ? newest : [...newest, same]);
  const trees = await Promise.all([...wanted].map((release) => readReleaseTree(title, cache, release)));
  const earlier = trees.find(({ release }) => release.seq === same?.seq);
  const hasObject = async (id: ObjectId): Promise<boolean> => {
    const url = `${title.edge}/t/${title.title}/objects/${id}`;
    return (await fetchCapped(url, { fetch, signal, patience, bytesMax: 0, init: { method: "HEAD" } })) !== undefined;
  };
  return { title, roles, cache, trees, earlier, known: await learnKnown(title, cache, trees, hasObject) };
}

/** Where chunks lie until they are sent. */
export async function spoolFolder(cacheDir: string): Promise<string> {
  const folder = join(cacheDir, "spool");
  await mkdir(folder, { recursive: true });
  return folder;
}
