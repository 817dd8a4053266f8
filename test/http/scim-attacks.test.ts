/** What a provisioning client, or somebody else, might try. Each is refused as the RFC says and tells nothing more. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openScimApp, type ScimApp } from '../helpers/scim.ts';

let app: ScimApp;
beforeAll(async () => {
  app = await openScimApp();
}, 60_000);
afterAll(() => app.close());

const filtered = (filter: string) => app.scim('GET', `/Users?filter=${encodeURIComponent(filter)}`);
const patch = (path: string, Operations: unknown) => app.scim('PATCH', path, { Operations });

describe('somebody who is not the client', () => {
  it.each(['root', 'anna'])(
    '%s is refused everywhere, in the form of SCIM, and it is noted',
    async (account) => {
      const as = app.as(account);
      const before = app.refusals.length;
      for (const [method, path] of [
        ['GET', '/Users'],
        ['GET', '/ServiceProviderConfig'],
        ['GET', '/Me'],
        ['DELETE', '/Groups/00000000-0000-4000-8000-000000000000'],
      ] as const) {
        const answer = await as(method, path);
        expect(answer.status).toBe(403);
        expect(answer.headers.get('content-type')).toBe('application/scim+json');
        expect(answer.json).toMatchObject({
          schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
          status: '403',
        });
      }
      expect(app.refusals.slice(before).map(({ code }) => code)).toEqual(Array(4).fill('right_missing'));
    },
  );

  it('the client acting for a person is not the client', async () => {
    const token = await app.token('petra', { actor: 'agent' });
    const answer = await fetch(`${app.url}/scim/v2/Users`, { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(403);
  });

  it('nobody at all is told the scheme', async () => {
    const answer = await fetch(`${app.url}/scim/v2/Users`);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer|Bearer /);
    expect(await answer.json()).toMatchObject({ status: '401' });
  });

  it('a client whose account was disabled is nobody', async () => {
    const service = encodeURIComponent('service:workforce|agent');
    await app.ask('root', 'PATCH', `/v1/principals/${service}`, { status: 'disabled' });
    expect((await app.scim('GET', '/Users')).status).toBe(403);
    expect((await app.scim('POST', '/Users', { userName: 'x', externalId: 'x' })).status).toBe(403);
    await app.ask('root', 'PATCH', `/v1/principals/${service}`, { status: 'active' });
    expect((await app.scim('GET', '/Users')).status).toBe(200);
  });
});

describe('what belongs to another', () => {
  const USER = '11111111-1111-4111-8111-111111111111';
  const GROUP = '22222222-2222-4222-8222-222222222222';
  beforeAll(async () => {
    // another source of this tenant, and the same ids' neighbours in another tenant
    await app.rows(`
      insert into tenant (name) values ('other');
      insert into policy_epoch (tenant_id) select id from tenant where name = 'other';
      insert into principal (tenant_id, kind, key) select id, 'user', 'user:partners|theirs' from tenant where name = 'other';
      insert into principal (tenant_id, kind, key) select id, 'group', 'group:entra|theirs' from tenant where name = 'other';
      insert into scim_user (id, tenant_id, source, principal_id, user_name, active, attributes, created_at, modified_at)
        select '${USER}', tenant_id, 'entra', id, 'theirs', true, '{}', now(), now() from principal where key = 'user:partners|theirs';
      insert into scim_group (id, tenant_id, source, principal_id, display_name, created_at, modified_at)
        select '${GROUP}', tenant_id, 'entra', id, 'theirs', now(), now() from principal where key = 'group:entra|theirs';`);
  });

  it.each(['GET', 'PUT', 'PATCH', 'DELETE'])('is answered to %s as what does not exist', async (method) => {
    const missing = '33333333-3333-4333-8333-333333333333';
    for (const [path, id] of [
      ['/Users', USER],
      ['/Groups', GROUP],
    ] as const) {
      const body =
        method === 'PUT'
          ? { userName: 'x', externalId: 'x', displayName: 'x' }
          : method === 'PATCH'
            ? { Operations: [{ op: 'replace', path: 'displayName', value: 'x' }] }
            : undefined;
      const answers = await Promise.all(
        [id, missing, 'no-uuid'].map((each) =>
          app.scim(method, `${path}/${each}`, body, { 'if-match': 'W/"9"' }),
        ),
      );
      for (const answer of answers) {
        expect(answer.status).toBe(404);
        expect(answer.json).toEqual(answers[1]?.json);
      }
    }
    expect(
      await app.rows(`select 1 from scim_user where id = '${USER}' and user_name = 'theirs'`),
    ).toHaveLength(1);
  });

  it('is found by no filter, and in no list', async () => {
    expect((await filtered('userName eq "theirs"')).json.totalResults).toBe(0);
    expect(
      (await filtered(`id eq "${USER}" or not (id eq "x")`)).json.Resources.map((r: { id: string }) => r.id),
    ).not.toContain(USER);
  });

  it('is no member', async () => {
    const id = await app.group('Ours');
    for (const value of [USER, GROUP]) {
      const answer = await patch(`/Groups/${id}`, [{ op: 'add', path: 'members', value: [{ value }] }]);
      expect(answer.json).toMatchObject({ status: '400', scimType: 'invalidValue' });
    }
  });

  it('its name may be used here, and nothing is merged', async () => {
    expect(await app.user('theirs')).not.toBe(USER);
  });

  it('the database refuses it too, whatever the code asks for', async () => {
    const { database, admin } = app.store;
    const asClient = { ...admin.context, principals: [] };
    const attempt = (statement: string) =>
      database.unitOfWork('admin', asClient, async (trx) => {
        const { sql } = await import('kysely');
        await sql`select set_config('bulkhead.directory_source', 'entra', true), set_config('bulkhead.directory_issuer', 'partners', true)`.execute(
          trx,
        );
        return (await sql.raw(statement).execute(trx)).numAffectedRows;
      });
    const tenant = Number(admin.context.tenant);
    await expect(
      attempt(
        `insert into bulkhead.principal (tenant_id, kind, key) values (${tenant}, 'user', 'user:workforce|mallory')`,
      ),
    ).rejects.toThrow(/42501/);
    await expect(
      attempt(
        `insert into bulkhead.principal (tenant_id, kind, key) values (${tenant}, 'service', 'service:partners|mallory')`,
      ),
    ).rejects.toThrow(/42501/);
    await expect(
      attempt(
        `insert into bulkhead.principal (tenant_id, kind, key) values (${tenant}, 'group', 'group:workforce|mallory')`,
      ),
    ).rejects.toThrow(/42501/);
    await expect(
      attempt(
        `insert into bulkhead.clearance (tenant_id, principal_id, level, rank) select ${tenant}, id, 'public', 0 from bulkhead.principal where key = 'everyone'`,
      ),
    ).rejects.toThrow(/42501/);
    await expect(
      attempt(
        `insert into bulkhead.role_binding (tenant_id, container_id, principal_id, right_name) select ${tenant}, c.id, p.id, 'administer' from bulkhead.principal p, bulkhead.access_class c where p.key = 'service:workforce|agent' and c.path = '/'`,
      ),
    ).rejects.toThrow(/42501/);
    await expect(
      attempt(
        `insert into bulkhead.membership (tenant_id, group_id, member_id) select ${tenant}, g.id, u.id from bulkhead.principal g, bulkhead.principal u where g.key = 'group:workforce|hr' and u.key = 'user:workforce|petra'`,
      ),
    ).rejects.toThrow(/42501/);
    expect(
      await attempt(`update bulkhead.directory_account set status = 'disabled' where source <> 'entra'`),
    ).toBe(0n);
    expect(
      await attempt(
        `delete from bulkhead.membership m using bulkhead.principal g where g.id = m.group_id and g.key = 'group:workforce|hr'`,
      ),
    ).toBe(0n);
    expect(await attempt(`update bulkhead.directory_source set as_of = now() where source <> 'entra'`)).toBe(
      0n,
    );
  });
});

describe('a filter', () => {
  it.each([
    ['with a quote that would end a statement', `userName eq "x' or '1'='1"`],
    ['with a statement in it', `userName eq "x\\"; drop table scim_user; --"`],
  ])('%s compares text', async (_, filter) => {
    const answer = await filtered(filter);
    expect([answer.status, answer.json.totalResults]).toEqual([200, 0]);
    expect(await app.rows('select 1 from scim_user')).not.toHaveLength(0);
  });

  it.each([
    ['of deep parentheses', `${'('.repeat(3_000)}userName pr${')'.repeat(3_000)}`],
    ['of many nots', `${'not '.repeat(1_500)}(userName pr)`],
    ['of a hundred kilobytes', `userName eq "${'x'.repeat(9_000)}"`],
    ['of a thousand comparisons', Array(500).fill('title pr').join(' or ')],
    ['with a string that does not end', `userName eq "${'\n'.repeat(60)}`],
    ['of nested brackets', `${'emails['.repeat(400)}value pr${']'.repeat(400)}`],
    ['on what is not kept', 'password eq "x"'],
    ['on a prototype', '__proto__ eq "x"'],
    ['on a constructor', 'constructor.name eq "x"'],
    ['that orders a boolean', 'active gt true'],
    ['that compares an instant with a word', 'meta.created gt "yesterday"'],
    ['with a NUL', 'userName eq "\\u0000"'],
    ['that is none', 'and and and'],
    ['that goes on', 'userName pr userName pr'],
    ['of no words', ''],
  ])('%s is refused at once', async (_, filter) => {
    const startedAt = performance.now();
    const answer = await app.scim('POST', '/Users/.search', { filter });
    expect(answer.json).toMatchObject({ status: '400', scimType: 'invalidFilter' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it('of a hundred kilobytes in a search is refused too', async () => {
    const filter = `userName eq "${'x'.repeat(100_000)}"`;
    expect((await app.scim('POST', '/Users/.search', { filter })).status).toBe(400);
  });
});

describe('a body', () => {
  it('of more than a megabyte is refused before it is read', async () => {
    expect((await app.scim('POST', '/Users', { userName: 'x'.repeat(1_100_000) })).status).toBe(413);
  });

  it('that is nested without end is refused', async () => {
    const deep = `{"Operations":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    expect((await app.scim('POST', '/Bulk', deep)).json).toMatchObject({
      status: '400',
      scimType: 'invalidSyntax',
    });
  });

  it('that is no JSON, or no object, is refused in the form of SCIM', async () => {
    for (const body of ['{', '[]', '"x"', 'null', '{"Operations":[]}'])
      expect((await app.scim('PATCH', `/Users/${await app.user(`body-${body}`)}`, body)).json).toMatchObject({
        status: '400',
      });
  });

  it('of another type is not taken', async () => {
    const answer = await app.scim('POST', '/Users', '<user/>', { 'content-type': 'application/xml' });
    expect([answer.status, answer.json.status]).toEqual([415, '415']);
  });
});

describe('the client itself', () => {
  it('gets into no group of its own making', async () => {
    const id = await app.group('Own');
    const group = encodeURIComponent(`group:entra|${id}`);
    await app.ask('root', 'POST', `/v1/principals/${group}/members`, { member: 'service:workforce|agent' });
    const outer = await app.group('Outer of own');
    const answer = await patch(`/Groups/${outer}`, [{ op: 'add', path: 'members', value: [{ value: id }] }]);
    expect(answer.status).toBe(403);
    const alerts = await app.rows(`select 1 from audit_record where kind = 'alert.separation_of_duties'`);
    expect(alerts.length).toBeGreaterThan(0);
    expect((await app.scim('GET', `/Groups/${outer}`)).json.members).toBeUndefined();
  });

  it('does not delete a group that it is in: it may be denied something there', async () => {
    const id = await app.group('Holds the client');
    const group = encodeURIComponent(`group:entra|${id}`);
    await app.ask('root', 'POST', `/v1/principals/${group}/members`, { member: 'service:workforce|agent' });
    expect((await app.scim('DELETE', `/Groups/${id}`)).status).toBe(403);
    expect((await app.scim('GET', `/Groups/${id}`)).status).toBe(200);
  });

  it('is not asked who it is', async () => {
    expect((await app.scim('GET', '/Me')).status).toBe(501);
  });

  it('keeps its source current by asking, and no other', async () => {
    await app.rows(`update directory_source set as_of = now() - interval '1 day'`);
    await app.scim('GET', '/ServiceProviderConfig');
    const ages = () =>
      app.rows<{ source: string; old: boolean }>(
        `select source, as_of < now() - interval '1 hour' as old from directory_source order by source`,
      );
    expect((await ages()).every(({ old }) => old)).toBe(true);
    await app.scim('POST', '/Users', { userName: 'refused, without its subject' });
    expect((await ages()).every(({ old }) => old)).toBe(true);
    await filtered('userName eq "nobody"');
    expect((await ages()).filter(({ old }) => !old).map(({ source }) => source)).toEqual(['entra']);
  });
});
