/** A player's side of the trust tests: one install's memory, opened as often as one likes against a test edge. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type UnixSeconds } from "../../manifests/trust/roles.ts";
import { type TitleFile } from "../../manifests/trust/title-file.ts";
import { lightFetch } from "../../cli/sources/light-fetch.ts";
import { type TitleOptions, type TrustedTitle, openTitle } from "../../cli/trust/client.ts";
import { START, TestEdge, TestRepository } from "./tuf-repo.ts";

export class Player {
  /** The player's own clock. */
  now: UnixSeconds = START;
  readonly metadataDir: string;
  readonly titleFile: TitleFile;

  constructor(metadataDir: string, titleFile: TitleFile) {
    this.metadataDir = metadataDir;
    this.titleFile = titleFile;
  }

  /** A new run of the program: nothing is shared with the last one but the disk. */
  open(options: Partial<TitleOptions> = {}): Promise<TrustedTitle> {
    return openTitle({
      titleFile: this.titleFile,
      metadataDir: this.metadataDir,
      now: new Date(this.now * 1000),
      fetch: lightFetch,
      // tests never wait for a second chance; a busy machine has silences of its own
      patience: { idleSeconds: 2, tries: 1, retryMs: 1 },
      ...options,
    });
  }

  async refreshed(options: Partial<TitleOptions> = {}): Promise<TrustedTitle> {
    const title = await this.open(options);
    await title.refresh();
    return title;
  }
}

export interface Stage {
  readonly repository: TestRepository;
  readonly edge: TestEdge;
  /** A player who has never asked. */
  readonly player: Player;
}

/** One title with a release, its edge and a player; taken down after `act`. */
export async function onStage<T>(act: (stage: Stage) => Promise<T>): Promise<T> {
  const repository = await TestRepository.create();
  const edge = await TestEdge.start(repository);
  const dir = await mkdtemp(path.join(tmpdir(), "patchswarm-trust-"));
  try {
    const player = new Player(path.join(dir, "metadata"), repository.titleFile([edge.url]));
    return await act({ repository, edge, player });
  } finally {
    await edge.close();
    await rm(dir, { recursive: true });
  }
}
