/** What will not heal is not tried again, and has a name: real sockets on this machine, over TLS or not. */
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { lightFetch } from "../../cli/sources/light-fetch.ts";
import { Origin } from "../../cli/sources/origin.ts";
import { ownMemory } from "../../cli/sources/slices.ts";
import { fetchCapped } from "../../cli/trust/fetch-capped.ts";
import type { ObjectId } from "../../manifests/digest.ts";
import { TLS_SLOW_MS } from "../../manifests/limits.ts";
import { certify } from "../support/certificate.ts";
import { testKey } from "../support/role-keys.ts";

/** Listens until the test ends; counts who comes. */
async function listen(server: Server): Promise<{ readonly host: string; readonly seen: { connections: number } }> {
  const seen = { connections: 0 };
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    seen.connections += 1;
    open.add(socket.on("error", () => {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { host: `localhost:${(server.address() as AddressInfo).port}`, seen };
}

/** Until the test ends, this certificate and no other. */
function trust(certificate: string): void {
  const before = getCACertificates("default");
  setDefaultCACertificates([certificate]);
  onTestFinished(() => setDefaultCACertificates(before));
}

/** With a wait before a second try that no test outlasts. */
const ONCE = { tries: 2, retryMs: 1_000_000 };

const get = (url: string): Promise<unknown> =>
  fetchCapped(url, { fetch: lightFetch, bytesMax: 1000, patience: { idleSeconds: 60, ...ONCE } });

test("a port for plain HTTP that is asked over TLS is told as that, whoever asks", async () => {
  const { host, seen } = await listen(createHttpServer((_, response) => response.end()));
  const url = `https://${host}`;
  const told = { code: "edge.wrong-protocol", facts: { reason: "wrong version number" } };
  await expect(get(url)).rejects.toMatchObject(told);
  const send = createSignedFetch({ fetch: lightFetch, signer: await testKey("publisher"), patience: ONCE });
  await expect(send({ method: "POST", url, body: new Uint8Array(1) })).rejects.toMatchObject(told);
  const limit = { spend: () => {}, wait: () => 0 } as unknown as ConstructorParameters<typeof Origin>[0]["limit"];
  const { signal } = new AbortController();
  const origin = new Origin({ edges: [url], title: "demo", limit, signal, log: () => {}, now: () => 0 });
  const range = { object: "0".repeat(64) as ObjectId, offset: 0, slices: [1], fresh: false };
  await expect(origin.read(range, ownMemory).next()).rejects.toMatchObject(told);
  expect(seen.connections).toBe(3);
});

test("what does not speak HTTP is told as that", async () => {
  const { host } = await listen(createServer((socket) => socket.end("SSH-2.0-server\r\n")));
  await expect(get(`http://${host}`)).rejects.toMatchObject({ code: "edge.wrong-protocol" });
});

/** RFC 8446 section 6: a fatal alert, "internal_error", of a server that speaks TLS and has a bad day. */
const TLS_ALERT = Buffer.of(0x15, 3, 3, 0, 2, 2, 80);

test("what TLS itself refuses may heal, and is tried again", async () => {
  const { host, seen } = await listen(createServer((socket) => socket.once("data", () => socket.end(TLS_ALERT))));
  const twice = { idleSeconds: 60, tries: 2, retryMs: 0 };
  const asked = fetchCapped(`https://${host}`, { fetch: lightFetch, bytesMax: 1000, patience: twice });
  await expect(asked).rejects.toMatchObject({
    code: "edge.unreachable",
    facts: { reason: "tlsv1 alert internal error" },
  });
  expect(seen.connections).toBe(2);
});

/** The first byte of a TLS greeting (RFC 8446 section 5.1, "handshake"). */
const TLS_HANDSHAKE = 0x16;

/**
 * Says nothing to a greeting, as workerd does, for longer than a handshake takes.
 * @param onAsked  of a request in plain HTTP, and of those who were greeting
 */
function silentToTls(onAsked: (asking: Socket, greeting: readonly Socket[]) => void): Server {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const greeting: Socket[] = [];
  return createServer((socket) => {
    socket.once("data", (bytes: Uint8Array) => {
      socket.pause();
      socket.unshift(bytes);
      if (bytes[0] !== TLS_HANDSHAKE) return onAsked(socket.resume(), greeting);
      greeting.push(socket);
      vi.advanceTimersByTime(TLS_SLOW_MS);
    });
  });
}

const HEALTHY = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"status":"ok"}';

test("an edge that is silent to TLS and answers without it is not waited for, nor for the end of its answer", async () => {
  const left = Promise.withResolvers<void>();
  const { host, seen } = await listen(
    silentToTls((asking) => {
      asking.on("close", left.resolve);
      asking.write(HEALTHY);
    }),
  );
  await expect(get(`https://${host}/t/demo/metadata/1.root.json`)).rejects.toMatchObject({
    code: "edge.wrong-protocol",
    facts: { reason: "an edge answers there without TLS" },
  });
  await left.promise;
  expect(seen.connections).toBe(2);
});

test("once TLS is there after all, what is said without it changes nothing", async () => {
  const certified = certify("localhost");
  trust(certified.cert);
  let asking: Socket | undefined;
  const secure = createHttpsServer(certified, (_, response) => {
    const answer = (): void => void response.end("read");
    if (asking?.destroyed !== false) return answer();
    asking.on("close", answer);
    asking.end(HEALTHY);
  });
  const { host } = await listen(
    silentToTls((socket, greeting) => {
      asking = socket;
      for (const one of greeting) secure.emit("connection", one);
    }),
  );
  expect(String((await get(`https://${host}`)) as Buffer)).toBe("read");
});

test.each([
  ["refuses plain HTTP", "HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n"],
  ["has a page for everybody, as a network to sign in to", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\nSign in"],
])("a server that is slow with TLS, and %s, is one that cannot be reached and may be later", async (_, answer) => {
  const server = silentToTls((asking, greeting) => {
    asking.end(answer, () => {
      for (const socket of greeting) socket.destroy();
    });
  });
  const { host } = await listen(server);
  const once = { idleSeconds: 60, tries: 1, retryMs: 0 };
  const asked = fetchCapped(`https://${host}`, { fetch: lightFetch, bytesMax: 1000, patience: once });
  await expect(asked).rejects.toMatchObject({ code: "edge.unreachable" });
});

test.each([
  ["that nobody vouches for", certify("localhost"), false, "self-signed certificate"],
  ["that has expired", certify("localhost", 2001), true, "certificate has expired"],
  ["of another host", certify("edge.test"), true, "Hostname/IP does not match"],
])("a certificate %s is told as that, at once", async (_, certified, isTrusted, reason) => {
  if (isTrusted) trust(certified.cert);
  const { host, seen } = await listen(createHttpsServer(certified, (_request, response) => response.end()));
  await expect(get(`https://${host}`)).rejects.toMatchObject({
    code: "edge.bad-certificate",
    facts: { reason: expect.stringContaining(reason) as unknown },
  });
  expect(seen.connections).toBe(1);
});

test("with a certificate that is trusted, an edge is read over TLS", async () => {
  const certified = certify("localhost");
  trust(certified.cert);
  const { host } = await listen(createHttpsServer(certified, (_, response) => response.end("read")));
  expect(String((await get(`https://${host}`)) as Buffer)).toBe("read");
});
