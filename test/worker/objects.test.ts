import { beforeAll, describe, expect, test } from "vitest";
import { objectIdOf } from "../../manifests/digest.ts";
import { OBJECT_BYTES_MAX, REQUEST_SKEW_S } from "../../manifests/limits.ts";
import { after } from "../../manifests/trust/roles.ts";
import { sha256 } from "../support/hashes.ts";
import { testKey } from "../support/role-keys.ts";
import { Publisher, ask, bodyIs, noise, now, problemCode } from "./publisher.ts";

const BYTES = noise(1000, 1);
const NAME = objectIdOf(BYTES, sha256);
const URL_OF_IT = `/t/objects/objects/${NAME}`;

let publisher: Publisher;

beforeAll(async () => {
  publisher = await Publisher.register("objects");
  expect((await publisher.putObject(BYTES)).status).toBe(201);
});

const get = (headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  ask(URL_OF_IT, { method, headers });

describe("reading", () => {
  test("an object comes whole, with a strong tag, for ever cacheable", async () => {
    const response = await get();
    expect(response.status).toBe(200);
    expect(response.headers.get("etag")).toBe(`"${NAME}"`);
    expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(response.headers.get("accept-ranges")).toBe("bytes");
    expect(await bodyIs(response, BYTES)).toBe(true);
  });

  const ranges: [header: string, status: number, offset: number, length: number][] = [
    ["bytes=0-0", 206, 0, 1],
    ["bytes=0-999", 206, 0, 1000],
    ["bytes=10-19", 206, 10, 10],
    ["bytes=990-", 206, 990, 10],
    ["bytes=990-5000", 206, 990, 10],
    ["bytes=-10", 206, 990, 10],
    ["bytes=-5000", 206, 0, 1000],
    [`bytes=0-${"9".repeat(20)}`, 206, 0, 1000],
    [`bytes=-${"9".repeat(400)}`, 206, 0, 1000],
    ["Bytes=1-2", 206, 1, 2],
    // what a server may ignore is ignored: the whole object is never a wrong answer (RFC 9110 section 14.2)
    ["bytes=5-4", 200, 0, 1000],
    ["bytes=a-b", 200, 0, 1000],
    ["bytes=0-1,5-6", 200, 0, 1000],
    ["bytes=", 200, 0, 1000],
    ["items=0-1", 200, 0, 1000],
  ];
  test.each(ranges)("Range %s is answered with %i", async (range, status, offset, length) => {
    const response = await get({ range });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(
      status === 206 ? `bytes ${offset}-${offset + length - 1}/1000` : null,
    );
    expect(await bodyIs(response, BYTES.subarray(offset, offset + length))).toBe(true);
  });

  test.each(["bytes=1000-", "bytes=1000-1001", "bytes=5000-", "bytes=9007199254740993-", "bytes=-0"])(
    "Range %s lies outside: 416, with the size",
    async (range) => {
      const response = await get({ range });
      expect(response.status).toBe(416);
      expect(response.headers.get("content-range")).toBe("bytes */1000");
    },
  );

  test("If-Range with another tag sends it all", async () => {
    expect((await get({ range: "bytes=0-0", "if-range": `"${NAME}"` })).status).toBe(206);
    expect((await get({ range: "bytes=0-0", "if-range": '"other"' })).status).toBe(200);
  });

  test.each([`"${NAME}"`, `W/"${NAME}"`, `"other", "${NAME}"`, "*"])("If-None-Match %s: not modified", async (tag) => {
    const response = await get({ "if-none-match": tag });
    expect(response.status).toBe(304);
    expect(response.headers.get("etag")).toBe(`"${NAME}"`);
  });

  test.each([
    ["too long a name", "a".repeat(2000)],
    ["capitals", "UPPER"],
    ["a slash that was escaped", "objects%2Fobjects"],
  ])("nothing is looked for under what is no title: %s", async (_, title) => {
    for (const method of ["GET", "HEAD"]) {
      expect((await ask(`/t/${title}/objects/${NAME}`, { method })).status).toBe(400);
    }
  });

  test("HEAD tells the size and sends nothing", async () => {
    const response = await get({ range: "bytes=0-1" }, "HEAD");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("1000");
    expect(await response.text()).toBe("");
  });

  test("what is not there, or is no name, is a problem document", async () => {
    expect(await problemCode(await ask(`/t/objects/objects/${"0".repeat(64)}`))).toBe("object.not-found");
    expect(await problemCode(await ask("/t/objects/objects/readme.txt"))).toBe("object.bad-name");
    expect(
      await problemCode(
        await ask(`/t/objects/objects/${"0".repeat(64)}`, { headers: { "if-none-match": `"${"0".repeat(64)}"` } }),
      ),
    ).toBe("object.not-found");
  });
});

describe("writing", () => {
  test("an object sent again is not stored again", async () => {
    const response = await publisher.putObject(BYTES);
    expect([response.status, await response.json()]).toEqual([200, { object: NAME, stored: false }]);
  });

  test("other bytes under the name of an object that is there are refused as well", async () => {
    const response = await publisher.putObject(noise(1000, 9), { name: NAME, digest: sha256(BYTES) });
    expect(await problemCode(response)).toBe("object.mismatch");
    expect(await bodyIs(await get(), BYTES)).toBe(true);
  });

  test("bytes that do not hash to the name are refused, and nothing is kept", async () => {
    const bytes = noise(500, 2);
    const name = objectIdOf(noise(500, 3), sha256);
    // a publisher's tool that lies to itself: the signature covers the name, the body is another
    const response = await publisher.putObject(bytes, { name, digest: sha256(noise(500, 3)) });
    expect(await problemCode(response)).toBe("object.mismatch");
    expect((await ask(`/t/objects/objects/${name}`)).status).toBe(404);
  });

  test("a signature over another digest than the name is refused", async () => {
    const response = await publisher.putObject(noise(500, 4), { name: NAME });
    expect(await problemCode(response)).toBe("object.mismatch");
  });

  test("an object over the cap is refused before it is read", async () => {
    const bytes = noise(10, 5);
    const url = `/t/objects/objects/${objectIdOf(bytes, sha256)}`;
    const headers = await publisher.signedHeaders("PUT", url, bytes);
    headers.set("content-length", String(OBJECT_BYTES_MAX + 1));
    expect(await problemCode(await ask(url, { method: "PUT", headers, body: bytes }))).toBe("object.too-large");
  });

  test("who is not a publisher of the title puts nothing", async () => {
    const bytes = noise(10, 6);
    const other = await Publisher.register("objects-other");
    const url = `/t/objects/objects/${objectIdOf(bytes, sha256)}`;
    const attempts = [
      await ask(url, { method: "PUT", body: bytes }),
      await publisher.putObject(bytes, { signer: await testKey("a stranger") }),
      await publisher.putObject(bytes, { signer: other.targets }),
      // a good signature, for the same path of another title
      await ask(url, {
        method: "PUT",
        body: bytes,
        headers: await publisher.signedHeaders("PUT", url.replace("/t/objects/", "/t/objects-other/"), bytes),
      }),
    ];
    for (const response of attempts) {
      expect(response.status).toBe(401);
      expect(await problemCode(response)).toBe("request.unauthorized");
    }
    for (const seconds of [-REQUEST_SKEW_S - 5, REQUEST_SKEW_S + 5]) {
      const response = await publisher.putObject(bytes, { created: after(now(), seconds) });
      expect(response.status).toBe(400);
      expect(await problemCode(response)).toBe("request.clock-skew");
    }
  });

  test("two titles do not see each other's objects", async () => {
    await Publisher.register("objects-twin");
    expect((await ask(`/t/objects-twin/objects/${NAME}`)).status).toBe(404);
    expect((await ask(URL_OF_IT)).status).toBe(200);
  });

  test("an empty object is an object", async () => {
    const empty = new Uint8Array();
    expect((await publisher.putObject(empty)).status).toBe(201);
    const url = `/t/objects/objects/${objectIdOf(empty, sha256)}`;
    const [whole, ranged] = [await ask(url), await ask(url, { headers: { range: "bytes=0-" } })];
    expect([whole.status, (await whole.arrayBuffer()).byteLength, ranged.status]).toEqual([200, 0, 416]);
  });
});
