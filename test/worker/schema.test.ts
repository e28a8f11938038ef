import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { MIGRATIONS, migrate, schemaVersion } from "../../worker/title/schema.ts";

/** Runs in the storage of a Title object that never stored anything. */
async function inStorage(name: string, act: (storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(env.TITLES.getByName(name), (_, { storage }) => act(storage));
}

test("a new object runs every migration once, in order", async () => {
  await inStorage("schema-new", (storage) => {
    expect(schemaVersion(storage)).toBe(0);
    migrate(storage);
    migrate(storage);
    expect(schemaVersion(storage)).toBe(MIGRATIONS.length);
    expect(storage.sql.exec("SELECT number FROM migrated ORDER BY number").toArray()).toEqual(
      MIGRATIONS.map((_, index) => ({ number: index + 1 })),
    );
  });
});

test("an object from an older edge is brought up to date and keeps what it has", async () => {
  const later = [...MIGRATIONS, "ALTER TABLE releases ADD COLUMN note TEXT NOT NULL DEFAULT ''"];
  await inStorage("schema-old", (storage) => {
    migrate(storage);
    storage.sql.exec("INSERT INTO live (channel, state) VALUES ('stable', '{}')");
    migrate(storage, later);
    expect(schemaVersion(storage)).toBe(later.length);
    expect(storage.sql.exec("SELECT channel FROM live").toArray()).toEqual([{ channel: "stable" }]);
    expect(storage.sql.exec("SELECT note FROM releases").toArray()).toEqual([]);
  });
});

test("a migration that fails leaves nothing of itself behind", async () => {
  await inStorage("schema-broken", (storage) => {
    migrate(storage);
    const broken = [...MIGRATIONS, "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1)"];
    expect(() => migrate(storage, broken)).toThrow("nowhere");
    expect(schemaVersion(storage)).toBe(MIGRATIONS.length);
    expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'half'").toArray()).toEqual([]);
  });
});
