import * as fc from "fast-check";
import { expect, test } from "vitest";
import { fromBase64, toBase64 } from "../../manifests/base64.ts";

test("the vectors of RFC 4648 §10", () => {
  const vectors = { f: "Zg==", fo: "Zm8=", foo: "Zm9v", foob: "Zm9vYg==", fooba: "Zm9vYmE=", foobar: "Zm9vYmFy" };
  for (const [text, encoded] of Object.entries(vectors)) expect(toBase64(new TextEncoder().encode(text))).toBe(encoded);
  expect(toBase64(new Uint8Array(0))).toBe("");
});

test("as everyone writes it, and back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = toBase64(bytes);
      expect(text).toBe(Buffer.from(bytes).toString("base64"));
      expect(fromBase64(text)).toEqual(Uint8Array.from(bytes));
    }),
  );
});
