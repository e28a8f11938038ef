/** What `stats` says of a release. */
import { type LiveChannel } from "../../manifests/trust/live.ts";
import { type ReleaseRow } from "./store.ts";

/**
 * live: what its channel gives; published: was live before; signed: listed by its channel's role and never published;
 * withdrawn: was live before, and is listed no more.
 */
export type ReleaseStatus = "live" | "published" | "signed" | "withdrawn";

export interface ReleaseSummary {
  readonly seq: number;
  readonly version: string;
  readonly channel: string;
  readonly files: number;
  readonly bytes: number;
  readonly infohash: string;
  readonly torrent: string;
  readonly created: string;
  readonly status: ReleaseStatus;
  /** Percent; of a live release only. */
  readonly rollout?: number;
}

/** @param live  what the release's channel gives now */
export function summaryOf(release: ReleaseRow, live: LiveChannel | undefined): ReleaseSummary {
  const { seq, version, channel, files, bytes, infohash, torrent, created } = release;
  const status = statusOf(release, live);
  const summary = { seq, version, channel, files, bytes, infohash, torrent, created, status };
  return live === undefined || status !== "live" ? summary : { ...summary, rollout: live.rollout };
}

function statusOf(release: ReleaseRow, live: LiveChannel | undefined): ReleaseStatus {
  if (live?.seq === release.seq) return "live";
  if (!release.listed) return "withdrawn";
  return release.published === undefined ? "signed" : "published";
}
