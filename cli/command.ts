/** What every verb shares: the `--json` flag, examples in its help, and a context to act in. */
import { Command, type OptionValues } from "commander";
import { Failure } from "../manifests/failures.ts";
import { type Output, createOutput } from "./output.ts";
import { STOP_SIGNALS } from "./stop-signals.ts";

/** What a verb may use of the world beyond the disk. */
export interface Context {
  readonly output: Output;
  /** Aborted on a signal that asks us to stop: keep what is done, throw `source.interrupted`. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
}

/** A verb's flags as commander gives them, checked by the verb's own parser. */
export type Action = (context: Context, options: OptionValues, args: readonly string[]) => Promise<void>;

/**
 * A subcommand with `--json`, a summary and examples.
 * @param usage  name and arguments as commander reads them: "patch <dir>"
 * @param examples  command lines without the program's name, each with what it does
 */
export function verb(usage: string, summary: string, examples: readonly (readonly [string, string])[]): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, meaning]) => `  patchswarm ${line.padEnd(width)}   ${meaning}`);
  const [name = usage, ...parameters] = usage.split(" ");
  const command = new Command(name).summary(summary).description(summary);
  for (const parameter of parameters) command.argument(parameter);
  return command
    .option("--json", "print one JSON object a line on stdout")
    .addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/** Ties a verb to what it does. The context is closed afterwards, whatever happened. */
export function act(command: Command, action: Action): Command {
  return command.action(async () => {
    const options = command.opts();
    const output = createOutput(options["json"] === true, process, () => performance.now());
    const stop = new AbortController();
    const onSignal = (): void => stop.abort();
    // a second Ctrl-C ends us at once; a closed terminal may tell us twice, once from the shell and once from the
    // system
    for (const signal of STOP_SIGNALS) process[signal === "SIGHUP" ? "on" : "once"](signal, onSignal);
    try {
      refuseEmpty([...command.args, ...Object.values(options).flat()]);
      await action({ output, signal: stop.signal, env: process.env }, options, command.args);
    } finally {
      // still heard: a signal that comes after the last word would make a run that worked one that was killed
      output.close();
    }
  });
}

/**
 * A variable that a script forgot to set would else name the folder that one stands in. Throws: usage.bad-flag.
 * @param given  arguments, and what options have
 */
function refuseEmpty(given: readonly unknown[]): void {
  if (given.includes("")) throw new Failure("usage.bad-flag", { found: "an empty argument" });
}
