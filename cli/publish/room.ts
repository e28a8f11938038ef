/**
 * Whether a release that is planned has room: in its torrent, and in its channel's list of releases. Found before its
 * files are read; what only they tell is checked once they are (tree-writer, upload).
 */
import { type ObjectId } from "../../manifests/digest.ts";
import { OBJECT_BYTES_MAX, RELEASE_BYTES_MAX, ROLE_BYTES_MAX } from "../../manifests/limits.ts";
import { releasePath } from "../../manifests/release.ts";
import { type TorrentOutline, torrentBytesAtMost, torrentBytesOf } from "../../manifests/torrent.ts";
import { type SignedRelease, buildChannel, encodeRole, formatTime } from "../../manifests/trust/roles.ts";
import { type NewRelease, outlineOf } from "./sign-release.ts";
import { checkFits, checkRoleFits } from "./caps.ts";
import { type ChannelRole } from "./channel-roles.ts";

/** A release before its files are read. */
export interface PlannedRelease extends Omit<NewRelease, "tree" | "files"> {
  readonly files: TorrentOutline["files"];
}

/**
 * How many more releases the channel's role has room for once it lists this one.
 * @param threshold  how many keys sign it
 * Throws: channel.full; build.too-large when the torrent will be too long for sure. Of many files of one size and
 * several pieces that shows only when they are read, and so does a list of files that is too long.
 */
export function roomLeftAfter(
  release: PlannedRelease,
  seq: number,
  { releases }: ChannelRole,
  threshold: number,
): number {
  checkTorrentFits({ ...outlineOf(release, seq), files: release.files });
  const lengthOf = (listed: readonly SignedRelease[]): number => {
    // signed again and again its version grows: there is room for that, too
    const dates = { version: Number.MAX_SAFE_INTEGER, expires: release.created };
    const signatures = Array.from({ length: threshold }, () => ({ keyid: NO_HASH, sig: NO_HASH.repeat(2) }));
    return encodeRole({ signed: buildChannel({ ...dates, releases: listed }), signatures }).length;
  };
  const next = lengthOf([...releases, listingOf(release, seq)]);
  checkRoleFits(release.channel, releases.length + 1, next);
  return Math.floor((ROLE_BYTES_MAX - next) / (next - lengthOf(releases)));
}

function checkTorrentFits(torrent: TorrentOutline): void {
  if (torrentBytesAtMost(torrent) > OBJECT_BYTES_MAX) checkFits(".torrent", torrentBytesOf(torrent), OBJECT_BYTES_MAX);
}

const NO_HASH = "0".repeat(64);

/** What the role will say of it, as long as that can be. */
function listingOf({ channel, version, created, files }: PlannedRelease, seq: number): SignedRelease {
  const object = NO_HASH as ObjectId;
  const infohash = NO_HASH.slice(0, 40);
  return {
    ...{ channel, seq, version, infohash, torrent: object, files: files.length },
    path: releasePath(channel, seq),
    created: formatTime(created),
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    v1: { torrent: object, infohash },
    document: { sha256: object, bytes: RELEASE_BYTES_MAX },
  };
}
