/**
 * A player's whole update over a slow link. Ours is `patchswarm patch` of an installed release from a real edge: metadata,
 * delta, every file proven, flushed and committed. The others fetch their patch and apply it to one file.
 */
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
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
  await studio.patch("installed");
  await studio.publish("v2", "1.1.0", ["--deltas", "1"]);
  await using link = await openSlowLink(Number(new URL(studio.url).port), LINK_BITS_PER_SECOND);
  const title = JSON.parse(await readFile(studio.titleFile, "utf8")) as Record<string, unknown>;
  const slowTitle = studio.at("slow-title.json");
  await writeFile(slowTitle, JSON.stringify({ ...title, edges: [`http://127.0.0.1:${link.port}`] }));
  const seconds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const target = studio.at(`run-${round}`);
    await cp(studio.at("installed"), target, { recursive: true, preserveTimestamps: true });
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
