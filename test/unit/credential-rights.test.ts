import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grantClearance } from '../../src/admin/clearances.ts';
import { grant, setContainerLabel } from '../../src/admin/container-access.ts';
import { createContainer, getContainer, listContainers } from '../../src/admin/containers.ts';
import { setDocumentLabel } from '../../src/admin/document-access.ts';
import { explain } from '../../src/admin/explain.ts';
import { listPrincipals } from '../../src/admin/principals.ts';
import { queryAudit } from '../../src/audit/query.ts';
import { listDocuments, readDocument } from '../../src/retrieve/documents.ts';
import { authorize, type CredentialRight } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import type { ProcessRole } from '../../src/store/process-role.ts';
import { CREDENTIAL_RIGHTS, enterContext } from '../../src/store/session-context.ts';
import { readVisibleSet } from '../../src/store/visible-set.ts';
import { type Company, openCompany, user } from '../helpers/company.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let firm: Company;
beforeAll(async () => {
  firm = await openCompany();
  // reads everything but payroll, and holds every right on /hr and below
  await grantClearance(firm.parts, firm.caller('root'), {
    principal: user('maria'),
    level: 'confidential',
    compartments: [],
  });
});
afterAll(() => firm.close());

/** Maria, with a credential that is for these. */
const maria = (...rights: CredentialRight[]) => {
  const { identity, requestId } = firm.caller('maria');
  return { identity: { ...identity, rights: new Set(rights) }, requestId };
};
const contextOf = async (role: Exclude<ProcessRole, 'indexer'>, ...rights: CredentialRight[]) =>
  (await authorize(firm.database, role, TEST_SCHEME, maria(...rights).identity)).context;
const SCOPE = (right: string) => ({ code: 'insufficient_scope', status: 403, challenge: { scope: right } });

describe('a credential without "read"', () => {
  it('reads, lists and explains nothing, whatever its subject may: it is told what it lacks', async () => {
    const without = CREDENTIAL_RIGHTS.filter((right) => right !== 'read');
    const { identity } = maria(...without);
    const document = firm.documents['/hr'];
    await expect(readDocument(firm.parts, identity, { requestId: 'r', document })).rejects.toMatchObject(
      SCOPE('read'),
    );
    await expect(listDocuments(firm.parts, identity, { requestId: 'r', limit: 10 })).rejects.toMatchObject(
      SCOPE('read'),
    );
    await expect(explain(firm.parts, maria(...without), { document })).rejects.toMatchObject(SCOPE('read'));
  });

  it('hears the same of a document that is not there', async () => {
    const missing = { requestId: 'r', document: '00000000-0000-4000-8000-00000000dead' };
    await expect(readDocument(firm.parts, maria().identity, missing)).rejects.toMatchObject(SCOPE('read'));
  });

  it('is shown no row and no class by the enforcers either', async () => {
    const readable = async (...rights: CredentialRight[]) => {
      const context = await contextOf('retrieve', ...rights);
      const rows = await ReadableDocuments.as(firm.database, context).matching({});
      const { ranks } = await readVisibleSet(firm.database, context, undefined);
      return [rows.length, ranks.size];
    };
    expect(await readable('read')).toEqual([2, 2]);
    expect(await readable()).toEqual([0, 0]);
    expect(await readable('ingest', 'label', 'grant', 'audit', 'administer')).toEqual([0, 0]);
  });
});

describe('a credential that is for some rights', () => {
  const asRole = async <T>(
    role: Exclude<ProcessRole, 'indexer'>,
    rights: readonly CredentialRight[],
    statement: string,
  ) => {
    const context = await contextOf(role, ...rights);
    return firm.database.unitOfWork(role, context, async (trx) => {
      const { rows } = await sql.raw<T>(statement).execute(trx);
      return rows;
    });
  };
  const HELD = ['ingest', 'label', 'grant', 'audit', 'administer'] as const;

  it.each(HELD.map((right) => [right]))('holds "%s" alone when it is for it alone', async (right) => {
    const held = `select r from unnest(array['ingest', 'label', 'grant', 'audit', 'administer']) r
      where bulkhead.holds_right((select id from bulkhead.access_class where path = '/hr'), r)`;
    expect(await asRole('admin', [right], held)).toEqual([{ r: right }]);
    expect(await asRole('admin', [right, 'read'], held)).toEqual([{ r: right }]);
    expect(await asRole('admin', ['read'], held)).toEqual([]);
    const others = HELD.filter((other) => other !== right);
    expect(await asRole('admin', others, held)).toEqual(others.map((r) => ({ r })));
  });

  it('sees the documents it may replace when it is for "ingest", and none otherwise', async () => {
    const count = 'select count(*)::int as n from bulkhead.document';
    expect(await asRole('ingest', ['ingest'], count)).toEqual([{ n: 2 }]);
    for (const rights of [['read'], ['label', 'grant', 'audit', 'administer'], []] as const)
      expect(await asRole('ingest', rights, count)).toEqual([{ n: 0 }]);
  });

  it('never shows what is masked, for no credential is limited to that', async () => {
    await firm.one(`insert into role_binding (tenant_id, container_id, principal_id, right_name)
      select c.tenant_id, c.id, p.id, 'unmask:email' from access_class c, principal p
      where c.path = '/hr' and p.key = '${user('maria')}' returning id`);
    const held = `select bulkhead.holds_right((select id from bulkhead.access_class where path = '/hr'), 'unmask:email') as held`;
    expect(await asRole('admin', CREDENTIAL_RIGHTS, held)).toEqual([{ held: false }]);
    const { context } = await firm.as(user('maria'));
    const whole = await firm.database.unitOfWork('admin', context, async (trx) => sql.raw(held).execute(trx));
    expect(whole.rows).toEqual([{ held: true }]);
  });

  it('changes nothing that it is not for, and says so without a word of what is there', async () => {
    const document = firm.documents['/hr'];
    const label = { level: 'restricted', compartments: [] };
    const entry = { principal: user('petra'), effect: 'allow' as const };
    const attempts: readonly (readonly [
      CredentialRight,
      (by: ReturnType<typeof maria>) => Promise<unknown>,
    ])[] = [
      ['grant', (by) => grant(firm.parts, by, { container: '/hr', entry })],
      ['grant', (by) => grant(firm.parts, by, { container: '/nowhere', entry })],
      ['label', (by) => setContainerLabel(firm.parts, by, { container: '/hr', label })],
      ['label', (by) => setDocumentLabel(firm.parts, by, { document, label })],
      [
        'administer',
        (by) => createContainer(firm.parts, by, { path: '/hr/x', label, inherits: true, entries: [] }),
      ],
    ];
    for (const [right, attempt] of attempts) {
      const others = CREDENTIAL_RIGHTS.filter((other) => other !== right);
      await expect(attempt(maria(...others))).rejects.toMatchObject(SCOPE(right));
    }
    await grant(firm.parts, maria('grant'), { container: '/hr', entry });
    await setDocumentLabel(firm.parts, maria('label'), { document, label });
    await createContainer(firm.parts, maria('administer'), {
      path: '/hr/x',
      label: { level: null, compartments: [] },
      inherits: true,
      entries: [],
    });
  });

  it('lists no container, account or audit record that it is not for', async () => {
    const reader = maria('audit');
    const { items } = await listContainers(firm.parts, reader, { limit: 10 });
    expect(items.map(({ rights }) => rights)).toEqual(items.map(() => ['audit']));
    await expect(getContainer(firm.parts, maria('ingest'), '/open')).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(listPrincipals(firm.parts, maria('read', 'ingest'), { limit: 1 })).rejects.toMatchObject({
      code: 'right_missing',
    });
    const root = firm.caller('root');
    const auditParts = {
      ...firm.parts,
      checkpointsFile: firm.checkpointsFile,
      publicKey: firm.key.publicKey,
    };
    const limited = (...rights: CredentialRight[]) => ({
      identity: { ...root.identity, rights: new Set(rights) },
      requestId: 'r',
    });
    await expect(queryAudit(auditParts, limited('administer'), { limit: 1 })).rejects.toMatchObject(
      SCOPE('audit'),
    );
    expect((await queryAudit(auditParts, limited('audit'), { limit: 1 })).items).toHaveLength(1);
  });
});

describe('the context of a unit of work', () => {
  const context = {
    tenant: 1 as never,
    principals: [],
    actor: undefined,
    actorPrincipals: [],
    now: 0 as never,
    maxRank: -1,
  };

  it('says every right where the credential says nothing, and else the known ones among those it names', () => {
    const rights = (given?: readonly string[]) =>
      /'bulkhead.rights', '([^']*)'/.exec(
        enterContext('retrieve', { ...context, rights: given && (new Set(given) as never) }, {}),
      )?.[1];
    expect(rights()).toBe('*');
    expect(rights([])).toBe('{}');
    expect(rights(['audit', 'read'])).toBe('{read,audit}');
    expect(rights(['*', "'}", 'administer'])).toBe('{administer}');
  });

  it('gives no right at all where none was set, as nothing else is given there', async () => {
    const held = await firm.database.unitOfWork('admin', firm.admin.context, async (trx) => {
      const { id } = (await sql<{ id: number }>`select bulkhead.ctx_root() as id`.execute(trx)).rows[0] as {
        id: number;
      };
      const holds = async () =>
        (await sql<{ held: boolean }>`select bulkhead.holds_right(${id}, 'administer') as held`.execute(trx))
          .rows[0]?.held;
      const all = await holds();
      await sql`select set_config('bulkhead.rights', '', true)`.execute(trx);
      return [all, await holds()];
    });
    expect(held).toEqual([true, false]);
  });
});
