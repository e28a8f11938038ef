/**
 * What the origin lost of a release, sent again. Nothing but the build is needed: it is published as it was at first,
 * on what was known then, which gives the same objects under the same names; those that the origin has are not sent.
 *
 * It does not bring back what the release shares with others: their packs come back with their own builds.
 */
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { type SignedRelease, parseTime } from "../../manifests/trust/roles.ts";
import { sha256 } from "../threads/digests.ts";
import { type NewRelease, sendDocuments, torrentOf } from "./sign-release.ts";
import { type PublisherAccess } from "./publisher-access.ts";
import { type PublishedTitle, type EarlierRelease, knownBefore } from "./published-title.ts";
import { type IngestedFile } from "./ingest.ts";
import { type OwnKeys } from "./own-keys.ts";
import { planReading } from "./read-build.ts";
import { type SendingWorld, sendContent } from "./send-content.ts";
import { hasSameContent } from "./tree-writer.ts";
import { type SourceFile } from "./walk.ts";

export interface SentAgain {
  readonly packs: number;
  /** Besides packs: recipes, the tree, torrents, the release document. */
  readonly others: number;
  readonly bytes: number;
}

export interface RestoreOptions {
  readonly folder: string;
  readonly titleFile: TitleFile;
  readonly files: readonly SourceFile[];
  readonly ownKeys: OwnKeys;
  /** Every file has been found to be what was published. */
  readonly release: SignedRelease;
}

/**
 * Throws: release.incomplete when the objects come out differently: something else was known then, or this program
 * makes them in another way by now. Whatever it sent until then is of no harm.
 */
export async function restoreRelease(
  { folder, titleFile, files, ownKeys, release }: RestoreOptions,
  published: Pick<PublishedTitle, "title" | "cache" | "roles">,
  access: PublisherAccess,
  world: SendingWorld,
): Promise<SentAgain> {
  const { channel, version, seq } = release;
  const known = await knownBefore(published, seq);
  const reading = planReading(files, known, ownKeys);
  const { read, tree, counts, upload } = await sendContent(folder, reading, known, access, world);
  const described = describeRelease(read, reading.pieceLength, release, titleFile);
  // publishers before this one did not say what the tree is uncompressed
  const { plain: _plain, ...earlier } = tree;
  const signed = [tree, earlier].find(
    (ref) => documentOf({ ...described, tree: ref }, seq) === release.document.sha256,
  );
  if (signed !== undefined) sendDocuments({ ...described, tree: signed }, seq, upload);
  await upload.done();
  if (signed === undefined) {
    throw new Failure("release.incomplete", { version, channel, seq, reason: "its objects come out differently now" });
  }
  return { packs: counts.sent, others: upload.objects - counts.sent, bytes: upload.bytes.sent };
}

/** The name of the release's document, without sending it. */
function documentOf(release: NewRelease, seq: number): ObjectId {
  return sendDocuments(release, seq, { send: (bytes) => objectIdOf(bytes, sha256) }).document.sha256;
}

/** Whether these files are what was published, as far as there is still something to compare them with. */
export function isSameBuild(
  read: readonly IngestedFile[],
  pieceLength: number,
  { signed, found }: EarlierRelease,
  titleFile: TitleFile,
): boolean {
  if (found !== undefined) return hasSameContent(read, found.tree);
  // a torrent names every path and every byte; the role, which is signed, names the torrent
  return torrentOf(describeRelease(read, pieceLength, signed, titleFile), signed.seq).infohash === signed.infohash;
}

function describeRelease(
  read: readonly IngestedFile[],
  pieceLength: number,
  { channel, version, created }: SignedRelease,
  { title, edges }: TitleFile,
): Omit<NewRelease, "tree"> {
  const files = read.map(({ file: { path, exec }, hashes }) => ({ path, exec, ...hashes }));
  return { title, channel, version, created: parseTime(created), edges, pieceLength, files };
}
