import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { FAILURES } from "../../manifests/failures.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { routes } from "../../worker/routes.ts";
import { verifyToken } from "../../worker/title/token.ts";
import { sha256 } from "../support/hashes.ts";
import { EDGE, Publisher, ask, noise, now, problemCode } from "./publisher.ts";

interface Stats {
  readonly bytes: { readonly origin: number; readonly peers: number };
}

beforeAll(async () => {
  await Publisher.register("joined");
});

/** An answer to `join` where the operator set something. */
async function joinWith(settings: object): Promise<object> {
  const request = new Request(`${EDGE}/t/joined/join`, { method: "POST", body: "{}" });
  const context = createExecutionContext();
  const response = await routes.fetch(request, { ...env, ...settings }, context);
  await waitOnExecutionContext(context);
  return await response.json();
}

async function join(body: object): Promise<Response> {
  return await ask("/t/joined/join", { method: "POST", body: JSON.stringify(body) });
}

describe("joining", () => {
  test("a player that names its peer id gets a token bound to it, in both announce URLs", async () => {
    const peer = "0f".repeat(20);
    const terms = await (await join({ peer })).json<{ announce: string[]; token: string }>();
    expect(terms).toMatchObject({ upload: { allowed: true, limit: null }, origin: { fastEnough: 25_000_000 } });
    const host = new URL(EDGE).host;
    expect(terms.announce).toEqual([
      `http://${host}/t/joined/announce?token=${terms.token}`,
      `ws://${host}/t/joined/announce?token=${terms.token}`,
    ]);
    expect(await verifyToken(env.KEY_WRAP_SECRET, terms.token, { title: "joined", peer }, now())).toBe(true);
  });

  test("one that does not may share all the same, uncounted", async () => {
    const terms = await (await join({})).json<{ announce: string[]; token: null }>();
    expect(terms.token).toBeNull();
    expect(terms.announce[0]).toBe(`${EDGE}/t/joined/announce`);
  });

  test("the operator's STUN and TURN servers are handed on; a setting that is none is not, and the log says so once", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const iceServers = [
      { urls: ["stun:stun.test:3478", "turns:turn.test"], username: "1795341600:player", credential: "s/e=" },
      { urls: "stun:other.test" },
    ];
    expect(await (await join({})).json()).toMatchObject({ iceServers: [] });
    expect(await joinWith({ ICE_SERVERS: JSON.stringify(iceServers) })).toMatchObject({ iceServers });
    for (const wrong of ["", "stun:stun.test", '{"urls":"stun:a"}', '[{"urls":"https://a"}]', '[{"url":"stun:a"}]']) {
      expect(await joinWith({ ICE_SERVERS: wrong })).toMatchObject({ iceServers: [] });
    }
    expect(log.mock.calls).toEqual([[expect.stringContaining("ICE_SERVERS")]]);
    log.mockRestore();
  });

  test("what peers must deliver is what the operator set; of a setting that is none, the log says so once", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const set of ["8000000", 8_000_000]) {
      expect(await joinWith({ PEERS_ENOUGH_BPS: set })).toMatchObject({ origin: { fastEnough: 8_000_000 } });
    }
    await joinWith({});
    expect(log).not.toHaveBeenCalled();
    for (const wrong of ["25MB", "0", "-1", "1.5", "", "8_000_000"]) {
      expect(await joinWith({ PEERS_ENOUGH_BPS: wrong })).toMatchObject({ origin: { fastEnough: 25_000_000 } });
    }
    expect(log.mock.calls).toEqual([[expect.stringContaining("PEERS_ENOUGH_BPS")]]);
    log.mockRestore();
  });

  test.each([{ peer: "xyz" }, { peer: 5 }, { peer: "0F".repeat(20) }])("%j is not a peer id", async (body) => {
    expect(await problemCode(await join(body))).toBe("request.malformed");
  });
});

describe("counting", () => {
  test("bytes that the origin served are counted, what was only asked about is not", async () => {
    const publisher = await Publisher.register("counted");
    const bytes = noise(5000, 1);
    const url = `/t/counted/objects/${objectIdOf(bytes, sha256)}`;
    await publisher.putObject(bytes);
    await (await ask(url)).arrayBuffer();
    await (await ask(url, { headers: { range: "bytes=0-99" } })).arrayBuffer();
    await ask(url, { method: "HEAD" });
    await ask(url, { headers: { range: "bytes=9999-" } });
    const stats = await (await ask("/t/counted/stats")).json<Stats>();
    expect(stats.bytes).toEqual({ origin: 5100, peers: 0 });
  });

  test("metrics name no title", async () => {
    await Publisher.register("unnamed");
    await ask("/t/unnamed/stats");
    const text = await (await ask("/metrics")).text();
    expect(text).toMatch(/^patchswarm_requests_total\{method="GET",status="200"\} \d+$/m);
    expect(text).toMatch(/^patchswarm_sent_bytes_total \d+$/m);
    expect(text).not.toContain("unnamed");
  });
});

describe("answers for people and programs", () => {
  test("healthz is ok", async () => {
    const response = await ask("/healthz");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  test("the dashboard is one page that loads nothing from elsewhere", async () => {
    const response = await ask("/");
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await response.text()).not.toMatch(/(?:src|href)=/);
  });

  test("a problem document says the code, and its type leads to an explanation", async () => {
    const response = await ask("/t/nobody/stats");
    const problem = await response.json<{ type: string; code: string; status: number }>();
    expect(problem).toMatchObject({
      code: "title.not-found",
      family: "usage",
      status: 404,
      facts: { title: "nobody" },
    });
    expect(response.status).toBe(404);
    const page = await (await ask(problem.type)).text();
    expect(page).toContain(FAILURES["title.not-found"].remedy);
  });

  test.each([
    ["GET", "/nowhere"],
    ["GET", "/problems/constructor"],
    ["POST", "/t/demo/publish/now"],
    ["GET", "/t"],
  ])("nothing lives at %s %s", async (method, path) => {
    expect(await problemCode(await ask(path, { method }))).toBe("request.not-found");
  });

  test.each(["[]", "{", '"text"', "\xff"])("the body %s is not a JSON object", async (body) => {
    expect(await problemCode(await ask("/t/joined/join", { method: "POST", body }))).toBe("request.malformed");
  });

  test("a body over its cap is refused", async () => {
    const body = JSON.stringify({ peer: "a".repeat(20_000) });
    expect(await problemCode(await ask("/t/joined/join", { method: "POST", body }))).toBe("object.too-large");
  });
});
