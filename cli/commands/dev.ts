/** `patchswarm dev`: an edge on this machine, until it is stopped. */
import { once } from "node:events";
import path from "node:path";
import type { Command } from "commander";
import { Failure } from "../../manifests/failures.ts";
import { PEERS_FAST_ENOUGH_BPS } from "../../manifests/limits.ts";
import { parseTitleName } from "../../manifests/release.ts";
import { act, verb } from "../command.ts";
import { type EdgeOptions, startEdge } from "../edge/dev.ts";
import { whileStateIsOurs } from "../edge/state-folder.ts";
import { type Output } from "../output.ts";
import { parseRateAboveZero } from "./flags.ts";

export function devCommand(): Command {
  const command = verb("dev", "Run an edge on this machine", [
    ["dev", "on http://127.0.0.1:8787, its state in .patchswarm-edge"],
    ["dev --port 0 --state /srv/edge", "on a free port, its state elsewhere"],
    ["dev --host 0.0.0.0", "for the other machines of this network too"],
    ["dev --open-title scratch", "with a tracker that takes any torrent, at /t/scratch/announce"],
  ])
    .option("--port <number>", "port to listen on; 0 takes a free one", "8787")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--state <dir>", "folder of its secrets, databases and objects", ".patchswarm-edge")
    .option("--open-title <name>", "a title whose tracker answers for any info hash")
    .option(
      "--peers-enough <rate>",
      "bytes a second from peers, such as 20MB, at which a player leaves the origin alone " +
        `(default: ${PEERS_FAST_ENOUGH_BPS}, which is ${(8 * PEERS_FAST_ENOUGH_BPS) / 1_000_000} Mbit/s)`,
    );

  return act(command, async ({ output, signal }, options) => {
    const openTitle = options["openTitle"] as string | undefined;
    const peersEnough = parseRateAboveZero("--peers-enough", options["peersEnough"]);
    const edge: EdgeOptions = {
      host: String(options["host"]),
      port: parsePort(String(options["port"])),
      state: path.resolve(String(options["state"])),
      ...(openTitle === undefined ? {} : { openTitle: parseTitleName(openTitle) }),
      ...(peersEnough === null ? {} : { peersEnough }),
      onLog: (message) => output.log(message),
    };
    await whileStateIsOurs(edge.state, signal, (stop) => serve({ ...edge, signal: stop }, output, stop));
  });
}

/** Until it is stopped, be it while it starts. */
async function serve(options: EdgeOptions, output: Output, stop: AbortSignal): Promise<void> {
  const edge = await startEdge(options).catch((error: unknown) => {
    if (error instanceof Failure && error.code === "source.interrupted") return undefined;
    throw error;
  });
  if (edge === undefined) return;
  try {
    output.ready(
      "dev",
      { url: edge.url, adminTokenFile: edge.adminTokenFile },
      `The edge listens on ${edge.url}\nAdmin token: ${edge.adminTokenFile}\nStop it with Ctrl-C.`,
    );
    const end = AbortSignal.any([stop, edge.broken]);
    if (!end.aborted) await once(end, "abort");
    edge.broken.throwIfAborted();
  } finally {
    await edge.close();
  }
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new Failure("usage.bad-flag", { option: "--port", found: text, expected: "0 to 65535" });
}
