/** The end of a session at its provider, for whatever else runs on it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionEnding } from '../../src/assembly/session-ending.ts';
import { TenantIds } from '../../src/store/tenant-ids.ts';
import { openTestAudit, type TestAudit } from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

let test: TestAudit;
beforeAll(async () => {
  test = await openTestAudit();
  await asSuperuser(
    test.database,
    `insert into tenant (name) values ('other');
     insert into policy_epoch (tenant_id) select id from tenant where name = 'other' on conflict do nothing`,
  );
});
afterAll(() => test.close());

describe('A session that its provider ended', () => {
  it('is revoked in each tenant of the issuer, whichever the browser was in', async () => {
    const { database, log: audit } = test;
    const ending = sessionEnding({ database, audit, tenants: new TenantIds(database, 'audit') });
    const notice = {
      ...{
        issuer: 'corp',
        tenants: ['meridian', 'other'],
        subject: 'anna',
        session: 's1',
        principalId: 'anna',
      },
      ...{ useId: new Uint8Array(32), usableUntil: 0 },
    };
    const here = { tenant: 'meridian', principal: 'user:corp|anna', session: 's1' };
    await ending.endAtProvider(notice, [here], 'request');
    const revoked = await asSuperuser(
      database,
      'select t.name, r.kind, r.id from revocation r join tenant t on t.id = r.tenant_id order by 1',
    );
    expect(revoked).toEqual(['meridian', 'other'].map((name) => ({ name, kind: 'session', id: 'corp|s1' })));
    // whose session it was is that tenant's to know
    const told = await asSuperuser<{ name: string; body: string }>(
      database,
      `select t.name, a.body from audit_record a join tenant t on t.id = a.tenant_id
       where a.kind = 'signin.ended_by_provider' order by 1`,
    );
    expect(told.map(({ name, body }) => [name, JSON.parse(body).subject])).toEqual([
      ['meridian', 'user:corp|anna'],
      ['other', null],
    ]);
  });
});
