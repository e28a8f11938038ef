/** What an edge on this machine may write to its disk. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { roomIn } from "../../cli/edge/room.ts";
import { freeBytesAt } from "../../cli/free-bytes.ts";
import { EDGE_DISK_RESERVE_BYTES } from "../../manifests/limits.ts";

test("what would leave less than the reserve is refused, and the bytes that would have to be free are named", async () => {
  // still to be made: it will lie on this file system
  const folder = join(tmpdir(), "no-such-folder", "edge");
  const free = await freeBytesAt(folder);
  const ask = async (bytes: number): Promise<Response> => await roomIn(folder)({ url: `http://disk/?bytes=${bytes}` });
  // by twice the reserve: others write to this disk meanwhile
  expect((await ask(free - 2 * EDGE_DISK_RESERVE_BYTES)).status).toBe(204);
  const refused = await ask(free + EDGE_DISK_RESERVE_BYTES);
  expect([refused.status, await refused.json()]).toEqual([
    507,
    { folder, needed: free + 2 * EDGE_DISK_RESERVE_BYTES, free: expect.any(Number) as unknown },
  ]);
});
