/** A real edge behind something that spoils its answers: another machine with rot in it, or a line that breaks. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** One request. */
export interface Asked {
  /** Below the title: "objects/…", "fresh". */
  readonly path: string;
  readonly range: string | undefined;
  readonly pastCaches: boolean;
}

/** What becomes of an answer. */
export type Mishap =
  | { readonly kind: "status"; readonly status: number }
  /** Comes when this has happened, if it does. */
  | { readonly kind: "late"; readonly until: Promise<void> }
  /** Its last byte is another one. */
  | { readonly kind: "corrupt" }
  /** The line breaks after so many bytes of the body; corrupt: and the first of them is another one. */
  | { readonly kind: "break"; readonly after: number; readonly isCorrupt?: boolean }
  /** Comes as HTTP/1.0 without a length, and ends after so many bytes: nobody says whether that is all. */
  | { readonly kind: "end"; readonly after: number; readonly isCorrupt?: boolean }
  /** All of it comes, without a length, and then the line breaks before the end is told. */
  | { readonly kind: "unended" };

/**
 * @param mishapOf  what is to become of the answer to a request; undefined leaves it as it is. `bytes`: how long it is
 */
export async function startBadEdge(
  edge: string,
  mishapOf: (asked: Asked, bytes: number) => Mishap | undefined,
): Promise<{ readonly url: string; readonly asked: readonly Asked[]; [Symbol.asyncDispose](): Promise<void> }> {
  const all: Asked[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = "GET", url = "", headers } = request;
    const { range, "cache-control": cache, "content-type": type } = headers;
    const asked = { path: url.replace("/t/demo/", ""), range, pastCaches: cache === "no-cache" };
    all.push(asked);
    const body = method === "POST" ? await buffer(request) : undefined;
    const given = await fetch(`${edge}${url}`, {
      method,
      headers: { ...(range !== undefined && { range }), ...(type !== undefined && { "content-type": type }) },
      ...(body !== undefined && { body: new Uint8Array(body) }),
    });
    const bytes = Buffer.from(await given.arrayBuffer());
    const mishap = mishapOf(asked, bytes.length);
    const found = given.headers.get("content-range");
    const head = { "content-length": bytes.length, ...(found !== null && { "content-range": found }) };
    switch (mishap?.kind) {
      case "late":
        await mishap.until;
        break;
      case "status":
        response.writeHead(mishap.status).end();
        return;
      case "corrupt":
        spoil(bytes);
        break;
      case "break":
        if (mishap.after >= bytes.length) break;
        if (mishap.isCorrupt === true) spoil(bytes.subarray(0, 1));
        response.writeHead(given.status, head);
        response.write(bytes.subarray(0, mishap.after), () => response.destroy());
        return;
      case "end":
        request.socket.write(
          `HTTP/1.0 ${given.status} OK\r\n${found === null ? "" : `content-range: ${found}\r\n`}\r\n`,
        );
        if (mishap.isCorrupt === true) spoil(bytes);
        request.socket.end(bytes.subarray(0, mishap.after));
        return;
      case "unended":
        response.writeHead(given.status, found === null ? {} : { "content-range": found });
        response.write(bytes, () => response.destroy());
        return;
      case undefined:
        break;
    }
    response.writeHead(given.status, head).end(bytes);
  };
  const server = createServer((request, response) => {
    // whoever asked may have gone
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: all,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function spoil(bytes: Buffer): void {
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 0xff;
}
