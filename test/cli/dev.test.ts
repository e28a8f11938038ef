/** `patchswarm dev` as a process: what it prints, keeps, and leaves behind. */
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import { devCommand } from "../../cli/commands/dev.ts";
import { startEdge } from "../../cli/edge/dev.ts";
import { readOrMakeSecrets } from "../../cli/edge/secrets.ts";
import { whileStateIsOurs } from "../../cli/edge/state-folder.ts";
import { WORKER_SETTINGS } from "../../cli/edge/worker-settings.ts";
import { readKeys } from "../../cli/publish/keys.ts";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import type { Fetch } from "../../cli/trust/fetch-capped.ts";
import { decodeBencode } from "../../manifests/bencode.ts";
import { type RunningCli, runCli, startCli } from "../support/cli.ts";
import { startTestEdge } from "../support/edge.ts";
import { openPress } from "../support/press.ts";
import { childOf } from "../support/processes.ts";

/** Of wrangler's configuration, what is looked at. */
interface Binding {
  readonly name: string;
  readonly class_name: string;
}
interface Migration {
  readonly new_sqlite_classes?: string[];
}

let folder = "";
let running: RunningCli[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "patchswarm-dev-"));
  running = [];
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  for (const process of running) process.kill("SIGKILL");
  await Promise.all(running.map((process) => process.finished()));
  await rm(folder, { recursive: true, force: true });
});

const state = (): string => path.join(folder, "state");

async function dev(
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ process: RunningCli; url: string }> {
  const process = startCli(["dev", "--port", "0", "--state", state(), ...flags], { env });
  running.push(process);
  const ready = await process.line("ready");
  expect(ready).toMatchObject({ v: 1, command: "dev", adminTokenFile: path.join(state(), "admin-token") });
  return { process, url: String(ready["url"]) };
}

async function register(url: string, title: string): Promise<Response> {
  const token = (await readFile(path.join(state(), "admin-token"), "utf8")).trim();
  return await fetch(`${url}/t/${title}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: "{}",
  });
}

async function listens(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return await new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(true)).on("error", () => resolve(false));
    socket.on("close", () => socket.destroy());
    socket.unref();
  });
}

test("dev serves until it is stopped, and what was registered is there after a restart", async () => {
  const first = await dev();
  const { onlineKey } = (await (await register(first.url, "demo")).json()) as { onlineKey: unknown };
  first.process.kill("SIGTERM");
  expect((await first.process.finished()).code).toBe(0);
  expect(await listens(first.url)).toBe(false);

  const second = await dev();
  const again = (await (await register(second.url, "demo")).json()) as { onlineKey: unknown };
  expect(again.onlineKey).toEqual(onlineKey);
});

test("the secrets are its owner's alone", async () => {
  await dev();
  for (const name of ["admin-token", "key-wrap-secret"]) {
    const { mode } = await stat(path.join(state(), name));
    expect(mode & 0o777).toBe(0o600);
    expect((await readFile(path.join(state(), name), "utf8")).trim()).toMatch(/^[0-9a-f]{64}$/);
  }
});

test("a port in use is named, before anything is started", async () => {
  const { url } = await dev();
  const { port } = new URL(url);
  const second = await runCli(["dev", "--port", port, "--state", path.join(folder, "other")]);
  expect(second.code).toBe(2);
  expect(second.lines.at(-1)).toMatchObject({
    type: "error",
    code: "edge.port-in-use",
    facts: { found: `127.0.0.1:${port}` },
  });
});

test.each(["0x50", "70000", "-1", "http"])("--port %s is a usage error", async (port) => {
  const { code, lines } = await runCli(["dev", `--port=${port}`, "--state", state()]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([2, "usage.bad-flag"]);
});

test("no rate of peers is enough that is none", async () => {
  const { code, lines } = await runCli(["dev", "--peers-enough", "0", "--state", state()]);
  expect([code, lines.at(-1)]).toMatchObject([
    2,
    { code: "usage.bad-flag", facts: { option: "--peers-enough", found: "0" } },
  ]);
});

// 203.0.113.0/24 is for documentation (RFC 5737): no machine's own
test.each(["0", "8799"])("an address that is not this machine's is a usage error, at port %s", async (port) => {
  const { code, lines } = await runCli(["dev", "--host", "203.0.113.9", "--port", port, "--state", state()]);
  expect([code, lines.at(-1)]).toEqual([
    2,
    expect.objectContaining({
      code: "usage.bad-flag",
      facts: { found: `203.0.113.9:${port}`, reason: "EADDRNOTAVAIL" },
    }),
  ]);
});

test("killed without a chance to clean up, it leaves no edge behind", async () => {
  const { process, url } = await dev();
  process.kill("SIGKILL");
  await process.finished();
  while (await listens(url)) await delay(20);
  expect(await listens(url)).toBe(false);
});

test.runIf(process.platform === "linux")(
  "workerd that ended is started again, which is said, and killed then, dev leaves no edge behind either",
  async () => {
    const { process: edge, url } = await dev();
    const first = childOf(edge.pid, "workerd");
    process.kill(first, "SIGKILL");
    expect(await edge.line("log")).toMatchObject({ message: "workerd ended (SIGKILL) and was started again." });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(childOf(edge.pid, "workerd")).not.toBe(first);
    edge.kill("SIGKILL");
    await edge.finished();
    while (await listens(url));
  },
);

test.skipIf(process.platform === "win32")("dev ends with an error when workerd cannot be started again", async () => {
  await mkdir(path.join(folder, "bin"));
  const broken = path.join(folder, "bin", "workerd");
  await writeFile(broken, "#!/bin/sh\ncat >/dev/null\nexit 1\n", { mode: 0o755 });
  const spawned: ChildProcess[] = [];
  using _ = onWorkerd((child) => spawned.push(child));
  vi.spyOn(process.stdout, "write").mockImplementation((line) => {
    if (!String(line).includes('"ready"')) return true;
    vi.stubEnv("MINIFLARE_WORKERD_PATH", broken);
    return spawned[0]?.kill("SIGKILL") === true;
  });
  const serving = devCommand().parseAsync(["--port", "0", "--state", state(), "--json"], { from: "user" });
  await expect(serving).rejects.toMatchObject({ code: "ERR_RUNTIME_FAILURE" });
  expect(spawned).toHaveLength(2);
});

test("stopped or killed, it leaves nothing among the temporary files, and in its state only what it keeps", async () => {
  const temporary = path.join(folder, "temporary");
  await mkdir(temporary);
  // of somebody who keeps other things in that folder too
  await mkdir(path.join(state(), "tmp"), { recursive: true });
  const kept = [".patchswarm", "admin-token", "key-wrap-secret", "storage", "tmp"];
  for (const [signal, expected] of [
    ["SIGKILL", ["tmp"]],
    ["SIGINT", []],
    ["SIGTERM", []],
    ["SIGHUP", []],
  ] as const) {
    const { process } = await dev([], { TMPDIR: temporary, TEMP: temporary, TMP: temporary });
    process.kill(signal);
    expect((await process.finished()).code).toBe(signal === "SIGKILL" ? null : 0);
    expect((await readdir(state())).toSorted()).toEqual(kept);
    expect((await readdir(path.join(state(), ".patchswarm"))).filter((name) => name === "tmp")).toEqual(expected);
    expect(await readdir(temporary)).toEqual([]);
  }
});

test("a second edge on the same state is refused while the first one runs, and not once it was killed", async () => {
  const first = await dev();
  const second = await runCli(["dev", "--port", "0", "--state", state()]);
  expect(second.code).toBe(6);
  expect(second.lines.at(-1)).toMatchObject({
    code: "edge.state-in-use",
    facts: { folder: state(), process: first.process.pid },
  });
  first.process.kill("SIGKILL");
  await first.process.finished();
  await dev();
});

test("an edge whose state another one took over stops, and says so", async () => {
  const serving = whileStateIsOurs(state(), new AbortController().signal, async (signal) => {
    await rm(path.join(state(), ".patchswarm", "lock"), { recursive: true });
    if (!signal.aborted) await once(signal, "abort");
  });
  await expect(serving).rejects.toMatchObject({ code: "edge.state-in-use" });
});

/** Whenever workerd is started, this is done with it, as Ctrl-C does: the terminal ends the whole group. */
function onWorkerd(act: (child: ChildProcess) => void): Disposable {
  const onSpawn = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess };
    // told of before it is started
    child.once("spawn", () => child.spawnfile.includes("workerd") && act(child));
  };
  subscribe("child_process", onSpawn);
  return { [Symbol.dispose]: () => void unsubscribe("child_process", onSpawn) };
}

test("stopped while workerd starts, an edge says that it was interrupted, and dev just ends", async () => {
  const worker = fileURLToPath(new URL("../../dist/worker/index.js", import.meta.url));
  const stop = new AbortController();
  {
    using _ = onWorkerd((child) => (stop.abort(), child.kill("SIGKILL")));
    const options = { host: "127.0.0.1", port: 0, state: state(), worker, signal: stop.signal };
    await expect(startEdge(options)).rejects.toMatchObject({ code: "source.interrupted" });
  }
  let spawned = 0;
  using _ = onWorkerd((child) => {
    spawned++;
    process.emit("SIGTERM");
    child.kill("SIGKILL");
  });
  await devCommand().parseAsync(["--port", "0", "--state", state()], { from: "user" });
  expect(spawned).toBe(1);
  expect(await readdir(path.join(state(), ".patchswarm"))).not.toContain("tmp");
  // a stop that came before leaves nothing to end
  const options = { host: "127.0.0.1", port: 0, state: state(), worker, signal: AbortSignal.abort() };
  await expect(startEdge(options)).rejects.toMatchObject({ code: "source.interrupted" });
  expect(spawned).toBe(1);
});

test.each(["admin-token", "key-wrap-secret"])("an empty %s, which a crash can leave, is refused", async (name) => {
  await mkdir(state());
  const file = path.join(state(), name);
  await writeFile(file, "");
  await expect(readOrMakeSecrets(state())).rejects.toMatchObject({ code: "edge.bad-secret", facts: { file } });
  expect(await readFile(file, "utf8")).toBe("");
});

test("--state with a file, or with a folder where a secret should be, is a usage error", async () => {
  await writeFile(state(), "not a folder");
  const { code, lines } = await runCli(["dev", "--port", "0", "--state", state()]);
  expect([code, lines.at(-1)]).toMatchObject([2, { code: "usage.bad-flag", facts: { option: "--state" } }]);
  await mkdir(path.join(folder, "other", "admin-token"), { recursive: true });
  await expect(readOrMakeSecrets(path.join(folder, "other"))).rejects.toMatchObject({ code: "edge.bad-secret" });
  expect((await readdir(folder)).toSorted()).toEqual(["other", "state"]);
});

test("an open title's tracker answers for any info hash, at once", async () => {
  const { url } = await dev(["--open-title", "scratch"]);
  const query = `info_hash=${"%ff".repeat(20)}&peer_id=${"a".repeat(20)}&port=6881&uploaded=0&downloaded=0&left=0`;
  const answer = new Uint8Array(await (await fetch(`${url}/t/scratch/announce?${query}`)).arrayBuffer());
  expect((decodeBencode(answer) as ReadonlyMap<string, unknown>).get("complete")).toBe(1);
});

// 127.0.0.2 is this machine too, but not an address that dev takes for loopback: Miniflare's entry worker stands
// between
const hosts = process.platform === "linux" ? ["127.0.0.1", "127.0.0.2"] : ["127.0.0.1"];
test.each(hosts)(
  "an edge at %s takes what was signed for it, and nothing that was signed for another",
  async (host) => {
    await using edge = await startTestEdge({ host });
    await using press = await openPress(edge);
    const [signer] = await readKeys(press.at("keys"));
    if (signer === undefined) throw new Error("no keys");
    /** Signs an upload to an edge and sends it to ours. */
    const put = (signedFor: string, sentTo: string): Promise<Response> => {
      const reroute: Fetch = (url, init) => fetch((url as string).replace(signedFor, sentTo), init);
      const body = randomBytes(20);
      const url = `${signedFor}/t/${press.name}/objects/${createHash("sha256").update(body).digest("hex")}`;
      return createSignedFetch({ fetch: reroute, signer })({ method: "PUT", url, body });
    };
    expect((await put(edge.url, edge.url)).status).toBe(201);
    await expect(put("http://other.test", edge.url)).rejects.toMatchObject({ code: "request.unauthorized" });
    if (host !== "127.0.0.1") return;
    // the client's name for it counts, not the address it listens at
    const otherName = edge.url.replace(host, "localhost");
    expect((await put(otherName, otherName)).status).toBe(201);
    await expect(put(otherName, edge.url)).rejects.toMatchObject({ code: "request.unauthorized" });
  },
);

test("an edge whose worker was never built says so", async () => {
  const options = { host: "127.0.0.1", port: 0, state: state(), worker: path.join(folder, "nothing.js") };
  await expect(startEdge(options)).rejects.toMatchObject({ code: "edge.not-installed" });
});

test.runIf(process.platform === "linux")("an edge for other machines sees who announces", async () => {
  // 127.0.0.2 is this machine too, but not an address that dev takes for loopback
  await using edge = await startTestEdge({ host: "127.0.0.2", openTitle: "scratch" });
  const query = `info_hash=${"%ff".repeat(20)}&peer_id=${"a".repeat(20)}&port=6881&uploaded=0&downloaded=0&left=0`;
  const response = await fetch(`${edge.url}/t/scratch/announce?${query}`);
  const answer = decodeBencode(new Uint8Array(await response.arrayBuffer())) as ReadonlyMap<string, unknown>;
  // BEP 24: the address that the tracker saw
  expect((answer.get("external ip") as Uint8Array)[0]).toBe(127);
});

test("what dev runs is what wrangler.toml describes", () => {
  const config = readConfig({ config: fileURLToPath(new URL("../../wrangler.toml", import.meta.url)) });
  expect(WORKER_SETTINGS).toEqual({
    name: config.name,
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    durableObjects: Object.fromEntries(
      config.durable_objects.bindings.map((binding: Binding) => [binding.name, binding.class_name]),
    ),
    bucketBinding: config.r2_buckets[0]?.binding,
    bucketName: config.r2_buckets[0]?.bucket_name,
  });
  expect(config.migrations.flatMap((step: Migration) => step.new_sqlite_classes ?? [])).toEqual(
    Object.values(WORKER_SETTINGS.durableObjects),
  );
});
