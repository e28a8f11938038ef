import { Buffer } from "node:buffer";
import { expect, test } from "vitest";
import { ANNOUNCE_TOKEN_LIFETIME_S } from "../../manifests/limits.ts";
import { mintToken, verifyToken } from "../../worker/title/token.ts";

const SECRET = "a secret";
const HOLDER = { title: "demo", peer: "ab".repeat(20) };
const NOW = 1_795_000_000;

test("a token is 38 bytes and good for its holder until it runs out", async () => {
  const token = await mintToken(SECRET, HOLDER, NOW);
  expect(Buffer.from(token, "base64url")).toHaveLength(38);
  // six hours always cross less than one change of key
  for (const later of [0, 1, ANNOUNCE_TOKEN_LIFETIME_S - 1]) {
    expect(await verifyToken(SECRET, token, HOLDER, NOW + later)).toBe(true);
  }
  expect(await verifyToken(SECRET, token, HOLDER, NOW + ANNOUNCE_TOKEN_LIFETIME_S)).toBe(false);
});

test("a token made just before a key changes outlives the change", async () => {
  const midnight = Math.ceil(NOW / 86_400) * 86_400;
  const token = await mintToken(SECRET, HOLDER, midnight - 1);
  expect(await verifyToken(SECRET, token, HOLDER, midnight + 3600)).toBe(true);
});

test("a token is no use to another peer, on another title, or on another edge", async () => {
  const token = await mintToken(SECRET, HOLDER, NOW);
  expect(await verifyToken(SECRET, token, { ...HOLDER, peer: "ba".repeat(20) }, NOW)).toBe(false);
  expect(await verifyToken(SECRET, token, { ...HOLDER, title: "demo2" }, NOW)).toBe(false);
  expect(await verifyToken("another secret", token, HOLDER, NOW)).toBe(false);
});

test("no bit of a token can be changed", async () => {
  const bytes = Buffer.from(await mintToken(SECRET, HOLDER, NOW), "base64url");
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(await verifyToken(SECRET, changed.toString("base64url"), HOLDER, NOW)).toBe(false);
  }
});

test.each(["", "x", "A".repeat(51), "A".repeat(52), "=".repeat(51), "ä".repeat(51)])("%s is no token", async (text) => {
  expect(await verifyToken(SECRET, text, HOLDER, NOW)).toBe(false);
});
