/** The program's own fetch, against a real server: what it sends is what arrives, and a connection is used again. */
import { openAsBlob } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { expect, onTestFinished, test, vi } from "vitest";
import type { SignedFetch } from "../../cli/publish/signed-fetch.ts";
import { originOf } from "../../cli/publish/upload.ts";
import { fetchCapped, PATIENCE, readCapped } from "../../cli/trust/fetch-capped.ts";
import { lightFetch } from "../../cli/sources/light-fetch.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";

interface Seen {
  readonly method: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly port: number | undefined;
}

/** @param answer  what the server says to each request, once it is read */
async function serve(
  answer: (response: ServerResponse) => void = (response) => void response.end(),
): Promise<{ readonly url: string; readonly seen: readonly Seen[] }> {
  const seen: Seen[] = [];
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method, headers, socket } = request;
    seen.push({ method, headers, body: await buffer(request), port: socket.remotePort });
    answer(response);
  };
  const server = createServer((request, response) => void take(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, seen };
}

async function fileOf(bytes: Uint8Array): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "patchswarm-fetch-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(path.join(folder, "body"), bytes);
  return path.join(folder, "body");
}

const ONCE = { ...PATIENCE, tries: 1 };
const BYTES = new Uint8Array(3_000_000).map((_, i) => i * 7);

test("text, bytes and a part of a file arrive whole, with their length", async () => {
  const file = await fileOf(BYTES);
  const blob = (await openAsBlob(file)).slice(1000, 2_500_000);
  const { url, seen } = await serve();
  for (const body of ["text", BYTES.subarray(5), blob]) {
    const headers = new Headers({ "content-type": "application/x-test" });
    expect((await lightFetch(url, { method: "PUT", headers, body: body as string | Blob })).ok).toBe(true);
  }
  const expected = [Buffer.from("text"), BYTES.subarray(5), BYTES.subarray(1000, 2_500_000)];
  expect(seen.map(({ body }, i) => Buffer.compare(body, expected[i] ?? BYTES))).toEqual([0, 0, 0]);
  expect(seen.map(({ headers }) => headers["content-length"])).toEqual(expected.map(({ length }) => String(length)));
  expect(seen[0]).toMatchObject({ method: "PUT", headers: { "content-type": "application/x-test" } });
});

test("an answer that nobody reads leaves its connection to the next request; an endless one does not", async () => {
  const { url, seen } = await serve((response) => void response.end("a few words"));
  const connections = (): number => new Set(seen.map(({ port }) => port)).size;
  // it is read in the background, a packet: one of the next requests finds the connection free
  for (let i = 0; i < 100 && connections() === seen.length; i++) await (await lightFetch(url)).body?.cancel();
  expect(connections()).toBeLessThan(seen.length);

  const closed = Promise.withResolvers<void>();
  const endless = await serve((response) => {
    response.on("close", closed.resolve);
    const more = (): void => void response.write(BYTES, () => setImmediate(more));
    more();
  });
  await (await lightFetch(endless.url)).body?.cancel();
  await closed.promise;
});

test("an origin that is asked for object after object is not connected to for each", async () => {
  const { url, seen } = await serve((response) => void response.setHeader("content-length", BYTES.length).end());
  const send: SignedFetch = ({ method, url: object }) => lightFetch(object, { method });
  const origin = originOf({ edge: url, title: "demo", send, signers: [] });
  const connections = (): number => new Set(seen.map(({ port }) => port)).size;
  const id = objectIdOf(BYTES, sha256);
  for (let i = 0; i < 100 && connections() === seen.length; i++) expect(await origin.has(id)).toBe(true);
  expect(connections()).toBeLessThan(seen.length);
});

test("what the server says before it has read the body is the answer", async () => {
  const server = createServer((_, response) => {
    response.writeHead(401, { connection: "close" }).end("no");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const response = await lightFetch(url, { method: "POST", body: "small" });
  expect([response.status, response.ok]).toEqual([401, false]);
  expect(String(await readCapped(response, { bytesMax: 10 }))).toBe("no");
});

test("of a file that is answered before it is sent, no more is sent once the answer is left", async () => {
  const closed = Promise.withResolvers<void>();
  // answers, takes nothing more, and keeps the connection
  const server = createServer((_, response) => void response.end("there already"));
  server.on("connection", (socket) => socket.on("close", closed.resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const body = await openAsBlob(await fileOf(new Uint8Array(50_000_000)));
  const response = await lightFetch(url, { method: "PUT", body });
  expect(response.ok).toBe(true);
  await response.body?.cancel();
  await closed.promise;
});

test("a signal ends a request that waits, also while a file is sent", async () => {
  const file = await fileOf(BYTES);
  // takes the headers, and nothing after them
  const server = createServer((request) => void request.pause());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (const body of [undefined, await openAsBlob(file)]) {
    const stop = new AbortController();
    const asked = new Promise((resolve) => server.once("request", resolve));
    const answer = lightFetch(url, { method: "PUT", signal: stop.signal, ...(body === undefined ? {} : { body }) });
    void asked.then(() => stop.abort());
    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
  }
});

test("a page for a login, or what a proxy packed, is not taken for the edge's answer", async () => {
  for (const [name, value] of [
    ["content-type", "text/html; charset=utf-8"],
    ["content-type", "Text/HTML"],
    ["content-encoding", "gzip"],
  ] as const) {
    const { url, seen } = await serve((response) => void response.setHeader(name, value).end("<html>"));
    await expect(fetchCapped(url, { fetch: lightFetch, bytesMax: 100, patience: ONCE })).rejects.toMatchObject({
      code: "edge.unreachable",
    });
    expect(seen[0]?.headers["accept-encoding"]).toBe("identity");
  }
});

test("an answer that drips is given up as one that does not come", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const drip: typeof fetch = (_, init) => {
    const body = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        await vi.advanceTimersByTimeAsync(1000);
        init?.signal?.throwIfAborted();
        yield new Uint8Array(1);
      }
    };
    return Promise.resolve({ status: 200, ok: true, body: body() } as unknown as Response);
  };
  await expect(fetchCapped("http://edge", { fetch: drip, bytesMax: 100, patience: ONCE })).rejects.toMatchObject({
    code: "edge.unreachable",
  });
});
