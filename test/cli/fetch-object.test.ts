/**
 * Objects over lines that break, from edges and caches that answer ranges in every way they may, and in some they may
 * not.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { lightFetch } from "../../cli/sources/light-fetch.ts";
import { fetchObject } from "../../cli/trust/fetch-object.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";
import { noise } from "../support/studio.ts";

const KIB = 1024;
const OBJECT = noise(100 * KIB, "object");
const ID = objectIdOf(OBJECT, sha256);

/** How one request is answered; `from`: where the range begins that it asks for. */
type Answer = (response: ServerResponse, from: number | undefined) => void;

/** Fetches the object from an edge that answers with each of these once, and with the last from then on. */
async function fetchFrom(...answers: readonly Answer[]): Promise<{ body: Uint8Array; asked: (number | undefined)[] }> {
  const asked: (number | undefined)[] = [];
  const server = createServer(({ headers }: IncomingMessage, response) => {
    const from = /^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1];
    asked.push(from === undefined ? undefined : Number(from));
    answers[Math.min(asked.length, answers.length) - 1]?.(response, asked.at(-1));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const edge = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const patience = { idleSeconds: 60, tries: 2, retryMs: 1 };
  const body = await fetchObject(edge, "demo", ID, { fetch: lightFetch, bytesMax: 200 * KIB, patience });
  return { body, asked };
}

/** All that was asked for, but the line breaks after so many bytes. */
const breaking =
  (after: number): Answer =>
  (response, from = 0) => {
    head(response, from);
    response.write(OBJECT.subarray(from, from + after), () => response.destroy());
  };

const whole: Answer = (response, from = 0) => {
  head(response, from);
  response.end(OBJECT.subarray(from));
};

/** No more of a range than this, as is allowed (RFC 9110 section 15.3.7). */
const atMost =
  (bytes: number): Answer =>
  (response, from = 0) => {
    const part = OBJECT.subarray(from, from + bytes);
    if (part.length === 0) response.writeHead(416).end();
    else {
      const range = `bytes ${from}-${from + part.length - 1}/${OBJECT.length}`;
      response.writeHead(206, { "content-length": part.length, "content-range": range }).end(part);
    }
  };

/** A range that nobody asked for. */
const elsewhere: Answer = (response) => {
  const part = OBJECT.subarray(1, 1 + 10 * KIB);
  const range = `bytes 1-${part.length}/${OBJECT.length}`;
  response.writeHead(206, { "content-length": part.length, "content-range": range }).end(part);
};

function head(response: ServerResponse, from: number): void {
  const range = { "content-range": `bytes ${from}-${OBJECT.length - 1}/${OBJECT.length}` };
  const isPart = from > 0;
  response.writeHead(isPart ? 206 : 200, { "content-length": OBJECT.length - from, ...(isPart && range) });
}

test("after a break, an edge that gives less of the rest than was asked for is asked for more", async () => {
  const { body, asked } = await fetchFrom(breaking(10 * KIB), atMost(40 * KIB));
  expect(body).toEqual(Buffer.from(OBJECT));
  expect(asked).toEqual([undefined, 10 * KIB, 50 * KIB, 90 * KIB]);
});

test("an answer of another range than was asked for is a broken line, not a wrong object", async () => {
  const { body, asked } = await fetchFrom(breaking(10 * KIB), elsewhere, whole);
  expect(body).toEqual(Buffer.from(OBJECT));
  expect(asked).toEqual([undefined, 10 * KIB, undefined]);
  await expect(fetchFrom(breaking(10 * KIB), elsewhere)).rejects.toMatchObject({ code: "edge.unreachable" });
});

test("what is longer than it may be is asked for once more, past the caches on the way", async () => {
  const endless: Answer = (response) => response.end(noise(300 * KIB, "other"));
  expect((await fetchFrom(endless, whole)).body).toEqual(Buffer.from(OBJECT));
  await expect(fetchFrom(endless)).rejects.toMatchObject({ code: "object.too-large" });
});
