/**
 * The last steps of a publish: torrents, release document, the channel's next role with the release in it, and the call
 * that makes it current. In this order, each only when the edge has what it names.
 */
import { Failure } from "../../manifests/failures.ts";
import { ROLE_LIFETIME_S } from "../../manifests/limits.ts";
import { type ReleaseTreeRef, releasePath, writeRelease } from "../../manifests/release.ts";
import {
  type Torrent,
  type TorrentFile,
  type TorrentOutline,
  makeTorrent,
  torrentName,
} from "../../manifests/torrent.ts";
import {
  type SignedRelease,
  type UnixSeconds,
  after,
  buildChannel,
  encodeRole,
  formatTime,
  signRole,
} from "../../manifests/trust/roles.ts";
import { collectDropped } from "../threads/collect-garbage.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import { type PublisherAccess } from "./publisher-access.ts";
import { checkRoleFits } from "./caps.ts";
import { type ChannelRole } from "./channel-roles.ts";
import { type Upload } from "./upload.ts";

/** What is released, apart from its number. */
export interface NewRelease {
  readonly title: string;
  readonly channel: string;
  readonly version: string;
  readonly created: UnixSeconds;
  readonly tree: ReleaseTreeRef;
  readonly files: readonly TorrentFile[];
  readonly pieceLength: number;
  /** Base URLs of the title's edges, for the torrent. */
  readonly edges: readonly string[];
}

/** Sends torrents and release document, and has the channel's role name the release. */
export async function signRelease(
  release: NewRelease,
  seq: number,
  channelRole: ChannelRole,
  access: PublisherAccess,
  upload: Upload,
): Promise<void> {
  const signed = sendDocuments(release, seq, upload);
  await upload.done();
  const expires = after(release.created, ROLE_LIFETIME_S.channel);
  await signChannel(release.channel, channelRole, [...channelRole.releases, signed], expires, access);
}

/**
 * Has the channel's next role list these releases. Throws: channel.full; metadata.rollback when another publisher was
 * faster (isOvertaken); what else the edge says.
 * @param releases  oldest first
 * @param expires  of the role, in Unix seconds (TUF 1.0.31 section 4.2.1)
 */
export async function signChannel(
  channel: string,
  { version }: ChannelRole,
  releases: readonly SignedRelease[],
  expires: UnixSeconds,
  access: PublisherAccess,
): Promise<void> {
  const role = buildChannel({ version: version + 1, expires, releases });
  const body = encodeRole(await signRole(role, access.signers));
  checkRoleFits(channel, releases.length, body.length);
  await post(access, `/t/${access.title}/roles/${channel}`, body);
}

/** Makes a signed release the current one of its channel. Repeatable. */
export async function makeCurrent(
  title: string,
  { channel, seq }: Pick<SignedRelease, "channel" | "seq">,
  rollout: number,
  access: PublisherAccess,
): Promise<void> {
  await post(access, `/t/${title}/publish`, new TextEncoder().encode(JSON.stringify({ channel, seq, rollout })));
}

/** Whether the edge refused a number or a role's version because somebody else's publish came first. */
export function isOvertaken(error: unknown): boolean {
  return error instanceof Failure && (error.code === "metadata.rollback" || error.code === "release.not-newest");
}

/** Sends torrents and release document; gives what a role says of them. */
export function sendDocuments(release: NewRelease, seq: number, upload: Pick<Upload, "send">): SignedRelease {
  const { title, channel, version, tree, files, pieceLength } = release;
  const created = formatTime(release.created);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const { metainfo, infohash, infohashV2, v1 } = torrentOf(release, seq);
  collectDropped(metainfo.length); // the info dictionaries
  const torrent = upload.send(metainfo);
  const torrentV1 = upload.send(v1.metainfo);
  const document = writeRelease({
    title,
    seq,
    version,
    created,
    tree,
    bytes,
    files: files.length,
    torrent: {
      sha256: torrent,
      infohash,
      infohashV2,
      pieceLength,
      v1: { sha256: torrentV1, infohash: v1.infohash },
    },
    rollbackOf: null,
    notes: "",
  });
  return {
    channel,
    seq,
    version,
    created,
    bytes,
    files: files.length,
    infohash,
    torrent,
    v1: { torrent: torrentV1, infohash: v1.infohash },
    path: releasePath(channel, seq),
    document: { sha256: upload.send(document), bytes: document.length },
  };
}

export function torrentOf(release: Omit<NewRelease, "tree">, seq: number): Torrent {
  return makeTorrent({ ...outlineOf(release, seq), files: release.files }, sha256, sha1);
}

/** All of its torrent but the files. */
export function outlineOf(
  { title, version, pieceLength, edges }: Omit<NewRelease, "tree" | "files">,
  seq: number,
): Omit<TorrentOutline, "files"> {
  return {
    name: torrentName(title, version),
    pieceLength,
    announce: announceUrls(edges, title),
    webSeeds: edges.map((edge) => `${edge}/t/${title}/seed/${seq}/`),
  };
}

/** The same URL speaks HTTP and, upgraded, the WebTorrent protocol. */
export function announceUrls(edges: readonly string[], title: string): string[] {
  const announce = edges.map((edge) => `${edge}/t/${title}/announce`);
  return [...announce, ...announce.map((url) => url.replace(/^http/, "ws"))];
}

async function post({ edge, send, signal }: PublisherAccess, path: string, body: Uint8Array): Promise<void> {
  const response = await send({ method: "POST", url: edge + path, body, contentType: "application/json", signal });
  await response.body?.cancel();
}
