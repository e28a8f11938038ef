/** What an install keeps of the release that it becomes: the state that names it, and its objects. Others' go. */
import type { ObjectId } from "../../manifests/digest.ts";
import { forgetUnbegun } from "./commit.ts";
import type { Disk } from "./disk.ts";
import type { Install } from "./install.ts";
import { dropUnfinishedDeltas } from "./kept-deltas.ts";
import type { Objects } from "./objects.ts";
import type { Recipes } from "./recipes.ts";
import { Staging } from "./staging.ts";
import type { InstallState, NextState } from "./state.ts";
import type { Target } from "./target.ts";

interface Parts {
  readonly install: Install;
  readonly title: { readonly title: string };
  readonly target: Target;
  /** What was installed before. */
  readonly installed: InstallState | undefined;
  readonly objects: Objects;
  readonly recipes: Recipes;
}

export class KeptRelease {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The state of an install of this release. */
  stateWith(files: NextState["files"]): NextState {
    const { title, target } = this.#parts;
    const { release, channel } = target;
    return {
      title: title.title,
      release: {
        seq: release.seq,
        version: release.version,
        channel,
        tree: release.tree.sha256,
        ...(this.#treePlain && { treePlain: this.#treePlain }),
        torrent: release.torrent.sha256,
        ...(release.torrent.v1 === undefined ? {} : { infohashV1: release.torrent.v1.infohash }),
        pieceLength: release.torrent.pieceLength,
      },
      files,
    };
  }

  /** Deletes what was kept of other releases. */
  async prune(): Promise<void> {
    const { objects, recipes, target } = this.#parts;
    const { tree, torrent } = target.release;
    await objects.prune([tree.sha256, this.#treePlain, torrent.sha256]);
    await recipes.prune();
  }

  /** The install is this release: gigabytes, perhaps, of an update that nobody wants any more go. */
  async forgetAbandoned(disk: Disk): Promise<void> {
    const { install } = this.#parts;
    await (await Staging.look(install)).clear();
    await forgetUnbegun(disk, install);
    await dropUnfinishedDeltas(install);
    // a run that was killed behind its commit, or whose commit was finished by this one, kept what the old release had
    await this.prune();
  }

  /** What the wanted tree is uncompressed, under whose name it may be kept: another release may have said it. */
  get #treePlain(): ObjectId | undefined {
    const { tree } = this.#parts.target.release;
    const installed = this.#parts.installed?.release;
    return tree.plain?.sha256 ?? (installed?.tree === tree.sha256 ? installed.treePlain : undefined);
  }
}
