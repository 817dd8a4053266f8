import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemorySessionStore } from '../../src/identity/memory-session-store.ts';
import { createSessions } from '../../src/identity/sessions.ts';
import { PostgresSessionStore } from '../../src/store/session-store.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openTestTenant, type TestTenant } from '../helpers/tenant.ts';
import { sessionStoreContract } from './session-store.ts';

sessionStoreContract('in memory', async () => ({
  store: new MemorySessionStore(),
  tenant: 'meridian',
  close: async () => {},
}));

sessionStoreContract('in the database', async () => {
  const { database } = await openTestTenant();
  const store = new PostgresSessionStore(database);
  return { store, tenant: 'meridian', close: () => database.close() };
});

describe('the table of sessions', () => {
  let test: TestTenant;
  beforeAll(async () => {
    test = await openTestTenant();
  });
  afterAll(() => test.database.close());

  it('holds nothing that opens a session, nor anything that is in one', async () => {
    const store = new PostgresSessionStore(test.database);
    const sessions = createSessions<{ secret: string }>({
      store,
      kind: 'session',
      now: Date.now,
      randomBytes,
      idleMs: 60_000,
      absoluteMs: 60_000,
    });
    const owner = {
      tenant: 'meridian',
      issuer: 'w',
      subject: 'a',
      session: undefined,
      principal: 'user:w|a',
    };
    const { id, csrfToken } = await sessions.create({ secret: 'the access token' }, owner);
    const [row] = await asSuperuser<Record<string, unknown>>(test.database, 'select * from browser_session');
    const stored = JSON.stringify(row, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    );
    expect(stored).not.toContain('the access token');
    expect(stored).not.toContain(id);
    expect(stored).not.toContain(csrfToken);
    expect((await sessions.find(id))?.data.secret).toBe('the access token');
  });

  it.each(['retrieve', 'ingest', 'indexer', 'admin', 'audit'] as const)(
    'is closed to the role %s, but for its functions',
    async (role) => {
      const read = sql`select id_hash from bulkhead.browser_session`;
      const find = sql`select * from bulkhead.find_session('session', '\\x00', now(), interval '1 hour')`;
      const as = (statement: typeof read) => test.database.statement(role, test.admin.context, statement);
      await expect(as(read)).rejects.toMatchObject({ sqlState: '42501' });
      if (role === 'retrieve') expect(await as(find)).toEqual([]);
      else await expect(as(find)).rejects.toMatchObject({ sqlState: '42501' });
    },
  );

  it('opens for no row in another one’s place', async () => {
    const store = new PostgresSessionStore(test.database);
    const given = { store, now: Date.now, randomBytes, idleMs: 60_000, absoluteMs: 60_000 };
    const sessions = createSessions<string>({ ...given, kind: 'session' });
    const owner = {
      tenant: 'meridian',
      issuer: 'w',
      subject: 'a',
      session: undefined,
      principal: 'user:w|a',
    };
    const mine = await sessions.create('mine', owner);
    await sessions.create('theirs', owner);
    await asSuperuser(
      test.database,
      'update browser_session s set sealed = o.sealed from browser_session o where o.id_hash <> s.id_hash',
    );
    expect(await sessions.find(mine.id)).toBeUndefined();
  });
});
