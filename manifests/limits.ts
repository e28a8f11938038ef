/** Every cap, timeout and default: unit in the name, reason or source in the comment. */

const KIB = 1024;
const MIB = 1024 * KIB;

// --- Objects -----------------------------------------------------------------------------------------------------

/**
 * Largest tree we read, compressed: at 48 B a file (measured) 1.3 million files. A release never comes near: its
 * .torrent, which has every path twice, is at least twice as long, and may be no longer than OBJECT_BYTES_MAX.
 */
export const TREE_BYTES_MAX = 64 * MIB;
/** Largest tree after decompression: about 200 B a line. */
export const TREE_PLAIN_BYTES_MAX = 512 * MIB;
/** Files in one release; keeps every per-file table in memory affordable. */
export const TREE_FILES_MAX = 2_000_000;
/** Largest release document. It holds a dozen fields and free-text notes. */
export const RELEASE_BYTES_MAX = 64 * KIB;
/** A pack is closed before it would pass this. Below the 100 MB request body limit of Workers with room for memory. */
export const PACK_BYTES_MAX = 32 * MIB;
/** A chunk is stored raw when compressing it saves less than this: reading it then costs no decompression. */
export const PACK_SAVING_SHARE_MIN = 0.03;
/**
 * A publisher closes a pack about here: one ranged GET of a patcher, sent while reading goes on, little to send again.
 */
export const PACK_BYTES_WANTED = 8 * MIB;
/**
 * Largest object of any kind that the origin takes, and as much is read of a .torrent: Workers refuse request bodies
 * over 100 MB. Of all objects a .torrent may come to this: it takes 52 B a piece and about 200 B a file, so 400,000
 * files.
 */
export const OBJECT_BYTES_MAX = 95 * MIB;
/** Largest recipe of one file after decompression: 40 B a chunk x 16 M chunks of 64 KiB (1 TB). */
export const RECIPE_PLAIN_BYTES_MAX = 640 * MIB;
/**
 * Chunks from one place of a recipe where reading can begin to the next: a fifth of a millisecond of reading
 * (measured).
 */
export const RECIPE_INDEX_STEP = 256;
/**
 * A zstd frame may ask its reader for a window of 2^this bytes: levels up to 19 take no more; a larger one is an
 * attack.
 */
export const ZSTD_WINDOW_LOG_MAX = 23;
/** Largest index of the recipes an install keeps: 100 B a content x 2 M. */
export const RECIPE_INDEX_BYTES_MAX = 256 * MIB;
/** Recipes are collected in objects of about this size, so that 20,000 small files do not make 20,000 objects. */
export const RECIPE_OBJECT_BYTES_WANTED = 4 * MIB;

/** Longest path, UTF-8: PATH_MAX of macOS; Linux has 4,096 and Windows about 32,000. */
export const PATH_BYTES_MAX = 1024;
/** Longest segment of a path, UTF-8: NAME_MAX of ext4; NTFS and APFS count 255 characters, which are never fewer. */
export const PATH_SEGMENT_BYTES_MAX = 255;
/** Deepest path. Every level costs a mkdir and a level of bencode. */
export const PATH_DEPTH_MAX = 64;

// --- Chunks ------------------------------------------------------------------------------------------------------

/**
 * FastCDC sizes for titles up to CHUNK_LARGE_TITLE_BYTES. 64 KiB wanted: with 16 KiB, and four times as many chunks,
 * casync fetched 24 and 10 % less of updates of playcanvas and phaser, and 8 % more of one of workerd (measured).
 */
export const CHUNK_BYTES = { min: 16 * KIB, wanted: 64 * KIB, max: 256 * KIB } as const;
/** Above this a title's chunks are four times larger, so that recipes of 100 GB stay a few MB per changed GB. */
export const CHUNK_LARGE_TITLE_BYTES = 16 * 1024 * MIB;
export const CHUNK_BYTES_LARGE = { min: 64 * KIB, wanted: 256 * KIB, max: 1024 * KIB } as const;
/** Largest chunk any recipe may name; a decoder allocates at most this. */
export const CHUNK_BYTES_MAX = CHUNK_BYTES_LARGE.max;

// --- Torrent -----------------------------------------------------------------------------------------------------

/** BEP 52: the leaves of every Merkle tree, and the unit of a request (BEP 3). */
export const BLOCK_BYTES = 16 * KIB;
/** BEP 52: a piece is a power of two and at least one block. */
export const PIECE_BYTES_MIN = 16 * KIB;
/** Above 4 MiB a piece costs too much to fetch again when one byte was wrong. */
export const PIECE_BYTES_MAX = 4 * MIB;

/** Wanted piece length is this times the square root of the content: 1 GiB gets 1,024 pieces of 1 MiB. */
export const PIECE_ROOT_FACTOR = 32;
/** Bencode nests a level for each segment of a path (64 at most) and a few around them. */
export const BENCODE_DEPTH_MAX = 80;
/** A key is a word, an info hash, a root, or a segment of a path. */
export const BENCODE_KEY_BYTES_MAX = KIB;
/** Values in one bencoded document: about 25 a file of a hybrid torrent, so this is 640,000 files. */
export const BENCODE_ITEMS_MAX = 16_000_000;
/** Zeros between files, as a part of the content: above it a smaller piece is chosen. Players never fetch them. */
export const TORRENT_PADDING_SHARE_MAX = 1 / 4;

// --- Metadata (TUF) ----------------------------------------------------------------------------------------------

/** tuf-js defaults to 512,000 for root; ours carry five keys. */
export const ROOT_BYTES_MAX = 512_000;
/** Any other role: 8,600 releases of 490 B. */
export const ROLE_BYTES_MAX = 4 * MIB;
/** A publish says how many more releases its channel has room for from here on: a quarter of a year at five a day. */
export const CHANNEL_ROOM_WARNING_RELEASES = 500;
/** Root versions a player walks in one run: tuf-js's own bound, 256 yearly rotations. */
export const ROOT_ROTATIONS_MAX = 256;
/** Largest timestamp.json; tuf-js's default. It names one file. */
export const TIMESTAMP_BYTES_MAX = 16 * KIB;
/**
 * How long each role's signature lasts, seconds. Offline roles outlive a holiday; online ones are re-signed by alarm.
 */
export const ROLE_LIFETIME_S = {
  root: 365 * 86_400,
  targets: 365 * 86_400,
  channel: 180 * 86_400,
  live: 7 * 86_400,
  snapshot: 7 * 86_400,
  timestamp: 86_400,
} as const;
/**
 * A publish that changes nothing signs its channel again when less than this is left, seconds. Who publishes a finished
 * game's last build once a quarter keeps it alive: that is 92 days at most, and a month for a run that comes late.
 */
export const CHANNEL_RESIGN_BEFORE_S = 120 * 86_400;
/**
 * A publish says that root or targets run out when less than this is left, seconds: one run a quarter says it in time.
 */
export const EXPIRY_WARNING_S = 120 * 86_400;
/** The alarm signs the timestamp again when less than this is left, seconds. */
export const TIMESTAMP_RESIGN_BEFORE_S = 12 * 3600;
/**
 * How far a signed request's `created` may be from the edge's clock, seconds. RFC 9421 section 7.2.1 asks for a window.
 */
export const REQUEST_SKEW_S = 300;
/** How far the freshness statement's `now` may be from the local clock before we say so, seconds. */
export const CLOCK_SKEW_S = 300;

// --- Tracker -----------------------------------------------------------------------------------------------------

/** Peers in a reply when the client names no number: chihaya and bittorrent-tracker agree on 50. */
export const PEERS_WANTED_DEFAULT = 50;
export const PEERS_WANTED_MAX = 100;
/** Seconds between announces (BEP 3 `interval`, `min interval`). */
export const ANNOUNCE_INTERVAL_S = 120;
export const ANNOUNCE_INTERVAL_MIN_S = 30;
/** A client waits no longer than this, whatever a tracker says: bittorrent-tracker's own interval. */
export const ANNOUNCE_INTERVAL_S_MAX = 1800;
/** A peer that has not announced for this long is gone: two intervals and half of one for a slow network. */
export const PEER_LIFETIME_S = 300;
/** Longest announce or scrape query: SCRAPE_HASHES_MAX escaped info hashes, 71 characters each, with room. */
export const QUERY_CHARS_MAX = 8 * KIB;
/** Info hashes in one scrape (BEP 48 names no number; UDP trackers stop at 74). */
export const SCRAPE_HASHES_MAX = 100;
/** Offers in one WebSocket announce: bittorrent-tracker's client sends 5, aquatic takes 10. */
export const OFFERS_MAX = 10;
/** One WebRTC session description with all its candidates is 1 to 5 KB. */
export const SDP_CHARS_MAX = 12 * KIB;
/** Longest WebSocket message of a peer: OFFERS_MAX descriptions, with room for JSON's escapes. */
export const WEBSOCKET_MESSAGE_CHARS_MAX = 192 * KIB;
/** STUN and TURN servers that an edge gives to its players, and URLs of one: browsers warn from five on. */
export const ICE_SERVERS_MAX = 8;
/** Longest URL, name or password of one of them; those that expire hold a signature. */
export const ICE_TEXT_CHARS_MAX = 1000;
/** An unanswered offer is forgotten: bittorrent-tracker's client gives up after 50 s. */
export const OFFER_LIFETIME_S = 60;
/** Longest announce token that a WebSocket remembers; ours have 51 characters. */
export const ANNOUNCE_TOKEN_CHARS_MAX = 64;
/** Swarms one WebSocket takes part in, so that its attachment stays below the platform's 16 KiB. */
export const SOCKET_SWARMS_MAX = 16;
/** WebSockets of one Swarm object; the platform's own limit is 32,768. */
export const SOCKETS_MAX = 32_000;
/**
 * Peers of one Swarm object over all its swarms: 0.7 KB each, 0.2 KB more for a second info hash, and 0.2 KB for one
 * that is alone at its address (measured in Node), so 66 MB of the platform's 128 MB.
 */
export const SWARM_PEERS_MAX = 60_000;
/**
 * Offers of all of a Swarm object's peers that wait for an answer: 0.3 KB each (measured in Node), so 30 MB beside its
 * peers. Three for each of SOCKETS_MAX; nearly all are answered within seconds.
 */
export const OFFERS_WAITING_MAX = 100_000;
/**
 * Peers of one address, of IPv6 those of one /48, over all swarms of a title: who invents ports, peer ids and IPv6
 * subnets needs 30 addresses or sites to fill a tracker. Households, campuses and carriers share addresses, and whoever
 * seeds many releases is a peer in each: a carrier that gives its subscribers 1,000 ports each has 64 of them on one
 * address, and one that gives each a /56 has 256 of them in one /48. aquatic (0.9) and opentracker take a peer for its
 * address and port, as we do, and end only where their memory does; an object of 128 MB ends sooner. Loopback does not
 * count: it is everybody's address at an edge on this machine.
 */
export const PEERS_PER_ADDRESS_MAX = 2000;
/** WebSockets of one of them: half, because a player that announces over HTTP too is two peers, and has one socket. */
export const SOCKETS_PER_ADDRESS_MAX = PEERS_PER_ADDRESS_MAX / 2;
/** Swarms of an open title; those of a title that is not open are its releases. */
export const OPEN_SWARMS_MAX = 10_000;
/**
 * Newest releases that a title's tracker answers for, beside those that its channels give: five a day for four years.
 * Each takes 180 B of a stored value, which takes 2 MB on Cloudflare, and about 3 KB of the object's memory.
 */
export const TRACKED_RELEASES_MAX = 8000;
/**
 * HTTP peers are written down at most this often, seconds; a crash forgets what changed since, until the next announce.
 */
export const SWARM_SNAPSHOT_EVERY_S = 5;
/** Rows of that snapshot: SQLite-backed objects take 2 MB a value. */
export const SWARM_SNAPSHOT_ROW_BYTES = 1 * MIB;
/** BEP 31 `retry in`, minutes, when a full or restarting tracker may soon do better. */
export const RETRY_BUSY_MIN = 5;
/** BEP 31 `retry in`, minutes, for a torrent that is not (yet) one of the title's. */
export const RETRY_UNREGISTERED_MIN = 30;

// --- Edge --------------------------------------------------------------------------------------------------------

/** Largest JSON body of a request that carries no metadata (publish, fresh, join). They hold a handful of fields. */
export const REQUEST_BYTES_MAX = 16 * KIB;
/**
 * How far above the newest release of the title the edge takes a new one: whoever holds one channel's key could use up
 * all numbers (2^53) and leave none to the other channels. An edge that starts empty takes a title that published every
 * minute for two years; at a hundred roles a second the numbers last three years.
 */
export const RELEASE_SEQ_JUMP_MAX = 1_000_000;
/** Root and targets are kept in a database row, which takes 2 MB; this is a thousand channels. */
export const AUTHORITY_BYTES_MAX = 512_000;
/** The edge signs live and snapshot again when less than this is left, seconds: a long weekend without an alarm. */
export const ONLINE_RESIGN_BEFORE_S = 3 * 86_400;
/** An alarm that failed runs again after this long, seconds. */
export const ALARM_RETRY_S = 60;
/**
 * How long a browser believes what pages of other sites may ask for, seconds: Firefox takes a day, Chromium two hours.
 */
export const PREFLIGHT_LIFETIME_S = 86_400;
/** How long an isolate believes a title's keys and releases, seconds: a key taken away may upload objects that long. */
export const TITLE_CACHE_S = 10;
/** Titles an isolate remembers. */
export const TITLE_CACHE_MAX = 500;
/** Announce tokens last this long, seconds: an evening's play; a player asks for another by then. */
export const ANNOUNCE_TOKEN_LIFETIME_S = 6 * 3600;
/** An isolate tells the Title object how many bytes it served at most this often, seconds. */
export const SERVED_FLUSH_S = 10;
/**
 * Web seed: the largest tree it reads, and searches decompressed (about 150,000 files). An isolate has 128 MB for
 * everything.
 */
export const WEB_SEED_TREE_BYTES_MAX = 32 * MIB;
/** Web seed: the largest recipe it reads, decompressed: 400,000 chunks, a file of 25 GB. */
export const WEB_SEED_RECIPE_BYTES_MAX = 16 * MIB;
/** Web seed: bytes of trees, and of recipes, that an isolate keeps: decompressed, but not parsed. */
export const WEB_SEED_TREES_KEPT_BYTES = 40 * MIB;
export const WEB_SEED_RECIPES_KEPT_BYTES = 24 * MIB;
/**
 * Web seed: stored bytes of a pack that the bucket is asked for at once; neighbours are fetched together up to this.
 */
export const WEB_SEED_READ_BYTES = 2 * MIB;
/**
 * Web seed: how much of that is held at once, unless a chunk is longer. An isolate that serves 40 clients who do not
 * read holds 9 MB, where it held 168 MB of whole reads (measured); a fast client costs 5 to 9 % more time of the
 * processor.
 */
export const WEB_SEED_HELD_BYTES = 128 * KIB;

// --- Transfer ----------------------------------------------------------------------------------------------------

/** When peers together deliver at least this, the origin rests: 200 Mbit/s, bytes a second. See sources/choose.ts. */
export const PEERS_FAST_ENOUGH_BPS = 25_000_000;
/** HTTP: seconds without a byte before a request is given up. */
export const HTTP_IDLE_TIMEOUT_S = 20;
/** The same for a player who asks what is current, when another edge may answer sooner. */
export const HASTY_IDLE_TIMEOUT_S = 5;
/** Who waits for an edge to say what is current is told so after this time, milliseconds: long for a sound line. */
export const EDGE_WAIT_TOLD_MS = 3000;
/**
 * What has to come of an answer in that time, bytes: 51 a second, or who drips would be waited for (TUF 1.0.31 §1.5.2).
 */
export const HTTP_IDLE_BYTES = KIB;
/** The same where nobody counts more closely, as while an edge looks through what it was sent. */
export const HTTP_SILENCE_S = 300;
/** A TLS handshake that takes longer than this may be with a port that does not speak TLS, milliseconds. */
export const TLS_SLOW_MS = 2000;
/**
 * Tries of a player's small request (metadata, a release document), since something of it came, before another edge is
 * asked.
 */
export const HTTP_TRIES = 4;
/** Wait before the second try, milliseconds; it doubles each time: under two seconds in all. */
export const HTTP_RETRY_MS = 250;
/** Largest problem document we read from an edge (RFC 9457): a few sentences. */
export const PROBLEM_BYTES_MAX = 64 * KIB;
/**
 * How much of a second's allowance may be spent at once after a pause: a limit of 1 MB/s then never bursts over 250 KB.
 */
export const RATE_BURST_S = 0.25;
/** Facts of a foreign problem document we repeat, and how long each: they are another machine's words. */
export const PROBLEM_FACTS_MAX = 16;
export const PROBLEM_FACT_CHARS_MAX = 300;
/** Worker threads at most: more only raise memory, because disks and links are the limit by then. */
export const THREADS_MAX = 8;

// --- Publish -----------------------------------------------------------------------------------------------------

/** How many refused paths one error names; the rest are counted. A screenful. */
export const REFUSED_NAMED_MAX = 20;
/**
 * Largest file of a build that is looked at for signing keys. A key takes 119 B: all of a title's, one after another,
 * fit.
 */
export const KEY_FILE_BYTES_MAX = 4 * KIB;
/** A thread reads this much of a file at a time. Larger reads gain nothing from a page cache, and cost memory. */
export const READ_BYTES = MIB;
/** What one thread is given at once: a span of a large file, or as many small files. A multiple of any piece length. */
export const INGEST_JOB_BYTES = 16 * MIB;
/** Small files given to one thread at once: enough that the hand-over costs nothing, few enough to share the work. */
export const INGEST_JOB_FILES = 512;
/**
 * Jobs given out at once: a machine with more cores than this would hold more than 400 MB, 45 MB a thread (measured).
 */
export const INGEST_JOBS_MAX = 5;
/**
 * How far past its span a thread looks for a cut that the next span also makes, in largest chunks; then it cuts by
 * force.
 */
export const RESYNC_CHUNKS_MAX = 8;
/**
 * zstd level of chunks. Measured on 64 KiB chunks of phaser and workerd, one thread: level 3 does 206 and 133 MB/s and
 * leaves 20.9 and 31.0 %; 6 does 73 and 52 MB/s and leaves 19.5 and 29.2 %; 9 and 12 win under 0.5 % more for twice to
 * five times the time. Two threads at 6 fill a 200 Mbit/s line, and every player saves what the publisher spends once.
 */
export const CHUNK_ZSTD_LEVEL = 6;
/**
 * zstd level of trees and recipes: small, written once, fetched by everyone, and mostly hashes that do not compress.
 */
export const METADATA_ZSTD_LEVEL = 9;
/** Objects on their way to the origin at once. */
export const UPLOADS_AT_ONCE = 4;
/**
 * What a publisher's uploads leave free on the disk of an edge on one machine: what four of 32 MiB, begun at once, may
 * take together, and with it room for databases, which players need too.
 */
export const EDGE_DISK_RESERVE_BYTES = 128 * MIB;
/** An edge that does not start with less than this free fails for that: its databases take a few hundred kilobytes. */
export const EDGE_START_BYTES = MIB;
/** Tries of one request to the edge before a publish gives up; waits double from one second: half a minute in all. */
export const EDGE_TRIES = 6;
/** Largest answer of an edge about itself: 600 B for each of 10,000 releases, its two swarms included. */
export const STATS_BYTES_MAX = 8 * MIB;
/** Days that limits are given in, milliseconds. */
export const DAY_MS = 86_400_000;
/** Days that an unused object stays in the publisher's cache. Longer than a holiday between two releases. */
export const CACHE_DAYS = 60;
/** Deltas made for a release when the publisher does not say. */
export const DELTAS_DEFAULT = 3;
export const DELTAS_MAX = 20;
/** Jobs given out beyond those that threads work on, so that a thread finds its next at once. */
export const INGEST_JOBS_AHEAD = 2;
/** Bytes that compressing dropped before a thread collects: costs a few percent of the time, and bounds the memory. */
export const INGEST_DROPPED_BYTES_MAX = 16 * MIB;
/** Wait before the second try of a request to the edge, milliseconds; see EDGE_TRIES. */
export const EDGE_RETRY_MS = 1000;
/** Tries to sign a release when other publishes keep coming in between. */
export const SIGNING_TRIES = 3;
/** Largest answer of an edge to a registration: a title and a key. */
export const REGISTRATION_BYTES_MAX = 8 * KIB;
/**
 * Parts of a run that was killed are removed after this long, milliseconds: nobody publishes a whole day without
 * touching theirs.
 */
export const PARTS_ABANDONED_MS = 24 * 3600 * 1000;

// --- Peers -------------------------------------------------------------------------------------------------------

/** Connections a torrent holds at once; webtorrent's own default. */
export const PEER_CONNECTIONS_MAX = 55;
/**
 * Block requests that are out to a peer before its rate is known: 256 KiB, what libtorrent's slow start reaches soon.
 */
export const PEER_REQUESTS_MIN = 16;
/** Block requests out to one peer: 16 MiB, what 1 Gbit/s holds in flight over 130 ms. */
export const PEER_REQUESTS_MAX = 1024;
/** Requests out to a peer last it about this long, seconds; less starves it, more wastes what a slow peer was asked. */
export const PEER_QUEUE_S = 1;
/** Requests we accept from a peer at once (BEP 10 `reqq`); ten times that is an attack, and the peer is dropped. */
export const PEER_REQUESTS_ACCEPTED = 1024;
/** A peer that was asked and gave no block for this long has stalled; its pieces go to others. Milliseconds. */
export const PEER_SNUB_MS = 4000;
/**
 * So long after its last block an idle peer keeps a piece that nobody else has, milliseconds: 16 KiB a minute are
 * little.
 */
export const PEER_PIECE_KEPT_MS = 60_000;
/**
 * A piece that was given back so often with blocks in it is no longer hoped for: what comes of it counts for nothing.
 */
export const PEER_PIECE_LOST_MAX = 3;
/** A piece that a stalled peer gave back is left to the origin for this long, milliseconds. */
export const PEER_REST_MS = 5000;
/** With nothing left to start, a block asked this long ago is asked of a second peer. Milliseconds. */
export const PEER_DUPLICATE_AFTER_MS = 1000;
/** Pieces being fetched and verified at once, together; bounds the memory of a download. */
export const PEERS_ACTIVE_BYTES_MAX = 64 * MIB;
/**
 * And so many: small files make small pieces. As many as one peer may be asked for, and as many again being verified.
 */
export const PEERS_ACTIVE_PIECES_MAX = 2 * PEER_REQUESTS_MAX;
/** Largest message a peer may send besides its bitfield: a 128 KiB block, BEP 52 hashes, BEP 9 metadata pieces. */
export const PEER_MESSAGE_BYTES_MAX = 256 * KIB;
/** Largest block a peer may ask for; above 128 KiB BEP 3 clients disconnect. */
export const PEER_BLOCK_BYTES_MAX = 128 * KIB;
/** Peer ids at one address that lied before the address itself is refused: several players may share one. */
export const PEER_LIARS_PER_ADDRESS_MAX = 3;
/** Files are served in windows of this size: one read a window instead of one a 16 KiB block. */
export const SERVE_WINDOW_BYTES = 256 * KIB;
/** Windows kept in memory for serving, together. */
export const SERVE_CACHE_BYTES = 16 * MIB;
/** Open files of one store: one that never closes them (fs-chunk-store) stalls at 20,000 files. */
export const OPEN_FILES_MAX = 128;
/** File system calls of one store at once; libuv has four threads, a few more keep them busy. */
export const FILE_CALLS_MAX = 16;
/** Stalled peers, resting pieces and limits are looked at this often, milliseconds: a fortieth of PEER_SNUB_MS. */
export const PEERS_TICK_MS = 100;
/** Window of a peer's rate, which decides how much it is asked at once, milliseconds: that of PEER_QUEUE_S. */
export const PEER_RATE_WINDOW_MS = 1000;
/** "The last few seconds" of the rates people see, milliseconds. */
export const SHOWN_RATE_WINDOW_MS = 3000;
/** Counting goes on for this long before a rate is shown, milliseconds. */
export const SHOWN_RATE_AFTER_MS = 50;
/** Seeds that are of no use to each other part this often, milliseconds. */
export const PEERS_HOUSEKEEPING_MS = 5000;
/** After a failed announce: first retry, and the longest pause between retries, milliseconds; half of it is random. */
export const ANNOUNCE_RETRY_MS = 1000;
export const ANNOUNCE_RETRY_MS_MAX = ANNOUNCE_INTERVAL_S * 1000;
/** Largest reply to an announce: PEERS_WANTED_MAX addresses of 18 bytes, with room for trackers that give more. */
export const ANNOUNCE_REPLY_BYTES_MAX = 16 * KIB;
/**
 * An announce over HTTP that is not answered in this time is given up, milliseconds: what bittorrent-tracker's client
 * waits.
 */
export const ANNOUNCE_TIMEOUT_MS = 15_000;
/** Who leaves does not wait longer to be let go by a tracker, milliseconds. */
export const STOPPED_TIMEOUT_MS = 1000;
/**
 * Peers served at once: webtorrent's own default; and with a low limit one, and one for the optimistic unchoke beside
 * it.
 */
export const UPLOAD_SLOTS_MAX = 10;
export const UPLOAD_SLOTS_MIN = 2;
/** What a slot should be worth, bytes a second: four blocks. */
export const UPLOAD_SLOT_BPS = 4 * BLOCK_BYTES;
/** How many requests ahead of its turn a peer's content is read: more than a window has blocks. */
export const READ_AHEAD_REQUESTS = 24;
/** Requests of a peer that wait: this far over what we said we accept, it does not listen, and is dropped. */
export const PEER_REQUESTS_QUEUED_MAX = 10 * PEER_REQUESTS_ACCEPTED;
/**
 * With an upload limit of zero the wait is endless; look again this often whether the peer is still there,
 * milliseconds.
 */
export const UPLOAD_WAIT_MS_MAX = 1000;
/** Hashing a piece of fewer bytes than this costs less than handing it to a thread and back. */
export const PROVE_IN_THREAD_BYTES_MIN = 64 * KIB;
/**
 * How long an answer to a WebRTC offer waits, milliseconds. The answering side is connected (ICE) and sends its DTLS
 * hello while its answer is still on its way; libdatachannel 0.24.5 on the offering side drops a hello that comes
 * before the answer (it is sent again after 1 s), but fails the handshake when it comes while the answer is being taken
 * in: the fingerprint is not known yet. On one machine or LAN that is the rule: 7 of 14 connections failed without the
 * pause, 1 of 12 with 25 ms, none of 12 with 100 ms.
 */
export const WEBRTC_ANSWER_PAUSE_MS = 200;
/** A seed asks for another announce token when half of its time is over, milliseconds. */
export const SEED_REJOIN_AFTER_MS = (ANNOUNCE_TOKEN_LIFETIME_S / 2) * 1000;
/** A seed looks again after an edge that was away, and after its install changed, milliseconds. */
export const SEED_RETRY_MS = 10_000;

// --- Patch -------------------------------------------------------------------------------------------------------

/** Free bytes asked for beyond the content: journal, state and the cached recipes of a large title. */
export const DISK_SPARE_BYTES = 16 * MIB;
/** Hash jobs: what one thread reads at once, so that even one large file keeps all threads busy. */
export const HASH_JOB_BYTES = 32 * MIB;
/**
 * Titles above this are patched with little young memory: below, memory is no trouble and collecting less often is
 * faster.
 */
export const YOUNG_MEMORY_TITLE_BYTES = 1024 * MIB;
/**
 * Titles of more files are published and patched with little old memory. On its way a file is 0.5 KB of live objects,
 * and 0.5 KB more when its content is nobody else's.
 */
export const OLD_MEMORY_TITLE_FILES = 10_000;
/** Pieces from peers are proven together up to this, when they are small. */
export const PROVE_JOB_BYTES = MIB;
/** A piece of this size goes by itself: copying it beside others costs more than another job. */
export const PROVE_ALONE_BYTES_MIN = 256 * KIB;
/** Copy jobs: plain bytes one thread holds at once. */
export const COPY_JOB_BYTES = 8 * MIB;
/** Small files hashed or looked at in one job: handing a job over costs about as much as hashing 50 KiB. */
export const HASH_JOB_FILES = 256;
/**
 * One ranged GET of a pack: long enough that the round trip is lost in it, short enough to share between connections.
 */
export const ORIGIN_RANGE_BYTES = 8 * MIB;
/** Bytes we would rather fetch and drop than begin another request: a round trip of 20 ms at 25 Mbit/s. */
export const ORIGIN_GAP_BYTES = 64 * KIB;
/** Recipes: what has come when a line breaks counts in parts of so many bytes. */
export const RECIPE_PART_BYTES = 64 * KIB;
/** What arrives is handed to a thread in slices of this many stored bytes at least; a kill loses one a connection. */
export const ORIGIN_SLICE_BYTES = MIB;
/** On a fast line slices grow to what a connection brings in this time, milliseconds, and to this many bytes. */
export const ORIGIN_SLICE_MS = 100;
export const ORIGIN_SLICE_BYTES_MAX = 2 * MIB;
/**
 * Chunks of one slice: of 60,000 small files a slice of 2 MiB would have 1,700, and a dozen slices are on their way,
 * each with the paths of its files on both sides. Handing one over costs a hundredth of writing so many files.
 */
export const ORIGIN_SLICE_CHUNKS = 512;
/**
 * Plain bytes one slice may grow to: bounds what a thread holds, and twice as much is no quicker (measured). zstd on
 * text reaches 10:1.
 */
export const ORIGIN_SLICE_PLAIN_BYTES = 4 * MIB;
/**
 * How often a chunk of the origin may be bad and still be asked for again, then past caches: a cache may have rotted.
 */
export const ORIGIN_BAD_MAX = 1;
/** Largest answer to a scrape of one swarm: three counts and a name. */
export const SCRAPE_BYTES_MAX = 4 * KIB;
/** A tracker that has not counted its players by then is gone without, seconds: nothing waits for it but the swarm. */
export const SCRAPE_TIMEOUT_S = 2;
/** Largest answer to join: a few URLs with tokens. */
export const JOIN_BYTES_MAX = 64 * KIB;
/** Ranged GETs in flight: hides the round trip; more gains nothing over HTTP/1.1 keep-alive to one origin. */
export const ORIGIN_REQUESTS = 4;
/** Tries, since something came, before a source counts as gone; waits double from ORIGIN_RETRY_MS. About 8 s in all. */
export const ORIGIN_TRIES = 6;
export const ORIGIN_RETRY_MS = 250;
/**
 * How long the origin rests at the start while the tracker knows of players and none is connected yet, milliseconds.
 */
export const PEERS_JOIN_GRACE_MS = 1000;
/** How long the origin waits for the tracker's count before a patch goes on without peers, milliseconds. */
export const PEERS_COUNT_GRACE_MS = 1000;
/** How long it waits for the torrent when players are there: megabytes for a large title. Milliseconds. */
export const PEERS_TORRENT_GRACE_MS = 5000;
/** With nobody there yet, a patch that fetches this much joins all the same, to be found by those that come. */
export const SWARM_START_BYTES_MIN = 64 * MIB;
/** How long the origin rests once peers are connected: a rate needs as long to show. Milliseconds. */
export const PEERS_GRACE_MS = 500;
/** Window over which the peers' rate is judged, milliseconds: long enough for one piece of 4 MiB at 25 MB/s. */
export const PEERS_RATE_WINDOW_MS = 1000;
/**
 * With the origin forbidden: how long nobody may deliver before the patch gives up, milliseconds. Trackers answer in
 * seconds.
 */
export const PEERS_PATIENCE_MS = 15_000;
/** What peers have claimed is taken over by an idle origin when they need longer for it than this, milliseconds. */
export const PEERS_LAST_PIECES_MS = 500;
/** A claim without news for this long may be taken over by the other side, milliseconds. */
export const CLAIM_STALE_MS = 2000;
/** A lock that was not touched for this long belongs to nobody, milliseconds; it is touched twice as often. */
export const LOCK_STALE_MS = 10_000;
/**
 * Work that waits for nothing gives the event loop a turn after so long, milliseconds: touching the lock takes three of
 * them, and must be done well before it is old.
 */
export const LOOP_TURN_MS = 100;
/**
 * Times that a lock's folder is made: it is gone again when another patcher, which had made it, came to nothing just
 * then.
 */
export const LOCK_FOLDER_TRIES = 5;
/** The coarsest steps in which a disk keeps times, milliseconds: FAT32. */
export const DISK_TIME_STEP_MS = 2000;
/** Between two looks at whether another run is done with a cached build, or touched its lock, milliseconds. */
export const TURN_RETRY_MS = 500;
/**
 * A file that another program holds (Windows): tries, and the pause between them, milliseconds. Four seconds in all.
 */
export const LOCKED_FILE_TRIES = 40;
export const LOCKED_FILE_WAIT_MS = 100;
/** From this many files on, one `sync -f` (syncfs) beats fsync of each: 2,000 files took 0.1 s against 1.0 s (ext4). */
export const SYNCFS_FILES_MIN = 64;
/** Files that are flushed at once: Node has four threads for this, and others want one too. */
export const FLUSHES_AT_ONCE = 3;
/** Copies of files made in one job. */
export const COPY_JOB_FILES = 64;
/** Files up to this are copied by reading and writing them; of larger ones the disk may share the blocks. */
export const SPREAD_BYTES_MAX = 64 * KIB;
/** Files of an install looked at between two turns of the event loop. */
export const LOOKS_AT_ONCE = 128;
/** How often the choice between peers and origin is made again, milliseconds. */
export const CHOICE_TICK_MS = 50;
/** How many missing contents a failure names. */
export const MISSING_NAMED_MAX = 5;
/** How many files of the player's that an update keeps aside are told by name; `--json` has them all. */
export const KEPT_NAMED_MAX = 10;
/**
 * Announce URLs in an answer to join, and the longest one: an edge has a handful of doors, and a token 51 characters.
 */
export const JOIN_URLS_MAX = 16;
export const JOIN_URL_CHARS_MAX = 2000;
/** Progress lines for programs and logs: at most one in this many milliseconds. */
export const PROGRESS_INTERVAL_MS = 250;

// --- Deltas ----------------------------------------------------------------------------------------------------------

/** Bytes that have to agree before a match is looked at. */
export const DELTA_WINDOW_BYTES = 16;
/** Old bytes from one indexed window to the next. */
export const DELTA_STRIDE_BYTES = 8;
/** Windows of one hash that are compared. */
export const DELTA_CANDIDATES_MAX = 8;
/**
 * Windows a bucket is made for; it has room for 16, and what finds it full is not indexed: 5 in 1,000, of random ones.
 */
export const DELTA_BUCKET_WINDOWS = 10;
/** The further a jump, the more bytes it takes to say: from this distance on, a match must gain more. */
export const DELTA_JUMP_FAR_BYTES = 64;
/**
 * By what a scan judges matches, measured on some twenty pairs of programs, sources and data. What differs costs two
 * numbers and a value. New content told as differences compresses worse than as literals where it is text; where it is
 * a program, built again with all addresses shifted, the same few differences come back for ever (decision 0038).
 */
export const DELTA_TEXT_JUDGEMENT = {
  gainBytesMin: 24,
  farGainBytes: 24,
  judgedBytes: 128,
  wrongWeight: 3,
  findsRows: false,
};
export const DELTA_PROGRAM_JUDGEMENT = {
  gainBytesMin: 16,
  farGainBytes: 16,
  judgedBytes: 256,
  wrongWeight: 1,
  findsRows: true,
};
/**
 * A segment is told as a program when that is at most this share, quickly compressed: slow compression makes more of
 * literals.
 */
export const DELTA_PROGRAM_SHARE_MAX = 0.96;
/**
 * Of the bytes of text at most this share are below DELTA_TEXT_BYTE_MIN, a tab; programs, pictures and tables have
 * more: zeros, most.
 */
export const DELTA_TEXT_LOW_BYTES_SHARE_MAX = 0.002;
export const DELTA_TEXT_BYTE_MIN = 9;
/** Every so many bytes are looked at: a prime, for hardly a table has rows of a multiple. */
export const DELTA_TEXT_LOOK_BYTES = 31;
/**
 * Brotli's best level models what is told in a delta better than zstd's, at half a megabyte a second: up to these
 * lengths of a stream it pays. It leaves 3 to 15 % fewer bytes of text and numbers in kilobytes, but 1 % of megabytes
 * of text; of what is new in programs 5 to 25 %, and of differences 6 %. The lengths of runs zstd tells as well (all
 * measured).
 */
export const DELTA_BROTLI_BYTES_MAX = 512 * KIB;
export const DELTA_BROTLI_RUNS_BYTES_MAX = 64 * KIB;
export const DELTA_BROTLI_DIFFERENCES_BYTES_MAX = MIB;
export const DELTA_BROTLI_PROGRAM_BYTES_MAX = 2560 * KIB;
/**
 * Of longer streams, but for literals and long differences, its second best level: it takes less than half the time,
 * and leaves 2 % more. With the best, half of what it takes to make a program's delta was Brotli's; of literals that
 * level leaves 4 to 9 % more (measured).
 */
export const DELTA_BROTLI_BEST_LIST_BYTES_MAX = 128 * KIB;
/**
 * Of the lengths of copies and of literals the best leaves no fewer bytes than the second best, in three times its
 * time.
 */
export const DELTA_BROTLI_BEST_LENGTHS_BYTES_MAX = 16 * KIB;
/** Single bytes zstd tells as well in programs, in a third of its time; in text they are fewer. */
export const DELTA_BROTLI_ONES_BYTES_MAX = 128 * KIB;
/** Bytes without a match after which a scan takes larger steps. */
export const DELTA_MISSES_MAX = 8 * 1024;
/** Where as many bytes were dropped at once, they are collected at once: a publisher has no room for many of them. */
export const DROPPED_BYTES_MIN = MIB;
/**
 * What goes by in a player's buffers is collected this often; V8 begins a full collection of its own at some 16 MiB.
 */
export const PASSED_BYTES_MAX = 4 * MIB;
/** New bytes that one thread scans; no step crosses from one segment to the next. */
export const DELTA_SEGMENT_BYTES = 4 * 1024 * 1024;
/**
 * Plain bytes of a section's streams from which on no further segment is added, and the most a reader takes: a segment
 * that resembles nothing adds its own length and a little more; one in which every second byte differs, half as much
 * again.
 */
export const DELTA_SECTION_STREAM_BYTES = 4 * 1024 * 1024;
export const DELTA_SECTION_STREAM_BYTES_MAX = DELTA_SECTION_STREAM_BYTES + 2 * DELTA_SEGMENT_BYTES;
/**
 * Names of symbols are mostly shorter than this; of those like a new one so many are compared. Where there are more,
 * none are: 8 bytes each are held.
 */
export const SYMBOL_NAME_BYTES_MAX = 4 * KIB;
export const SYMBOL_ROWS_MAX = 2 ** 21;
export const SYMBOL_PLACES_MAX = 16;
/**
 * Words by which rows of a table are judged; of those alike so many must have grown; so many that are not alike end it.
 */
export const ROWS_WORDS = 24;
export const ROWS_GROWN_MIN = 2;
export const ROWS_MISSES_MAX = 2;
/** A few rows put in or taken out shift the rest of a table by less than this. */
export const ROWS_NEAR_BYTES = 1024;
/** Of places that are alike so many are followed, until one goes on for so long. */
export const ROWS_PLACES_MAX = 16;
export const ROWS_BYTES_SURE = 4096;
/**
 * So many bytes apart they are looked for; further apart when more than a few times none were found. Odd numbers, the
 * longer one divisible by a scan's strides: the words of a table begin at one byte in four, and only there is it one.
 */
export const ROWS_WAIT_BYTES_MIN = 33;
export const ROWS_WAIT_BYTES_MAX = 525;
export const ROWS_TRIES = 4;
/**
 * Rows so far behind the last match, or less, go on with its copy; others begin one of their own. Counted from the last
 * right byte instead, programs are 0.1 % larger (measured).
 */
export const ROWS_FOLLOWED_BYTES_MAX = 256;
/** Many rows shift it by less than this (delta/far-rows.ts): so many old bytes are indexed before and behind. */
export const FAR_ROWS_BYTES = 128 * KIB;
/**
 * As often in a scan, for each expected place and row length: a millisecond each. With four times as many, programs are
 * no smaller (measured).
 */
export const FAR_ROWS_FILLS_MAX = 32;
/** A word of a sorted table is not further from the one a row before than this: functions are seldom longer. */
export const FAR_ROWS_STEP_MAX = 64 * KIB;
/**
 * Where nothing is found in a program, places near the expected one are looked at (delta/near.ts): so many bytes before
 * and behind, from so many places one after another on, and then not again for a while: longer each time, up to the
 * last. With four times as many bytes and three times as many places, making takes half as long again, and is no
 * smaller (measured).
 */
export const NEAR_BYTES = 512;
export const NEAR_PROBES = 12;
export const NEAR_WAIT_BYTES_MIN = 64;
export const NEAR_WAIT_BYTES_MAX = 4096;
/** Of those that begin the same, so many are compared on each side of the expected place: among zeros all do. */
export const NEAR_PLACES_MAX = 64;
/** Where a copy of so many old bytes lies, more is expected. */
export const NEAR_HOME_BYTES_MIN = 256;
/**
 * How references are guessed (delta/references.ts). From here to ARM64_PAGE_REACH_BYTES all is part of the format, for
 * reader and writer guess the same: with another number, it is another version.
 *
 * Addresses go on behind what the file of a program holds: memory that is all zeros when it starts.
 */
export const REFERENCE_BEYOND_BYTES = 64 * MIB;
/** Nearer to 0, a word is a count or a size and no address. */
export const REFERENCE_WORD_MIN = 4096;
/** What lies in one block of 2^6 bytes moves together, and mostly what lies in one region of 2^11 (measured). */
export const REFERENCE_BLOCK_BITS = 6;
export const REFERENCE_REGION_BITS = 11;
/** A segment remembers 2^14 of each: with more it is slower, and hardly a guess is better (measured). */
export const REFERENCE_SHIFTS_BITS = 14;
/** An address changes by no more from one build to the next, or it was none. */
export const REFERENCE_SHIFT_BYTES_MAX = 8 * MIB;
/**
 * Right guesses of a kind less wrong ones, at most: above 0 they are trusted. Where a segment begins, those of code are
 * by this much, and those of words by this much not.
 */
export const REFERENCE_TRUST_MAX = 16;
export const REFERENCE_CODE_TRUST = 4;
export const REFERENCE_WORD_DISTRUST = 4;
/** As long as guesses of words are not trusted, the word in one of so many bytes is looked at. A power of two. */
export const REFERENCE_WATCHED_BYTES = 128;
/**
 * A page of ADRP, and how far behind it what is added to the page is looked for: four instructions; with more it is no
 * smaller (measured).
 */
export const ARM64_PAGE_BYTES = 4096;
export const ARM64_PAGE_REACH_BYTES = 16;
/** Where fewer runs of bytes differ in a segment, nothing is guessed. The writer's choice, as the next six. */
export const REFERENCE_RUNS_MIN = 128;
/** Where more than one word in so many is a return of arm64, the segment is taken for its code. */
export const ARM64_RETURN_WORDS_MAX = 4096;
/** Returns are looked for in the first so many bytes of each ARM64_LOOK_PARTS times as many. */
export const ARM64_LOOK_BYTES = 1024;
export const ARM64_LOOK_PARTS = 4;
/** Where more than this share of the bytes of a segment may be local.get, it is tried as WebAssembly, too. */
export const WASM_LOCAL_GET_SHARE_MIN = 0.03;
/**
 * Guesses are told where they leave no more than this share of what a segment costs without them: they take a reader
 * time.
 */
export const REFERENCE_WORTH_SHARE_MAX = 0.98;
/** Where they leave less than this, the segment is part of a program, and is not judged as text as well. */
export const REFERENCE_PROGRAM_SHARE_MAX = 0.75;
/** Files a decoder keeps open at once; it jumps between them as the delta says. */
export const DELTA_OPEN_FILES = 64;
/**
 * A delta is worth it when it is at most this share of what the chunks would take: it costs processor time, and they
 * have more peers.
 */
export const DELTA_SHARE_MAX = 0.9;
/** Up to so many bytes a publisher lists a delta whatever the chunks take: it costs nobody anything. */
export const DELTA_SURELY_WORTH_BYTES = MIB;
/** Nor does it look at the chunks of one that is at most this share of the plain bytes: they compress less well. */
export const DELTA_SURELY_WORTH_SHARE = 1 / 8;
/** A delta up to this length is begun before it is known to be the best way; it may have been fetched for nothing. */
export const DELTA_AHEAD_BYTES_MAX = 16 * MIB;
/** And its torrent: ten times what its pieces take. */
export const DELTA_AHEAD_TORRENT_BYTES_MAX = 128 * KIB;
/** Written bytes that weigh as much as one that is downloaded: a slow disk writes 100 MB/s, a good line brings 3. */
export const WRITTEN_BYTES_PER_FETCHED = 32;
/**
 * Ways by delta that a player weighs: the one that leads straight there, and the smallest chains. Each may cost it a
 * tree a step.
 */
export const DELTA_PATHS_MAX = 3;
/** Deltas of a chain. Each decodes all that changed up to then. */
export const DELTA_CHAIN_STEPS_MAX = 4;
/** Deltas to earlier releases that stay listed, for chains: at 3 a release the last eight, in 10 KB of `live`. */
export const DELTAS_EARLIER_MAX = 24;
/** Bytes a decoder collects before it gives them on; a guessed copy is cut there (delta/format.ts). */
export const DELTA_OUTPUT_BYTES = 1024 * 1024;
/** Piece length of a delta's torrent: a delta is a few megabytes, and is to be shared before it is complete. */
export const DELTA_PIECE_BYTES = 128 * 1024;
/**
 * Longest torrent of a delta, which is not signed: this, and so much for each object (its name twice, and padding) and
 * for each of its pieces (SHA-256 and SHA-1). What is left without them is for the index, the table and the trackers.
 */
export const DELTA_TORRENT_BYTES = 256 * KIB;
export const DELTA_TORRENT_OBJECT_BYTES = 400;
export const DELTA_TORRENT_PIECE_BYTES = 52;
/**
 * Peers that give nothing of a delta for this long are given up, milliseconds: it is small, and there is another way.
 */
export const DELTA_PEERS_STALL_MS = 5000;
/** How often it is looked at how fast they give it, milliseconds; and for how long before it is judged. */
export const DELTA_PEERS_LOOK_MS = 250;
export const DELTA_PEERS_GRACE_MS = 1000;
/** With an origin, peers that need longer than this for the rest of a delta are not waited for, milliseconds. */
export const DELTA_PEERS_REST_MS = 5000;
/** Days that an install keeps a delta to give it to others: most players update in the first week. */
export const DELTA_KEEP_DAYS = 7;
/**
 * Bytes of a group, old and new: a publisher holds both, an index of twice their size, and what is being compressed, in
 * 1 GiB together.
 */
export const DELTA_GROUP_NEW_BYTES = 128 * MIB;
export const DELTA_GROUP_OLD_BYTES = 192 * MIB;
/**
 * Stored bytes of a delta object from which on the next section begins another one: one thing to fetch, and to resume.
 */
export const DELTA_OBJECT_BYTES = 16 * MIB;
/**
 * 100 B a group and 80 B an object: enough for a title of 100 GB. The delta of the trees is left out where it does not
 * fit as well.
 */
export const DELTA_INDEX_BYTES_MAX = 1 * MIB;
/** A tree's delta stands inside the index; a longer one saves less than it would have players wait for. */
export const TREE_DELTA_BYTES_MAX = 256 * KIB;
/** A tree up to this length is fetched as it is: it arrives as soon as the index that would hold its delta. */
export const TREE_BYTES_WHOLE = 32 * KIB;
/** Plain bytes of the table of packed streams, some 10 B a stream and a few a piece. */
export const DELTA_STREAMS_BYTES_MAX = 4 * MIB;
/** What a delta unpacks, in sizes of the release it lies in. Both sides' lie on the player's disk for a while. */
export const DELTA_UNPACKED_RATIO_MAX = 8;
/**
 * Streams of one side that a delta unpacks, and base64 inside of them: a player holds 1 KB for each. Of more, the rest
 * is left as it is.
 */
export const DELTA_STREAMS_MAX = 25_000;
/** Pieces of all of them: PNG has one each 8 KiB. */
export const DELTA_PIECES_MAX = 100_000;
/** Recipes a publisher holds, all together. Streams beyond are left as they are. */
export const DELTA_RECIPES_BYTES_MAX = 32 * MIB;
/**
 * A stream that is longer, packed and plain together, is unpacked slice by slice; shorter ones at once, which is
 * faster.
 */
export const UNPACK_AT_ONCE_BYTES_MAX = 2 * MIB;
/** Plain bytes that a thread unpacks or puts together in one job. */
export const UNPACK_JOB_BYTES = 4 * MIB;
/** Packed bytes that a thread measures or takes apart in one job: a third of a second of it. */
export const TAKE_APART_JOB_BYTES = 512 * KIB;
/**
 * Streams that it takes apart in one, however short: where no zlib made them, a hundredth of a second each to find that
 * out.
 */
export const TAKE_APART_JOB_STREAMS = 32;

/** A file is searched for base64 in windows of this. */
export const BASE64_FIND_BYTES = 64 * KIB;
/** Base64 shorter than this is left alone; a line of an e-mail or of a certificate is shorter. */
export const BASE64_RUN_BYTES_MIN = 128;
/**
 * New base64 of less than this together is left alone: a table and its place in the index cost as much as it can bring.
 */
export const BASE64_BYTES_WORTH = 4 * KIB;
/**
 * A file with more runs is none whose base64 is looked at: 250 B each are held, and a log of signatures has millions.
 * The same goes for all that a side's deflate streams inflate to.
 */
export const BASE64_RUNS_MAX = 200_000;
/** It is read, and written, in slices of this: whole groups of four digits. */
export const BASE64_SLICE_BYTES = 64 * KIB;

/** New paths of less than this together are not looked up by what they hold: that reads the front of every old file. */
export const RESEMBLANCE_BYTES_WORTH = 4 * MIB;
/** And not of more files than this. */
export const RESEMBLANCE_FILES_MAX = 100_000;

// --- Deflate streams taken apart -------------------------------------------------------------------------------------

/** A file is searched for streams in windows of this. */
export const DEFLATE_FIND_BYTES = 256 * KIB;
/** What looks like a zlib stream must inflate for so many bytes. */
export const DEFLATE_PROBE_BYTES = KIB;
/** IDAT chunks of a PNG, at most: 8 KiB each are usual, so this is an image of 512 MiB. */
export const DEFLATE_PIECES_MAX = 65_536;
/** A stream shorter than this is left alone: what is gained is less than what it costs to say so. */
export const DEFLATE_STREAM_BYTES_MIN = 128;
/**
 * A recipe above this share of the stream says that neither a zlib nor an old stream shows how it was made: left alone,
 * it does as well.
 */
export const DEFLATE_RECIPE_SHARE_MAX = 1 / 6;
/** Plain bytes of a byte of a stream, at most: two bits for a match of 258 bytes. */
export const DEFLATE_EXPANSION_MAX = 1032;
/** Tokens that are looked at to find what a stream was made with: two blocks of zlib. */
export const DEFLATE_SAMPLE_TOKENS = 32 * KIB;
/**
 * Plain bytes they may come to; also what is held of the plain bytes at any time, a multiple of deflate's 32 KiB
 * window.
 */
export const DEFLATE_WINDOW_BYTES = 512 * KIB;
/**
 * A guide looks so far back and ahead in an old stream for the place where a new one goes on. Part of the format
 * (guide.ts).
 */
export const DEFLATE_GUIDE_REACH_BYTES = 64 * KIB;
/**
 * Packed bytes of a stream's front, by which the old stream is found that it resembles; fewer where they are too long
 * unpacked.
 */
export const DEFLATE_FRONT_BYTES = [16 * KIB, KIB] as const;
/** Plain bytes of a front that are looked at, of a stream, a text or a file (sketch.ts). */
export const SKETCH_FRONT_BYTES = 64 * KIB;
/**
 * Old streams for each new one, above which only those are unpacked that new ones resemble: to say where the others lie
 * costs more than they bring.
 */
export const DELTA_OLD_STREAMS_PER_NEW_MAX = 8;
/** Tokens of one block: zlib's have 32,767 at most, 7-Zip's and zopfli's a million. 4 B each are held. */
export const DEFLATE_BLOCK_TOKENS_MAX = MIB;
/** A stream is read, and written, in slices of this. */
export const DEFLATE_SLICE_BYTES = 64 * KIB;
/** Zeros behind the end of a stream that is read, so that no bit has to be asked for; more than a header takes. */
export const DEFLATE_BEHIND_END_BYTES = KIB;
/** Tokens that are read in one step. */
export const DEFLATE_STEP_TOKENS = 8 * KIB;
/** Codes of so many bits are looked up in a table; the few that are longer are read bit by bit. */
export const DEFLATE_TABLE_BITS = 10;
/**
 * Places looked at and bytes compared for a plain byte, on average, above which a stream is given up: content can be
 * made slow.
 */
export const DEFLATE_WORK_PER_BYTE_MAX = 2048;

// --- Why a delta is big ----------------------------------------------------------------------------------------------

/**
 * New bytes of a file of which a quick compression must be tried before they are said not to compress; less is noise.
 */
export const COST_SQUEEZED_BYTES_MIN = 1024;
/** Saves it less than this, they do not compress: the share below which the encoder stores a stream as it is. */
export const COST_SQUEEZED_SAVING_SHARE_MIN = 0.02;
/** Changed places of a file that are searched for times, in each group. A few microseconds each. */
export const COST_STAMP_PLACES_MAX = 4096;
/** Bytes around a changed place that may belong to a written time: "Nov 27 2026 10:00:00" has 20. */
export const COST_STAMP_AROUND_BYTES = 24;
/** A changed place longer than this is no time. */
export const COST_STAMP_BYTES_MAX = 32;
/** Times of builds lie between 2010 and 2040, Unix seconds: most other numbers of 32 bits do not. */
export const COST_STAMP_SECONDS_MIN = 1_262_304_000;
export const COST_STAMP_SECONDS_MAX = 2_208_988_800;
/** Two builds that are compared lie at most three years apart, and at least a minute: counters go on by one. */
export const COST_STAMP_APART_S_MAX = 3 * 365 * 86_400;
export const COST_STAMP_APART_S_MIN = 60;
/** A bare number may be a time by chance; this many that tell of the same two days are not. */
export const COST_STAMP_ALIKE_MIN = 3;
/**
 * Bytes of a copy that differ for this long were replaced, not changed: of bytes by chance one in 256 agrees, of text
 * one in 16.
 */
export const COST_REPLACED_RUN_BYTES = 16;
/** Changes of at most this many bytes are short: an address or an offset in program code. */
export const COST_SHORT_RUN_BYTES = 4;
/** A short change is like others when so many have the very same difference: addresses that moved together. */
export const COST_ALIKE_RUNS_MIN = 8;
/** Differences of a file that are told apart, about 50 B each; what comes after so many is much like them. */
export const COST_DIFFERENCES_MAX = 65_536;
/** Short changes from which on a program is said to have been built again; fewer may be an edit. */
export const COST_CODE_RUNS_MIN = 64;
/** Copies that go back in the old release from which on content is said to have another order. */
export const COST_BACKWARD_MOVES_MIN = 8;
/** Files that `diff` names, and that a publish keeps for each delta. A screenful. */
export const COST_ROWS_DEFAULT = 10;
/** Files that a publish names to people. */
export const COST_ROWS_SAID = 3;
/**
 * It names those that cost at least this share of the delta, and this many bytes: less is not worth a build engineer's
 * day.
 */
export const COST_SAID_SHARE_MIN = 0.05;
export const COST_SAID_BYTES_MIN = 16 * KIB;
