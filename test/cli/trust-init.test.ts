/** `init` against a real edge: what it leaves behind, and that it can be cut off anywhere and run again. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type InitOptions, init, initCommand } from "../../cli/commands/init.ts";
import { type RunningEdge, startEdge } from "../../cli/edge/dev.ts";
import { ensureKey, readKeys } from "../../cli/publish/keys.ts";
import { openTitle } from "../../cli/trust/client.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { readTitleFile } from "../../cli/trust/title.ts";
import { urlOf } from "../support/press.ts";

let scratch: string;
let edge: RunningEdge;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), "patchswarm-init-"));
  edge = await startEdge({ host: "127.0.0.1", port: 0, state: path.join(scratch, "edge") });
});

afterAll(async () => {
  await edge?.close();
  await rm(scratch, { recursive: true });
});

/** Each title of its own, in folders of its own. */
function optionsFor(title: string, change: Partial<InitOptions> = {}): InitOptions {
  return {
    title,
    edge: edge.url,
    keysDir: path.join(scratch, title, "keys"),
    out: path.join(scratch, title, "title.json"),
    channels: ["stable", "beta"],
    adminToken: edge.adminToken,
    ...change,
  };
}

/** None while there is no folder of them. */
async function keysIn(dir: string): Promise<Awaited<ReturnType<typeof readKeys>>> {
  return existsSync(dir) ? await readKeys(dir) : [];
}

/** Runs init; gives the fields of its result line. */
async function run(options: InitOptions, fetch: Fetch = globalThis.fetch) {
  let result: Readonly<Record<string, unknown>> = {};
  await init(options, {
    output: { log: () => undefined, result: (_command, fields) => void (result = fields) },
    fetch,
    now: new Date(),
    patience: { idleSeconds: 20, tries: 1, retryMs: 1 },
  });
  return result;
}

test("a registered title can be opened by whoever has its title.json", async () => {
  const options = optionsFor("demo");
  expect(await run(options)).toEqual({
    title: "demo",
    edge: edge.url,
    channels: ["stable", "beta"],
    titleFile: options.out,
    keys: options.keysDir,
  });
  const titleFile = await readTitleFile(options.out);
  expect(titleFile).toMatchObject({ title: "demo", edges: [edge.url], channel: "stable", floor: { root: 1, seq: 0 } });
  expect(titleFile.root.signatures).toHaveLength(2);

  const title = await openTitle({ titleFile, now: new Date(), fetch });
  expect(await title.refresh()).toMatchObject({ proven: true });
  expect(title.channels()).toEqual(["stable", "beta"]);
  expect(title.releases()).toEqual([]);
});

test("title.json holds no private key, and the keys folder holds one file a key", async () => {
  const options = optionsFor("secrets");
  await run(options);
  const names = (await readKeys(options.keysDir)).map(({ name }) => name);
  expect(names).toEqual(["channel-beta", "channel-stable", "root-1", "root-2", "root-3", "targets"]);
  const written = await readFile(options.out, "utf8");
  for (const name of names) {
    const pem = await readFile(path.join(options.keysDir, `${name}.pem`), "utf8");
    const secret = Buffer.from(pem.split("\n")[1] ?? "", "base64").subarray(-32);
    expect(written).not.toContain(secret.toString("hex"));
    expect(written).not.toContain(secret.toString("base64"));
  }
});

test("run again when all is done, it changes nothing", async () => {
  const options = optionsFor("again");
  await run(options);
  const [first, keys] = [await readTitleFile(options.out), await readKeys(options.keysDir)];
  const methods: (string | undefined)[] = [];
  const asked: string[] = [];
  await run(options, (url, request) => {
    methods.push(request?.method);
    asked.push(urlOf(url));
    return fetch(url, request);
  });
  const second = await readTitleFile(options.out);
  expect(second.root).toEqual(first.root);
  expect((await readKeys(options.keysDir)).map(({ keyid }) => keyid)).toEqual(keys.map(({ keyid }) => keyid));
  // the one POST asks what is current
  expect(methods.filter((method) => method === "POST")).toHaveLength(1);
  expect(asked.filter((url) => url.endsWith("/1.root.json"))).toHaveLength(1);
});

test.each(["before it is sent", "after it was answered"])(
  "cut off at any request, %s, it is finished by running it again",
  async (when) => {
    const prefix = when.startsWith("before") ? "cut-before" : "cut-after";
    let cut = 0;
    for (let isReached = true; isReached; cut++) {
      const options = optionsFor(`${prefix}-${cut}`);
      let count = 0;
      const cutting: Fetch = async (url, request) => {
        if (count++ !== cut) return fetch(url, request);
        if (prefix === "cut-after") await (await fetch(url, request)).arrayBuffer();
        throw new TypeError("fetch failed");
      };
      // without the answer to one, whether it can prove that it is current, the edge is believed all the same
      await run(options, cutting).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "edge.unreachable" });
      });
      isReached = count > cut;
      const before = (await keysIn(options.keysDir)).map(({ keyid }) => keyid);
      await run(options);
      const after = (await readKeys(options.keysDir)).map(({ keyid }) => keyid);
      // cut off at the very first request, there were none yet
      expect(after).toEqual(before.length === 0 ? after : before);
      expect((await readTitleFile(options.out)).title).toBe(options.title);
    }
    // root, targets and two channels each looked for and sent, registration, and the proof
    expect(cut).toBeGreaterThan(12);
  },
);

test("a title that others registered is not taken over", async () => {
  await run(optionsFor("taken"));
  const thief = optionsFor("taken", {
    keysDir: path.join(scratch, "thief", "keys"),
    out: path.join(scratch, "thief", "title.json"),
  });
  await expect(run(thief)).rejects.toMatchObject({ code: "title.exists" });
  await expect(readTitleFile(thief.out)).rejects.toMatchObject({ code: "usage.bad-title-file" });
  // keys of the thief's own would be of no use
  expect(existsSync(thief.keysDir)).toBe(false);
});

test("of a title that is registered, no channel is added and no lost key made anew", async () => {
  const options = optionsFor("grown");
  await run(options);
  const names = (await readKeys(options.keysDir)).map(({ name }) => name);
  const grown = { ...options, channels: ["stable", "beta", "nightly"] };
  await expect(run(grown)).rejects.toMatchObject({ code: "title.exists", facts: { without: "channel-nightly" } });
  const lost = path.join(options.keysDir, "channel-beta.pem");
  await rename(lost, `${lost}.lost`);
  await expect(run(options)).rejects.toMatchObject({ code: "title.exists", facts: { without: "channel-beta" } });
  expect((await readKeys(options.keysDir)).map(({ name }) => name)).toEqual(
    names.filter((name) => name !== "channel-beta"),
  );
  // nor does one do that is not the title's, or that no channel of the title's has
  await ensureKey(options.keysDir, "channel-beta");
  await expect(run(options)).rejects.toMatchObject({ code: "title.exists", facts: { role: "beta" } });
  await rename(`${lost}.lost`, lost);
  await ensureKey(options.keysDir, "channel-nightly");
  await expect(run(grown)).rejects.toMatchObject({
    code: "title.exists",
    facts: { without: "nightly", channels: ["stable", "beta"] },
  });
  await run(options);
});

test("without the admin token nothing is registered", async () => {
  const options = optionsFor("uninvited", { adminToken: "guess" });
  await expect(run(options)).rejects.toMatchObject({ code: "usage.bad-admin-token", facts: { edge: edge.url } });
  const answer = await fetch(`${edge.url}/t/uninvited/metadata/timestamp.json`);
  expect(answer.status).toBe(404);
});

test("an edge that is not there is named", async () => {
  const options = optionsFor("nowhere", { edge: "http://127.0.0.1:9" });
  await expect(run(options)).rejects.toMatchObject({ code: "edge.unreachable" });
  expect(existsSync(options.keysDir)).toBe(false);
});

test.each([
  ["a web page", () => new Response("<html>")],
  ["nothing", () => new Response()],
  ["half of something", () => new Response(new ReadableStream({ pull: (body) => body.error(new Error("reset")) }))],
])("an edge that answers %s when it is asked to register is no bug of ours", async (_, answer) => {
  const somewhere: Fetch = (url, init) =>
    init?.method === "POST" ? Promise.resolve(answer()) : globalThis.fetch(url, init);
  await expect(run(optionsFor("elsewhere"), somewhere)).rejects.toMatchObject({
    code: "edge.unreachable",
    facts: { url: edge.url },
  });
});

test("the title.json of another title is not overwritten, and no key is made", async () => {
  const options = optionsFor("mine");
  await run(options);
  const other = optionsFor("other", { out: options.out });
  await expect(run(other)).rejects.toMatchObject({ code: "usage.bad-flag" });
  await expect(readKeys(other.keysDir)).rejects.toMatchObject({ code: "usage.no-keys" });
  expect((await readTitleFile(options.out)).title).toBe("mine");
});

test.each([
  ["no admin token", ["demo", "--edge", "http://127.0.0.1:9"], "usage.bad-flag"],
  [
    "a token file that is not there",
    ["demo", "--edge", "http://x", "--admin-token-file", "/nowhere"],
    "usage.bad-flag",
  ],
  ["a title with a space", ["De mo", "--edge", "http://x"], "name.invalid"],
  ["a reserved channel", ["demo", "--edge", "http://x", "--channels", "stable,live"], "name.invalid"],
  ["a channel named twice", ["demo", "--edge", "http://x", "--channels", "stable,stable"], "usage.bad-flag"],
  ["an edge that is no URL", ["demo", "--edge", "localhost:8787"], "usage.bad-flag"],
])("refused on the command line: %s", async (_what, args, code) => {
  const command = initCommand().exitOverride();
  await expect(command.parseAsync(args, { from: "user" })).rejects.toMatchObject({ code });
});

test("a path that cannot be what it was named for is a usage error, and nothing is registered", async () => {
  const file = path.join(scratch, "a-file");
  await writeFile(file, "not a folder");
  const asked: unknown[] = [];
  const fetch: Fetch = (url) => {
    asked.push(url);
    return Promise.reject(new TypeError("fetch failed"));
  };
  await expect(run(optionsFor("paths", { keysDir: file }), fetch)).rejects.toMatchObject({
    code: "usage.bad-flag",
    facts: { option: "--keys", file },
  });
  await expect(run(optionsFor("paths", { out: scratch }), fetch)).rejects.toMatchObject({
    code: "usage.bad-title-file",
    facts: { file: scratch },
  });
  await expect(readTitleFile(scratch)).rejects.toMatchObject({ code: "usage.bad-title-file" });
  await expect(readTitleFile(file)).rejects.toMatchObject({ code: "usage.bad-title-file", facts: { file } });
  expect(asked).toEqual([]);
  await expect(run(optionsFor("paths", { out: path.join(file, "title.json") }))).rejects.toMatchObject({
    code: "usage.bad-flag",
    facts: { option: "--out" },
  });
});

test("the token file may end in a newline", async () => {
  const file = path.join(scratch, "token");
  await writeFile(file, `${edge.adminToken}\n`);
  const at = (name: string): string => path.join(scratch, "newline", name);
  const args = ["newline", "--edge", edge.url, "--keys", at("keys"), "--out", at("title.json"), "--json"];
  await initCommand().parseAsync([...args, "--admin-token-file", file], { from: "user" });
  expect((await readTitleFile(at("title.json"))).channel).toBe("stable");
});
