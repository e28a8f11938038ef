/** Which block is asked of whom, and who is blamed: the picker without sockets, disk or clock. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Ask, Picker, type PieceClaims, type WireId } from "../../cli/peers/picker.ts";
import { RarityOrder } from "../../cli/peers/rarity.ts";
import { RateLimit, RateMeter } from "../../cli/peers/rates.ts";
import {
  BLOCK_BYTES,
  PEER_DUPLICATE_AFTER_MS,
  PEER_PIECE_KEPT_MS,
  PEER_REQUESTS_MIN,
  PEER_REST_MS,
  PEER_SNUB_MS,
  PEERS_ACTIVE_PIECES_MAX,
} from "../../manifests/limits.ts";

const BLOCKS = 4;
const PIECE_BYTES = BLOCKS * BLOCK_BYTES - 100;
const ALL = [0, 1, 2, 3];

/** A board without content: who holds which piece, and which blocks of it are to be fetched. */
class Table implements PieceClaims {
  readonly state: ("missing" | "claimed" | "verified")[];
  readonly blocks: number[][];
  readonly released: number[] = [];
  pieceBytes = PIECE_BYTES;

  constructor(pieces: number) {
    this.state = Array.from({ length: pieces }, () => "missing");
    this.blocks = Array.from({ length: pieces }, () => ALL);
  }

  claim(piece: number) {
    if (this.state[piece] !== "missing") return undefined;
    this.state[piece] = "claimed";
    return { blocks: this.blocks[piece] ?? [], bytes: this.pieceBytes };
  }

  release(piece: number): void {
    this.state[piece] = "missing";
    this.released.push(piece);
  }
}

function setUp(pieces: number, random: () => number = () => 0): { table: Table; picker: Picker } {
  const table = new Table(pieces);
  const picker = new Picker(pieces, table, random);
  for (let piece = 0; piece < pieces; piece++) picker.open(piece);
  return { table, picker };
}

/** A seed that gives. */
function seed(picker: Picker, id: WireId, peer = `peer ${id}`): void {
  picker.joined(id, peer, 0);
  picker.hasAll(id);
  picker.unchoked(id, 0);
}

const ENDLESS = Number.POSITIVE_INFINITY;
const pieces = (asks: readonly Ask[]): number[] => [...new Set(asks.map(({ piece }) => piece))];

/** Answers all asks; the pieces that became complete. */
function answer(picker: Picker, asks: readonly Ask[], now: number): number[] {
  return asks.flatMap((ask) => (picker.received(ask, now).complete ? [ask.piece] : []));
}

test("a peer is asked for whole pieces, every block once, the last one short", () => {
  const { picker } = setUp(2);
  seed(picker, 1);
  const asks = picker.fill(1, 0, ENDLESS);
  expect(pieces(asks)).toHaveLength(2);
  expect(asks.filter(({ piece }) => piece === 0).map(({ block }) => block)).toEqual(ALL);
  const last = asks.find(({ block }) => block === 3);
  expect(last).toMatchObject({ offset: 3 * BLOCK_BYTES, length: BLOCK_BYTES - 100 });
  expect(picker.fill(1, 0, ENDLESS)).toEqual([]);
});

test("no more pieces are begun than may be under way, until some of them are verified", () => {
  const { picker, table } = setUp(PEERS_ACTIVE_PIECES_MAX + 100);
  for (const piece of table.blocks.keys()) table.blocks[piece] = [0];
  table.pieceBytes = 1000;
  seed(picker, 1);
  const complete: number[] = [];
  for (let asks = picker.fill(1, 0, ENDLESS); asks.length > 0; asks = picker.fill(1, 0, ENDLESS)) {
    complete.push(...answer(picker, asks, 0));
  }
  expect(complete).toHaveLength(PEERS_ACTIVE_PIECES_MAX);
  expect(complete.map((piece) => table.state[piece])).not.toContain("missing");

  for (const piece of complete.slice(0, 40)) {
    table.state[piece] = "verified";
    picker.verified(piece);
    expect(picker.completed(piece, true)).toEqual([]);
  }
  expect(picker.fill(1, 0, 25)).toHaveLength(25);
  expect(picker.fill(1, 0, ENDLESS)).toHaveLength(15);
});

test("a piece that is being verified is neither released nor opened again", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  expect(answer(picker, picker.fill(1, 0, ENDLESS), 0)).toEqual([0]);
  picker.open(0);
  picker.left(1);
  picker.stop();
  expect(table.released).toEqual([]);
  seed(picker, 2);
  expect(picker.fill(2, 0, ENDLESS)).toEqual([]);
});

test("blocks that are on disk are not asked for", () => {
  const { picker, table } = setUp(1);
  table.blocks[0] = [1, 3];
  seed(picker, 1);
  expect(picker.fill(1, 0, ENDLESS).map(({ block }) => block)).toEqual([1, 3]);
});

test("the rarest piece comes first", () => {
  const { picker } = setUp(8);
  for (const [id, has] of [
    [1, [0, 1, 2, 3, 4, 5, 6, 7]],
    [2, [0, 1, 2, 4, 5, 6, 7]],
    [3, [0, 1, 2, 5, 7]],
  ] as const) {
    picker.joined(id, `peer ${id}`, 0);
    for (const piece of has) if (has.length < 8) picker.has(id, piece);
  }
  picker.hasAll(1);
  picker.unchoked(1, 0);
  picker.accepts(1, 3 * BLOCKS);
  // nobody but the seed has 3; 4 and 6 are at one other
  const [rarest, ...others] = pieces(picker.fill(1, 0, ENDLESS));
  expect(rarest).toBe(3);
  expect(new Set(others)).toEqual(new Set([4, 6]));
});

test("no more is asked than the peer accepts, its rate deserves, or the limit leaves", () => {
  const { picker } = setUp(100);
  seed(picker, 1);
  picker.accepts(1, 3);
  expect(picker.fill(1, 0, ENDLESS)).toHaveLength(3);
  seed(picker, 2);
  expect(picker.fill(2, 0, ENDLESS)).toHaveLength(PEER_REQUESTS_MIN);
  seed(picker, 3);
  expect(picker.fill(3, 0, 5)).toHaveLength(5);
});

test("a faster peer is asked for more at once", () => {
  const { picker } = setUp(1000);
  seed(picker, 1);
  let out = [...picker.fill(1, 0, ENDLESS)];
  const first = out.length;
  for (let now = 10; now < 1000; now += 10) {
    answer(picker, out.splice(0, 20), now);
    out.push(...picker.fill(1, now, ENDLESS));
  }
  expect(out.length).toBeGreaterThan(4 * first);
});

test("nothing is asked of a peer that chokes", () => {
  const { picker } = setUp(1);
  picker.joined(1, "a", 0);
  picker.hasAll(1);
  expect(picker.fill(1, 0, ENDLESS)).toEqual([]);
});

test("a stalled peer's piece goes on with another peer, and what it gave is kept", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  const [first, ...rest] = picker.fill(1, 0, ENDLESS);
  if (first !== undefined) picker.received(first, 1);
  seed(picker, 2);
  const cancelled = picker.tick(PEER_SNUB_MS + 1);
  // the last ask stays out as a sign of life to wait for
  expect(cancelled.length).toBe(rest.length - 1);
  expect(table.released).toEqual([]);
  const asks = picker.fill(2, PEER_SNUB_MS + 1, ENDLESS);
  expect(asks.map(({ block }) => block).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  expect(answer(picker, asks, PEER_SNUB_MS + 2)).toEqual([0]);
});

test("a stalled peer's piece goes back to the board and rests when nobody else has it", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  picker.fill(1, 0, ENDLESS);
  picker.tick(PEER_SNUB_MS);
  expect(table.released).toEqual([0]);
  picker.open(0);
  seed(picker, 2);
  expect(picker.fill(2, PEER_SNUB_MS, ENDLESS)).toEqual([]);
  picker.tick(PEER_SNUB_MS + PEER_REST_MS);
  expect(picker.fill(2, PEER_SNUB_MS + PEER_REST_MS, ENDLESS)).toHaveLength(BLOCKS);
});

test("a block every 6 s becomes a piece when nobody else has it", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  /** What the peer has still to answer, in order: as it was asked, without what was cancelled. */
  let out: Ask[] = [];
  const complete: number[] = [];
  for (let now = 0; now <= 60_000 && complete.length === 0; now += 100) {
    const cancelled = new Set(picker.tick(now));
    out = out.filter((ask) => !cancelled.has(ask));
    if (table.state[0] === "missing") picker.open(0);
    out.push(...picker.fill(1, now, ENDLESS));
    if (now % 6000 === 5900) complete.push(...answer(picker, out.splice(0, 1), now));
  }
  expect(complete).toEqual([0]);
});

test("a piece that stays with a slow peer is helped with by whoever comes, and given back when no more comes", () => {
  const { picker, table } = setUp(2);
  seed(picker, 1);
  picker.accepts(1, BLOCKS);
  const [first] = picker.fill(1, 0, ENDLESS);
  if (first !== undefined) picker.received(first, 1);
  picker.tick(1 + PEER_SNUB_MS);
  expect(table.released).toEqual([]);
  picker.joined(2, "other", 0);
  picker.unchoked(2, 0);
  picker.has(2, first?.piece ?? 0);
  expect(picker.fill(2, 2 + PEER_SNUB_MS, ENDLESS)).toHaveLength(BLOCKS - 1);
  picker.left(2);
  picker.tick(PEER_PIECE_KEPT_MS);
  expect(table.released).toEqual([]);
  picker.tick(1 + PEER_PIECE_KEPT_MS);
  expect(table.released).toEqual([first?.piece]);
});

test("a peer that chokes for a while goes on where it stopped when nobody else has the piece", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  const [first] = picker.fill(1, 0, ENDLESS);
  if (first !== undefined) picker.received(first, 1);
  picker.choked(1);
  expect(table.released).toEqual([]);
  picker.unchoked(1, 1000);
  expect(answer(picker, picker.fill(1, 1000, ENDLESS), 1001)).toEqual([0]);
});

test("a stalled peer is asked again once it answers", () => {
  const { picker } = setUp(2);
  seed(picker, 1);
  const [kept] = picker.fill(1, 0, ENDLESS);
  picker.tick(PEER_SNUB_MS);
  expect(picker.fill(1, PEER_SNUB_MS, ENDLESS)).toEqual([]);
  picker.tick(PEER_SNUB_MS + PEER_REST_MS);
  if (kept !== undefined) picker.received(kept, PEER_SNUB_MS + PEER_REST_MS);
  expect(picker.fill(1, PEER_SNUB_MS + PEER_REST_MS, ENDLESS).length).toBeGreaterThan(0);
});

test("in the endgame a slow block is asked of a second peer, and whoever is late is told to stop", () => {
  const { picker } = setUp(1);
  seed(picker, 1);
  const slow = picker.fill(1, 0, ENDLESS);
  seed(picker, 2);
  expect(picker.fill(2, PEER_DUPLICATE_AFTER_MS - 1, ENDLESS)).toEqual([]);
  const fast = picker.fill(2, PEER_DUPLICATE_AFTER_MS, ENDLESS);
  expect(fast).toHaveLength(BLOCKS);
  const [block] = fast;
  if (block === undefined) return;
  const received = picker.received(block, PEER_DUPLICATE_AFTER_MS + 1);
  expect(received.cancel).toEqual(slow.filter((ask) => ask.block === block.block));
  // it comes all the same
  const late = slow.find((ask) => ask.block === block.block);
  if (late !== undefined) expect(picker.received(late, PEER_DUPLICATE_AFTER_MS + 2).wanted).toBe(false);
});

test("a refusal means that the peer has not got the piece", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  const [ask] = picker.fill(1, 0, ENDLESS);
  if (ask !== undefined) picker.failed(ask);
  expect(table.released).toEqual([0]);
  picker.open(0);
  expect(picker.fill(1, 0, ENDLESS)).toEqual([]);
});

test("what the origin brought first is no longer asked of peers", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1);
  const asks = picker.fill(1, 0, ENDLESS);
  expect(picker.verified(0)).toEqual(asks);
  expect(table.released).toEqual([0]);
  const [late] = asks;
  if (late !== undefined) expect(picker.received(late, 1)).toMatchObject({ wanted: false, complete: false });
});

test("who alone gave every block of a bad piece is named", () => {
  const { picker } = setUp(1);
  seed(picker, 1, "liar");
  answer(picker, picker.fill(1, 0, ENDLESS), 1);
  expect(picker.completed(0, false)).toEqual(["liar"]);
});

test("nobody is named when blocks from disk were part of the bad piece", () => {
  const { picker, table } = setUp(1);
  table.blocks[0] = [1, 2];
  seed(picker, 1);
  answer(picker, picker.fill(1, 0, ENDLESS), 1);
  expect(picker.completed(0, false)).toEqual([]);
});

test("when several gave blocks, each of them must then prove itself alone, and the liar is named by its next lie", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1, "honest");
  seed(picker, 2, "liar");
  picker.accepts(1, 2);
  answer(picker, [...picker.fill(1, 0, ENDLESS), ...picker.fill(2, 0, ENDLESS)], 1);
  expect(picker.completed(0, false)).toEqual([]);
  table.release(0);
  picker.open(0);
  // alone: the second peer may not help, and the first is asked for everything, bit by bit
  const alone = [...picker.fill(2, 2, ENDLESS)];
  expect(alone).toHaveLength(BLOCKS);
  expect(picker.fill(1, 2 + PEER_DUPLICATE_AFTER_MS, ENDLESS)).toEqual([]);
  expect(answer(picker, alone, 3)).toEqual([0]);
  expect(picker.completed(0, false)).toEqual(["liar"]);
});

test("a suspect that brings a good piece alone may share again", () => {
  const { picker, table } = setUp(2);
  seed(picker, 1, "a");
  seed(picker, 2, "b");
  picker.accepts(1, 2);
  table.state[1] = "claimed";
  answer(picker, [...picker.fill(1, 0, ENDLESS), ...picker.fill(2, 0, ENDLESS)], 1);
  picker.completed(0, false);
  table.release(0);
  picker.open(0);
  answer(picker, picker.fill(2, 2, ENDLESS), 3);
  expect(picker.completed(0, true)).toEqual([]);
  table.release(1);
  picker.open(1);
  const started = picker.fill(2, 4, 2);
  expect(started).toHaveLength(2);
  seed(picker, 3, "c");
  expect(picker.fill(3, 4, ENDLESS)).toHaveLength(2);
});

test("a piece that was to come from a suspect alone is given back when it chokes and another peer has it", () => {
  const { picker, table } = setUp(1);
  seed(picker, 1, "a");
  seed(picker, 2, "b");
  picker.accepts(1, 2);
  answer(picker, [...picker.fill(1, 0, ENDLESS), ...picker.fill(2, 0, ENDLESS)], 1);
  picker.completed(0, false);
  table.release(0);
  picker.open(0);
  const [first] = picker.fill(2, 2, ENDLESS);
  if (first !== undefined) picker.received(first, 3);
  seed(picker, 3, "c");
  table.released.length = 0;
  picker.choked(2);
  expect(table.released).toEqual([0]);
});

/** What may happen to a peer at any time. */
const EVENTS = ["answer", "answer", "answer", "refuse", "choke", "unchoke", "leave", "join", "stall"] as const;

test("whatever peers do, every piece gets done as long as one honest seed stays, and nothing stays claimed", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.tuple(fc.constantFrom(...EVENTS), fc.integer({ min: 2, max: 5 }), fc.nat({ max: 3000 })), {
        maxLength: 200,
      }),
      fc.infiniteStream(fc.float({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      (count, events, randoms) => {
        const { picker, table } = setUp(count, () => randoms.next().value ?? 0);
        const out = new Map<WireId, Ask[]>();
        let now = 0;
        const join = (id: WireId): void => {
          if (out.has(id)) return;
          out.set(id, []);
          seed(picker, id);
        };
        const finish = (complete: readonly number[]): void => {
          for (const piece of complete) {
            table.state[piece] = "verified";
            picker.verified(piece);
            picker.completed(piece, true);
          }
        };
        const fill = (): void => {
          picker.tick(now);
          // what was given back may be claimed again
          for (const [piece, state] of table.state.entries()) if (state === "missing") picker.open(piece);
          for (const [id, asks] of out) asks.push(...picker.fill(id, now, ENDLESS));
        };
        join(1);
        for (const [event, id, ms] of events) {
          now += ms;
          const asks = out.get(id) ?? [];
          if (event === "join") join(id);
          if (event === "answer") finish(answer(picker, asks.splice(0, 3), now));
          if (event === "refuse") for (const ask of asks.splice(0, 1)) picker.failed(ask);
          if (event === "choke") picker.choked(id);
          if (event === "unchoke") picker.unchoked(id, now);
          if (event === "leave") {
            picker.left(id);
            out.delete(id);
          }
          fill();
        }
        for (let turn = 0; turn < 50 * count && table.state.includes("missing"); turn++) {
          now += PEER_DUPLICATE_AFTER_MS;
          finish(answer(picker, out.get(1)?.splice(0) ?? [], now));
          fill();
        }
        for (let turn = 0; turn < 50 * count && table.state.includes("claimed"); turn++) {
          now += PEER_DUPLICATE_AFTER_MS;
          finish(answer(picker, out.get(1)?.splice(0) ?? [], now));
          fill();
        }
        expect(table.state.every((state) => state === "verified")).toBe(true);
        picker.stop();
      },
    ),
    { numRuns: 300 },
  );
});

test("the rarity order gives the same piece as looking at all of them would", () => {
  const step = fc.tuple(fc.constantFrom("open", "close", "gained", "lost"), fc.nat({ max: 9 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.array(fc.nat({ max: 9 })), (steps, refused) => {
      const order = new RarityOrder(10, () => 0.5);
      const rarity = new Map<number, number>();
      const open = new Set<number>();
      for (const [what, piece] of steps) {
        const known = rarity.get(piece) ?? 0;
        if (what === "open") open.add(piece);
        if (what === "close") open.delete(piece);
        if (what === "gained") rarity.set(piece, known + 1);
        if (what === "lost") rarity.set(piece, Math.max(0, known - 1));
        order[what](piece);
        expect(order.openCount).toBe(open.size);
      }
      const candidates = [...open].filter((piece) => !refused.includes(piece));
      const found = order.rarest((piece) => !refused.includes(piece));
      if (candidates.length === 0) expect(found).toBeUndefined();
      else expect(rarity.get(found ?? -1) ?? 0).toBe(Math.min(...candidates.map((piece) => rarity.get(piece) ?? 0)));
    }),
  );
});

test("a rate limit lets through what it says, a burst and one block more", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 10_000_000 }),
      fc.array(fc.tuple(fc.nat({ max: 500 }), fc.integer({ min: 1, max: BLOCK_BYTES })), { maxLength: 100 }),
      (rate, sends) => {
        const limit = new RateLimit(rate, 0);
        let now = 0;
        let sent = 0;
        for (const [pause, bytes] of sends) {
          now += pause;
          if (limit.wait(now) > 0) continue;
          limit.spend(bytes);
          sent += bytes;
        }
        expect(sent).toBeLessThanOrEqual((rate * now) / 1000 + rate / 4 + BLOCK_BYTES);
      },
    ),
  );
});

test("limits within another let through no more than their own each, and than that one together", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 500 }), fc.nat({ max: 2 }), fc.integer({ min: 1, max: BLOCK_BYTES })), {
        maxLength: 200,
      }),
      (sends) => {
        const ofAll = new RateLimit(50_000, 0);
        const rates = [20_000, 40_000, null];
        const limits = rates.map((rate) => new RateLimit(rate, 0, ofAll));
        const sent = [0, 0, 0];
        let now = 0;
        for (const [pause, index, bytes] of sends) {
          now += pause;
          const limit = limits[index];
          expect(limit?.wait(now) === 0).toBe((limit?.room(BLOCK_BYTES, now) ?? 0) > 0);
          if (limit?.wait(now) !== 0) continue;
          limit.spend(bytes);
          sent[index] = (sent[index] ?? 0) + bytes;
        }
        const most = (rate: number): number => (rate * now) / 1000 + rate / 4 + BLOCK_BYTES;
        for (const [index, rate] of rates.entries()) expect(sent[index]).toBeLessThanOrEqual(most(rate ?? 50_000));
        expect(sent.reduce((sum, bytes) => sum + bytes)).toBeLessThanOrEqual(most(50_000));
      },
    ),
  );
  const ofAll = new RateLimit(1000, 0);
  const [one, other] = [new RateLimit(null, 0, ofAll), new RateLimit(null, 0, ofAll)];
  one.spend(5000);
  expect(other.wait(0)).toBeGreaterThan(0);
  one.refund(5000);
  expect(other.wait(0)).toBe(0);
});

test("waiting as long as the limit says is enough, and no limit never waits", () => {
  const limit = new RateLimit(1000, 0);
  limit.spend(5000);
  const wait = limit.wait(0);
  expect(limit.wait(wait)).toBe(0);
  const none = new RateLimit(null, 0);
  none.spend(1e12);
  expect(none.wait(0)).toBe(0);
  expect(none.room(BLOCK_BYTES, 0)).toBe(Number.POSITIVE_INFINITY);
  expect(new RateLimit(0, 0).wait(1e9)).toBe(Number.POSITIVE_INFINITY);
});

test("a meter that has just begun says what it is climbing to", () => {
  const meter = new RateMeter(1000);
  for (let now = 10; now <= 100; now += 10) meter.add(10_000, now);
  expect(meter.rate(100)).toBeLessThan(200_000);
  expect(meter.rate(100, 100)).toBeGreaterThan(950_000);
  expect(meter.rate(100, 100)).toBeLessThan(1_050_000);
});

test("a meter settles on the rate that arrives, and forgets it afterwards", () => {
  const meter = new RateMeter(1000);
  for (let now = 0; now <= 10_000; now += 10) meter.add(10_000, now);
  expect(meter.rate(10_000)).toBeGreaterThan(950_000);
  expect(meter.rate(10_000)).toBeLessThan(1_050_000);
  expect(meter.rate(20_000)).toBeLessThan(100);
});
