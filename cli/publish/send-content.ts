/** The content of a build on its way to the origin: packs, recipes, tree. */
import { type ReleaseTreeRef } from "../../manifests/release.ts";
import { type PublisherAccess } from "./publisher-access.ts";
import { type IngestedFile } from "./ingest.ts";
import { type KnownContent } from "./known-content.ts";
import { type OnProgress, PublishMeter } from "./meter.ts";
import { PackWriter, spoolFolder } from "./pack-writer.ts";
import { type ReadingPlan, readBuild } from "./read-build.ts";
import { writeRecipes } from "./recipe-writer.ts";
import { sendTree, treeOf } from "./tree-writer.ts";
import { Upload, originOf } from "./upload.ts";

export interface SentContent {
  readonly read: readonly IngestedFile[];
  readonly tree: ReleaseTreeRef;
  /** What was not known, and how many of its packs the origin did not have. */
  readonly counts: PackWriter["counts"];
  /** For what follows the content. */
  readonly upload: Upload;
}

export interface SendingWorld {
  /** Milliseconds of a clock that never goes back. */
  readonly clock: () => number;
  readonly cacheDir: string;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the build once and sends what is not known; what the origin turns out to have is not sent.
 * Throws: build.changed, build.refused, build.unreadable, install.no-space; what sending throws.
 */
export async function sendContent(
  folder: string,
  reading: ReadingPlan,
  known: KnownContent,
  access: PublisherAccess,
  world: SendingWorld,
): Promise<SentContent> {
  const { cacheDir, signal } = world;
  const upload = new Upload(originOf(access), () => meter.report());
  const meter = new PublishMeter(reading.bytes, upload, world);
  await using packs = await PackWriter.create(await spoolFolder(cacheDir), known.packs, upload, signal);
  const read = await readBuild(reading, { folder, known, sink: packs, meter, signal });
  await packs.finish();
  await writeRecipes(read, known, upload);
  const tree = sendTree(treeOf(read, known), upload);
  await upload.done();
  return { read, tree, counts: packs.counts, upload };
}
