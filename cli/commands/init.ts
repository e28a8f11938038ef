/** `init`: keys, root, registration, title.json. Run again after an interruption, it goes on with the same keys. */
import { existsSync } from "node:fs";
import path from "node:path";
import { readFile } from "node:fs/promises";
import { type Command, type OptionValues } from "commander";
import { Failure } from "../../manifests/failures.ts";
import { CLOCK_SKEW_S } from "../../manifests/limits.ts";
import { parseChannelName, parseTitleName } from "../../manifests/release.ts";
import { type UnixSeconds, toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type TitleFile, parseEdgeUrl, writeTitleFile } from "../../manifests/trust/title-file.ts";
import { act, verb } from "../command.ts";
import { type Output } from "../output.ts";
import { type PublisherKey, ensureKey, keyIfThere } from "../publish/keys.ts";
import { ROOT_KEY_NAMES, type TitleKeys, channelKeyName, heldRoot, registerTitle } from "../publish/register.ts";
import { isFolder } from "../publish/walk.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { openTitle } from "../trust/client.ts";
import { type Fetch, type Patience } from "../trust/fetch-capped.ts";
import { isBadPath, replaceFile } from "../trust/store.ts";
import { titleFileIfThere } from "../trust/title.ts";

export interface InitOptions {
  readonly title: string;
  readonly edge: string;
  /** Folder of the key files; made when it is not there. */
  readonly keysDir: string;
  /** Where title.json goes. */
  readonly out: string;
  /** The first is the default of every install. */
  readonly channels: readonly string[];
  readonly adminToken: string;
}

export interface InitWorld {
  readonly output: Pick<Output, "log" | "result">;
  readonly fetch: Fetch;
  readonly now: Date;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

export function initCommand(): Command {
  const command = verb("init <title>", "Make signing keys, register a title on an edge and write its title.json", [
    ["init demo --edge http://127.0.0.1:8787 --admin-token-file .patchswarm-edge/admin-token", "on a `dev` edge"],
    ["init demo --edge https://updates.example.com --channels stable,beta", "two channels; token in the environment"],
  ])
    .requiredOption("--edge <url>", "the edge to register on")
    .option("--keys <dir>", "folder for the signing keys", "keys")
    .option("--out <file>", "where to write the public title.json", "title.json")
    .option(
      "--channels <names>",
      "channels, separated by commas; the first is the default; no command adds one later",
      "stable",
    )
    .option("--admin-token-file <file>", "file with the edge's admin token (or set PATCHSWARM_ADMIN_TOKEN)");
  return act(command, async ({ output, signal, env }, flags, [title = ""]) => {
    const options = await parseOptions(title, flags, env);
    await init(options, { output, signal, fetch: lightFetch, now: new Date() });
  });
}

/**
 * Throws: usage.bad-flag when `out` already belongs to another title, or a path cannot be used; usage.bad-key-file;
 * usage.bad-title-file; usage.bad-admin-token; title.exists; and what the edge says.
 */
export async function init(options: InitOptions, world: InitWorld): Promise<void> {
  const { title, edge, keysDir, out, channels } = options;
  const { output, ...web } = world;
  await refuseForeignTitleFile(out, title);
  refuseKeysPath(keysDir);
  const held = await heldRoot({ ...options, ...web });
  const keyOf = held === undefined ? ensureKey : ownKeyOf(options);
  const keys = await takeKeys(keysDir, channels, keyOf).catch(refusePath("--keys", keysDir));
  output.log(`Keys are in ${keysDir}: keep the root keys offline, and no copy of any of them with the game.`);

  const now = toUnixSeconds(world.now.getTime());
  const root = await registerTitle({ ...options, ...web, keys, now, held });
  const channel = channels[0] ?? "stable";
  const file: TitleFile = { title, edges: [edge], channel, root, floor: { root: 1, targets: 1, seq: 0, time: now } };
  const time = await proveAsPlayer(file, world);
  const written = replaceFile(out, writeTitleFile({ ...file, floor: { ...file.floor, time } }));
  await written.catch(refusePath("--out", out));

  output.result(
    "init",
    { title, edge, channels, titleFile: path.resolve(out), keys: path.resolve(keysDir) },
    [
      `Registered ${title} on ${edge}. ${out} is public: ship it with the game.`,
      `Next: patchswarm publish <build folder> --title ${out} --keys ${keysDir} --version 1.0.0`,
    ].join("\n"),
  );
}

async function takeKeys(dir: string, channels: readonly string[], keyOf: typeof ensureKey): Promise<TitleKeys> {
  const root: PublisherKey[] = [];
  for (const name of ROOT_KEY_NAMES) root.push(await keyOf(dir, name));
  const targets = await keyOf(dir, "targets");
  const ofChannels: Record<string, PublisherKey> = {};
  for (const channel of channels) ofChannels[channel] = await keyOf(dir, channelKeyName(channel));
  return { root, targets, channels: ofChannels };
}

/**
 * A key made now would be none of the title's: it would only hide that one was lost, or that a channel is not there.
 */
function ownKeyOf({ title, edge }: InitOptions): typeof ensureKey {
  return async (dir, name) => {
    const key = await keyIfThere(dir, name);
    if (key === undefined) throw new Failure("title.exists", { title, edge, keys: dir, without: name });
    return key;
  };
}

/** Opens the title as a first-time player would, and gives the floor's time: no later than either clock. */
async function proveAsPlayer(titleFile: TitleFile, { output, fetch, now, signal, patience }: InitWorld) {
  const { clockBehindSeconds = 0 } = await (await openTitle({ titleFile, fetch, now, signal, patience })).refresh();
  if (Math.abs(clockBehindSeconds) > CLOCK_SKEW_S) {
    output.log(`This machine's clock and the edge's differ by ${Math.abs(clockBehindSeconds)} s.`);
  }
  return Math.min(titleFile.floor.time, titleFile.floor.time + clockBehindSeconds) as UnixSeconds;
}

/** Before the edge is asked. Only looks: the folder is made with the first key. */
function refuseKeysPath(dir: string): void {
  if (dir !== "" && (isFolder(dir) || !existsSync(dir))) return;
  throw new Failure("usage.bad-flag", { option: "--keys", file: dir, expected: "a folder" });
}

async function refuseForeignTitleFile(out: string, title: string): Promise<void> {
  const found = (await titleFileIfThere(out))?.title;
  if (found !== undefined && found !== title)
    throw new Failure("usage.bad-flag", { option: "--out", file: out, reason: `is the title.json of ${found}` });
}

/** What the disk says of a path that an option names, as a wrong option; anything else as it is. */
function refusePath(option: string, file: string): (cause: unknown) => never {
  return (cause) => {
    // folders are made on the way: none where even that is of no use, such as a drive that is not there
    const isNowhere = (cause as NodeJS.ErrnoException).code === "ENOENT";
    if (!isBadPath(cause) && !isNowhere) throw cause;
    throw new Failure("usage.bad-flag", { option, file, reason: (cause as Error).message }, { cause });
  };
}

// --- Flags -----------------------------------------------------------------------------------------------------------

async function parseOptions(title: string, flags: OptionValues, env: NodeJS.ProcessEnv): Promise<InitOptions> {
  const channels = String(flags["channels"]).split(",").map(parseChannelName);
  if (new Set(channels).size !== channels.length) {
    throw new Failure("usage.bad-flag", { option: "--channels", found: channels, reason: "names one twice" });
  }
  return {
    title: parseTitleName(title),
    edge: parseEdgeUrl(String(flags["edge"])),
    keysDir: String(flags["keys"]),
    out: String(flags["out"]),
    channels,
    adminToken: await readAdminToken(flags["adminTokenFile"], env),
  };
}

/** What a request's header can carry. */
const HEADER_TEXT = /^[\x21-\x7e]+$/;

async function readAdminToken(file: unknown, env: NodeJS.ProcessEnv): Promise<string> {
  if (typeof file === "string") {
    const text = await readFile(file, "utf8").catch((cause: Error) => {
      throw new Failure("usage.bad-flag", { option: "--admin-token-file", reason: cause.message }, { cause });
    });
    const found = text.trim();
    if (HEADER_TEXT.test(found)) return found;
    throw new Failure("usage.bad-flag", { option: "--admin-token-file", file, reason: "holds no token" });
  }
  const token = env["PATCHSWARM_ADMIN_TOKEN"];
  if (token === undefined || !HEADER_TEXT.test(token)) {
    throw new Failure("usage.bad-flag", {
      expected: "--admin-token-file, or PATCHSWARM_ADMIN_TOKEN in the environment",
    });
  }
  return token;
}
