/** Publishing in tests: a title on a real edge, build folders in a scratch folder, and what came of it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { init } from "../../cli/commands/init.ts";
import { type PublishOptions, type PublishResult, publish } from "../../cli/publish/publish.ts";
import { type OnProgress } from "../../cli/publish/meter.ts";
import { type TrustedTitle, openTitle } from "../../cli/trust/client.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { readTitleFile } from "../../cli/trust/title.ts";
import { type ObjectId } from "../../manifests/digest.ts";
import { type TestEdge, startTestEdge } from "./edge.ts";
import { reassemble } from "./reassemble.ts";
import { type Files, writeFiles } from "./studio.ts";

export interface Press extends AsyncDisposable {
  /** The title's name. */
  readonly name: string;
  /** Absolute path of something in the scratch folder. */
  at(...names: string[]): string;
  /** Makes a build folder; gives its path. */
  build(name: string, files: Files): Promise<string>;
  publish(folder: string, version: string, options?: PressOptions): Promise<PublishResult>;
  /** The title as a player sees it now. */
  title(): Promise<TrustedTitle>;
  /** The files of a release, put together from what the origin has. */
  files(channel: string, seq: number): Promise<Map<string, Uint8Array>>;
  /** "PUT objects", "POST roles" and so on, as the edge got them since the last call. */
  requests(): string[];
}

export interface PressOptions extends Partial<PublishOptions> {
  /** Stands between publisher and edge. */
  readonly fetch?: Fetch;
  readonly signal?: AbortSignal;
  /** The publisher's clock; the machine's by default. */
  readonly now?: Date;
  readonly onLog?: (text: string) => void;
  readonly onProgress?: OnProgress;
}

/**
 * One edge for the tests of a file, or of a `describe`, and a title of its own for each of them.
 * @param take  is given both before each test
 */
export function pressForEachTest(take: (press: Press, edge: TestEdge) => void): void {
  let edge: TestEdge;
  let press: Press;
  beforeAll(async () => {
    edge = await startTestEdge();
  });
  beforeEach(async () => {
    press = await openPress(edge);
    take(press, edge);
  });
  afterEach(async () => {
    await press[Symbol.asyncDispose]();
  });
  afterAll(async () => {
    await edge[Symbol.asyncDispose]();
  });
}

let titles = 0;

/** Registers a title with the channels stable and beta. */
export async function openPress(edge: Pick<TestEdge, "url" | "adminToken">): Promise<Press> {
  const name = `title-${++titles}`;
  const scratch = await mkdtemp(join(tmpdir(), "patchswarm-press-"));
  const at = (...names: string[]): string => join(scratch, ...names);
  await init(
    {
      title: name,
      edge: edge.url,
      keysDir: at("keys"),
      out: at("title.json"),
      channels: ["stable", "beta"],
      adminToken: edge.adminToken,
    },
    { output: { log() {}, result() {} }, fetch: globalThis.fetch, now: new Date() },
  );
  const titleFile = await readTitleFile(at("title.json"));
  let requests: string[] = [];
  const title = async (): Promise<TrustedTitle> => {
    const title = await openTitle({ titleFile, fetch: globalThis.fetch, now: new Date() });
    await title.refresh();
    return title;
  };
  return {
    name,
    at,
    title,
    async build(name, files) {
      await writeFiles(at(name), files);
      return at(name);
    },
    publish(folder, version, { fetch = globalThis.fetch, signal, now, onLog, onProgress, ...options } = {}) {
      return publish(
        {
          folder,
          version,
          titleFile,
          keysDir: at("keys"),
          channel: "stable",
          ignore: [],
          rollout: 100,
          deltas: 0,
          dryRun: false,
          ...options,
        },
        {
          fetch: (input, init) => {
            requests.push(`${init?.method ?? "GET"} ${kindOf(urlOf(input))}`);
            return fetch(input, init);
          },
          now: now ?? new Date(),
          clock: () => performance.now(),
          cacheDir: at("cache"),
          onProgress: onProgress ?? (() => {}),
          onLog: onLog ?? (() => {}),
          signal,
          patience: { idleSeconds: 20, tries: 1, retryMs: 1 },
        },
      );
    },
    async files(channel, seq) {
      const seen = await title();
      const { tree } = await seen.release(channel, seq);
      return await reassemble(tree.sha256, (id: ObjectId) => seen.object(id, Number.MAX_SAFE_INTEGER));
    },
    requests() {
      const seen = requests;
      requests = [];
      return seen;
    },
    async [Symbol.asyncDispose]() {
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

/** The URL that a fetch asks for. */
export function urlOf(input: Parameters<Fetch>[0]): string {
  if (typeof input === "string") return input;
  return input instanceof URL ? input.href : input.url;
}

/** What follows the title in a URL: "objects", "roles", "publish", "metadata", "fresh". */
function kindOf(url: string): string {
  return new URL(url).pathname.split("/")[3] ?? "";
}
