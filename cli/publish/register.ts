/**
 * Registering a title on an edge: root, targets and channels, signed here, in the order in which each can be checked.
 * Every step first looks at what the edge already has, so an interrupted registration is finished by running it again.
 */
import { Failure } from "../../manifests/failures.ts";
import { REGISTRATION_BYTES_MAX, ROLE_BYTES_MAX, ROLE_LIFETIME_S, ROOT_BYTES_MAX } from "../../manifests/limits.ts";
import {
  type NamedKey,
  type RoleHolders,
  type RootRole,
  type Signed,
  type TargetsRole,
  type UnixSeconds,
  after,
  buildChannel,
  buildRoot,
  buildTargets,
  encodeRole,
  metadataFileName,
  signRole,
} from "../../manifests/trust/roles.ts";
import {
  channelsOf,
  delegateOf,
  openDelegated,
  openRoot,
  openTargets,
  parseKey,
} from "../../manifests/trust/verify.ts";
import { connectionFailure } from "../sources/no-connection.ts";
import { machineCrypto, sha256 } from "../trust/crypto.ts";
import {
  type Fetch,
  PATIENCE,
  type Patience,
  fetchCapped,
  parseJson,
  readCapped,
  retrying,
} from "../trust/fetch-capped.ts";
import { problemOf } from "../trust/problem.ts";
import { type PublisherKey } from "./keys.ts";
import { createSignedFetch } from "./signed-fetch.ts";

/** TUF asks for more than one root key; two of three survives the loss of any one. */
export const ROOT_KEY_NAMES = ["root-1", "root-2", "root-3"] as const;
/** File name of a channel's key; the prefix keeps a channel called "root-1" from meeting a root key. */
export function channelKeyName(channel: string): string {
  return `channel-${channel}`;
}
const ROOT_THRESHOLD = 2;

export interface TitleKeys {
  readonly root: readonly PublisherKey[];
  readonly targets: PublisherKey;
  /** Channel name -> the key that signs its releases. */
  readonly channels: Readonly<Record<string, PublisherKey>>;
}

/** A title, and the edge that is asked about it. */
interface TitleAtEdge {
  readonly title: string;
  /** Base URL without a trailing slash. */
  readonly edge: string;
  readonly fetch: Fetch;
  readonly patience?: Patience | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RegisterOptions extends TitleAtEdge {
  readonly keys: TitleKeys;
  readonly adminToken: string;
  readonly now: UnixSeconds;
  /** What `heldRoot` gave. */
  readonly held: Uint8Array | undefined;
}

/**
 * The title's first root, unverified; undefined before it is registered. Once it is, no key is made for it any more.
 */
export async function heldRoot(options: TitleAtEdge): Promise<Uint8Array | undefined> {
  return await heldRole(options, "root", ROOT_BYTES_MAX);
}

/**
 * The title's first root, registered together with targets and channels.
 * Throws: title.exists when the edge holds the title under other keys; usage.bad-admin-token, edge.unreachable and what
 * else the edge says.
 */
export async function registerTitle(options: RegisterOptions): Promise<Signed<RootRole>> {
  const rootBytes = options.held ?? (await postRoot(options));
  const root = await openOwnRoot(rootBytes, options);

  const targetsBytes = (await heldRole(options, "targets", ROLE_BYTES_MAX)) ?? (await postTargets(options, root));
  const targets = await openOwn(options, () => openTargets(targetsBytes, root, machineCrypto));
  checkOwn(options, "targets", options.keys.targets, root.roles.targets);

  const { title, edge } = options;
  for (const [channel, key] of Object.entries(options.keys.channels)) {
    const channels = channelsOf(targets);
    if (!channels.includes(channel)) throw new Failure("title.exists", { title, edge, channels, without: channel });
    checkOwn(options, channel, key, delegateOf(targets, channel));
    const channelBytes =
      (await heldRole(options, channel, ROLE_BYTES_MAX)) ?? (await postChannel(options, channel, key));
    await openOwn(options, () => openDelegated(channelBytes, channel, targets, machineCrypto));
  }
  return JSON.parse(Buffer.from(rootBytes).toString()) as Signed<RootRole>;
}

// --- What is there -------------------------------------------------------------------------------------------------

/** The first version of a role, when the edge has it. */
function heldRole({ title, edge, fetch, patience, signal }: TitleAtEdge, role: string, bytesMax: number) {
  return fetchCapped(`${edge}/t/${title}/metadata/${metadataFileName(role, 1)}`, { fetch, patience, signal, bytesMax });
}

/** A root that our keys sign is ours, whichever run made it. */
async function openOwnRoot(bytes: Uint8Array, options: RegisterOptions): Promise<RootRole> {
  const root = await openOwn(options, () => openRoot(bytes, undefined, machineCrypto));
  const own = new Set(options.keys.root.map(({ keyid }) => keyid));
  if (!root.roles.root.keyids.every((keyid) => own.has(keyid))) {
    throw new Failure("title.exists", { title: options.title, edge: options.edge, reason: "under other keys" });
  }
  return root;
}

/** A key of ours that the title's role does not go by may be one that was made anew in the place of a lost one. */
function checkOwn(
  { title, edge }: RegisterOptions,
  role: string,
  { keyid }: PublisherKey,
  { keyids }: RoleHolders,
): void {
  if (!keyids.includes(keyid)) throw new Failure("title.exists", { title, edge, role, reason: "under another key" });
}

async function openOwn<T extends RootRole | TargetsRole>({ title, edge }: RegisterOptions, open: () => Promise<T>) {
  try {
    return await open();
  } catch (cause) {
    if (!(cause instanceof Failure && cause.code === "metadata.invalid")) throw cause;
    throw new Failure("title.exists", { title, edge, reason: "under other keys" }, { cause });
  }
}

// --- What is made --------------------------------------------------------------------------------------------------

async function postRoot(options: RegisterOptions): Promise<Uint8Array> {
  const { keys, now } = options;
  const root = buildRoot({
    version: 1,
    expires: after(now, ROLE_LIFETIME_S.root),
    root: { keys: keys.root, threshold: ROOT_THRESHOLD },
    targets: { keys: [keys.targets], threshold: 1 },
    online: [await openRegistration(options)],
  });
  const bytes = encodeRole(await signRole(root, keys.root.slice(0, ROOT_THRESHOLD)));
  await postAsAdmin(options, "/roles/root", bytes);
  return bytes;
}

async function postTargets(options: RegisterOptions, root: RootRole): Promise<Uint8Array> {
  const { keys, now } = options;
  const targets = buildTargets({
    version: 1,
    expires: after(now, ROLE_LIFETIME_S.targets),
    channels: Object.fromEntries(
      Object.entries(keys.channels).map(([name, key]) => [name, { keys: [key], threshold: 1 }]),
    ),
    online: onlineKeys(root),
  });
  return postSigned(options, "targets", targets, keys.targets);
}

async function postChannel(options: RegisterOptions, channel: string, key: PublisherKey): Promise<Uint8Array> {
  const expires = after(options.now, ROLE_LIFETIME_S.channel);
  return postSigned(options, channel, buildChannel({ version: 1, expires, releases: [] }), key);
}

/** The edge's keys are whatever the root gave the timestamp to. */
function onlineKeys(root: RootRole): NamedKey[] {
  return root.roles.timestamp.keyids.flatMap((keyid) => {
    const key = root.keys[keyid];
    return key === undefined ? [] : [{ keyid, key }];
  });
}

// --- What is sent --------------------------------------------------------------------------------------------------

/**
 * Asks the edge to make a signing key for the title; asked again before there is a root, it gives the same key.
 * Throws: usage.bad-admin-token, edge.unreachable.
 */
async function openRegistration(options: RegisterOptions): Promise<NamedKey> {
  const body = await postAsAdmin(options, "", new TextEncoder().encode("{}")).catch((cause: unknown) => {
    if (!(cause instanceof Failure && cause.code === "request.unauthorized")) throw cause;
    throw new Failure("usage.bad-admin-token", { edge: options.edge }, { cause });
  });
  const answer = parseJson(body);
  if (answer === undefined)
    throw new Failure("edge.unreachable", { url: options.edge, reason: "no registration that can be read" });
  const key = typeof answer === "object" && answer !== null && "onlineKey" in answer ? answer.onlineKey : undefined;
  return parseKey(key, sha256);
}

/** Gives what the edge answers. */
function postAsAdmin(options: RegisterOptions, path: string, body: Uint8Array<ArrayBuffer>): Promise<Buffer> {
  const { edge, title, adminToken, fetch, signal, patience = PATIENCE } = options;
  return retrying({ ...patience, signal }, async () => {
    const response = await fetch(`${edge}/t/${title}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
      body,
      ...(signal === undefined ? {} : { signal }),
    }).catch((cause: unknown) => {
      throw connectionFailure(edge, cause);
    });
    if (!response.ok) throw await problemOf(response);
    return await readCapped(response, { bytesMax: REGISTRATION_BYTES_MAX }).catch((cause: unknown) => {
      throw connectionFailure(edge, cause);
    });
  });
}

async function postSigned(
  { edge, title, fetch, patience, signal }: RegisterOptions,
  role: string,
  signed: TargetsRole,
  key: PublisherKey,
): Promise<Uint8Array> {
  const body = encodeRole(await signRole(signed, [key]));
  const send = createSignedFetch({ fetch, signer: key, ...(patience === undefined ? {} : { patience }) });
  const response = await send({
    method: "POST",
    url: `${edge}/t/${title}/roles/${role}`,
    body,
    contentType: "application/json",
    signal,
  });
  await response.body?.cancel();
  return body;
}
