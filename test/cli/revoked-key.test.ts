/**
 * A key that was taken away, on a real edge: what isolates remember of a title must grow old in workerd, whose timers
 * die with their request. The edge remembers for milliseconds here, so that nobody has to wait.
 */
import { readFile } from "node:fs/promises";
import type { Plugin } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PublisherKey } from "../../cli/publish/keys.ts";
import { registerTitle } from "../../cli/publish/register.ts";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { after, buildTargets, encodeRole, signRole, toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { sha256 } from "../support/hashes.ts";
import { testKey } from "../support/role-keys.ts";

/** Enough for the memory to grow old many times over. */
const UPLOADS_MAX = 300;

/** Bundles the worker with a memory of its titles that lasts 20 ms. */
const forgetful: Plugin = {
  name: "short memory",
  setup(bundle) {
    bundle.onLoad({ filter: /manifests.limits\.ts$/ }, async ({ path: file }) => {
      const text = await readFile(file, "utf8");
      const contents = text.replace(/TITLE_CACHE_S = \d+;/, "TITLE_CACHE_S = 0.02;");
      if (contents === text) throw new Error("no TITLE_CACHE_S to shorten");
      return { contents, loader: "ts" };
    });
  },
};

let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge({}, [forgetful]);
});

afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
});

async function publisherKey(name: string): Promise<PublisherKey> {
  return { name, ...(await testKey(name)) };
}

test("a key that was taken away uploads nothing once the edge has asked again", async () => {
  const now = toUnixSeconds(Date.now());
  const root = [await publisherKey("root-1"), await publisherKey("root-2"), await publisherKey("root-3")];
  const keys = { root, targets: await publisherKey("targets"), channels: { stable: await publisherKey("old") } };
  const { url, adminToken } = edge;
  const { signed } = await registerTitle({ title: "demo", edge: url, keys, adminToken, now, fetch, held: undefined });
  let uploads = 0;
  const upload = async (): Promise<string> => {
    const body = new TextEncoder().encode(`object ${(uploads += 1)}`);
    try {
      const send = createSignedFetch({ fetch, signer: keys.channels.stable });
      return String(
        (await send({ method: "PUT", url: `${url}/t/demo/objects/${objectIdOf(body, sha256)}`, body })).status,
      );
    } catch (error) {
      if (error instanceof Failure) return error.code;
      throw error;
    }
  };
  for (let round = 0; round < 10; round++) expect(await upload()).toBe("201");

  const online = signed.roles.timestamp.keyids.flatMap((keyid) => {
    const key = signed.keys[keyid];
    return key === undefined ? [] : [{ keyid, key }];
  });
  const channels = { stable: { keys: [await testKey("new")], threshold: 1 } };
  const targets = buildTargets({ version: 2, expires: after(now, 86_400), channels, online });
  const send = createSignedFetch({ fetch, signer: keys.targets });
  const body = encodeRole(await signRole(targets, [keys.targets]));
  expect((await send({ method: "POST", url: `${url}/t/demo/roles/targets`, body })).status).toBe(200);

  let answer = "201";
  for (let round = 0; answer === "201" && round < UPLOADS_MAX; round++) answer = await upload();
  expect(answer).toBe("request.unauthorized");
});
