/**
 * Signatures that run out: a build that is out already signs its channel again, and says of the others when they end.
 */
import { afterAll, expect, test } from "vitest";
import { type PublisherKey, readKeys } from "../../cli/publish/keys.ts";
import { createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { CHANNEL_RESIGN_BEFORE_S, EXPIRY_WARNING_S, ROLE_LIFETIME_S } from "../../manifests/limits.ts";
import {
  type AnyRole,
  after,
  encodeRole,
  formatTime,
  parseTime,
  signRole,
  toUnixSeconds,
} from "../../manifests/trust/roles.ts";
import { Failure } from "../../manifests/failures.ts";
import { type TestEdge } from "../support/edge.ts";
import { type Press, pressForEachTest, urlOf } from "../support/press.ts";

const DAY = 86_400;

let edge: TestEdge;
let press: Press;
pressForEachTest((...opened) => ([press, edge] = opened));
afterAll(closePool);

const now = (): Date => new Date();
const secondsFrom = (date: Date, seconds: number) => after(toUnixSeconds(date.getTime()), seconds);
const roles = (requests: readonly string[]): string[] => requests.filter((request) => request.startsWith("POST roles"));

/** The role as the title has it: `root`, `targets` or a channel. */
async function roleOf(name: string): Promise<AnyRole> {
  const { root, targets, channels } = (await press.title()).roles;
  const role = name === "root" ? root : name === "targets" ? targets : channels.get(name);
  if (role === undefined || role instanceof Failure) throw new Error(`no role ${name}`);
  return role;
}

/** Has the holders of a role sign what it says until another day. */
async function signUntil(name: string, keyNames: readonly string[], seconds: number): Promise<void> {
  const keys = (await readKeys(press.at("keys"))).filter((key) => keyNames.includes(key.name));
  const [signer] = keys as [PublisherKey];
  const role = await roleOf(name);
  const next = { ...role, version: role.version + 1, expires: formatTime(secondsFrom(now(), seconds)) };
  const url = `${edge.url}/t/${press.name}/roles/${name}`;
  const body = encodeRole(await signRole(next, keys));
  await createSignedFetch({ fetch, signer })({ method: "POST", url, body, contentType: "application/json" });
}

const signStable = (seconds: number): Promise<void> => signUntil("stable", ["channel-stable"], seconds);

test("the same build again signs its channel again once little enough is left of that signature", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  await press.publish(folder, "1.0.0");
  await press.publish(await press.build("v2", { "a.txt": "b" }), "1.1.0");
  await signStable(CHANNEL_RESIGN_BEFORE_S - DAY);
  const before = await roleOf("stable");
  press.requests();

  const at = now();
  const until = secondsFrom(at, ROLE_LIFETIME_S.channel);
  const renewed = { before: parseTime(before.expires), now: until };
  const again = await press.publish(folder, "1.0.0", { now: at });
  expect(again).toMatchObject({ outcome: "unchanged", seq: 1, bytes: { uploaded: 0 }, renewed });
  expect(await roleOf("stable")).toEqual({ ...before, version: before.version + 1, expires: formatTime(until) });
  expect((await press.title()).live("stable")?.seq).toBe(2);

  // and then not again at once
  press.requests();
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "unchanged", renewed: undefined });
  expect(roles(press.requests())).toEqual([]);
});

test("while enough is left of it, nothing is signed", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  await press.publish(folder, "1.0.0");
  await signStable(CHANNEL_RESIGN_BEFORE_S + DAY);
  press.requests();
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "unchanged", renewed: undefined });
  expect(roles(press.requests())).toEqual([]);
});

test("a channel whose signature is over is signed again too, and players get its release", async () => {
  await press.publish(await press.build("v1", { "a.txt": "a".repeat(1000) }), "1.0.0");
  const folder = await press.build("v2", { "a.txt": "a".repeat(2000) });
  await press.publish(folder, "1.1.0");
  await signStable(DAY / 4);
  const late = new Date(now().getTime() + (DAY / 2) * 1000);
  const live = { seq: 2, version: "1.1.0" };
  const dry = await press.publish(folder, "1.1.0", { now: late, dryRun: true, keysDir: press.at("none") });
  expect(dry).toMatchObject({
    outcome: "unchanged",
    live,
    renewed: { now: secondsFrom(late, ROLE_LIFETIME_S.channel) },
  });
  expect(await press.publish(folder, "1.1.0", { now: late, deltas: 1 })).toMatchObject({
    outcome: "unchanged",
    live,
    deltas: [{ from: "1.0.0" }],
    deltasFailed: undefined,
    renewed: { now: secondsFrom(late, ROLE_LIFETIME_S.channel) },
  });
  expect((await press.title()).current("stable", undefined)).toMatchObject({ release: { seq: 2 } });
});

test("a dry run says until when it would be signed, and signs nothing", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  await press.publish(folder, "1.0.0");
  await signStable(DAY);
  const before = await roleOf("stable");
  press.requests();
  const dry = await press.publish(folder, "1.0.0", { dryRun: true });
  expect(dry).toMatchObject({ outcome: "unchanged", renewed: { before: parseTime(before.expires) } });
  expect(roles(press.requests())).toEqual([]);
  expect(await roleOf("stable")).toEqual(before);
});

test("overtaken by another publish, whose role is as good as new, it signs nothing more", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  const other = await press.build("v2", { "a.txt": "b" });
  await press.publish(folder, "1.0.0");
  await signStable(DAY);
  let isOvertaken = false;
  const line: Fetch = async (input, init) => {
    if (!isOvertaken && urlOf(input).endsWith("/roles/stable")) {
      isOvertaken = true;
      await press.publish(other, "1.1.0");
    }
    return await fetch(input, init);
  };
  expect(await press.publish(folder, "1.0.0", { fetch: line })).toMatchObject({ seq: 1, renewed: undefined });
  expect((await press.title()).releases("stable").map(({ seq }) => seq)).toEqual([1, 2]);
});

test("a publish says in time that root or targets end, which it cannot sign, and what can be done", async () => {
  const folder = await press.build("v1", { "a.txt": "a" });
  const told: string[] = [];
  const publish = async (dryRun = false): Promise<string[]> => {
    told.length = 0;
    await press.publish(folder, "1.0.0", { dryRun, onLog: (text) => told.push(text) });
    return told;
  };
  expect(await publish()).toEqual([]);
  await signUntil("targets", ["targets"], EXPIRY_WARNING_S - DAY);
  const [targets, ...others] = await publish();
  expect(others).toEqual([]);
  expect(targets).toContain(`targets expires on ${(await roleOf("targets")).expires.slice(0, 10)}`);
  expect(targets).toContain(`POST ${edge.url}/t/${press.name}/roles/targets`);
  await signUntil("root", ["root-1", "root-2"], EXPIRY_WARNING_S - DAY);
  expect(await publish(true)).toEqual([
    expect.stringContaining(`root expires on ${(await roleOf("root")).expires.slice(0, 10)}`),
    targets,
  ]);
});
