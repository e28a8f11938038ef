/** A STUN and TURN server on 127.0.0.1 that only listens: who asks for an address, and under which name for a relay. */
import { createSocket } from "node:dgram";
import { once } from "node:events";

export interface IceServer extends AsyncDisposable {
  readonly port: number;
  /** A client asked what its address is. */
  readonly bound: Promise<true>;
  /** A client asked for a relay under this name. */
  readonly username: Promise<string>;
}

// RFC 8489 and RFC 8656; a message is type (2 B), length (2 B), cookie and transaction (16 B), attributes
const BINDING = 0x0001;
const ALLOCATE = 0x0003;
const ALLOCATE_ERROR = 0x0113;
const HEADER_BYTES = 20;
const USERNAME = 0x0006;
const ERROR_CODE = 0x0009;
const REALM = 0x0014;
const NONCE = 0x0015;

export async function startIceServer(): Promise<IceServer> {
  const socket = createSocket("udp4");
  const bound = Promise.withResolvers<true>();
  const username = Promise.withResolvers<string>();
  socket.on("message", (message, { port, address }) => {
    const type = message.readUInt16BE(0);
    if (type === BINDING) bound.resolve(true);
    if (type !== ALLOCATE) return;
    const name = attributeOf(message, USERNAME);
    if (name !== undefined) username.resolve(name.toString());
    // a client says who it is when it is asked
    else socket.send(unauthorized(message), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    bound: bound.promise,
    username: username.promise,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

function attributeOf(message: Buffer, wanted: number): Buffer | undefined {
  for (let at = HEADER_BYTES; at + 4 <= message.length;) {
    const length = message.readUInt16BE(at + 2);
    if (message.readUInt16BE(at) === wanted) return message.subarray(at + 4, at + 4 + length);
    at += 4 + 4 * Math.ceil(length / 4);
  }
  return undefined;
}

function unauthorized(request: Buffer): Buffer {
  const reason = Buffer.concat([Buffer.from([0, 0, 4, 1]), Buffer.from("Unauthorized")]);
  const body = Buffer.concat([
    attribute(ERROR_CODE, reason),
    attribute(REALM, Buffer.from("test")),
    attribute(NONCE, Buffer.from("nonce")),
  ]);
  const header = Buffer.from(request.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(ALLOCATE_ERROR, 0);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + 4 * Math.ceil(value.length / 4));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}
