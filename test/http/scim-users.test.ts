/** SCIM users over HTTP: what a provisioning client sees, and what becomes of the accounts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openScimApp, type ScimApp } from '../helpers/scim.ts';

let app: ScimApp;
beforeAll(async () => {
  app = await openScimApp();
}, 60_000);
afterAll(() => app.close());

const PATCH_OP = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';
const patch = (id: string, Operations: readonly object[], headers?: Record<string, string>) =>
  app.scim('PATCH', `/Users/${id}`, { schemas: [PATCH_OP], Operations }, headers);

const account = async (subject: string) =>
  (
    await app.rows<{ source: string; status: string; display_name: string; email: string | null }>(
      `select a.source, a.status, a.display_name, a.email from directory_account a join principal p on p.id = a.principal_id where p.key = 'user:partners|${subject}'`,
    )
  )[0];

describe('a SCIM user', () => {
  it('becomes the account of its subject, active, in the source of the client', async () => {
    const answer = await app.scim('POST', '/Users', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: 'Zoe@Partner.example',
      externalId: 'oid-zoe',
      name: { givenName: 'Zoe', familyName: 'Ng' },
      emails: [{ value: 'zoe@partner.example', type: 'work', primary: true }],
      password: 'never kept',
      'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User': { department: 'Sales' },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('content-type')).toBe('application/scim+json');
    expect(answer.headers.get('location')).toBe(answer.json.meta.location);
    expect(answer.headers.get('etag')).toBe('W/"1"');
    expect(answer.json).toMatchObject({
      userName: 'Zoe@Partner.example',
      active: true,
      name: { givenName: 'Zoe' },
    });
    expect(JSON.stringify(answer.json)).not.toContain('never kept');
    expect(await account('oid-zoe')).toEqual({
      source: 'entra',
      status: 'active',
      display_name: 'Zoe Ng',
      email: 'zoe@partner.example',
    });
  });

  it('is found by its name whatever the letter case, and by its external id exactly', async () => {
    const id = await app.user('Case@example.org');
    const find = async (filter: string) =>
      (await app.scim('GET', `/Users?filter=${encodeURIComponent(filter)}`)).json.Resources.map(
        (found: { id: string }) => found.id,
      );
    expect(await find('userName eq "case@EXAMPLE.org"')).toEqual([id]);
    expect(await find('externalId eq "oid-Case@example.org"')).toEqual([id]);
    expect(await find('externalId eq "OID-case@example.org"')).toEqual([]);
  });

  it('is refused when its name is taken, letter case aside', async () => {
    await app.user('taken@example.org');
    const answer = await app.scim('POST', '/Users', { userName: 'TAKEN@example.org', externalId: 'other' });
    expect(answer.status).toBe(409);
    expect(answer.json).toMatchObject({ status: '409', scimType: 'uniqueness' });
  });

  it('is refused when another source vouches for the account, which it then leaves alone', async () => {
    const before = await account('carla');
    const answer = await app.scim('POST', '/Users', {
      userName: 'carla',
      externalId: 'carla',
      active: false,
    });
    expect(answer.status).toBe(409);
    expect(await account('carla')).toEqual(before);
  });

  it('is refused without the attribute that says who signs in', async () => {
    const answer = await app.scim('POST', '/Users', { userName: 'nobody@example.org' });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ scimType: 'invalidValue' });
  });

  it('is disabled by "False", as Entra writes it, and enabled by true', async () => {
    const id = await app.user('flag@example.org');
    const disabled = await patch(id, [{ op: 'Replace', path: 'active', value: 'False' }]);
    expect(disabled.json.active).toBe(false);
    expect((await account('oid-flag@example.org'))?.status).toBe('disabled');
    await patch(id, [{ op: 'replace', value: { active: true } }]);
    expect((await account('oid-flag@example.org'))?.status).toBe('active');
  });

  it('raises the policy epoch when it is disabled', async () => {
    const epoch = async () =>
      (await app.rows<{ counter: number }>('select counter from policy_epoch'))[0]?.counter ?? 0;
    const id = await app.user('epoch@example.org');
    const before = await epoch();
    await patch(id, [{ op: 'replace', path: 'active', value: false }]);
    expect(await epoch()).toBeGreaterThan(before);
  });

  it('loses what was issued to it when it is disabled or deleted', async () => {
    const id = await app.user('issued@example.org');
    await patch(id, [{ op: 'replace', path: 'active', value: false }]);
    const revoked = await app.rows(
      `select 1 from revocation where kind = 'user' and id = 'partners|oid-issued@example.org'`,
    );
    expect(revoked).toHaveLength(1);
  });

  it('comes back under the same subject with another id, in no group, and somebody is told', async () => {
    const first = await app.user('back@example.org');
    await app.group('Old friends', [first]);
    expect((await app.scim('DELETE', `/Users/${first}`)).status).toBe(204);
    expect((await app.scim('GET', `/Users/${first}`)).status).toBe(404);
    const second = await app.user('back@example.org');
    expect(second).not.toBe(first);
    const { json } = await app.scim('GET', `/Users/${second}`);
    expect(json.groups).toBeUndefined();
    const members = await app.rows(
      `select 1 from membership m join principal p on p.id = m.member_id where p.key = 'user:partners|oid-back@example.org'`,
    );
    expect(members).toEqual([]);
    const alerts = await app.rows(`select 1 from audit_record where kind = 'alert.account_returned'`);
    expect(alerts.length).toBeGreaterThan(0);
  });

  it('that comes back is still in the groups of others that a deny reaches', async () => {
    const person = 'user:partners|oid-denied@example.org';
    const first = await app.user('denied@example.org');
    const within = (group: string, member: string) =>
      app.ask('root', 'POST', `/v1/principals/${encodeURIComponent(group)}/members`, { member });
    for (const group of ['group:manual|club', 'group:manual|suspended', 'group:manual|walled'])
      await app.ask('root', 'POST', '/v1/principals', { principal: group, display_name: group });
    await within('group:manual|club', person);
    await within('group:manual|suspended', person);
    await within('group:manual|walled', 'group:manual|suspended');
    await app.rows(`insert into entry (tenant_id, class_id, principal_id, effect)
      select c.tenant_id, c.id, p.id, 'deny' from access_class c, principal p where c.path = '/open' and p.key = 'group:manual|walled'`);
    expect((await app.scim('DELETE', `/Users/${first}`)).status).toBe(204);
    await app.user('denied@example.org');
    const groups = await app.rows(`select g.key from membership m join principal g on g.id = m.group_id
      join principal p on p.id = m.member_id where p.key = '${person}'`);
    expect(groups).toEqual([{ key: 'group:manual|suspended' }]);
  });

  describe('that was disabled here', () => {
    const replace = (path: string, value: unknown) => ({ Operations: [{ op: 'replace', path, value }] });
    const whole = (name: string) => ({ userName: name, externalId: `oid-${name}`, displayName: 'Renamed' });
    const statusOf = async (key: string) =>
      (
        await app.rows<{ status: string }>(`select a.status from directory_account a
          join principal p on p.id = a.principal_id where p.key = '${key}'`)
      )[0]?.status;

    it.each([
      ['a patch of its name', (id: string) => patch(id, replace('displayName', 'Renamed').Operations)],
      ['a whole new version', (id: string, name: string) => app.scim('PUT', `/Users/${id}`, whole(name))],
      [
        'taking it back and giving it again',
        async (id: string) => {
          await patch(id, replace('active', false).Operations);
          return patch(id, replace('active', true).Operations);
        },
      ],
      [
        'deleting it and making it again',
        async (id: string, name: string) => {
          await app.scim('DELETE', `/Users/${id}`);
          return app.scim('POST', '/Users', whole(name));
        },
      ],
    ])('is not enabled by its source with %s, but by a person', async (way, change) => {
      const name = `${way.replaceAll(' ', '-')}@example.org`;
      const key = `user:partners|oid-${name}`;
      const id = await app.user(name);
      const path = `/v1/principals/${encodeURIComponent(key)}`;
      await app.ask('root', 'PATCH', path, { status: 'disabled' });
      expect((await change(id, name)).status).toBeLessThan(300);
      expect(await statusOf(key)).toBe('disabled');
      await app.ask('root', 'PATCH', path, { status: 'active' });
      expect(await statusOf(key)).toBe('active');
    });

    it('after its source had done so is a person’s to enable too', async () => {
      const id = await app.user('twice@example.org');
      await patch(id, replace('active', false).Operations);
      const key = 'user:partners|oid-twice@example.org';
      await app.ask('root', 'PATCH', `/v1/principals/${encodeURIComponent(key)}`, { status: 'disabled' });
      await patch(id, replace('active', true).Operations);
      expect(await statusOf(key)).toBe('disabled');
    });
  });

  it('keeps its subject: another external id is another person', async () => {
    const id = await app.user('fixed@example.org');
    const answer = await patch(id, [{ op: 'replace', path: 'externalId', value: 'somebody-else' }]);
    expect(answer.status).toBe(400);
    expect(answer.json.scimType).toBe('mutability');
  });

  it('makes an address that a patch selects and does not find', async () => {
    const id = await app.user('mail@example.org');
    const path = 'emails[type eq "work"].value';
    const first = await patch(id, [{ op: 'Add', path, value: 'a@example.org' }]);
    expect(first.json.emails).toEqual([{ type: 'work', value: 'a@example.org' }]);
    const second = await patch(id, [
      { op: 'Replace', value: { [path]: 'b@example.org', 'name.familyName': 'Ng' } },
    ]);
    expect(second.json).toMatchObject({ emails: [{ value: 'b@example.org' }], name: { familyName: 'Ng' } });
    const third = await patch(id, [{ op: 'remove', path: 'emails[type eq "work"]' }]);
    expect(third.json.emails).toBeUndefined();
  });

  it('takes an id that is repeated, as Okta does, and no other', async () => {
    const id = await app.user('okta@example.org');
    expect((await patch(id, [{ op: 'replace', value: { id, active: true } }])).status).toBe(200);
    const other = await patch(id, [{ op: 'replace', value: { id: 'another', active: true } }]);
    expect(other.json.scimType).toBe('mutability');
  });

  it.each([
    ['id', 'x'],
    ['meta.created', '2020-01-01T00:00:00Z'],
    ['groups', [{ value: 'x' }]],
    ['groups[value eq "x"]', { value: 'y' }],
  ])('has a read-only %s', async (path, value) => {
    const id = await app.user(`readonly-${path}@example.org`);
    const answer = await patch(id, [{ op: 'replace', path, value }]);
    expect(answer.status).toBe(400);
    expect(answer.json.scimType).toBe('mutability');
  });

  it.each(['__proto__.polluted', 'constructor.prototype.polluted', '__proto__', 'name.__proto__'])(
    'has no attribute %s',
    async (path) => {
      const id = await app.user(`proto-${path}@example.org`);
      const answer = await patch(id, [{ op: 'add', path, value: { polluted: 'yes' } }]);
      expect(answer.status).toBe(400);
      const body = `{"Operations":[{"op":"add","value":{"__proto__":{"polluted":"yes"},"${path}":"yes"}}]}`;
      expect((await app.scim('PATCH', `/Users/${id}`, body)).status).toBe(400);
      expect(({} as { polluted?: string }).polluted).toBeUndefined();
    },
  );

  it('of two changes of one version refuses the second', async () => {
    const id = await app.user('race@example.org');
    const headers = { 'if-match': 'W/"1"' };
    const answers = await Promise.all(
      ['A', 'B', 'C'].map((title) => patch(id, [{ op: 'replace', path: 'title', value: title }], headers)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
  });

  it('answers 304 to whoever has this version already', async () => {
    const id = await app.user('etag@example.org');
    const answer = await app.scim('GET', `/Users/${id}`, undefined, { 'if-none-match': 'W/"1"' });
    expect(answer.status).toBe(304);
    expect(answer.json).toBeUndefined();
  });

  it('is not a new version when a change changes nothing', async () => {
    const id = await app.user('same@example.org', { name: { familyName: 'A', givenName: 'B' }, title: 'T' });
    const answer = await patch(id, [{ op: 'replace', path: 'active', value: true }]);
    expect(answer.headers.get('etag')).toBe('W/"1"');
  });

  it('shows only what was asked for, and its id always', async () => {
    const id = await app.user('some@example.org', { title: 'T', name: { familyName: 'A', givenName: 'B' } });
    const only = await app.scim('GET', `/Users/${id}?attributes=title,name.familyName`);
    expect(only.json).toEqual({ schemas: expect.anything(), id, title: 'T', name: { familyName: 'A' } });
    const without = await app.scim('GET', `/Users/${id}?excludedAttributes=title,id`);
    expect(without.json).toMatchObject({ id, userName: 'some@example.org' });
    expect(without.json.title).toBeUndefined();
  });

  it('replaced as a whole keeps nothing that is not named', async () => {
    const id = await app.user('put@example.org', { title: 'T' });
    const answer = await app.scim('PUT', `/Users/${id}`, {
      userName: 'put2@example.org',
      externalId: 'oid-put@example.org',
    });
    expect(answer.status).toBe(200);
    expect(answer.json.title).toBeUndefined();
    expect(answer.json.userName).toBe('put2@example.org');
  });
});
