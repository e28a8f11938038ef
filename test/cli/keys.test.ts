/** The publisher's key files, and the requests signed with them. */
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { verifySignature, webcrypto } from "http-message-sig";
import { expect, test } from "vitest";
import { fromHex } from "../../manifests/digest.ts";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import {
  SIGNATURE_LABEL,
  SIGNED_COMPONENTS,
  SIGNED_PARAMETERS,
  checkRequestParameters,
  parseContentDigest,
} from "../../manifests/wire/signed-request.ts";
import { ensureKey, readKeys, signersOf } from "../../cli/publish/keys.ts";
import { type SignedRequest, createSignedFetch } from "../../cli/publish/signed-fetch.ts";
import { verifyEd25519 } from "../../cli/trust/crypto.ts";
import { testKey } from "../support/role-keys.ts";

async function inFolder<T>(act: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(tmpdir(), "patchswarm-keys-"));
  try {
    return await act(path.join(dir, "keys"));
  } finally {
    await rm(dir, { recursive: true });
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("a key is made once, and is the same key ever after", async () => {
  await inFolder(async (dir) => {
    const made = await ensureKey(dir, "root-1");
    const file = await readFile(path.join(dir, "root-1.pem"), "utf8");
    const again = await ensureKey(dir, "root-1");
    expect(again.keyid).toBe(made.keyid);
    expect(await readFile(path.join(dir, "root-1.pem"), "utf8")).toBe(file);
    expect(file).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect((await ensureKey(dir, "root-2")).keyid).not.toBe(made.keyid);
  });
});

test.skipIf(process.platform === "win32")("only its owner can read a key", async () => {
  await inFolder(async (dir) => {
    await ensureKey(dir, "root-1");
    expect((await stat(path.join(dir, "root-1.pem"))).mode & 0o777).toBe(0o600);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
  });
});

test("what a key signs verifies under its public half, and under no other", async () => {
  await inFolder(async (dir) => {
    const [one, other] = [await ensureKey(dir, "one"), await ensureKey(dir, "other")];
    const signature = await one.sign(text("message"));
    expect(await verifyEd25519(one.publicKey, signature, text("message"))).toBe(true);
    expect(await verifyEd25519(one.publicKey, signature, text("massage"))).toBe(false);
    expect(await verifyEd25519(other.publicKey, signature, text("message"))).toBe(false);
    expect(await verifyEd25519(new Uint8Array(5), signature, text("message"))).toBe(false);
  });
});

test("the folder's keys are read in the order of their names; other files are left alone", async () => {
  await inFolder(async (dir) => {
    for (const name of ["targets", "channel-stable", "root-1"]) await ensureKey(dir, name);
    await writeFile(path.join(dir, "README.txt"), "keep these offline");
    expect((await readKeys(dir)).map(({ name }) => name)).toEqual(["channel-stable", "root-1", "targets"]);
  });
});

test.each([
  ["text", "not a key"],
  ["a key cut short", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n"],
  ["a key of another kind", ecKey()],
])("%s is refused, and not overwritten", async (_what, content) => {
  await inFolder(async (dir) => {
    await mkdir(dir);
    const file = path.join(dir, "root-1.pem");
    await writeFile(file, content);
    await expect(ensureKey(dir, "root-1")).rejects.toMatchObject({ code: "usage.bad-key-file" });
    await expect(readKeys(dir)).rejects.toMatchObject({ code: "usage.bad-key-file" });
    expect(await readFile(file, "utf8")).toBe(content);
    expect(await readdir(dir)).toEqual(["root-1.pem"]);
  });
});

test("a folder that is called a key is none", async () => {
  await inFolder(async (dir) => {
    await mkdir(path.join(dir, "root-1.pem"), { recursive: true });
    await expect(readKeys(dir)).rejects.toMatchObject({ code: "usage.bad-key-file" });
  });
});

test("a folder without keys is named", async () => {
  await inFolder(async (dir) => {
    await expect(readKeys(dir)).rejects.toMatchObject({
      code: "usage.no-keys",
      facts: { folder: dir, reason: expect.stringContaining("ENOENT") as string },
    });
  });
});

test("a role is signed by as many of its own keys as it takes, or not at all", async () => {
  await inFolder(async (dir) => {
    const keys = await Promise.all(["a", "b", "c", "stranger"].map((name) => ensureKey(dir, name)));
    const holders = { keyids: keys.slice(0, 3).map(({ keyid }) => keyid), threshold: 2 };
    expect(signersOf("root", holders, keys.toReversed(), dir).map(({ name }) => name)).toEqual(["c", "b"]);
    expect(() => signersOf("root", holders, keys.slice(2), dir)).toThrow(
      expect.objectContaining({
        code: "usage.no-keys",
        facts: { role: "root", folder: dir, found: 1, expected: 2, lookedAt: ["c", "stranger"] },
      }),
    );
    expect(() => signersOf("root", holders, [], dir)).toThrow(
      expect.objectContaining({ facts: { role: "root", folder: dir, found: 0, expected: 2 } }),
    );
  });
});

// --- Signed requests -------------------------------------------------------------------------------------------------

const NOW = 1_795_341_600 as UnixSeconds;
const POST: SignedRequest = { method: "POST", url: "http://edge.test/t/demo/publish", body: text('{"seq":1}') };

/** A publisher whose requests end here; answers come from the list, the last one for good. */
async function publisher(answers: readonly (Response | Error)[] = [new Response()]) {
  const signer = await testKey("stable");
  const sent: Request[] = [];
  const send = createSignedFetch({
    signer,
    clock: () => NOW,
    patience: { tries: 3, retryMs: 1 },
    fetch: (url, init) => {
      sent.push(new Request(url, init));
      const answer = answers[Math.min(sent.length, answers.length) - 1] ?? new Response();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer.clone());
    },
  });
  return { signer, sent, send };
}

/** As the edge checks it. Gives the signature's parameters. */
async function verified(request: Request, publicKey: Uint8Array) {
  const key = await crypto.subtle.importKey("raw", new Uint8Array(publicKey), "Ed25519", false, ["verify"]);
  const { parameters } = await verifySignature(request, {
    label: SIGNATURE_LABEL,
    policy: { algorithms: ["ed25519"], requiredComponents: SIGNED_COMPONENTS, requiredParameters: SIGNED_PARAMETERS },
    resolveVerifier: () => webcrypto.verifier(key),
  });
  return checkRequestParameters(parameters, NOW);
}

test("a signed request verifies, and names its key", async () => {
  const { signer, sent, send } = await publisher();
  await send(POST);
  const [request] = sent;
  if (request === undefined) throw new Error("nothing was sent");
  expect(await verified(request, signer.publicKey)).toMatchObject({ keyid: signer.keyid, created: NOW });
  const digest = createHash("sha256")
    .update(await request.bytes())
    .digest();
  expect(Buffer.from(parseContentDigest(request.headers.get("content-digest") ?? ""))).toEqual(digest);
});

test.each([
  ["another method", (request: Request) => new Request(request, { method: "PUT" })],
  ["another path", (request: Request) => new Request("http://edge.test/t/demo/hold", request)],
  [
    "another body",
    (request: Request) => {
      const headers = new Headers(request.headers);
      headers.set("content-digest", `sha-256=:${createHash("sha256").update("other").digest("base64")}:`);
      return new Request(request, { method: "POST", headers, body: "other" });
    },
  ],
])("a signature is no good for %s", async (_what, change) => {
  const { signer, sent, send } = await publisher();
  await send(POST);
  const [request] = sent;
  if (request === undefined) throw new Error("nothing was sent");
  await expect(verified(change(request), signer.publicKey)).rejects.toMatchObject({ code: "VerificationFailed" });
});

test("a request is tried again while the edge is silent, busy or broken, each time under a new nonce", async () => {
  const answers = [new TypeError("fetch failed"), new Response(null, { status: 503 }), new Response("done")];
  const { signer, sent, send } = await publisher(answers);
  expect(await (await send(POST)).text()).toBe("done");
  const nonces = await Promise.all(sent.map(async (request) => (await verified(request, signer.publicKey)).nonce));
  expect(new Set(nonces).size).toBe(3);
  const bodies = await Promise.all(sent.map((request) => request.text()));
  expect(bodies).toEqual(['{"seq":1}', '{"seq":1}', '{"seq":1}']);
});

test("a request is given up after the last try", async () => {
  const { sent, send } = await publisher([new Response(null, { status: 500 })]);
  await expect(send(POST)).rejects.toMatchObject({ code: "edge.unreachable", facts: { status: 500 } });
  expect(sent).toHaveLength(3);
});

test("what the edge refuses is not tried again, and said in the edge's own words", async () => {
  const problem = { code: "release.not-found", facts: { found: "stable/7\u001b[2J\u202e", more: ["x"] } };
  const { sent, send } = await publisher([Response.json(problem, { status: 404 })]);
  await expect(send(POST)).rejects.toMatchObject({
    name: "Failure",
    code: "release.not-found",
    facts: { found: "stable/7[2J", more: '["x"]' },
  });
  expect(sent).toHaveLength(1);
});

test.each([
  [401, "request.unauthorized"],
  [404, "request.not-found"],
  [400, "request.malformed"],
  [429, "edge.busy"],
])("a %i without a problem document we know is %s", async (status, code) => {
  for (const body of ["", "{}", '{"code":"constructor"}', '{"code":"not.ours"}']) {
    const { send } = await publisher([new Response(body, { status })]);
    await expect(send(POST)).rejects.toMatchObject({ code });
  }
});

test("an aborted request says that it was interrupted", async () => {
  const { send } = await publisher([new DOMException("aborted", "AbortError")]);
  await expect(send({ ...POST, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "source.interrupted" });
});

test("a large body is sent from its file, under the digest that its caller knows", async () => {
  const { signer, sent, send } = await publisher();
  const id = createHash("sha256").update("pack").digest("hex");
  await send({
    method: "PUT",
    url: `http://edge.test/t/demo/objects/${id}`,
    body: new Blob(["pack"]),
    digest: fromHex(id),
  });
  const [request] = sent;
  if (request === undefined) throw new Error("nothing was sent");
  await verified(request, signer.publicKey);
  expect(Buffer.from(parseContentDigest(request.headers.get("content-digest") ?? "")).toString("hex")).toBe(id);
  await expect(send({ method: "PUT", url: POST.url, body: new Blob(["pack"]) })).rejects.toThrow(TypeError);
});

function ecKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}
