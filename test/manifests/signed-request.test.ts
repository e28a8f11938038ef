/** What signed requests cover and carry. Signing and checking whole requests: test/cli/keys.test.ts, test/worker. */
import { assert, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { REQUEST_SKEW_S } from "../../manifests/limits.ts";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import {
  checkRequestParameters,
  contentDigest,
  nonceExpiry,
  parseContentDigest,
  requestParameters,
} from "../../manifests/wire/signed-request.ts";
import { sha256 } from "../support/hashes.ts";

const NOW = 1_795_341_600 as UnixSeconds;
const NONCE = "0123456789abcdef".repeat(2);
const unauthorized = expect.objectContaining({ code: "request.unauthorized" });

test("Content-Digest is written as RFC 9530 shows it", () => {
  // RFC 9530 appendix B.1: the body {"hello": "world"} and a newline
  const body = new TextEncoder().encode('{"hello": "world"}\n');
  expect(contentDigest(sha256(body))).toBe("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
});

test("Content-Digest reads back as it was written", () => {
  assert(
    property(uint8Array({ minLength: 32, maxLength: 32 }), (digest) => {
      expect(parseContentDigest(contentDigest(digest))).toEqual(digest);
    }),
  );
});

test.each([
  "",
  "sha-256=:AAAA:",
  `sha-512=:${"A".repeat(43)}=:`,
  `sha-256=:${"A".repeat(44)}:`,
  `sha-256=:${"-".repeat(43)}=:`,
])("no other Content-Digest is understood: %s", (header) => {
  expect(() => parseContentDigest(header)).toThrow(expect.objectContaining({ code: "request.malformed" }));
});

test("parameters are taken within the window of the clock, on both sides", () => {
  const parameters = requestParameters("k".repeat(64), NONCE, NOW);
  for (const skew of [-REQUEST_SKEW_S, 0, REQUEST_SKEW_S]) {
    expect(checkRequestParameters(parameters, (NOW + skew) as UnixSeconds)).toMatchObject({
      nonce: NONCE,
      created: NOW,
    });
  }
  for (const skew of [-REQUEST_SKEW_S - 1, REQUEST_SKEW_S + 1]) {
    expect(() => checkRequestParameters(parameters, (NOW + skew) as UnixSeconds)).toThrow(
      expect.objectContaining({ code: "request.clock-skew", facts: { secondsAhead: -skew, atMost: REQUEST_SKEW_S } }),
    );
  }
});

test("a signature that says when it expires is taken until then, and not a second longer", () => {
  const parameters = { ...requestParameters("k".repeat(64), NONCE, NOW), expires: NOW + 60 };
  expect(checkRequestParameters(parameters, (NOW + 60) as UnixSeconds)).toMatchObject({ created: NOW });
  expect(() => checkRequestParameters(parameters, (NOW + 61) as UnixSeconds)).toThrow(unauthorized);
});

test("a nonce is remembered until no request can carry it inside its window", () => {
  // made by a clock that is fast by the whole window, and sent again at the last moment
  const created = NOW + REQUEST_SKEW_S;
  expect(nonceExpiry(created)).toBeGreaterThan(created + REQUEST_SKEW_S);
});

test.each([
  { alg: "rsa-pss-sha512" },
  { alg: undefined },
  { tag: "another-protocol" },
  { tag: undefined },
  { keyid: undefined },
  { keyid: 5 },
  { nonce: undefined },
  { nonce: "short" },
  { nonce: "X".repeat(32) },
  { nonce: "a".repeat(129) },
  { created: undefined },
  { created: "now" },
  { created: Number.NaN },
  { expires: "never" },
  { expires: Number.NaN },
])("parameters with %o are refused", (change) => {
  const parameters = { ...requestParameters("k".repeat(64), NONCE, NOW), ...change };
  expect(() => checkRequestParameters(parameters, NOW)).toThrow(unauthorized);
});
