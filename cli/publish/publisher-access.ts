/** Who may speak for a channel: its keys, and the edge that listens. */
import { type RoleSigner } from "../../manifests/trust/roles.ts";
import { delegateOf } from "../../manifests/trust/verify.ts";
import { type TrustedTitle } from "../trust/client.ts";
import { type Fetch, type Patience } from "../trust/fetch-capped.ts";
import { readKeys, signersOf } from "./keys.ts";
import { type SignedFetch, createSignedFetch } from "./signed-fetch.ts";

/** The edge that is told, and with whose keys. */
export interface PublisherAccess {
  readonly edge: string;
  readonly title: string;
  readonly send: SignedFetch;
  /** As many of the channel's keys as its threshold asks for. */
  readonly signers: readonly RoleSigner[];
  readonly signal?: AbortSignal | undefined;
}

/** Throws: usage.no-keys when the folder has too few of the channel's keys; usage.bad-key-file. */
export async function openAccess(
  { keysDir, channel }: { readonly keysDir: string; readonly channel: string },
  title: TrustedTitle,
  world: { readonly fetch: Fetch; readonly signal?: AbortSignal | undefined; readonly patience?: Patience | undefined },
): Promise<PublisherAccess> {
  const { fetch, signal, patience } = world;
  const signers = signersOf(channel, delegateOf(title.roles.targets, channel), await readKeys(keysDir), keysDir);
  const [signer] = signers;
  if (signer === undefined) throw new Error("a role that needs no signature");
  const send = createSignedFetch({ fetch, signer, ...(patience === undefined ? {} : { patience }) });
  return { edge: title.edge, title: title.title, send, signers, signal };
}
