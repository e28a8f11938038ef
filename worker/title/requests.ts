/** HTTP -> Title object: each handler reads and checks its request, makes one call, and writes the answer. */
import type { Context } from "hono";
import { Failure } from "../../manifests/failures.ts";
import { fromHex, parseObjectId } from "../../manifests/digest.ts";
import { PEERS_FAST_ENOUGH_BPS, REQUEST_BYTES_MAX, ROLE_BYTES_MAX } from "../../manifests/limits.ts";
import { parseChannelName, parseTitleName } from "../../manifests/release.ts";
import { parseFreshRequest } from "../../manifests/trust/fresh.ts";
import { ROLLOUT_ALL, parseLiveDelta } from "../../manifests/trust/live.ts";
import { toUnixSeconds } from "../../manifests/trust/roles.ts";
import { type IceServers, parseIceServers } from "../../manifests/wire/ice-servers.ts";
import { parseFields, readBody } from "../body.ts";
import { sha256 } from "../crypto.ts";
import type { Edge, Env } from "../env.ts";
import { putObject } from "../origin/objects.ts";
import { logFaultOnce } from "../log.ts";
import { flushServed } from "../origin/served.ts";
import { requireRoom } from "../room.ts";
import { valueOf } from "./answer.ts";
import { factsOf } from "./known-titles.ts";
import { isAdmin, requireAdmin, requireSigned } from "./sender.ts";
import { type DeltaOrder, type PublishOrder } from "./publish.ts";
import { type TitleObject } from "./title-object.ts";
import { mintToken } from "./token.ts";

type EdgeContext = Context<Edge>;

/** BEP 3 peer ids, in hex. */
const PEER = /^[0-9a-f]{40}$/;
/** Answers that hold for one request. */
const UNCACHED = { "cache-control": "no-store" };

/** The title that a URL speaks of. Throws: name.invalid. */
export function titleOf(c: EdgeContext): string {
  return parseTitleName(c.req.param("title") ?? "");
}

/** POST /t/:title {open?} with the admin token -> 201 {title, onlineKey}. */
export async function register(c: EdgeContext): Promise<Response> {
  requireAdmin(c.req.raw, c.env);
  const title = titleOf(c);
  const { open } = parseFields(await readBody(c.req.raw, REQUEST_BYTES_MAX));
  await requireRoom(c.env, 0);
  const onlineKey = valueOf(await titleObject(c, title).register(title, open === true));
  return c.json({ title, onlineKey }, 201, UNCACHED);
}

/** POST /t/:title/roles/:role, the metadata file as body -> {role, version}. */
export async function postRole(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  const role = c.req.param("role") ?? "";
  const body = await readBody(c.req.raw, ROLE_BYTES_MAX);
  const sender =
    role === "root" && isAdmin(c.req.raw, c.env) ? "admin" : await requireSigned(c.req.raw, c.env, title, sha256(body));
  await requireRoom(c.env, body.length);
  const { version } = valueOf(await titleObject(c, title).acceptRole(role, body, sender));
  return c.json({ role, version }, 200, UNCACHED);
}

/** POST /t/:title/publish {channel, seq, rollout?} -> {seq, live}. */
export async function publish(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  const body = await readBody(c.req.raw, REQUEST_BYTES_MAX);
  const sender = await requireSigned(c.req.raw, c.env, title, sha256(body));
  const order = parsePublishOrder(parseFields(body));
  await requireRoom(c.env, 0);
  return c.json(valueOf(await titleObject(c, title).publish(order, sender)), 200, UNCACHED);
}

/** POST /t/:title/deltas {channel, seq, delta: {from, index, bytes, torrent}} -> {seq, live}. */
export async function listDelta(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  const body = await readBody(c.req.raw, REQUEST_BYTES_MAX);
  const sender = await requireSigned(c.req.raw, c.env, title, sha256(body));
  const order = parseDeltaOrder(parseFields(body));
  await requireRoom(c.env, 0);
  return c.json(valueOf(await titleObject(c, title).listDelta(order, sender)), 200, UNCACHED);
}

/** PUT /t/:title/objects/:sha256: signed over the very digest that is the object's name. */
export async function putSignedObject(c: EdgeContext): Promise<Response> {
  const name = parseObjectId(c.req.param("sha256") ?? "");
  await requireSigned(c.req.raw, c.env, titleOf(c), fromHex(name));
  return await putObject(c);
}

/** POST /t/:title/fresh {nonce} -> the signed statement. */
export async function fresh(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  const { nonce } = parseFreshRequest(parseFields(await readBody(c.req.raw, REQUEST_BYTES_MAX)));
  const statement = valueOf(await titleObject(c, title).fresh(nonce));
  return new Response(statement, { headers: { "content-type": "application/json", ...UNCACHED } });
}

/**
 * POST /t/:title/join {peer?} -> where and how to share. Who names its peer id gets a token in its announce URLs, and
 * what it shares counts in the stats; who does not may share all the same.
 */
export async function join(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  const { peer } = parseFields(await readBody(c.req.raw, REQUEST_BYTES_MAX));
  if (peer !== undefined && (typeof peer !== "string" || !PEER.test(peer))) {
    throw new Failure("request.malformed", { field: "peer", expected: "40 lowercase hex digits" });
  }
  await factsOf(c.env, title);
  const now = toUnixSeconds(Date.now());
  const token = peer === undefined ? null : await mintToken(c.env.KEY_WRAP_SECRET, { title, peer }, now);
  const { protocol, host } = new URL(c.req.url);
  const tracker = `${host}/t/${title}/announce${token === null ? "" : `?token=${token}`}`;
  return c.json(
    {
      announce: [`${protocol}//${tracker}`, `${protocol === "https:" ? "wss:" : "ws:"}//${tracker}`],
      token,
      upload: { allowed: true, limit: null },
      origin: { fastEnough: peersEnough(c.env) },
      iceServers: iceServers(c.env),
    },
    200,
    UNCACHED,
  );
}

/** What the operator set; the default when that cannot be read, which the log then says. */
function peersEnough({ PEERS_ENOUGH_BPS = `${PEERS_FAST_ENOUGH_BPS}` }: Env): number {
  const set = Number(PEERS_ENOUGH_BPS);
  if (Number.isSafeInteger(set) && set > 0) return set;
  logFaultOnce(`PEERS_ENOUGH_BPS is not a whole number of bytes a second; players go by ${PEERS_FAST_ENOUGH_BPS}`);
  return PEERS_FAST_ENOUGH_BPS;
}

/** What the operator set; none when that cannot be read, which the log then says. */
function iceServers({ ICE_SERVERS = "[]" }: Env): IceServers {
  const servers = parseIceServers(ICE_SERVERS);
  if (servers === undefined) logFaultOnce("ICE_SERVERS is not a JSON list of STUN and TURN servers; players get none");
  return servers ?? [];
}

/** GET /t/:title/stats -> releases, players now, bytes so far. */
export async function stats(c: EdgeContext): Promise<Response> {
  const title = titleOf(c);
  await flushServed(c.env);
  const { releases, servedBytes } = valueOf(await titleObject(c, title).releases());
  const { moved, ...swarm } = await c.env.SWARMS.getByName(title).stats();
  const bytes = { origin: servedBytes, peers: moved.downloaded };
  return c.json({ title, releases, ...swarm, bytes }, 200, UNCACHED);
}

function titleObject(c: EdgeContext, title: string): DurableObjectStub<TitleObject> {
  return c.env.TITLES.getByName(title);
}

/** Throws: request.malformed, name.invalid. */
function parsePublishOrder(fields: Readonly<Record<string, unknown>>): PublishOrder {
  const { channel, seq, rollout = ROLLOUT_ALL } = fields;
  if (!isCount(seq) || seq === 0)
    throw new Failure("request.malformed", { field: "seq", expected: "a release's number" });
  if (!isCount(rollout) || rollout > ROLLOUT_ALL) {
    throw new Failure("request.malformed", { field: "rollout", expected: "0 to 100" });
  }
  return { channel: parseChannelName(typeof channel === "string" ? channel : ""), seq, rollout };
}

/** Throws: request.malformed, name.invalid. */
function parseDeltaOrder(fields: Readonly<Record<string, unknown>>): DeltaOrder {
  const { channel, seq, delta } = fields;
  if (!isCount(seq)) throw new Failure("request.malformed", { field: "seq", expected: "a release's number" });
  try {
    return {
      channel: parseChannelName(typeof channel === "string" ? channel : ""),
      seq,
      delta: parseLiveDelta(delta),
    };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure("request.malformed", { field: "delta", expected: "from, index, bytes and torrent" }, { cause });
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
