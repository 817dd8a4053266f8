/** What the role behind `hydrate` can be used for, and what not: it reads chunks without a policy of their own. */
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkId } from '../../src/policy/ids.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { contextJson, type SessionContext } from '../../src/store/session-context.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine, type SpineDocument } from '../helpers/spine.ts';

interface Settings {
  readonly timeout: string;
  readonly role: string;
  readonly others: string | null;
}
const SETTINGS = sql<Settings>`select current_setting('statement_timeout') as timeout, current_user::text as role,
  current_setting('xbulkhead.principals', true) as others`;

let spine: Spine;
let open: SpineDocument;
let closed: SpineDocument;

beforeAll(async () => {
  spine = await openSpine();
  open = await spine.add(spine.classes.open, 'The harbour gate is painted every second spring.');
  closed = await spine.add(spine.classes.closed, 'The launch code of the harbour gate is 4711.');
});
afterAll(() => spine.close());

async function hydrated(
  who: CallerIdentity,
  documents: readonly SpineDocument[],
): Promise<readonly string[]> {
  const { context } = await authorize(spine.database, 'retrieve', SCHEME, who);
  const chunks = documents.flatMap((document) => document.chunks.map(chunkId));
  const { passages } = await ReadableDocuments.as(spine.database, context).hydrate(chunks);
  return passages.map(({ document }) => document);
}

describe('Hydration', () => {
  it('gives each caller the chunks of the documents that they may read', async () => {
    expect(await hydrated(spine.ann, [open, closed])).toEqual([open.id]);
    expect((await hydrated(spine.bob, [open, closed])).toSorted()).toEqual([open.id, closed.id].toSorted());
  });

  it('gives nothing without a context', async () => {
    const rows = await spine.database.unitOfWork('retrieve', undefined, async (trx) => {
      const ids = [...open.chunks, ...closed.chunks];
      const found = await sql<{ passages: unknown }>`
        select passages from bulkhead.hydrate(${ids}::bigint[])
        union all select passages from bulkhead.hydrate_as('{}', ${ids}::bigint[])`.execute(trx);
      return found.rows;
    });
    expect(rows).toEqual([{ passages: null }, { passages: null }]);
  });

  it('takes no setting but a caller’s', async () => {
    const others = JSON.stringify({ statement_timeout: '1', role: 'none', 'xbulkhead.principals': '{1}' });
    const settings = await spine.database.unitOfWork('retrieve', undefined, async (trx) => {
      const before = await SETTINGS.execute(trx);
      const found = await sql<{ passages: unknown }>`
        select passages from bulkhead.hydrate_as(${others}::text::json, ${[...closed.chunks]}::bigint[])`.execute(
        trx,
      );
      expect(found.rows).toEqual([{ passages: null }]);
      return [before, await SETTINGS.execute(trx)].map(({ rows }) => rows);
    });
    expect(settings[1]).toEqual(settings[0]);
  });

  it('is refused to one caller within the unit of work of another', async () => {
    const [ann, bob] = await Promise.all(
      [spine.ann, spine.bob].map((who) => authorize(spine.database, 'retrieve', SCHEME, who)),
    );
    const asBob = contextJson(bob?.context as SessionContext);
    const within = spine.database.statement(
      'retrieve',
      ann?.context,
      sql`select passages from bulkhead.hydrate_as(${asBob}::text::json, ${[...closed.chunks]}::bigint[])`,
    );
    await expect(within).rejects.toMatchObject({ sqlState: '42501' });
  });

  it('gives no chunk of a version that is not live', async () => {
    await asSuperuser(spine.database, `update document set version = version + 1 where id = '${open.id}'`);
    try {
      expect(await hydrated(spine.bob, [open])).toEqual([]);
    } finally {
      await asSuperuser(spine.database, `update document set version = version - 1 where id = '${open.id}'`);
    }
  });

  it('is the only function of its role, which no role is a member of and which may change nothing', async () => {
    const rows = await asSuperuser<{ functions: string[]; members: number; grants: string[] }>(
      spine.database,
      `select
        (select array_agg(proname::text) from pg_proc where proowner = 'bulkhead_reader'::regrole) as functions,
        (select count(*)::int from pg_auth_members where roleid = 'bulkhead_reader'::regrole) as members,
        (select array_agg(distinct privilege_type::text) from information_schema.role_table_grants
          where grantee = 'bulkhead_reader') as grants`,
    );
    expect(rows).toEqual([{ functions: ['hydrate'], members: 0, grants: ['SELECT'] }]);
  });

  it('leaves the policy of chunks as it was for the role itself that asks', async () => {
    const { context } = await authorize(spine.database, 'retrieve', SCHEME, spine.ann);
    const rows = await spine.database.unitOfWork('retrieve', context, async (trx) => {
      const { rows: found } = await sql<{ id: string }>`select document_id as id from bulkhead.chunk`.execute(
        trx,
      );
      return found.map(({ id }) => id);
    });
    expect(rows).toEqual([open.id]);
  });
});
