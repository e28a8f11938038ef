/**
 * Where things lie in an install. Everything of ours is below `.patchswarm`, on the same file system as the files, so
 * that committing is renaming.
 */
import path from "node:path";
import { STATE_FOLDER, type SafePath } from "../../manifests/paths.ts";

export class Install {
  /** Absolute. */
  readonly folder: string;
  readonly #staging: string;

  constructor(folder: string) {
    this.folder = path.resolve(folder);
    this.#staging = this.own("staging") + path.sep;
  }

  /** `<install>/.patchswarm/<names…>`. */
  own(...names: readonly string[]): string {
    return path.join(this.folder, STATE_FOLDER, ...names);
  }

  /** A file of the release. The path was parsed: it cannot leave the folder. */
  file(safe: SafePath): string {
    // not path.join, which would look at every segment again, 20,000 times
    return this.folder + path.sep + (path.sep === "/" ? safe : safe.replaceAll("/", path.sep));
  }

  /** A file or folder in staging; the name is one of layout.ts. */
  staged(name: string): string {
    return this.#staging + (path.sep === "/" ? name : name.replaceAll("/", path.sep));
  }
}
