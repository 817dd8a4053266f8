import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdminCaller } from '../../src/admin/change.ts';
import { disableAccount } from '../../src/admin/principals.ts';
import { listRevocations, revokeCredential } from '../../src/admin/revocations.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { instant } from '../../src/policy/ids.ts';
import { authorize, type CallerIdentity, type Revocable } from '../../src/store/authority.ts';
import { Revocations } from '../../src/store/revocations.ts';
import { nobodyIn } from '../../src/store/session-context.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { type Company, openCompany, service, user } from '../helpers/company.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let firm: Company;
beforeAll(async () => {
  firm = await openCompany();
  await createTenant(firm.database, {
    name: 'rival',
    admin: { principal: user('petra'), source: 'workforce', displayName: 'Their Petra' },
    rootLevel: 'public',
  });
});
afterAll(() => firm.close());

const ROLES = ['retrieve', 'ingest', 'admin', 'audit'] as const;
const REVOKED = { code: 'credential_revoked', status: 401 };
const MISSING = { code: 'right_missing', status: 403 };

const credential = (kind: Revocable['kind'], id: string, issuedAt = Date.now()): Revocable => ({
  kind,
  id: `workforce|${id}`,
  issuedAt: instant(issuedAt),
});

/** Somebody of the firm with these credentials; their own account's among them, issued now, unless it is given. */
function withCredentials(name: string, ...revocable: Revocable[]): AdminCaller {
  const { identity, requestId } = firm.caller(name);
  const own = revocable.some(({ kind }) => kind === 'user') ? [] : [credential('user', name)];
  return { identity: { ...identity, revocable: [...own, ...revocable] }, requestId };
}

const enter = (identity: CallerIdentity, role: (typeof ROLES)[number] = 'retrieve') =>
  authorize(firm.database, role, TEST_SCHEME, identity);

const root = () => withCredentials('root', credential('user', 'root', Date.now() + 60_000));
const revoke = (kind: Revocable['kind'], id: string, by = root()) =>
  revokeCredential(firm.parts, by, { kind, id: `workforce|${id}`, reason: 'a test' });

async function refusal(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isBulkheadError(error)) throw error ?? new Error('it was not refused');
  const { code, detail, status } = error;
  return { code, detail, status };
}

describe('A caller', () => {
  it.each(['user', 'session', 'client', 'key'] as const)(
    'with a revoked %s is refused in every role',
    async (kind) => {
      const id = kind === 'user' ? 'anna' : `of-anna-${kind}`;
      const caller = withCredentials('anna', credential(kind, id, Date.now() - 1_000));
      for (const role of ROLES) await enter(caller.identity, role);
      await revoke(kind, id);
      for (const role of ROLES) await expect(enter(caller.identity, role)).rejects.toMatchObject(REVOKED);
    },
  );

  it('whose user or client was revoked comes in with what was issued after it, and not at that instant', async () => {
    for (const [kind, id] of [
      ['user', 'otto'],
      ['client', 'portal'],
    ] as const) {
      const { issuedUntil = Number.NaN } = await revoke(kind, id);
      const at = (ms: number) => enter(withCredentials('otto', credential(kind, id, ms)).identity);
      await expect(at(Math.floor(issuedUntil))).rejects.toMatchObject(REVOKED);
      await at(Math.floor(issuedUntil) + 1);
    }
  });

  it.each(['session', 'key'] as const)('never comes in again with a revoked %s', async (kind) => {
    await revoke(kind, 'gone');
    const later = withCredentials('petra', credential(kind, 'gone', Date.now() + 3_600_000));
    await expect(enter(later.identity)).rejects.toMatchObject(REVOKED);
  });

  it('whose process names no credential counts as one from before every revocation', async () => {
    await revoke('user', 'maria');
    const { revocable: _, ...nameless } = firm.caller('maria').identity;
    await expect(enter(nameless)).rejects.toMatchObject(REVOKED);
    await expect(enter({ ...nameless, revocable: [credential('session', 'new')] })).rejects.toMatchObject(
      REVOKED,
    );
    await enter(withCredentials('maria', credential('user', 'maria', Date.now() + 1)).identity);
  });

  it('of whom a service acts is refused with it when it is revoked, and comes in alone', async () => {
    const alone = withCredentials('petra');
    const { revocable = [] } = alone.identity;
    const acting = (issuedAt: number): CallerIdentity => ({
      ...alone.identity,
      actor: service('agent'),
      revocable: [...revocable, credential('client', 'agent', issuedAt)],
    });
    const before = Date.now() - 1;
    await enter(acting(before));
    await revoke('client', 'agent');
    await expect(enter(acting(before))).rejects.toMatchObject(REVOKED);
    await expect(enter({ ...alone.identity, actor: service('agent') })).rejects.toMatchObject(REVOKED);
    await enter(alone.identity);
  });

  it.each(['workforce|Petra', 'workforce|petra ', 'workforce| petra', 'workforce|pétra', 'partners|petra'])(
    'is not meant by %j',
    async (id) => {
      const input = { kind: 'user', id, reason: 'another' } as const;
      await revokeCredential(firm.parts, root(), input);
      await enter(withCredentials('petra', credential('user', 'petra', 1)).identity);
    },
  );

  it('of another tenant is not revoked with their namesake here, nor the other way round', async () => {
    const petra = (tenant: string): CallerIdentity => ({
      ...withCredentials('petra', credential('user', 'petra', 1_000), credential('session', 'shared'))
        .identity,
      tenant,
    });
    const boss = { identity: { ...petra('rival') }, requestId: 'r' };
    await revokeCredential(firm.parts, boss, { kind: 'session', id: 'workforce|shared', reason: 'theirs' });
    await expect(enter(petra('rival'))).rejects.toMatchObject(REVOKED);
    await enter(petra('meridian'));
  });

  it('who is revoked is told nothing of the account', async () => {
    await revoke('session', 'stolen');
    await disableAccount(firm.parts, root(), service('agent'));
    const stolen = credential('session', 'stolen');
    const known = await refusal(enter(withCredentials('petra', stolen).identity));
    const unknown = await refusal(enter(withCredentials('nobody-here', stolen).identity));
    const disabled = { ...withCredentials('petra', stolen).identity, user: service('agent') };
    expect(unknown).toEqual(known);
    expect(await refusal(enter(disabled))).toEqual(known);
  });

  it.each([
    ['no list', 'null'],
    ['an object', '{}'],
    ['a text', '"x"'],
    ['a list of texts', '["workforce|petra"]'],
    ['an entry without a kind', '[{"id": "workforce|petra", "issuedAt": 9e15}]'],
    ['an entry without an id', '[{"kind": "session", "issuedAt": 9e15}]'],
  ])('whose credentials are %s is refused by the database itself', async (_, list) => {
    const [row] = await firm.database.statement(
      'retrieve',
      undefined,
      sql<{ answer: { revoked: boolean } }>`select bulkhead.authorize(
        'meridian', ${user('petra')}, '{}', null, ${list}::text::jsonb) as answer`,
    );
    expect(row?.answer.revoked).toBe(true);
  });
});

describe('Revoking', () => {
  it('is recorded with who did it and why', async () => {
    await revokeCredential(firm.parts, root(), { kind: 'key', id: 'key|1', reason: 'in a log' });
    expect((await firm.events()).at(-1)).toMatchObject({
      kind: 'credential.revoked',
      body: {
        subject: user('root'),
        request: 'req-root',
        credential: 'key',
        id: 'key|1',
        reason: 'in a log',
        issuedUntil: null,
        transmitter: null,
      },
    });
  });

  it('twice changes nothing the second time, unless more was issued meanwhile', async () => {
    const count = async () =>
      (await firm.events()).filter(({ kind }) => kind === 'credential.revoked').length;
    const first = await revoke('session', 'twice');
    const recorded = await count();
    expect(await revoke('session', 'twice')).toEqual(first);
    expect(await count()).toBe(recorded);
    const { issuedUntil = 0 } = await revoke('user', 'twice');
    expect((await revoke('user', 'twice')).issuedUntil).toBeGreaterThan(issuedUntil);
    expect(await count()).toBe(recorded + 2);
  });

  it('raises an epoch of its own, so that no visible set is computed again', async () => {
    const before = await enter(root().identity);
    await revoke('session', 'epoch');
    const after = await enter(root().identity);
    expect(after.epoch).toEqual(before.epoch);
    expect(after.revocationEpoch).toBe(before.revocationEpoch + 1);
  });

  it('does not happen when the epoch cannot be raised', async () => {
    await firm.one(`set local session_replication_role = replica;
      delete from revocation_epoch where tenant_id = ${firm.tenant}`);
    await expect(revoke('session', 'unraised')).rejects.toMatchObject({ sqlState: '55000' });
    await firm.one(`insert into revocation_epoch (tenant_id, counter) values (${firm.tenant}, 1000)`);
    expect(
      await firm.one("select count(*)::int as n from revocation where id = 'workforce|unraised'"),
    ).toEqual({ n: 0 });
  });

  it('takes an id that nobody has like any other', async () => {
    expect(await revoke('session', 'never-issued')).toMatchObject({ id: 'workforce|never-issued' });
  });

  it('needs administer at the root, and who has it not learns nothing by trying', async () => {
    await revoke('session', 'already');
    const attempts = ['already', 'not-yet', 'never'].map((id) =>
      revoke('session', id, withCredentials('petra')),
    );
    const [already, ...others] = await Promise.all(attempts.map(refusal));
    expect(already).toMatchObject(MISSING);
    for (const other of others) expect(other).toEqual(already);
    for (const kind of ['user', 'client', 'key'] as const)
      expect(await refusal(revoke(kind, 'root', withCredentials('petra')))).toEqual(already);
    expect(await refusal(listRevocations(firm.parts, withCredentials('petra'), { limit: 5 }))).toEqual(
      already,
    );
  });

  it.each([
    { kind: 'user', id: 'petra', reason: 'r' },
    { kind: 'user', id: 'Workforce|petra', reason: 'r' },
    { kind: 'user', id: 'workforce|', reason: 'r' },
    { kind: 'user', id: 'workforce|a\nb', reason: 'r' },
    { kind: 'user', id: `workforce|${'a'.repeat(256)}`, reason: 'r' },
    { kind: 'user', id: 'workforce|\ud800', reason: 'r' },
    { kind: 'group', id: 'workforce|hr', reason: 'r' },
    { kind: 'user', id: 'workforce|petra', reason: '' },
    { kind: 'user', id: 'workforce|petra', reason: '   ' },
    { kind: 'user', id: 'workforce|petra', reason: 'x'.repeat(201) },
  ])('refuses %j', async (input) => {
    const given = input as Parameters<typeof revokeCredential>[2];
    await expect(revokeCredential(firm.parts, root(), given)).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  it('takes the longest id and reason there may be', async () => {
    const id = `w${'x'.repeat(62)}|${'\u{1F512}'.repeat(255)}`;
    const input = { kind: 'session', id, reason: '\u{1F512}'.repeat(200) } as const;
    expect(await revokeCredential(firm.parts, root(), input)).toMatchObject(input);
  });

  it('can be looked through a page at a time', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listRevocations(firm.parts, root(), { limit: 3, cursor });
      seen.push(...page.items.map(({ kind, id }) => `${kind}:${id}`));
      cursor = page.next;
    } while (cursor !== undefined);
    const { n } = await firm.one<{ n: number }>(
      `select count(*)::int as n from revocation where tenant_id = ${firm.tenant}`,
    );
    expect(n).toBeGreaterThan(6);
    expect(new Set(seen).size).toBe(n);
    expect(seen).not.toContain('session:workforce|shared');
  });
});

describe('Everybody', () => {
  it('ends the session that they came with, and another that is theirs by everything issued to them', async () => {
    const session = credential('session', 'petra-1');
    await revoke('session', 'petra-1', withCredentials('petra', session));
    await expect(enter(withCredentials('petra', session).identity)).rejects.toMatchObject(REVOKED);
    const before = withCredentials('petra', credential('user', 'petra', Date.now() - 1_000));
    await revoke('user', 'petra', before);
    await expect(enter(before.identity)).rejects.toMatchObject(REVOKED);
    await enter(withCredentials('petra', credential('user', 'petra', Date.now() + 1)).identity);
  });

  it('does not end the service that they came through, nor a key', async () => {
    const caller = withCredentials('petra', credential('client', 'portal-2'), credential('key', 'k'));
    await expect(revoke('client', 'portal-2', caller)).rejects.toMatchObject(MISSING);
    await expect(revoke('key', 'k', caller)).rejects.toMatchObject(MISSING);
  });

  it('does not end it through a service that acts for them', async () => {
    const alone = withCredentials('petra', credential('session', 'petra-2'));
    const revocable = [...(alone.identity.revocable ?? []), credential('client', 'helper')];
    await firm.one(`insert into principal (tenant_id, kind, key) values (${firm.tenant}, 'service', '${service('helper')}');
      insert into directory_account (principal_id, tenant_id, source, display_name)
      select id, tenant_id, 'workforce', 'Helper' from principal where key = '${service('helper')}'`);
    const acting = { ...alone, identity: { ...alone.identity, actor: service('helper'), revocable } };
    await expect(revoke('session', 'petra-2', acting)).rejects.toMatchObject(MISSING);
    await expect(revoke('user', 'petra', acting)).rejects.toMatchObject(MISSING);
  });

  it('does not end it with a credential for less than all that they may', async () => {
    const { identity, requestId } = withCredentials('petra', credential('session', 'petra-3'));
    const reading = { identity: { ...identity, rights: new Set(['read'] as const) }, requestId };
    await expect(revoke('session', 'petra-3', reading)).rejects.toMatchObject({ code: 'insufficient_scope' });
    await expect(revoke('user', 'petra', reading)).rejects.toMatchObject({ code: 'insufficient_scope' });
  });
});

describe('The database itself', () => {
  const REFUSED = { sqlState: '42501' };

  it('refuses to revoke for who may not, whatever the process thinks', async () => {
    const { context } = await enter(withCredentials('petra').identity, 'admin');
    const asPetra = (call: ReturnType<typeof sql>) => firm.database.statement('admin', context, call);
    for (const [kind, id] of [
      ['session', 'workforce|x'],
      ['user', 'workforce|root'],
      ['client', 'workforce|agent'],
      ['key', 'key|x'],
    ])
      await expect(
        asPetra(sql`select * from bulkhead.revoke_credential(${kind}, ${id}, 'r', '[]')`),
      ).rejects.toMatchObject(REFUSED);
    await expect(
      asPetra(sql`select * from bulkhead.revoke_on_signal('session', 'workforce|x', 'r', null)`),
    ).rejects.toMatchObject(REFUSED);
    expect(await asPetra(sql`select * from bulkhead.revocation`)).toEqual([]);
  });

  it.each(ROLES)('lets the role %s neither write revocations nor lower their epoch', async (role) => {
    const { context } = await enter(root().identity, role);
    for (const statement of [
      "insert into bulkhead.revocation values (1, 'key', 'a', 'infinity', 'r', now())",
      'update bulkhead.revocation set not_before = now()',
      'delete from bulkhead.revocation',
      'update bulkhead.revocation_epoch set counter = 0',
      'select * from bulkhead.revocation_epoch',
    ])
      await expect(firm.database.statement(role, context, sql.raw(statement))).rejects.toMatchObject(REFUSED);
  });
});

describe('A signal of an identity provider', () => {
  const signalled = (kind: 'user' | 'session', issuedUntil?: number) =>
    firm.database.unitOfWork('admin', nobodyIn(firm.tenant), (trx) =>
      Revocations.within(trx).revokeOnSignal(
        { kind, id: 'workforce|signalled' },
        'at risk',
        issuedUntil === undefined ? undefined : instant(issuedUntil),
      ),
    );

  it('revokes without a caller, once', async () => {
    const first = await signalled('session');
    expect(first).toMatchObject({ isNew: true, revocation: { kind: 'session', reason: 'at risk' } });
    expect(await signalled('session')).toEqual({ ...first, isNew: false });
  });

  it('reaches no further than now, however late it says, and takes nothing back that was said before', async () => {
    const late = await signalled('user', 9e12);
    expect(late.revocation.issuedUntil).toBeLessThanOrEqual(Date.now() + 1_000);
    const early = await signalled('user', 1_000);
    expect(early).toEqual({ ...late, isNew: false });
  });
});
