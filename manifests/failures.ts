/**
 * Everything that can go wrong, in one table. The command line, HTTP and the tracker are three views of a row.
 * Programs read the code, people read the message; nobody reads the message to branch on it.
 */

export type FailureFamily = "usage" | "untrusted" | "unavailable" | "damaged" | "busy" | "no-space" | "interrupted";

interface FailureRow {
  readonly family: FailureFamily;
  /** HTTP status of the problem document. */
  readonly status: number;
  /** One sentence for people: the fact, without the particulars. */
  readonly title: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Process exit code of each family; 1 is kept for a bug. */
export const EXIT_CODES: Readonly<Record<FailureFamily, number>> = {
  usage: 2,
  untrusted: 3,
  unavailable: 4,
  damaged: 5,
  busy: 6,
  "no-space": 7,
  interrupted: 130,
};

// Sorted by code. Add a row here before you throw; never throw a bare Error for something a user can meet.
export const FAILURES = {
  "announce.bad-token": {
    family: "untrusted",
    status: 401,
    title: "The announce token is not valid for this title and peer id",
    remedy: "Ask POST /t/:title/join for a new one, or announce without a token.",
  },
  "announce.malformed": {
    family: "usage",
    status: 400,
    title: "The tracker cannot understand this request",
    remedy: "Use a client that follows BEP 3, 7, 23 and 48, or the WebTorrent protocol.",
  },
  "announce.unregistered": {
    family: "usage",
    status: 404,
    title: "unregistered torrent",
    remedy: "Use the .torrent of a release of this title.",
  },
  "build.changed": {
    family: "busy",
    status: 409,
    title: "A file of the build changed while it was being read",
    remedy: "Wait until whatever writes to the folder has finished, then publish again.",
  },
  "build.empty": {
    family: "usage",
    status: 422,
    title: "There is nothing to publish in the folder",
    remedy: "Name the folder that holds the build, and check --ignore.",
  },
  "build.refused": {
    family: "usage",
    status: 422,
    title: "The folder holds things that cannot be installed safely on every system",
    remedy: "Rename or remove them, or leave them out with --ignore.",
  },
  "build.too-large": {
    family: "usage",
    status: 422,
    title: "The build has more files, or longer ones, than a release can list",
    remedy: "Put small files together in archives, cut files of many terabytes, or publish the game as several titles.",
  },
  "build.unreadable": {
    family: "usage",
    status: 422,
    title: "A file of the build cannot be read",
    remedy: "Give yourself permission to read it, or leave it out with --ignore.",
  },
  "channel.full": {
    family: "usage",
    status: 409,
    title: "The channel's list of releases has no room for another one",
    remedy:
      "Publish on another of the title's channels, which players choose with `patch --channel`; where there is none, " +
      "register a new title with `patchswarm init`.",
  },
  "chunk.corrupt": {
    family: "damaged",
    status: 502,
    title: "A chunk does not match its hash",
    remedy: "Run the command again; if it happens again, the publisher should publish the release again.",
  },
  "disk.failed": {
    family: "usage",
    status: 500,
    title: "The disk does not do what it is asked",
    remedy: "See that it is connected and in order, then run the command again.",
  },
  "edge.bad-certificate": {
    family: "unavailable",
    status: 502,
    title: "The certificate of the edge is not one that this machine trusts for it",
    remedy:
      "Check the host in the URL and this machine's clock; an authority of your own is named in NODE_EXTRA_CA_CERTS. " +
      "Whoever runs the edge renews a certificate that has expired.",
  },
  "edge.bad-secret": {
    family: "usage",
    status: 500,
    title: "A secret of the edge is not in its file",
    remedy: "Put the file back from a copy; if the edge never served a title, delete it and a new one is made.",
  },
  "edge.busy": {
    family: "unavailable",
    status: 503,
    title: "The edge is too busy to answer",
    remedy: "Try again in a moment.",
  },
  "edge.deploy-failed": {
    family: "unavailable",
    status: 502,
    title: "Wrangler could not take a step of the deployment",
    remedy: "Its own words are above; sign in with `npx wrangler login`, or set CLOUDFLARE_API_TOKEN.",
  },
  "edge.no-space": {
    family: "no-space",
    status: 507,
    title: "The disk of the edge is full",
    remedy: "Make room on the edge's machine and run the command again; what was sent is kept.",
  },
  "edge.not-installed": {
    family: "usage",
    status: 500,
    title: "The edge's own parts are not on this machine",
    remedy: "Install with optional dependencies (`npm ci`), and in a source tree run `npm run build`.",
  },
  "edge.port-in-use": {
    family: "usage",
    status: 409,
    title: "Another program listens on this port",
    remedy: "Stop it, or choose another port with --port (0 takes any free one).",
  },
  "edge.state-in-use": {
    family: "busy",
    status: 409,
    title: "Another edge runs on this state folder",
    remedy: "Stop it, or choose another folder with --state.",
  },
  "edge.unreachable": {
    family: "unavailable",
    status: 503,
    title: "The edge cannot be reached",
    remedy: "Check the connection and the edge's URL, then run the command again.",
  },
  "edge.wrong-protocol": {
    family: "unavailable",
    status: 502,
    title: "What listens at the edge's URL speaks another protocol",
    remedy: "Check the port, and whether the URL begins with http:// or https:// as it should.",
  },
  "install.busy": {
    family: "busy",
    status: 409,
    title: "Another patcher is working on this install",
    remedy: "Wait until it has finished.",
  },
  "install.damaged": {
    family: "damaged",
    status: 422,
    title: "Files of the install differ from the release",
    remedy: "Run `patchswarm verify <dir> --repair`.",
  },
  "install.in-use": {
    family: "busy",
    status: 409,
    title: "A file of the install is in use",
    remedy: "Close the game and whatever else holds the file open, then run the command again.",
  },
  "install.no-space": {
    family: "no-space",
    status: 507,
    title: "Not enough free space on the disk",
    remedy: "Make room on that disk and run the command again; what was sent or downloaded is kept.",
  },
  "install.not-found": {
    family: "usage",
    status: 404,
    title: "No install here",
    remedy: "Name the folder of an install, or install first: `patchswarm patch <dir> --title title.json`.",
  },
  "install.obstructed": {
    family: "usage",
    status: 409,
    title: "Something else stands where a file or folder of the install goes",
    remedy: "Move it somewhere else, then run the command again.",
  },
  "install.split": {
    family: "usage",
    status: 422,
    title: "A folder of the install lies on another file system",
    remedy: "Keep the whole install on one, then run the command again.",
  },
  "install.title-lost": {
    family: "usage",
    status: 409,
    title: "The install's title.json is lost, or another title's",
    remedy: "Run `patchswarm patch <dir> --title title.json` with the one that the publisher ships with the game.",
  },
  "install.unreadable": {
    family: "usage",
    status: 403,
    title: "What is installed here cannot be read",
    remedy: "Give yourself permission to read it, or check the disk, then run the command again.",
  },
  "install.unwritable": {
    family: "usage",
    status: 403,
    title: "The install's folder cannot be written to",
    remedy: "Give yourself permission to write there, or choose another folder.",
  },
  "metadata.expired": {
    family: "untrusted",
    status: 422,
    title: "Signed metadata has expired",
    remedy: "Check this machine's clock; if it is right, the publisher or operator must sign again.",
  },
  "metadata.invalid": {
    family: "untrusted",
    status: 422,
    title: "Metadata is malformed or not signed by enough trusted keys",
    remedy: "Do not install from this edge; tell the publisher.",
  },
  "metadata.rollback": {
    family: "untrusted",
    status: 409,
    title: "The edge offers something older than what was seen before",
    remedy: "Do not install from this edge; tell the publisher.",
  },
  "name.invalid": {
    family: "usage",
    status: 400,
    title: "Not a name that can be used",
    remedy:
      "Names take 1 to 63 lowercase letters, digits and hyphens, no hyphen first; versions also capitals, dots, plus " +
      "signs and underscores, with a letter or digit at both ends.",
  },
  "object.bad-name": {
    family: "usage",
    status: 400,
    title: "Not the name of an object",
    remedy: "Objects are named by 64 lowercase hex digits, the SHA-256 of their bytes.",
  },
  "object.malformed": {
    family: "damaged",
    status: 422,
    title: "An object cannot be parsed",
    remedy: "Run the command again; if it happens again, the publisher should publish the release again.",
  },
  "object.mismatch": {
    family: "untrusted",
    status: 422,
    title: "The bytes do not match the name they were asked or sent under",
    remedy:
      "Who sends them: send the bytes whose SHA-256 is the name. Who patches: run the command again; if it happens again, the edge has rotten bytes, and the publisher should publish the release again.",
  },
  "object.not-found": {
    family: "unavailable",
    status: 404,
    title: "No such object",
    remedy: "Publish the release again, or ask for one that the edge has.",
  },
  "object.too-large": {
    family: "damaged",
    status: 413,
    title: "Larger than the cap for this kind of object",
    remedy:
      "Who sends it: a pack has at most 32 MiB; manifests/limits.ts has the caps of other objects. Who patches: run the command again; if it happens again, the edge has rotten bytes, and the publisher should publish the release again.",
  },
  "path.unsafe": {
    family: "usage",
    status: 422,
    title: "A path that cannot be installed safely on every system",
    remedy: "Rename the file; the policy is in docs/ARCHITECTURE.md.",
  },
  "path.unusable": {
    family: "usage",
    status: 403,
    title: "A file or folder cannot be used",
    remedy: "Give yourself permission to use it, take away what is in its place, or name another.",
  },
  "release.incomplete": {
    family: "damaged",
    status: 409,
    title: "The origin lost objects of this release, and publishing it again does not make all of them anew",
    remedy: "Publish the build under another version: what was lost goes up with it.",
  },
  "release.not-found": {
    family: "usage",
    status: 404,
    title: "No such release",
    remedy: "List the releases there are with `patchswarm releases`.",
  },
  "release.not-newest": {
    family: "usage",
    status: 409,
    title: "The release's number is not above those that are there",
    remedy: "Another release came first: publish again. To go back to an older build, publish it as a new release.",
  },
  "release.version-taken": {
    family: "usage",
    status: 409,
    title: "This version was already published with different content",
    remedy: "Choose another --version; a published version never changes.",
  },
  "request.bad-method": {
    family: "usage",
    status: 405,
    title: "This URL does not take requests of this kind",
    remedy: "Use one of the methods that the answer's Allow header names.",
  },
  "request.clock-skew": {
    family: "usage",
    status: 400,
    title: "The clocks of this machine and of the edge differ too much for a signed request",
    remedy: "Set this machine's clock, then run the command again.",
  },
  "request.malformed": {
    family: "usage",
    status: 400,
    title: "The request cannot be understood",
    remedy: "See docs/ARCHITECTURE.md for the HTTP surface.",
  },
  "request.not-found": {
    family: "usage",
    status: 404,
    title: "Nothing lives at this URL",
    remedy: "See docs/ARCHITECTURE.md for the HTTP surface.",
  },
  "request.unauthorized": {
    family: "untrusted",
    status: 401,
    title: "The request is not signed by a key that may do this",
    remedy: "Use a key of this title (--keys), or the admin token for `init`.",
  },
  "source.interrupted": {
    family: "interrupted",
    status: 499,
    title: "Interrupted",
    remedy: "Run the same command again; it continues where it stopped.",
  },
  "sources.exhausted": {
    family: "unavailable",
    status: 503,
    title: "No allowed source has the missing bytes",
    remedy: "Allow more sources with --sources, or run the command again later; what was downloaded is kept.",
  },
  "swarm.no-port": {
    family: "unavailable",
    status: 503,
    title: "The port for peers cannot be opened",
    remedy: "Name a free one, or none: then any free port is taken.",
  },
  "system.too-many-files": {
    family: "usage",
    status: 500,
    title: "The system lets no more files be open at once",
    remedy: "Raise the limit, as with `ulimit -n 4096`, or close other programs; then run the command again.",
  },
  "title.exists": {
    family: "usage",
    status: 409,
    title: "The title is already registered",
    remedy: "Choose another name, or use the title.json, keys and channels it was registered with.",
  },
  "title.not-found": {
    family: "usage",
    status: 404,
    title: "No such title on this edge",
    remedy: "Check the edge's URL and the title's name; a new title is registered with `patchswarm init`.",
  },
  "usage.bad-admin-token": {
    family: "usage",
    status: 401,
    title: "The edge has another admin token than the one that was given",
    remedy:
      "Give the token of this edge, which `dev` and `deploy` keep as admin-token in their --state folder: with " +
      "--admin-token-file, or in PATCHSWARM_ADMIN_TOKEN.",
  },
  "usage.bad-flag": {
    family: "usage",
    status: 400,
    title: "An option or argument cannot be used",
    remedy: "See --help.",
  },
  "usage.bad-key-file": {
    family: "usage",
    status: 400,
    title: "Not a signing key",
    remedy: "Key files are Ed25519 private keys in PKCS #8 PEM, as `patchswarm init` writes them.",
  },
  "usage.bad-title-file": {
    family: "usage",
    status: 400,
    title: "Not a title.json, or not that of this install",
    remedy: "Use the title.json that the publisher ships with the game.",
  },
  "usage.no-keys": {
    family: "usage",
    status: 400,
    title: "A signing key that is needed is not there",
    remedy:
      "Point --keys at the folder that `patchswarm init` made, with the keys of this very title and channel in it.",
  },
  "usage.old-node": {
    family: "usage",
    status: 400,
    title: "This Node.js is too old",
    remedy: "Install a newer one; `npm run patchswarm --` in the source tree brings its own.",
  },
} as const satisfies Record<string, FailureRow>;

export type FailureCode = keyof typeof FAILURES;

/** Expected and found, sizes, names: whatever helps. Never a key, never a token. */
export type FailureFacts = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** The one error class. `message` is for people: title, particulars, remedy. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly facts: FailureFacts;
  /** Title and particulars, without a full stop: for a sentence that has a remedy of its own. */
  readonly what: string;

  constructor(code: FailureCode, facts: FailureFacts = {}, options?: ErrorOptions) {
    const row = FAILURES[code];
    const particulars = Object.entries(facts)
      .filter(([, value]) => value !== undefined)
      .map(
        ([name, value]) => `${name} ${Array.isArray(value) ? value.join(", ") : value === "" ? '""' : String(value)}`,
      )
      .join("; ");
    const what = particulars === "" ? row.title : `${row.title}: ${particulars}`;
    super(`${what}. ${row.remedy}`, options);
    this.code = code;
    this.what = what;
    this.facts = facts;
  }

  get family(): FailureFamily {
    return FAILURES[this.code].family;
  }

  get status(): number {
    return FAILURES[this.code].status;
  }
}
