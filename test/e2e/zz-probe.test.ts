import { sql } from 'kysely';
import { it } from 'vitest';
import { migratePostgres, openPostgres } from '/work/main/src/store/open-postgres.ts';
import { findPostgres, runAs, startPostgres } from '/work/main/test/helpers/postgres-server.ts';
it('probe', async () => {
  const found = await findPostgres();
  const server = await startPostgres((found as any).bin);
  const out: any[] = [];
  try {
    const url = await server.createDatabase();
    await migratePostgres({ url: url(), poolSize: 2 });
    const db = await openPostgres({ url: url(), poolSize: 1 });
    out.push(await db.unitOfWork('retrieve', undefined, async (t) => {
      await sql.raw('reset session authorization').execute(t);
      return (await sql.raw(`select session_user, current_user, (select count(*) from bulkhead.access_class)`).execute(t)).rows;
    }).catch((e) => e));
    await db.close();
    // a non superuser that may create roles and owns a database
    const u2 = await server.createDatabase();
    await runAs(u2(), `create role boss login createrole createdb; do $$ begin execute format('alter database %I owner to boss', current_database()); end $$; create extension vector`);
    out.push(await migratePostgres({ url: u2('boss'), poolSize: 2 }).catch((e) => [e.message, e.cause?.message]));
    const u3 = await server.createDatabase();
    out.push(await openPostgres({ url: u3().replace(/host=.*/, 'host=/nowhere'), poolSize: 1 }).catch((e) => [e.constructor.name, e.message]));
    out.push(await openPostgres({ url: 'postgres://x@127.0.0.1:1/x', poolSize: 1 }).catch((e) => [e.constructor.name, e.message]));
    out.push(await openPostgres({ url: 'nonsense', poolSize: 1 }).catch((e) => [e.constructor.name, e.message]));
  } finally { await server.stop(); console.log(out); }
}, 60000);
