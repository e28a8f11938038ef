/**
 * Roles of thousands of releases, for tuf-js. @tufjs/models 5.0.2 reads and writes what a role lists one by one, and copies
 * all that came before each time: a channel of 8,000 releases takes it 15 s to read and as long to check (measured). Here
 * both are done at once; what comes of it is the same, and whoever imports this has it so.
 */
import { TargetFile, Targets } from "@tufjs/models";

type Json = Parameters<typeof Targets.fromJSON>[0];
type JsonOfFile = Parameters<typeof TargetFile.fromJSON>[1];

const fromJson = Targets.fromJSON.bind(Targets);
const { toJSON: toJson } = Targets.prototype as { readonly toJSON: (this: Pick<Targets, "targets">) => Json };

Targets.fromJSON = (data) => {
  const { targets } = data;
  // what is no object at all is theirs to refuse
  if (typeof targets !== "object" || targets === null) return fromJson(data);
  const files = Object.entries(targets).map(([path, file]) => [path, TargetFile.fromJSON(path, file as JsonOfFile)]);
  return Object.assign(fromJson({ ...data, targets: {} }), { targets: fromEntries(files) });
};

Targets.prototype.toJSON = function (this: Targets): Json {
  const files = Object.entries(this.targets).map(([path, file]) => [path, file.toJSON()]);
  return { ...toJson.call({ ...this, targets: {} }), targets: fromEntries(files) };
};

/** Also a path that is called as something every object has becomes one of its own. */
const fromEntries = Object.fromEntries as (entries: unknown[][]) => Json;
