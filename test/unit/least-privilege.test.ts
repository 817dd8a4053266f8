/** What a process of the role ingest can do that was taken over: it says itself who it acts for. */
import { type RawBuilder, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import { documentId } from '../../src/policy/ids.ts';
import { openEmbedded } from '../../src/store/open-embedded.ts';
import { markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

let test: TestIngest;
let document: string;
let everyone: number;

beforeAll(async () => {
  test = await openTestIngest({ database: await openEmbedded({}) });
  const written = await ingestOne(test.parts, { authority: test.admin }, markdown('The price is 5.'));
  document = written.documentId ?? '';
  const [row] = await test.rows<{ id: number }>("select id from principal where kind = 'everyone'");
  everyone = row?.id ?? 0;
});
afterAll(() => test.close());

const asIngest = <T>(statement: RawBuilder<T>) =>
  test.database.unitOfWork('ingest', test.admin.context, async (trx) => (await statement.execute(trx)).rows);
const REFUSED = { sqlState: '42501' };

describe('The role ingest', () => {
  it.each([
    'text from chunk',
    'heading_path from chunk',
    'sealed from chunk',
    'embedding from chunk_embedding',
    'terms from chunk_embedding',
    '* from chunk',
  ])('cannot select %s, in any context', async (what) => {
    await expect(
      asIngest(sql.raw(`select ${what.replace('from ', 'from bulkhead.')}`)),
    ).rejects.toMatchObject(REFUSED);
  });

  it.each([
    'update document set class_id = container_id',
    'update document set version = 1',
    "update document set external_id = 'another'",
    'update chunk set ordinal = 7',
    'update document_version set chunk_count = 0',
    'delete from chunk',
    'delete from chunk_embedding',
    'delete from document_version',
  ])('cannot %s', async (statement) => {
    const qualified = statement.replace(/^(update|delete from) /, '$1 bulkhead.');
    await expect(asIngest(sql.raw(qualified))).rejects.toMatchObject(REFUSED);
  });

  it('cannot move a document by the function that administrators use', async () => {
    const move = sql`select bulkhead.move_document(id, container_id, 'ingest') from bulkhead.document`;
    await expect(asIngest(move)).rejects.toMatchObject(REFUSED);
  });

  it('sees the data keys that seal now, and retires one without seeing it afterwards', async () => {
    const id = '00000000-0000-4000-8000-00000000000a';
    await test.rows(`insert into data_key (id, tenant_id, level, purpose, key_id, wrapped)
      values ('${id}', ${test.tenant}, 'restricted', 'text', 'k', '\\x00')`);
    const seen = () => asIngest(sql`select id from bulkhead.data_key`);
    expect(await seen()).toEqual([{ id }]);
    await asIngest(sql`select bulkhead.retire_data_key(${id}::uuid)`);
    expect(await seen()).toEqual([]);
    expect(await test.rows('select state from data_key')).toEqual([{ state: 'old' }]);
  });

  it('still creates, replaces, leaves and removes documents', async () => {
    const submit = (text: string) =>
      ingestOne(test.parts, { authority: test.admin }, markdown(text, { externalId: 'again.md' }));
    const { documentId: id, status } = await submit('One.');
    expect(status).toBe('created');
    expect(await submit('Two.')).toMatchObject({ status: 'replaced', version: 2 });
    expect(await submit('Two.')).toMatchObject({ status: 'unchanged' });
    await removeDocument(test.parts, { authority: test.admin }, documentId(id ?? ''));
    expect(await test.rows(`select 1 from chunk where document_id = '${id}'`)).toEqual([]);
  });
});

interface Says {
  readonly level?: string;
  readonly compartments?: readonly string[];
  readonly inherits?: boolean;
  readonly entries?: readonly (readonly [
    effect: 'allow' | 'deny',
    from?: number | undefined,
    until?: number,
  ])[];
}

describe('A document of the class on the left, moved by the role ingest to that on the right,', () => {
  /** As a superuser, so that the class is there whatever its maker may allow. */
  const classOf = async ({ level, compartments = [], inherits = true, entries = [] }: Says) => {
    const all = entries.map(([effect, from, until]) => ({
      principal: everyone,
      effect,
      from: from ?? null,
      until: until ?? null,
    }));
    const ids = await test.database.unitOfWork('admin', test.admin.context, (trx) =>
      sql<{ id: number }>`select bulkhead.intern_class(bulkhead.ctx_root(), ${level ?? null},
        ${[...compartments]}::text[], ${inherits}, ${JSON.stringify(all)}::text::jsonb) as id`.execute(trx),
    );
    return ids.rows[0]?.id ?? 0;
  };
  const move = async (from: Says | 'container', to: Says | 'container') => {
    const [root] = await test.rows<{ id: number }>("select id from access_class where path = '/'");
    const idOf = (says: Says | 'container') => (says === 'container' ? (root?.id ?? 0) : classOf(says));
    await test.rows(`update document set class_id = ${await idOf(from)} where id = '${document}'`);
    const target = await idOf(to);
    await asIngest(sql`select bulkhead.tighten_document(${document}::uuid, ${target})`);
  };

  it.each<readonly [Says | 'container', Says | 'container']>([
    [{ level: 'restricted' }, 'container'],
    [{ level: 'restricted' }, { level: 'internal' }],
    [{ level: 'restricted' }, { compartments: ['payroll'] }],
    [{ compartments: ['payroll', 'legal'] }, { level: 'restricted', compartments: ['payroll'] }],
    [
      { inherits: false, level: 'internal' },
      { inherits: true, level: 'restricted' },
    ],
    [{ entries: [['deny']] }, 'container'],
    [{ entries: [['deny']] }, { level: 'restricted' }],
    [{ entries: [['deny']] }, { entries: [['deny', undefined, 5]] }],
    [{ entries: [['deny', 5]] }, { entries: [['deny', 6]] }],
    ['container', { entries: [['allow']] }],
    [{ level: 'internal' }, { level: 'restricted', entries: [['allow']] }],
    [{ entries: [['allow', 5, 9]] }, { entries: [['allow', 5, 10]] }],
    [{ entries: [['deny']] }, { entries: [['deny'], ['allow']] }],
  ])('is refused from %j to %j', async (from, to) => {
    await expect(move(from, to)).rejects.toMatchObject(REFUSED);
  });

  it.each<readonly [Says | 'container', Says | 'container']>([
    ['container', { level: 'restricted' }],
    ['container', { entries: [['deny']], inherits: false }],
    [{ level: 'internal' }, { level: 'restricted', compartments: ['payroll'] }],
    [{ compartments: ['payroll'] }, { compartments: ['legal', 'payroll'] }],
    [{ entries: [['deny', 5, 9]] }, { entries: [['deny', 4]] }],
    [{ entries: [['allow', 4]] }, { entries: [['allow', 5, 9]] }],
    [{ entries: [['allow']] }, { entries: [['deny']] }],
  ])('gets there from %j to %j', async (from, to) => {
    await move(from, to);
  });
});

describe('The schema', () => {
  it('gives everybody nothing: each function says who may call it', async () => {
    const open = await asSuperuser<{ name: string }>(
      test.database,
      `select p.proname as name from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
       where p.pronamespace = 'bulkhead'::regnamespace and a.grantee = 0`,
    );
    expect(open).toEqual([]);
  });
});
