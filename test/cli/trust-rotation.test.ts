/** A player that remembers, on a real edge, while the publisher changes who signs what. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PublisherKey } from "../../cli/publish/keys.ts";
import { registerTitle } from "../../cli/publish/register.ts";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { openTitle } from "../../cli/trust/client.ts";
import {
  type NamedKey,
  type RoleSigner,
  after,
  buildRoot,
  buildTargets,
  encodeRole,
  signRole,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { testKey } from "../support/role-keys.ts";

const NOW = toUnixSeconds(Date.now());
const EXPIRES = after(NOW, 30 * 86_400);

let scratch = "";
let edge: TestEdge;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), "patchswarm-rotation-"));
  edge = await startTestEdge();
});

afterAll(async () => {
  await edge?.[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true, force: true });
});

async function publisherKey(name: string): Promise<PublisherKey> {
  return { name, ...(await testKey(name)) };
}

/** A title with the channels stable and beta; a player who refreshes; and who may change the title. */
async function openWorld(title: string) {
  const root = [await publisherKey("root-1"), await publisherKey("root-2"), await publisherKey("root-3")];
  const channels = { stable: await publisherKey("stable"), beta: await publisherKey("beta") };
  const keys = { root, targets: await publisherKey("targets"), channels };
  const { url, adminToken } = edge;
  const signed = await registerTitle({ title, edge: url, keys, adminToken, now: NOW, fetch, held: undefined });
  const online = signed.signed.roles.timestamp.keyids.map((keyid): NamedKey => {
    const key = signed.signed.keys[keyid];
    if (key === undefined) throw new Error(`no key ${keyid}`);
    return { keyid, key };
  });
  const floor = { time: NOW, root: 1, targets: 1, seq: 0 };
  const titleFile = { title, edges: [url], channel: "stable", root: signed, floor };

  /** Channels that a player believes in; the one who remembers, or a new one. */
  async function refresh(metadataDir: string | undefined): Promise<string[]> {
    const opened = await openTitle({ titleFile, metadataDir, now: new Date(), fetch });
    await opened.refresh();
    return opened.channels();
  }

  async function post(role: string, body: Uint8Array<ArrayBuffer>, signer: RoleSigner): Promise<void> {
    const send = createSignedFetch({ fetch, signer });
    const response = await send({ method: "POST", url: `${url}/t/${title}/roles/${role}`, body });
    expect(response.status).toBe(200);
  }

  return {
    keys,
    remembering: () => refresh(path.join(scratch, title)),
    anew: () => refresh(undefined),
    async postTargets(version: number, names: readonly (keyof typeof channels)[], signer: RoleSigner = keys.targets) {
      const plan = Object.fromEntries(names.map((name) => [name, { keys: [channels[name]], threshold: 1 }]));
      const targets = buildTargets({ version, expires: EXPIRES, channels: plan, online });
      await post("targets", encodeRole(await signRole(targets, [signer])), signer);
    },
    async postRoot(version: number, targets: NamedKey) {
      const plan = { root: { keys: root, threshold: 2 }, targets: { keys: [targets], threshold: 1 }, online };
      const signers = root.slice(0, 2);
      const role = await signRole(buildRoot({ version, expires: EXPIRES, ...plan }), signers);
      await post("root", encodeRole(role), signers[0] ?? keys.targets);
    },
  };
}

test("a channel that the publisher gives up leaves the others in order for players who knew it", async () => {
  const world = await openWorld("given-up");
  expect(await world.remembering()).toEqual(["stable", "beta"]);
  await world.postTargets(2, ["stable"]);
  expect(await world.remembering()).toEqual(["stable"]);
  expect(await world.anew()).toEqual(["stable"]);
  await world.postTargets(3, ["stable", "beta"]);
  expect(await world.remembering()).toEqual(["stable", "beta"]);
});

test("a root that takes targets from its key shuts nobody out before the new targets come", async () => {
  const world = await openWorld("rotated");
  await world.remembering();
  const next = await testKey("targets-2");
  await world.postRoot(2, next);
  expect(await world.remembering()).toEqual(["stable", "beta"]);
  expect(await world.anew()).toEqual(["stable", "beta"]);
  await world.postTargets(2, ["stable", "beta"], next);
  expect(await world.remembering()).toEqual(["stable", "beta"]);
  expect(await world.anew()).toEqual(["stable", "beta"]);
});
