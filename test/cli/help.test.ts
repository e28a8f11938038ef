/** What --help says of an option that is not given. */
import { type Command } from "commander";
import { expect, test } from "vitest";
import { devCommand } from "../../cli/commands/dev.ts";
import { initCommand } from "../../cli/commands/init.ts";
import { patchCommand } from "../../cli/commands/patch.ts";
import { seedCommand } from "../../cli/commands/seed.ts";
import { PEERS_FAST_ENOUGH_BPS } from "../../manifests/limits.ts";

const verbs: Readonly<Record<string, () => Command>> = {
  dev: devCommand,
  init: initCommand,
  patch: patchCommand,
  seed: seedCommand,
};

test.each([
  ["dev", "--peers-enough", `default: ${PEERS_FAST_ENOUGH_BPS}, which is 200 Mbit/s`],
  ["init", "--channels", "no command adds one later"],
  ["patch", "--channel", "default: the one that is installed, at first the title's own"],
  ["patch", "--upload-limit", "default: no limit"],
  ["patch", "--download-limit", "default: no limit"],
  ["seed", "--upload-limit", "default: no limit"],
])("%s --help says of %s: %s", (verb, option, words) => {
  const found = verbs[verb]?.().options.find(({ long }) => long === option);
  expect(found?.description).toContain(words);
});
