import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { ON_SERVERS, openTestDatabase } from '../helpers/database.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

/** Every table, with its rows. */
async function contents(database: Database): Promise<unknown> {
  const tables = await asSuperuser<{ name: string }>(
    database,
    "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'bulkhead'::regnamespace",
  );
  const counts = tables.map(({ name }) => `select '${name}' as name, (select count(*) from ${name}) as rows`);
  return asSuperuser(database, `${counts.join(' union all ')} order by 1`);
}

// closed and opened again, it is the same engine taken back
describe.skipIf(ON_SERVERS)('the database of a test', () => {
  let database: Database;
  beforeEach(async () => {
    database = await openTestDatabase();
  });
  afterEach(() => database.close());

  async function another(): Promise<void> {
    await database.close();
    database = await openTestDatabase();
  }

  it('has nothing of what the one before wrote, made, removed or set', async () => {
    const before = await contents(database);
    await asSuperuser(
      database,
      `insert into tenant (name) values ('left');
       create table left_over as select g, repeat('x', 500) as t from generate_series(1, 2000) g;
       create index on left_over (g);
       drop table used_proof cascade;
       set session statement_timeout = '7s'`,
    );
    await database.maintain();
    expect(await contents(database)).not.toEqual(before);
    await another();
    expect(await contents(database)).toEqual(before);
    expect(await asSuperuser(database, 'show statement_timeout')).toEqual([{ statement_timeout: '0' }]);
  });

  it('refuses what comes after it was closed', async () => {
    const closed = database;
    await another();
    await expect(closed.statement('retrieve', undefined, sql`select 1`)).rejects.toThrow();
  });

  it('has loaded the libraries that are used, for those do not go back', async () => {
    const libraries = await asSuperuser(database, 'select file_name from pg_get_loaded_modules() order by 1');
    expect(libraries).toEqual([{ file_name: 'plpgsql.so' }, { file_name: 'vector.so' }]);
  });

  it('is not the one that is open beside it', async () => {
    const other = await openTestDatabase();
    await asSuperuser(other, "insert into tenant (name) values ('other')");
    expect(await asSuperuser(database, 'select name from tenant')).toEqual([]);
    await other.close();
    await another();
    expect(await asSuperuser(database, 'select name from tenant')).toEqual([]);
  });
});
