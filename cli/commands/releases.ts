/** `releases`: what the publisher signed, as a player may believe it. */
import { type Command } from "commander";
import { act, verb } from "../command.ts";
import { formatBytes } from "../output.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { type ListedRelease, openTitle } from "../trust/client.ts";
import { readTitleFile } from "../trust/title.ts";
import { table } from "./table.ts";

export function releasesCommand(): Command {
  const command = verb("releases", "List a title's releases, newest last", [
    ["releases", "of the title.json in this folder"],
    ["releases --title game/title.json --json", "for programs: with info hashes and .torrent URLs"],
  ]).option("--title <file>", "the title's title.json", "title.json");
  return act(command, async ({ output, signal }, flags) => {
    const titleFile = await readTitleFile(String(flags["title"]));
    const onLog = (text: string): void => output.log(text);
    const title = await openTitle({ titleFile, fetch: lightFetch, now: new Date(), signal, onLog });
    await title.refresh();
    for (const [channel, problem] of title.problems()) {
      output.log(`The releases of ${channel} are not shown: ${problem.message}`);
    }
    const releases = title.releases();
    output.result(
      "releases",
      { title: title.title, releases: releases.map((release) => fieldsOf(release, title)) },
      releases.length === 0 ? `${title.title} has no releases yet.` : describe(releases),
    );
  });
}

/** docs/JSON.md. */
function fieldsOf(release: ListedRelease, { edge, title }: { readonly edge: string; readonly title: string }) {
  const { torrent, v1, seq, version, channel, files, bytes, infohash, status, created } = release;
  const urlOf = (object: string): string => `${edge}/t/${title}/objects/${object}`;
  const forOlderClients = v1 === undefined ? {} : { infohashV1: v1.infohash, torrentV1: urlOf(v1.torrent) };
  const described = { seq, version, channel, files, bytes, infohash, torrent: urlOf(torrent) };
  return { ...described, ...forOlderClients, status, created };
}

function describe(releases: readonly ListedRelease[]): string {
  const rows = releases.map(({ seq, version, channel, files, bytes, status, created }) => [
    `${seq}`,
    version,
    channel,
    status,
    `${files}`,
    formatBytes(bytes),
    created,
  ]);
  return table(["seq", "version", "channel", "status", "files", "size", "published"], rows);
}
