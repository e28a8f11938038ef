/** A whole world for one test: a scratch folder, a real edge process, a registered title, and verbs on them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readKeys } from "../../cli/publish/keys.ts";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { type Finished, type JsonLine, type RunningCli, type RunOptions, resultOf, runCli, startCli } from "./cli.ts";

export interface Studio {
  /** Absolute path of something in the scratch folder. */
  at(...names: string[]): string;
  readonly url: string;
  readonly titleFile: string;
  /** Publishes a folder of the scratch folder; gives the result line. */
  publish(folder: string, version: string, flags?: readonly string[]): Promise<JsonLine>;
  /** The same, whatever comes of it. */
  tryPublish(folder: string, version: string): Promise<Finished>;
  /** Patches a folder of the scratch folder; gives the result line. */
  patch(folder: string, flags?: readonly string[], options?: RunOptions): Promise<PatchResult>;
  /** The same, whatever comes of it. */
  tryPatch(folder: string, flags?: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts a patch and leaves it running. */
  startPatch(folder: string, flags?: readonly string[], options?: RunOptions): RunningCli;
  /** Starts `seed` and waits until it is ready. */
  seed(folder: string, flags?: readonly string[]): Promise<RunningCli>;
  stopEdge(): Promise<void>;
  /** The same edge, on the same port, with the state it had. */
  startEdge(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The result of `patch`; docs/JSON.md. */
export interface PatchResult extends JsonLine {
  readonly from: string | null;
  readonly to: string;
  readonly files: { readonly added: number; readonly changed: number; readonly removed: number; readonly kept: number };
  readonly bytes: {
    readonly total: number;
    readonly kept: number;
    readonly reused: number;
    readonly metadata: number;
    readonly fetched: { readonly origin: number; readonly peers: number };
  };
}

/** Path -> content; a number makes that many bytes that do not compress and depend on the path only. */
export type Files = Readonly<Record<string, string | number | Uint8Array>>;

/** Starts an edge and registers the title "demo". */
export async function openStudio(): Promise<Studio> {
  const scratch = await mkdtemp(join(tmpdir(), "patchswarm-test-"));
  const at = (...names: string[]): string => join(scratch, ...names);
  const titleFile = at("title.json");
  const running = new Set<RunningCli>();
  // no test may read or fill the cache of whoever runs it
  const env = { XDG_CACHE_HOME: at("cache") };

  let edge = await launchEdge("0");
  const url = edge.url;
  await resultOf(
    [
      "init",
      "demo",
      "--edge",
      url,
      "--keys",
      at("keys"),
      "--out",
      titleFile,
      "--admin-token-file",
      at("edge", "admin-token"),
    ],
    { env },
  );

  async function launchEdge(port: string): Promise<{ url: string; process: RunningCli }> {
    const process = track(startCli(["dev", "--port", port, "--state", at("edge")], { env }));
    const ready = await process.line("ready");
    return { url: String(ready["url"]), process };
  }
  function track(process: RunningCli): RunningCli {
    running.add(process);
    void process.finished().then(() => running.delete(process));
    return process;
  }
  const publishArgs = (folder: string, version: string, flags: readonly string[] = []): string[] => [
    ...["publish", at(folder), "--version", version, "--title", titleFile, "--keys", at("keys")],
    ...flags,
  ];
  const patchArgs = (folder: string, flags: readonly string[]): string[] => [
    ...["patch", at(folder), "--title", titleFile],
    ...flags,
  ];
  const withEnv = (options: RunOptions): RunOptions => ({ ...options, env: { ...env, ...options.env } });

  return {
    at,
    url,
    titleFile,
    publish: (folder, version, flags = []) => resultOf(publishArgs(folder, version, flags), { env }),
    tryPublish: (folder, version) => runCli(publishArgs(folder, version), { env }),
    patch: async (folder, flags = [], options = {}) =>
      (await resultOf(patchArgs(folder, flags), withEnv(options))) as PatchResult,
    tryPatch: (folder, flags = [], options = {}) => runCli(patchArgs(folder, flags), withEnv(options)),
    startPatch: (folder, flags = [], options = {}) => track(startCli(patchArgs(folder, flags), withEnv(options))),
    async seed(folder, flags = []) {
      const process = track(startCli(["seed", at(folder), ...flags], { env }));
      await process.line("ready");
      return process;
    },
    async stopEdge() {
      edge.process.kill("SIGTERM");
      await edge.process.finished();
    },
    async startEdge() {
      edge = await launchEdge(new URL(url).port);
    },
    async [Symbol.asyncDispose]() {
      for (const process of running) process.kill("SIGTERM");
      await Promise.all([...running].map((process) => process.finished()));
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

/** Writes files below `root`. */
export async function writeFiles(root: string, files: Files): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, typeof content === "number" ? noise(content, path) : content);
  }
}

/** Bytes that do not compress, the same for the same seed on every machine (xorshift32). */
export function noise(bytes: number, seed: string): Uint8Array {
  let state = 2_166_136_261;
  for (const character of seed) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 16_777_619) >>> 0;
  state ||= 1;
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state >>> 0;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

/** Puts bytes at the origin under their name, as a publisher does; gives the object's URL. */
export async function putObject(studio: Studio, bytes: Uint8Array, sha256: string): Promise<string> {
  const [signer] = await readKeys(studio.at("keys"));
  if (signer === undefined) throw new Error("the studio has no keys");
  const url = `${studio.url}/t/demo/objects/${sha256}`;
  await createSignedFetch({ fetch, signer })({ method: "PUT", url, body: bytes });
  return url;
}
