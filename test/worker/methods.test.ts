/** What a URL answers to methods that are not its own, and to pages of other sites. */
import { beforeAll, describe, expect, test } from "vitest";
import { objectIdOf } from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";
import { type BuiltRelease, Publisher, ask, bodyIs, noise, problemCode } from "./publisher.ts";

const TITLE = "methods";
const BYTES = noise(1000, 1);
const OBJECT = `/t/${TITLE}/objects/${objectIdOf(BYTES, sha256)}`;
const PAGE = { origin: "https://launcher.test" };

let publisher: Publisher;
let release: BuiltRelease;

beforeAll(async () => {
  publisher = await Publisher.register(TITLE);
  release = await publisher.release({ "a.bin": BYTES }, 1);
  await publisher.putObject(BYTES);
});

const seedFile = (): string => `/t/${TITLE}/seed/1/${release.name}/a.bin`;

describe("a method that the URL does not have", () => {
  test.each([
    ["DELETE", () => OBJECT, "GET HEAD OPTIONS PUT"],
    ["POST", () => `/t/${TITLE}/metadata/timestamp.json`, "GET HEAD OPTIONS"],
    ["PUT", () => "/healthz", "GET HEAD OPTIONS"],
    ["POST", seedFile, "GET HEAD OPTIONS"],
    ["GET", () => `/t/${TITLE}`, "OPTIONS POST"],
    ["HEAD", () => `/t/${TITLE}/publish`, "OPTIONS POST"],
    ["PATCH", () => "/", "GET HEAD OPTIONS"],
    ["POST", () => `/t/${TITLE}/announce`, "GET HEAD OPTIONS"],
  ])("%s %s is 405, with those that it has", async (method, url, allowed) => {
    const response = await ask(url(), { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")?.split(", ").toSorted()).toEqual(allowed.split(" "));
    if (method !== "HEAD") expect(await problemCode(response)).toBe("request.bad-method");
  });

  test("where nothing lives no method is right", async () => {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const response = await ask("/nowhere", { method });
      expect([response.status, response.headers.get("allow")]).toEqual([404, null]);
    }
  });

  test.each([
    [() => `/t/${TITLE}/publish`, "POST, OPTIONS"],
    [() => `/t/${TITLE}/join`, "POST, OPTIONS"],
    [() => OBJECT, "GET, HEAD, PUT, OPTIONS"],
    [() => "/healthz", "GET, HEAD, OPTIONS"],
  ])("OPTIONS %s tells of them, when it is no page's preflight", async (url, allowed) => {
    const response = await ask(url(), { method: "OPTIONS", headers: PAGE });
    expect([response.status, response.headers.get("allow")]).toEqual([204, allowed]);
    expect(response.headers.get("access-control-allow-methods")).toBeNull();
  });
});

describe("pages of other sites", () => {
  const anyone = (response: Response): string | null => response.headers.get("access-control-allow-origin");

  test.each([
    ["metadata", () => `/t/${TITLE}/metadata/timestamp.json`],
    ["an object", () => OBJECT],
    ["the web seed", seedFile],
    ["counts of swarms", () => `/t/${TITLE}/scrape`],
    ["stats", () => `/t/${TITLE}/stats`],
    ["liveness", () => "/healthz"],
    ["what a code means", () => "/problems/title.not-found"],
  ])("read %s", async (_, url) => {
    for (const method of ["GET", "HEAD"]) {
      const response = await ask(url(), { method, headers: PAGE });
      expect([response.status, anyone(response)]).toEqual([200, "*"]);
      await response.arrayBuffer();
    }
  });

  test.each([OBJECT, "the web seed"])("read a range of %s, and learn which", async (place) => {
    const url = place === OBJECT ? OBJECT : seedFile();
    const response = await ask(url, { headers: { ...PAGE, range: "bytes=5-9" } });
    expect([response.status, anyone(response)]).toEqual([206, "*"]);
    const exposed = response.headers.get("access-control-expose-headers")?.split(",");
    expect(exposed).toEqual(expect.arrayContaining(["Content-Range", "ETag", "Content-Length", "Accept-Ranges"]));
    expect(response.headers.get("content-length")).toBe("5");
    expect(await bodyIs(response, BYTES.subarray(5, 10))).toBe(true);
  });

  test("read why something is not there", async () => {
    for (const [url, headers] of [
      [OBJECT.replace(/.$/, "g"), {}],
      [`/t/${TITLE}/metadata/99.root.json`, {}],
      ["/t/nobody/stats", {}],
      [OBJECT, { range: "bytes=5000-" }],
    ] as const) {
      const response = await ask(url, { headers: { ...PAGE, ...headers } });
      expect([response.status >= 400, anyone(response)]).toEqual([true, "*"]);
    }
  });

  test("ask first with a preflight, whose answer lasts", async () => {
    const wishes = { "access-control-request-method": "GET", "access-control-request-headers": "range,if-none-match" };
    const response = await ask(OBJECT, { method: "OPTIONS", headers: { ...PAGE, ...wishes } });
    expect([response.status, anyone(response)]).toEqual([204, "*"]);
    expect(response.headers.get("access-control-allow-methods")).toBe("GET,HEAD");
    expect(response.headers.get("access-control-allow-headers")).toBe("*");
    expect(response.headers.get("access-control-max-age")).toBe("86400");
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test("may join, and ask what is current", async () => {
    for (const [path, body] of [
      ["join", {}],
      ["fresh", { nonce: "0f".repeat(16) }],
    ] as const) {
      const url = `/t/${TITLE}/${path}`;
      const wish = { "access-control-request-method": "POST" };
      const preflight = await ask(url, { method: "OPTIONS", headers: { ...PAGE, ...wish } });
      expect([anyone(preflight), preflight.headers.get("access-control-allow-methods")]).toEqual(["*", "POST"]);
      const response = await ask(url, { method: "POST", headers: PAGE, body: JSON.stringify(body) });
      expect([response.status, anyone(response)]).toEqual([200, "*"]);
    }
  });

  test("cannot reach what needs a signature or the admin token, nor the operator's figures", async () => {
    for (const url of ["", "/roles/stable", "/publish", "/deltas"].map((path) => `/t/${TITLE}${path}`)) {
      const headers = { ...PAGE, "access-control-request-method": "POST" };
      for (const method of ["OPTIONS", "POST"]) expect(anyone(await ask(url, { method, headers }))).toBeNull();
    }
    for (const url of ["/metrics", "/"]) expect(anyone(await ask(url, { headers: PAGE }))).toBeNull();
    // a browser sends no PUT that the preflight did not name, and shows no answer to one
    expect(anyone(await ask(OBJECT, { method: "PUT", headers: PAGE, body: BYTES }))).toBeNull();
  });
});
