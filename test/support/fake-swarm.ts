/** A swarm of one peer in this process: has some files, and is honest, a liar for a while, silent, or late. */
import type { Membership, PieceBoard, Swarm } from "../../cli/peers/board.ts";
import { pieceOf } from "../../manifests/torrent.ts";

export interface FakePeer {
  /** Path -> content. */
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** How many pieces it spoils before it turns honest. */
  readonly lies?: number;
  /** Connected, and never gives anything. */
  readonly silent?: boolean;
  /** Pieces of these paths only. */
  readonly only?: readonly string[];
}

export interface FakeSwarm {
  readonly createSwarm: () => Promise<Swarm>;
  /** Blocks that were handed in, good or bad. */
  readonly given: () => number;
  readonly board: () => PieceBoard | undefined;
}

export function fakeSwarm({ files, lies = 0, silent = false, only }: FakePeer): FakeSwarm {
  let downloaded = 0;
  let given = 0;
  let liesLeft = lies;
  let joined: PieceBoard | undefined;
  let stopped = false;

  async function give(board: PieceBoard, piece: number): Promise<void> {
    const { file, offset, bytes } = pieceOf(board.layout, piece);
    const content = Buffer.from(files[file.path] ?? "");
    if (stopped || silent || content.length !== file.size || only?.includes(file.path) === false) return;
    const claim = board.claim(piece);
    if (claim === undefined) return;
    const whole = Uint8Array.from(content.subarray(offset, offset + bytes));
    const filled = new Uint8Array(bytes);
    const block = 16 * 1024;
    for (const number of claim.blocks) filled.set(whole.subarray(number * block, (number + 1) * block), number * block);
    given += claim.blocks.length;
    downloaded += claim.blocks.reduce((sum, number) => sum + Math.min(block, bytes - number * block), 0);
    if (liesLeft > 0) {
      liesLeft -= 1;
      const at = (claim.blocks[0] ?? 0) * block;
      filled[at] = (filled[at] ?? 0) ^ 1;
    }
    let good: boolean;
    try {
      good = await claim.complete(filled);
    } catch {
      stopped = true; // as cli/peers/download.ts does: the disk failed, and the board's owner knows
      return;
    }
    if (!good) await give(board, piece);
  }

  const createSwarm = (): Promise<Swarm> =>
    Promise.resolve({
      peerId: "1".repeat(40),
      join(board) {
        if (!("claim" in board)) throw new Error("nothing to fetch");
        joined = board;
        const pending = new Set<Promise<void>>();
        const start = (piece: number): void => {
          const giving = give(board, piece);
          pending.add(giving);
          void giving.finally(() => pending.delete(giving));
        };
        const stop = board.onChange(({ piece, now }) => {
          if (now === "missing") start(piece);
        });
        for (const piece of board.missing()) start(piece);
        const membership: Membership = {
          peers: () => ({ connected: 1, unchoked: 1 }),
          rate: () => 0,
          downloaded: () => downloaded,
          useful: () => downloaded,
          uploaded: () => 0,
          badPeers: () => [],
          leave: async () => {
            stop();
            await Promise.allSettled(pending);
          },
        };
        return Promise.resolve(membership);
      },
      close: () => Promise.resolve(),
    });
  return { createSwarm, given: () => given, board: () => joined };
}
