/**
 * A player's whole update over a slow link. Ours is `patchswarm patch` of an installed release from a real edge:
 * metadata, delta, every file proven, flushed and committed. The others fetch their patch and apply it to one file;
 * what it takes to make a folder's files of that is timed by itself.
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createReadStream, existsSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { differences } from "../../test/support/folders.ts";
import { MAIN } from "../../test/support/cli.ts";
import { openStudio } from "../../test/support/studio.ts";
import { measure, median } from "../measure.ts";
import { openSlowLink } from "./link.ts";
import type { Files, Tool } from "./peers.ts";

export const LINK_BITS_PER_SECOND = 20_000_000;
const ROUNDS = 3;

/** Seconds, median of rounds. Both folders are published, the second with a delta from the first. */
export async function timeOurUpdate([before, after]: readonly [string, string]): Promise<number> {
  await using studio = await openStudio();
  await cp(before, studio.at("v1"), { recursive: true });
  await cp(after, studio.at("v2"), { recursive: true });
  await studio.publish("v1", "1.0.0");
  const installs = Array.from({ length: ROUNDS }, (_, round) => `installed-${round}`);
  // each as the patcher left it: of a copy it would doubt every file
  for (const install of installs) await studio.patch(install);
  await studio.publish("v2", "1.1.0", ["--deltas", "1"]);
  await using link = await openSlowLink(Number(new URL(studio.url).port), LINK_BITS_PER_SECOND);
  const title = JSON.parse(await readFile(studio.titleFile, "utf8")) as Record<string, unknown>;
  const slowTitle = studio.at("slow-title.json");
  await writeFile(slowTitle, JSON.stringify({ ...title, edges: [`http://127.0.0.1:${link.port}`] }));
  const seconds: number[] = [];
  for (const install of installs) {
    const target = studio.at(install);
    const { wallSeconds } = await measure(process.execPath, [MAIN, "patch", target, "--title", slowTitle]);
    const wrong = await differences(studio.at("v2"), target);
    if (wrong.length > 0) throw new Error(`${target} is not the new release: ${wrong.join("; ")}`);
    seconds.push(wallSeconds);
  }
  return median(seconds);
}

/** Seconds, median of rounds, of a patch that lies there already. */
export async function timeTheirUpdate(update: NonNullable<Tool["update"]>, files: Files): Promise<number> {
  const server = await serve(files.patch);
  try {
    await using link = await openSlowLink((server.address() as AddressInfo).port, LINK_BITS_PER_SECOND);
    const expected = await readFile(files.fresh);
    const seconds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await rm(files.made, { force: true });
      const [command, ...args] = update(files, `http://127.0.0.1:${link.port}`);
      seconds.push((await measure(command, args)).wallSeconds);
      if (!expected.equals(await readFile(files.made))) throw new Error(`${command} made other bytes`);
    }
    return median(seconds);
  } finally {
    server.close();
  }
}

/**
 * Seconds, median of rounds, in which tar writes the files that an update adds or changes: what the others' one file is
 * short of an updated folder.
 */
export async function timeUnpacking([before, after]: readonly [string, string]): Promise<number> {
  const scratch = await mkdtemp(path.join(tmpdir(), "bench-unpack-"));
  try {
    const [list, archive] = [path.join(scratch, "list"), path.join(scratch, "files.tar")];
    await writeFile(list, (await changedFiles(before, after)).join("\0"));
    execFileSync("tar", ["-cf", archive, "-C", after, "--null", "--verbatim-files-from", "-T", list]);
    const seconds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // nothing is deleted in between: ext4 passes over inodes freed in the last seconds
      const folder = path.join(scratch, `${round}`);
      await mkdir(folder);
      seconds.push((await measure("tar", ["-xf", archive, "-C", folder])).wallSeconds);
    }
    return median(seconds);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function changedFiles(before: string, after: string): Promise<string[]> {
  const entries = await readdir(after, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
  const changed: string[] = [];
  for (const file of files) {
    const relative = path.relative(after, file);
    const old = path.join(before, relative);
    if (!existsSync(old) || !(await readFile(old)).equals(await readFile(file))) changed.push(relative);
  }
  return changed;
}

/** Gives the files of a folder. */
async function serve(folder: string): Promise<Server> {
  const server = createServer((request, response) => {
    const file = path.join(folder, new URL(request.url ?? "/", "http://localhost").pathname);
    pipeline(createReadStream(file), response).catch(() => {
      if (!response.headersSent) response.statusCode = 404;
      response.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
