/** What tuf-js makes of a role is the same, and does not take the square of its length. */
import { Metadata, MetadataKind, TargetFile, Targets } from "@tufjs/models";
import { expect, test, vi } from "vitest";
import { memoryMetadata } from "../../cli/trust/store.ts";
import { START, TestRepository } from "../support/tuf-repo.ts";

type Json = Parameters<typeof Targets.fromJSON>[0];

const file = (n: number): Json => ({ length: n, hashes: { sha256: String(n).padStart(64, "0") }, custom: { n } });

/** A role of so many files, and of what else is given. */
function roleOf(count: number, more: Json = {}): Json {
  const targets = Object.fromEntries(Array.from({ length: count }, (_, n) => [`stable/${n}.json`, file(n)]));
  return { _type: "targets", spec_version: "1.0.31", version: 3, expires: "2026-11-29T00:00:00Z", targets, ...more };
}

const named = JSON.parse(
  JSON.stringify(roleOf(1)).replace('"stable/0.json"', '"__proto__":{"length":1,"hashes":{}},"constructor"'),
) as Json;
const key = { keytype: "ed25519", scheme: "ed25519", keyval: { public: "0".repeat(64) } };
const delegations = {
  keys: { a: key },
  roles: [{ name: "b", keyids: ["a"], threshold: 1, terminating: true, paths: ["b/*"] }],
};
const roles: Readonly<Record<string, Json>> = {
  "of some files": roleOf(3, { unknown: [1, { a: "b" }] }),
  "of none": roleOf(0),
  "that delegates": roleOf(0, { delegations }),
  "without a list": { ...roleOf(0), targets: undefined } as unknown as Json,
  "with names that every object has": named,
};
const refused: Readonly<Record<string, unknown>> = {
  "a text": "files",
  "a number": 1,
  nothing: null,
  "a list of numbers": { a: 1 },
  "a file without a length": { a: { hashes: {} } },
  "a file that is nothing": { a: null },
};

// before anything is put in its place
const theirFromJson = Targets.fromJSON.bind(Targets);
const theirs = Object.values(roles).map((role) => theirFromJson(role));
const theirJson = theirs.map((role) => JSON.stringify(role.toJSON()));
const { followWorkflow } = await import("../../cli/trust/workflow.ts");

test.each(Object.keys(roles).map((name, index) => [index, name] as const))(
  "a role is read and written as tuf-js does it: %i, %s",
  (index, name) => {
    const role = Targets.fromJSON(roles[name] ?? {});
    expect(role).toEqual(theirs[index]);
    expect(Object.getPrototypeOf(role.targets)).toBe(Object.prototype);
    expect(Object.values(role.targets).every((one) => one instanceof TargetFile)).toBe(true);
    expect(JSON.parse(JSON.stringify(role.toJSON()))).toEqual(JSON.parse(theirJson[index] ?? ""));
  },
);

test.each(Object.entries(refused))("a list that is %s is refused", (_, targets) => {
  const role = { ...roleOf(0), targets } as unknown as Json;
  expect(() => theirFromJson(role)).toThrow(TypeError);
  expect(() => Targets.fromJSON(role)).toThrow(TypeError);
});

// with the square of it in time, that takes minutes, and memory to match
test("a role of very many files is read and written", () => {
  const metadata = Metadata.fromJSON(MetadataKind.Targets, { signed: roleOf(30_000), signatures: [] });
  expect(Object.keys(metadata.signed.targets)).toHaveLength(30_000);
  expect(Object.keys(metadata.signed.toJSON()["targets"] ?? {})).toHaveLength(30_000);
});

// another version of tuf-js may bring a copy of the models of its own, in whose place nothing was put
test("tuf-js's own store reads and writes every role by what was put in the place of its methods", async () => {
  using read = vi.spyOn(Targets, "fromJSON");
  using written = vi.spyOn(Targets.prototype, "toJSON");
  const { files } = await TestRepository.create();
  const source = (name: string): Promise<Buffer | undefined> => {
    const bytes = files.get(name);
    return Promise.resolve(bytes && Buffer.from(bytes));
  };
  const pinnedRoot = files.get("1.root.json") ?? new Uint8Array();
  await followWorkflow({ store: memoryMetadata(), pinnedRoot, source, now: START });
  const lists = read.mock.calls.map(([{ targets }]) => Object.keys(targets ?? {}));
  expect(lists).toContainEqual(["stable/1.json"]);
  // targets, live, stable and beta
  expect(lists).toHaveLength(4);
  expect(new Set(written.mock.contexts).size).toBe(4);
});
