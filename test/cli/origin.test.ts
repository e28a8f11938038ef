/** The origin client against servers that answer other than asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { RateLimit } from "../../cli/peers/rates.ts";
import { Origin } from "../../cli/sources/origin.ts";
import { ownMemory } from "../../cli/sources/slices.ts";
import type { ObjectId } from "../../manifests/digest.ts";

const OBJECT = "a".repeat(64) as ObjectId;
const CONTENT = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));

type Answer = (request: IncomingMessage, response: ServerResponse, from: number, to: number) => void;

const rightly: Answer = (_, response, from, to) => {
  response.writeHead(206, { "content-range": `bytes ${from}-${to}/${CONTENT.length}` });
  response.end(CONTENT.subarray(from, to + 1));
};

/** Begins well, and says no more. */
const half: Answer = (_, response) => {
  response.writeHead(206, { "content-range": "bytes 10-49/1000" }).write(CONTENT.subarray(10, 30));
};

/** Reads 10 to 49 in slices of 15, 15 and 10 from a server that answers so. */
async function readFrom(
  answer: Answer,
  options: { idleSeconds?: number; signal?: AbortSignal; bytesPerSecond?: number; now?: () => number } = {},
): Promise<Buffer[]> {
  const server = createServer((request, response) => {
    const [, from = "", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    answer(request, response, Number(from), Number(to));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const signal = options.signal ?? new AbortController().signal;
  const origin = new Origin({
    edges: [url],
    title: "demo",
    limit: new RateLimit(options.bytesPerSecond ?? null, 0),
    signal,
    log: () => {},
    now: options.now ?? (() => 0),
    ...(options.idleSeconds === undefined ? {} : { idleSeconds: options.idleSeconds }),
  });
  try {
    const slices: Buffer[] = [];
    const request = { object: OBJECT, offset: 10, slices: [15, 15, 10], fresh: false };
    for await (const slice of origin.read(request, ownMemory)) {
      slices.push(Buffer.from(slice));
    }
    return slices;
  } finally {
    origin.close();
    server.closeAllConnections();
    server.close();
  }
}

describe("reading a range", () => {
  test("gives the slices that were asked for, however the bytes arrive", async () => {
    const slices = await readFrom(rightly);
    expect(slices.map(({ length }) => length)).toEqual([15, 15, 10]);
    expect(Buffer.concat(slices).equals(CONTENT.subarray(10, 50))).toBe(true);
    const dribbled = await readFrom((_, response, from, to) => {
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${CONTENT.length}` });
      let at = from;
      const next = (): void => {
        if (at > to) response.end();
        else response.write(CONTENT.subarray(at, (at += 7) > to ? to + 1 : at), next);
      };
      next();
    });
    expect(Buffer.concat(dribbled).equals(CONTENT.subarray(10, 50))).toBe(true);
  });

  test("asks for the object of the title by range, and for nothing else", async () => {
    await readFrom((request, response, from, to) => {
      expect(request.url).toBe(`/t/demo/objects/${OBJECT}`);
      expect(request.headers.range).toBe("bytes=10-49");
      expect(request.headers["accept-encoding"]).toBe("identity");
      rightly(request, response, from, to);
    });
  });

  test.each<[string, string, Answer]>([
    ["the whole object instead", "edge.unreachable", (_, response) => response.writeHead(200).end(CONTENT)],
    [
      "another range",
      "edge.unreachable",
      (_, response) => response.writeHead(206, { "content-range": "bytes 0-39/1000" }).end(CONTENT.subarray(0, 40)),
    ],
    [
      "a range without saying which",
      "edge.unreachable",
      (_, response) => response.writeHead(206).end(CONTENT.subarray(10, 50)),
    ],
    [
      "more than was asked for",
      "edge.unreachable",
      (_, response) => response.writeHead(206, { "content-range": "bytes 10-49/1000" }).end(CONTENT.subarray(10, 60)),
    ],
    [
      "less than was asked for",
      "edge.unreachable",
      (_, response) => response.writeHead(206, { "content-range": "bytes 10-49/1000" }).end(CONTENT.subarray(10, 40)),
    ],
    ["that there is no such object", "object.not-found", (_, response) => response.writeHead(404).end()],
    ["that it is busy", "edge.busy", (_, response) => response.writeHead(503).end()],
    ["that it is broken", "edge.unreachable", (_, response) => response.writeHead(500).end()],
    ["by hanging up", "edge.unreachable", (request) => void request.socket.destroy()],
  ])("a server that answers %s is a failure %s", async (_, code, answer) => {
    await expect(readFrom(answer)).rejects.toMatchObject({ code });
  });

  test("a server that falls silent is given up, before and in the middle of an answer", async () => {
    await expect(readFrom(() => {}, { idleSeconds: 0.05 })).rejects.toMatchObject({ code: "edge.unreachable" });
    await expect(readFrom(half, { idleSeconds: 0.05 })).rejects.toMatchObject({ code: "edge.unreachable" });
  });

  test("a server that drips is given up, too", async () => {
    let clock = 0;
    const drip: Answer = (_, response, from, to) => {
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${CONTENT.length}` });
      let at = from;
      const next = (): void => {
        clock += 5000;
        if (at > to) response.end();
        // the next one when the last is on its way
        else response.write(CONTENT.subarray(at, ++at), () => setImmediate(next));
      };
      next();
    };
    await expect(readFrom(drip, { now: () => clock })).rejects.toMatchObject({ code: "edge.unreachable" });
  });

  test("a server that is silent because a limit holds it back is not given up", async () => {
    // 20 bytes are 10 more than may pass at once: a pause of a quarter second, five times what is silent for too long
    const inTwo: Answer = (_, response) => {
      response.writeHead(206, { "content-range": "bytes 10-49/1000" }).write(CONTENT.subarray(10, 30));
      setTimeout(() => response.end(CONTENT.subarray(30, 50)), 20);
    };
    const slices = await readFrom(inTwo, { idleSeconds: 0.05, bytesPerSecond: 40 });
    expect(Buffer.concat(slices).equals(CONTENT.subarray(10, 50))).toBe(true);
  });

  test("an interruption ends it as interrupted", async () => {
    const stop = new AbortController();
    const reading = readFrom(() => stop.abort(), { signal: stop.signal });
    await expect(reading).rejects.toMatchObject({ code: "source.interrupted" });
  });
});

test("whoever turns from an edge that was turned from already asks the next one all the same", () => {
  const edges = ["http://a", "http://b", "http://c"];
  const signal = new AbortController().signal;
  const origin = new Origin({
    edges,
    title: "demo",
    limit: new RateLimit(null, 0),
    signal,
    log: () => {},
    now: () => 0,
  });
  const { edge } = origin;
  // four requests to it fail together
  for (let request = 0; request < 4; request++) origin.turnAwayFrom(edge);
  expect([edge, origin.edge]).toEqual(["http://a", "http://b"]);
  origin.turnAwayFrom(origin.edge);
  origin.turnAwayFrom(origin.edge);
  expect(origin.edge).toBe("http://a");
  origin.close();
});

test("an object that one edge has wrong is asked of the others only, also when the next of them fails", () => {
  const edges = ["http://a", "http://b", "http://c"];
  const said: string[] = [];
  const { signal } = new AbortController();
  const limit = new RateLimit(null, 0);
  const origin = new Origin({ edges, title: "demo", limit, signal, log: (text) => said.push(text), now: () => 0 });
  const other = "b".repeat(64) as ObjectId;
  expect(origin.dropFor(OBJECT, "http://a", "wrong bytes")).toBe(true);
  expect(origin.dropFor(OBJECT, "http://a", "wrong bytes")).toBe(true);
  expect([origin.edgeFor(OBJECT), origin.edgeFor(other)]).toEqual(["http://b", "http://a"]);
  origin.turnAwayFrom("http://b");
  expect([origin.edgeFor(OBJECT), origin.edgeFor(other)]).toEqual(["http://c", "http://a"]);
  expect(origin.dropFor(OBJECT, "http://c", "nothing")).toBe(true);
  expect(origin.edgeFor(OBJECT)).toBe("http://b");
  // nobody has it right: then any may be asked
  expect(origin.dropFor(OBJECT, "http://b", "wrong bytes")).toBe(false);
  expect(origin.edgeFor(OBJECT)).toBe("http://a");
  expect(said).toEqual([`http://a has wrong bytes for ${OBJECT}; asking another edge`]);
  origin.close();
});

test("an edge that did not have an object is asked again when the others failed; one that had it wrong is not", () => {
  const { signal } = new AbortController();
  const edges = ["http://a", "http://b", "http://c"];
  const limit = new RateLimit(null, 0);
  const origin = new Origin({ edges, title: "demo", limit, signal, log: () => {}, now: () => 0 });
  origin.dropFor(OBJECT, "http://a", "wrong bytes");
  origin.dropFor(OBJECT, "http://a", "nothing");
  origin.dropFor(OBJECT, "http://b", "nothing");
  expect(origin.edgeFor(OBJECT)).toBe("http://c");
  origin.forgetMissing(OBJECT);
  expect(origin.edgeFor(OBJECT)).toBe("http://b");
  origin.close();
});
