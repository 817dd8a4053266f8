/** What a revocation does to a request that was let in before it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeChange } from '../../src/admin/change.ts';
import { explain } from '../../src/admin/explain.ts';
import { queryAudit } from '../../src/audit/query.ts';
import { ingestMany, ingestOne } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import { documentId, instant } from '../../src/policy/ids.ts';
import { readDocument } from '../../src/retrieve/documents.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import { authorize } from '../../src/store/authority.ts';
import { type Company, openCompany } from '../helpers/company.ts';
import { addAccounts, collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { credentialsOf, heldBack, KINDS, revokeAsSuperuser } from '../helpers/revocations.ts';
import { openSpine, type Spine, type SpineDocument } from '../helpers/spine.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const REVOKED = { code: 'credential_revoked', status: 401 };

/** A user's token of an hour ago, with a session of its own. */
function withSession(issuer: string, name: string, session: string) {
  const user = { kind: 'user', id: `${issuer}|${name}`, issuedAt: instant(Date.now() - 3_600_000) } as const;
  const one = { ...user, kind: 'session', id: `${issuer}|${session}` } as const;
  return { revocable: [user, one], one };
}

describe('Revoked between the decision and the receipt', () => {
  let spine: Spine;
  let document: SpineDocument;
  beforeAll(async () => {
    spine = await openSpine();
    document = await spine.add(spine.classes.open, 'The harbour gate is painted every spring.');
  });
  afterAll(() => spine.close());

  const receipts = async () =>
    (await asSuperuser<{ n: number }>(spine.database, 'select count(*)::int as n from audit_record'))[0]?.n;
  const ask = { requestId: 'r', query: 'harbour gate', limit: 5, filters: {} };

  it.each(KINDS)('a %s gets nothing, no receipt is written, and the reason is told', async (kind) => {
    const name = kind === 'user' ? 'bob' : 'ann';
    const revocable = credentialsOf('w', name).map((one) =>
      one.kind === kind || one.kind === 'user' ? one : { ...one, id: `${one.id}-beside-${kind}` },
    );
    const caller = { ...spine[name], revocable };
    const revoked = revocable.find((one) => one.kind === kind);
    if (revoked === undefined) throw new Error('nothing to revoke');
    const before = await receipts();
    let times = 0;
    const audit = heldBack(spine.audit, async () => {
      times += 1;
      await revokeAsSuperuser(spine.database, 1, revoked);
    });
    await expect(retrieve({ ...spine.parts, audit }, caller, ask)).rejects.toMatchObject(REVOKED);
    expect(times).toBe(1);
    expect(await receipts()).toBe(before);
  });

  it('a document that was asked for is not read', async () => {
    const { revocable, one } = withSession('w', 'ann', 'reading');
    const caller = { ...spine.ann, revocable };
    const audit = heldBack(spine.audit, () => revokeAsSuperuser(spine.database, 1, one));
    const request = { requestId: 'r', document: document.id };
    await expect(readDocument({ ...spine.parts, audit }, caller, request)).rejects.toMatchObject(REVOKED);
  });

  it('nobody else is held up', async () => {
    const other = { kind: 'session', id: 'w|of-somebody-else' } as const;
    const audit = heldBack(spine.audit, () => revokeAsSuperuser(spine.database, 1, other));
    const caller = { ...spine.ann, revocable: withSession('w', 'ann', 'undisturbed').revocable };
    const { content } = await retrieve({ ...spine.parts, audit }, caller, ask);
    expect(content.passages).toHaveLength(1);
  });
});

describe('Revoked between the decision and the record of it', () => {
  let firm: Company;
  beforeAll(async () => {
    firm = await openCompany();
  });
  afterAll(() => firm.close());

  const callerWith = (name: string, session: string) => {
    const { identity, requestId } = firm.caller(name);
    const { revocable, one } = withSession('workforce', name, session);
    return { caller: { identity: { ...identity, revocable }, requestId }, session: one };
  };

  it('a change is not made', async () => {
    const { caller, session } = callerWith('root', 'changing');
    let applied = 0;
    const change = makeChange(firm.parts, caller, {
      operation: 'nothing',
      locate: () => revokeAsSuperuser(firm.database, firm.tenant, session),
      apply: async () => {
        applied += 1;
        return { result: undefined, events: [] };
      },
    });
    await expect(change).rejects.toMatchObject(REVOKED);
    expect(applied).toBe(0);
  });

  it('nobody is told why they may read something', async () => {
    const { caller, session } = callerWith('anna', 'explaining');
    const audit = heldBack(firm.log, () => revokeAsSuperuser(firm.database, firm.tenant, session));
    const question = { document: firm.documents['/hr'] };
    await expect(explain({ ...firm.parts, audit }, caller, question)).rejects.toMatchObject(REVOKED);
  });

  it('the log is not shown', async () => {
    const { caller, session } = callerWith('root', 'auditing');
    const audit = heldBack(firm.log, () => revokeAsSuperuser(firm.database, firm.tenant, session));
    const { checkpointsFile, key } = firm;
    const parts = { ...firm.parts, audit, checkpointsFile, publicKey: key.publicKey };
    await expect(queryAudit(parts, caller, { limit: 5 })).rejects.toMatchObject(REVOKED);
  });

  it('somebody who signed out once can still be explained', async () => {
    await revokeAsSuperuser(firm.database, firm.tenant, { kind: 'user', id: 'workforce|anna' });
    const { caller } = callerWith('otto', 'explaining-2');
    const question = { document: firm.documents['/hr/payroll'], subject: 'user:workforce|anna' };
    expect(await explain(firm.parts, caller, question)).toMatchObject({ decision: 'allow' });
  });
});

describe('Revoked while documents are under way', () => {
  let test: TestIngest;
  beforeAll(async () => {
    test = await openTestIngest();
    await addAccounts(test, 'ines');
  });
  afterAll(() => test.close());

  const submitter = async (session: string) => {
    const { revocable, one } = withSession('workforce', 'root', session);
    const renew = () =>
      authorize(test.database, 'ingest', TEST_SCHEME, {
        tenant: 'meridian',
        user: 'user:workforce|root',
        tokenGroups: [],
        actor: undefined,
        acr: undefined,
        authTime: undefined,
        revocable,
      });
    return { authority: await renew(), renew, session: one };
  };
  const documents = () =>
    test.rows('select external_id, version from document where class_id = container_id order by 1');

  it('none is written, nor given another label', async () => {
    const { authority, session } = await submitter('ingesting');
    const written = await ingestOne(test.parts, { authority }, markdown('One.', { externalId: 'kept.md' }));
    expect(written.status).toBe('created');
    await revokeAsSuperuser(test.database, test.tenant, session);
    const results = await collect(
      ingestMany(test.parts, { authority }, [
        markdown('Two.', { externalId: 'new.md' }),
        markdown('One, changed.', { externalId: 'kept.md' }),
      ]),
    );
    expect(results.map(({ error }) => error?.code)).toEqual(results.map(() => 'credential_revoked'));
    const tighter = { level: 'restricted', compartments: [], inherits: true, entries: [] };
    const relabelled = markdown('One.', { externalId: 'kept.md', access: tighter });
    expect(await ingestOne(test.parts, { authority }, relabelled)).toMatchObject({
      status: 'failed',
      error: { code: 'credential_revoked' },
    });
    expect(await documents()).toEqual([{ external_id: 'kept.md', version: 1 }]);
  });

  it('none is removed', async () => {
    const { authority, session } = await submitter('removing');
    const { documentId: id = '' } = await ingestOne(
      test.parts,
      { authority },
      markdown('Stays.', { externalId: 'stays.md' }),
    );
    await revokeAsSuperuser(test.database, test.tenant, session);
    await expect(removeDocument(test.parts, { authority }, documentId(id))).rejects.toMatchObject(REVOKED);
    expect(await documents()).toContainEqual({ external_id: 'stays.md', version: 1 });
  });
});
