import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { objectIdOf } from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";
import { Publisher, ask, expectOk, noise } from "./publisher.ts";

const OBJECT = noise(1000, 1);

/** Uploads an object and downloads it again. */
async function serve(title: string): Promise<void> {
  const publisher = await Publisher.register(title);
  await expectOk(await publisher.putObject(OBJECT));
  await (await ask(`/t/${title}/objects/${objectIdOf(OBJECT, sha256)}`)).arrayBuffer();
}

async function servedBytes(title: string): Promise<number> {
  const response = await ask(`/t/${title}/stats`);
  await expectOk(response);
  return (await response.json<{ bytes: { origin: number } }>()).bytes.origin;
}

async function inStorage(title: string, statement: string): Promise<void> {
  await runInDurableObject(env.TITLES.getByName(title), (_, { storage }) => void storage.sql.exec(statement));
}

test("a title that cannot take its count keeps no other from its own, and takes it later", async () => {
  // the first download of an isolate is told at once: a later one is left to `stats`
  await serve("served-first");
  await serve("served-broken");
  await serve("served-well");
  await inStorage("served-broken", "ALTER TABLE totals RENAME TO lost");
  expect(await servedBytes("served-well")).toBe(OBJECT.length);
  await inStorage("served-broken", "ALTER TABLE lost RENAME TO totals");
  expect(await servedBytes("served-broken")).toBe(OBJECT.length);
});
