/** A seed that lasts: through an edge that is away, and through a patch of what it shares. */
import { afterAll, expect, test, vi } from "vitest";
import type { Swarm, VerifiedPieces } from "../../cli/peers/board.ts";
import { seed } from "../../cli/patch/seed.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { newPlayer } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

// trust has its own tests: the fixture's title has no keys
const edges: string[] = vi.hoisted(() => []);
vi.mock("../../cli/trust/title.ts", () => ({
  titleOfInstall: () => Promise.resolve({ title: "demo", edges }),
  rememberTitle: () => Promise.resolve(),
}));

test("a seed outlasts an edge that is away, and follows the install when it is patched", async () => {
  await using publisher = await Publisher.start({ pieceLength: 16 * 1024 });
  const first = publisher.publish("1.0.0", { files: { a: "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();

  const joined: VerifiedPieces[] = [];
  let members = 0;
  const swarm: Swarm = {
    peerId: "1".repeat(40),
    join(board) {
      joined.push(board);
      members += 1;
      return Promise.resolve({
        peers: () => ({ connected: 0, unchoked: 0 }),
        rate: () => 0,
        downloaded: () => 0,
        uploaded: () => 1,
        badPeers: () => [],
        leave: () => Promise.resolve(void (members -= 1)),
      });
    },
    close: () => Promise.resolve(),
  };
  let away = false;
  const logs: string[] = [];
  const enough = new AbortController();
  edges.push(publisher.url);
  const seeding = seed(
    { folders: [player.folder], uploadLimit: null },
    {
      output: { log: (text) => void logs.push(text) },
      signal: enough.signal,
      fetch: (input, init) => {
        const url = input as string;
        if (away) return Promise.resolve(new Response("{}", { status: 404 }));
        return fetch(url, init);
      },
      createSwarm: () => Promise.resolve(swarm),
      rejoinAfterMs: 300,
      retryMs: 50,
    },
    () => {},
  );
  await vi.waitFor(() => expect(joined.length).toBeGreaterThan(0));
  expect(joined[0]?.layout.infohash).toBe(first.torrent.infohash);
  away = true;
  await vi.waitFor(() => expect(logs.length).toBeGreaterThan(1), 3000);
  expect(members).toBe(1);
  away = false;

  const second = publisher.publish("1.1.0", { files: { a: "three" } });
  await player.patch();
  await vi.waitFor(() => expect(joined.at(-1)?.layout.infohash).toBe(second.torrent.infohash), 3000);
  enough.abort();
  expect((await seeding).uploaded).toBe(joined.length);
});
