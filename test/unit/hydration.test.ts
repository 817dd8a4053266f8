/** What the role behind `hydrate` can be used for, and what not: it reads chunks without a policy of their own. */
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkId } from '../../src/policy/ids.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine, type SpineDocument } from '../helpers/spine.ts';

interface Settings {
  readonly principals: string | null;
  readonly timeout: string;
  readonly role: string;
}

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

  it('leaves none of the caller’s settings behind, and takes no setting but theirs', async () => {
    const settings = () =>
      spine.database.statement(
        'retrieve',
        undefined,
        sql<Settings>`select current_setting('bulkhead.principals', true) as principals,
          current_setting('statement_timeout') as timeout, current_user::text as role`,
      );
    const before = await settings();
    expect(await hydrated(spine.bob, [closed])).toEqual([closed.id]);
    const others = JSON.stringify({ statement_timeout: '1', role: 'none', 'xbulkhead.principals': '{1}' });
    const rows = await spine.database.statement(
      'retrieve',
      undefined,
      sql<{
        passages: unknown;
      }>`select passages from bulkhead.hydrate_as(${others}::text::json, ${[...closed.chunks]}::bigint[])`,
    );
    expect(rows).toEqual([{ passages: null }]);
    const [after] = await settings();
    expect(after?.principals ?? '').toBe('');
    expect(after).toEqual({ ...before[0], principals: after?.principals });
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
