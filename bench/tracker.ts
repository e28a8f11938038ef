/**
 * Announces a second: the tracker of a dev edge against bittorrent-tracker's server, in turn, from one client process
 * that costs both the same. Every announce asks for 50 peers of a swarm of 2,000 (HTTP) or 200 (WebSocket).
 *
 *   node bench/tracker.ts [seconds per round]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { startTestEdge } from "../test/support/edge.ts";
import { startTracker } from "../test/support/tracker.ts";
import { PEERS_WANTED_DEFAULT } from "../manifests/limits.ts";
import { writeAnnounce } from "../manifests/wire/announce.ts";
import { parseInfoHash, parsePeerId } from "../manifests/wire/names.ts";
import { writePeerMessage } from "../manifests/wire/websocket.ts";
import { median, printMachine } from "./measure.ts";

const ROUNDS = 3;
const HTTP_CONNECTIONS = 32;
const HTTP_PEERS = 2000;
const SOCKETS = 200;
const OFFERS = 5;
/** As long as Chromium's, with its candidates. */
const SDP = "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host\r\n".repeat(35);

/** Announce URLs. */
interface Place {
  readonly name: string;
  readonly http: string;
  readonly ws: string;
}

interface Load {
  readonly name: string;
  /** Announces for so long; gives the number answered. */
  readonly run: (place: Place, milliseconds: number) => Promise<number>;
}

const infoHash = parseInfoHash("\x01\xff".repeat(10));
const peerIdOf = (index: number): ReturnType<typeof parsePeerId> => parsePeerId(`-PS0001-${index}`.padEnd(20, "\xfe"));
const progressOf = (index: number) => ({
  infoHash,
  peerId: peerIdOf(index),
  event: "update" as const,
  uploaded: 0,
  downloaded: 0,
  left: index % 4 === 0 ? 0 : 1000,
});

const LOADS: readonly Load[] = [
  { name: "HTTP announce", run: announceOverHttp },
  { name: "WebSocket announce, no offers", run: (place, time) => announceOverSockets(place, time, 0) },
  { name: `WebSocket announce, ${OFFERS} offers`, run: (place, time) => announceOverSockets(place, time, OFFERS) },
];

async function main(seconds: number): Promise<void> {
  printMachine(`node bench/tracker.ts ${seconds}`, { "bittorrent-tracker": "11.2.3" });
  await using edge = await startTestEdge({ openTitle: "bench" });
  const rival = fork(import.meta.filename, ["rival"]);
  try {
    const [urls] = (await once(rival, "message")) as [Omit<Place, "name">];
    const http = `${edge.url}/t/bench/announce`;
    const places = [
      { name: "patchswarm", http, ws: http.replace(/^http/, "ws") },
      { name: "bittorrent-tracker", ...urls },
    ];
    console.log("\n| announces a second | patchswarm | bittorrent-tracker | ratio |\n|---|---|---|---|");
    for (const load of LOADS) console.log(await contest(load, places, seconds * 1000));
  } finally {
    rival.kill();
  }
}

/** One line of the table: medians of the rounds, taken in turn after one that does not count. */
async function contest(load: Load, places: readonly Place[], milliseconds: number): Promise<string> {
  const rates = places.map((): number[] => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, place] of places.entries()) {
      const answered = await load.run(place, milliseconds);
      if (round > 0) rates[index]?.push(answered / (milliseconds / 1000));
    }
  }
  const [ours = Number.NaN, theirs = Number.NaN] = rates.map(median);
  return `| ${load.name} | ${ours.toFixed(0)} | ${theirs.toFixed(0)} | ${(ours / theirs).toFixed(2)} |`;
}

async function announceOverHttp({ http }: Place, milliseconds: number): Promise<number> {
  const { hostname, port, pathname } = new URL(http);
  const requests = Array.from({ length: HTTP_PEERS }, (_, index) => {
    const asked = { port: 1024 + index, wanted: PEERS_WANTED_DEFAULT, compact: true };
    return `GET ${pathname}?${writeAnnounce({ ...progressOf(index), ...asked })} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
  });
  const end = performance.now() + milliseconds;
  let answered = 0;
  const talk = async (first: number): Promise<void> => {
    const connection = new HttpConnection(connect(Number(port), hostname));
    for (let index = first; performance.now() < end; index += HTTP_CONNECTIONS) {
      const body = await connection.ask(requests[index % HTTP_PEERS] ?? "");
      if (!body.includes("5:peers")) throw new Error(`refused: ${body}`);
      answered += 1;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: HTTP_CONNECTIONS }, (_, first) => talk(first)));
  return answered;
}

/** The least that HTTP needs, so that the client does not decide the race. Both servers send a content length. */
class HttpConnection {
  readonly #socket: Socket;
  #received = "";
  #answer: ((body: string) => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket.setNoDelay().setEncoding("latin1");
    socket.on("data", (text: string) => this.#hear(text));
  }

  async ask(request: string): Promise<string> {
    return await new Promise((resolve) => {
      this.#answer = resolve;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #hear(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf("\r\n\r\n");
    const length = /content-length: (\d+)/i.exec(this.#received.slice(0, head))?.[1];
    if (head === -1 || length === undefined || this.#received.length < head + 4 + Number(length)) return;
    const body = this.#received.slice(head + 4);
    this.#received = "";
    this.#answer?.(body);
  }
}

async function announceOverSockets({ ws }: Place, milliseconds: number, offers: number): Promise<number> {
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, async () => {
      const socket = new WebSocket(ws);
      await once(socket, "open");
      return socket;
    }),
  );
  const end = performance.now() + milliseconds;
  let answered = 0;
  await Promise.all(
    sockets.map(async (socket, index) => {
      const names = Array.from({ length: offers }, (_, offer) => `${index}/${offer}`.padEnd(20, "\xff"));
      const message = writePeerMessage({
        action: "announce",
        ...progressOf(index),
        offers: names.map((offerId) => ({ offerId, sdp: SDP })),
      });
      await new Promise<void>((resolve) => {
        socket.addEventListener("message", ({ data }) => {
          const text = String(data);
          if (text.includes('"offer"')) return; // relayed to us, not an answer
          if (!text.includes('"interval"')) throw new Error(`refused: ${text}`);
          answered += 1;
          if (performance.now() < end) socket.send(message);
          else resolve();
        });
        socket.send(message);
      });
    }),
  );
  for (const socket of sockets) socket.close();
  return answered;
}

const [mode = "3"] = process.argv.slice(2);
// the other tracker is a process of its own, as the edge is
if (mode === "rival") {
  const tracker = await startTracker();
  process.send?.({ http: tracker.http, ws: tracker.ws("bench") });
} else {
  await main(Number(mode));
}
