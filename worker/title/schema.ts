/**
 * A Title object's tables, as numbered migrations. Append only: an edge in the field may stand at any of them. Nothing
 * is written before a title is registered, so that asking for a title that does not exist leaves nothing behind.
 */

export const MIGRATIONS: readonly string[] = [
  // 1: registration, metadata, releases
  `CREATE TABLE title (
     only INTEGER PRIMARY KEY CHECK (only = 1),
     name TEXT NOT NULL,
     -- 1: the tracker answers for any info hash
     open INTEGER NOT NULL,
     created INTEGER NOT NULL,
     -- the edge's own signing key: 32 public bytes, and the private half as signer.ts wrapped it
     online_public BLOB NOT NULL,
     online_wrapped BLOB NOT NULL
   );
   -- the current file of each role; older versions lie in the bucket
   CREATE TABLE roles (
     name TEXT PRIMARY KEY,
     version INTEGER NOT NULL,
     length INTEGER NOT NULL,
     sha256 TEXT NOT NULL,
     expires INTEGER NOT NULL,
     -- the bytes of root, targets and the online roles; null for channels, which may pass 2 MB
     document BLOB,
     -- 0: no longer signed by the keys that the current root or targets name
     usable INTEGER NOT NULL DEFAULT 1
   );
   -- last version number given to an online role, whether or not it was ever published
   CREATE TABLE drawn (name TEXT PRIMARY KEY, version INTEGER NOT NULL);
   -- every release that a channel's role lists, or that was current once
   CREATE TABLE releases (
     seq INTEGER PRIMARY KEY,
     channel TEXT NOT NULL,
     version TEXT NOT NULL,
     document TEXT NOT NULL,
     document_bytes INTEGER NOT NULL,
     files INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     infohash TEXT NOT NULL,
     -- known once published
     infohash_v2 TEXT,
     torrent TEXT NOT NULL,
     created TEXT NOT NULL,
     published INTEGER,
     -- 0: the channel's current role does not list it any more
     listed INTEGER NOT NULL DEFAULT 1
   );
   -- what the live role says of each channel, JSON
   CREATE TABLE live (channel TEXT PRIMARY KEY, state TEXT NOT NULL);
   CREATE TABLE nonces (nonce TEXT PRIMARY KEY, expires INTEGER NOT NULL);
   CREATE INDEX nonces_by_expiry ON nonces (expires);
   CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL);`,
  // 2: the torrent for clients that read no hybrid one; null in releases of earlier publishers
  `ALTER TABLE releases ADD COLUMN torrent_v1 TEXT;
   ALTER TABLE releases ADD COLUMN infohash_v1 TEXT;`,
  // 3: accepted roots that players shall not see before targets that they vouch for are there
  `CREATE TABLE waiting_roots (version INTEGER PRIMARY KEY, document BLOB NOT NULL, expires INTEGER NOT NULL);`,
];

/** Number of the last migration that ran; 0 for an object that never stored anything. */
export function schemaVersion(storage: DurableObjectStorage): number {
  const tables = storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'migrated'");
  if (tables.toArray().length === 0) return 0;
  return Number(storage.sql.exec("SELECT max(number) AS number FROM migrated").one()["number"]);
}

/** Runs the migrations that have not run yet, each in a transaction of its own. */
export function migrate(storage: DurableObjectStorage, migrations: readonly string[] = MIGRATIONS): void {
  for (let number = schemaVersion(storage) + 1; number <= migrations.length; number++) {
    storage.transactionSync(() => {
      storage.sql.exec("CREATE TABLE IF NOT EXISTS migrated (number INTEGER PRIMARY KEY)");
      storage.sql.exec(migrations[number - 1] ?? "");
      storage.sql.exec("INSERT INTO migrated (number) VALUES (?)", number);
    });
  }
}
