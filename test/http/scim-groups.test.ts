/** SCIM groups over HTTP: members, nesting, bulk and search. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openScimApp, type ScimApp } from '../helpers/scim.ts';

let app: ScimApp;
beforeAll(async () => {
  app = await openScimApp();
}, 60_000);
afterAll(() => app.close());

const patch = (id: string, Operations: readonly object[], headers?: Record<string, string>) =>
  app.scim(
    'PATCH',
    `/Groups/${id}`,
    { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations },
    headers,
  );
const members = async (id: string): Promise<readonly string[]> =>
  ((await app.scim('GET', `/Groups/${id}`)).json.members ?? [])
    .map(({ value }: { value: string }) => value)
    .sort();

describe('a SCIM group', () => {
  it('is a group of the source, named by its SCIM id', async () => {
    const id = await app.group('Sales');
    const rows = await app.rows<{ name: string }>(
      `select g.display_name as name from directory_group g join principal p on p.id = g.principal_id where p.key = 'group:entra|${id}'`,
    );
    expect(rows).toEqual([{ name: 'Sales' }]);
  });

  it('takes and loses members in every way that providers write it', async () => {
    const [a, b, c] = [await app.user('m-a'), await app.user('m-b'), await app.user('m-c')];
    const id = await app.group('Members', [a]);
    const added = await patch(id, [
      { op: 'Add', path: 'members', value: [{ value: b }, { $ref: null, value: c }] },
    ]);
    expect(added.status).toBe(204);
    expect(added.headers.get('etag')).toBe('W/"2"');
    expect(await members(id)).toEqual([a, b, c].sort());
    await patch(id, [{ op: 'remove', path: `members[value eq "${b}"]` }]);
    expect(await members(id)).toEqual([a, c].sort());
    await patch(id, [{ op: 'Remove', path: 'members', value: [{ value: c }] }]);
    expect(await members(id)).toEqual([a]);
    await patch(id, [{ op: 'replace', value: { id, displayName: 'Renamed', members: [{ value: b }] } }]);
    expect(await members(id)).toEqual([b]);
    await patch(id, [{ op: 'add', value: { members: [{ value: a }] } }]);
    expect(await members(id)).toEqual([a, b].sort());
    await patch(id, [{ op: 'remove', path: 'members' }]);
    expect(await members(id)).toEqual([]);
  });

  it('shows its members with where they are, and is shown among the groups of each, through groups too', async () => {
    const person = await app.user('m-nested', { displayName: 'Nested' });
    const inner = await app.group('Inner', [person]);
    const outer = await app.group('Outer', [inner]);
    const { json } = await app.scim('GET', `/Groups/${outer}`);
    expect(json.members).toEqual([
      { value: inner, $ref: `${app.url}/scim/v2/Groups/${inner}`, type: 'Group' },
    ]);
    const { groups } = (await app.scim('GET', `/Users/${person}`)).json;
    expect(groups.map(({ value, type }: { value: string; type: string }) => [value, type])).toEqual([
      [inner, 'direct'],
      [outer, 'indirect'],
    ]);
  });

  it('lets a member in to what it may read, and out at once when it leaves', async () => {
    // what a group of the source means to policy
    const carla = await app.user('m-reader', { externalId: 'reader' });
    const id = await app.group('Readers', [carla]);
    const reach = async () =>
      (
        await app.rows<{ n: number }>(
          `select count(*)::int as n from json_array_elements_text(authorize('meridian', 'user:partners|reader', '{}', null, '[]') -> 'principals') g
           join principal p on p.id = g::int where p.key = 'group:entra|${id}'`,
        )
      )[0]?.n;
    expect(await reach()).toBe(1);
    await patch(id, [{ op: 'remove', path: `members[value eq "${carla}"]` }]);
    expect(await reach()).toBe(0);
  });

  it('records who joined and who left', async () => {
    const person = await app.user('m-audit');
    const id = await app.group('Audited', [person]);
    const records = await app.rows<{ body: { group: string; added: string[]; subject: string } }>(
      `select body::json as body from audit_record where kind = 'directory.members'`,
    );
    expect(records.map(({ body }) => body)).toContainEqual(
      expect.objectContaining({
        group: `group:entra|${id}`,
        added: ['user:partners|oid-m-audit'],
        subject: 'service:workforce|agent',
      }),
    );
  });

  it('that is deleted leaves nobody in it, and its name comes back as another group', async () => {
    const person = await app.user('m-gone');
    const id = await app.group('Gone', [person]);
    expect((await app.scim('DELETE', `/Groups/${id}`)).status).toBe(204);
    const left = await app.rows(
      `select 1 from membership m join principal p on p.id = m.group_id where p.key = 'group:entra|${id}'`,
    );
    expect(left).toEqual([]);
    expect(await app.group('Gone')).not.toBe(id);
  });

  it('is not held by itself, directly or through others', async () => {
    const a = await app.group('Cycle A');
    const b = await app.group('Cycle B', [a]);
    const c = await app.group('Cycle C', [b]);
    for (const inside of [a, c]) {
      const answer = await patch(a, [{ op: 'add', path: 'members', value: [{ value: inside }] }]);
      expect(answer.status).toBe(400);
      expect(answer.json.scimType).toBe('invalidValue');
    }
  });

  it('is nested to a bounded depth, however the chain is built', async () => {
    let inner = await app.group('Depth 1');
    let depth = 1;
    for (; depth < 40; depth += 1) {
      const answer = await app.scim('POST', '/Groups', {
        displayName: `Depth ${depth + 1}`,
        members: [{ value: inner }],
      });
      if (answer.status !== 201) break;
      inner = answer.json.id;
    }
    expect(depth).toBe(32);
  });

  it('takes nobody whom the client did not create', async () => {
    const id = await app.group('Strangers');
    for (const value of ['00000000-0000-4000-8000-000000000000', 'carla', "x'); drop table scim_user; --"]) {
      const answer = await patch(id, [{ op: 'add', path: 'members', value: [{ value }] }]);
      expect(answer.status).toBe(400);
    }
    expect((await app.rows('select 1 from scim_user')).length).toBeGreaterThan(0);
  });

  it("keeps a member that an administrator added, whatever the client's list says", async () => {
    const person = await app.user('m-kept');
    const id = await app.group('Kept', [person]);
    await app.ask('root', 'POST', `/v1/principals/${encodeURIComponent(`group:entra|${id}`)}/members`, {
      member: 'user:workforce|petra',
    });
    await app.scim('PUT', `/Groups/${id}`, { displayName: 'Kept', members: [] });
    const left = await app.rows<{ key: string }>(
      `select m2.key from membership m join principal p on p.id = m.group_id join principal m2 on m2.id = m.member_id where p.key = 'group:entra|${id}'`,
    );
    expect(left).toEqual([{ key: 'user:workforce|petra' }]);
  });

  it('of thousands takes one more by writing one row', async () => {
    await app.rows(`
      with made as (
        insert into principal (tenant_id, kind, key) select 1, 'user', 'user:partners|mass-' || i from generate_series(1, 5000) i returning id, key),
      accounts as (
        insert into directory_account (principal_id, tenant_id, source, display_name) select id, 1, 'entra', key from made)
      insert into scim_user (id, tenant_id, source, principal_id, user_name, external_id, active, attributes, created_at, modified_at)
        select gen_random_uuid(), 1, 'entra', id, key, key, true, '{}', now(), now() from made`);
    const ids = await app.rows<{ id: string }>(
      `select id from scim_user where user_name like 'user:partners|mass-%'`,
    );
    const id = await app.group(
      'Mass',
      ids.slice(1).map((row) => row.id),
    );
    const xids = () =>
      app.rows<{ xmin: string; n: number }>(
        `select m.xmin::text, count(*)::int as n from membership m join principal p on p.id = m.group_id where p.key = 'group:entra|${id}' group by 1 order by n desc`,
      );
    expect((await xids()).map(({ n }) => n)).toEqual([4999]);
    const answer = await patch(id, [{ op: 'add', path: 'members', value: [{ value: ids[0]?.id }] }]);
    expect(answer.status).toBe(204);
    expect((await xids()).map(({ n }) => n)).toEqual([4999, 1]);
  }, 60_000);
});

describe('bulk', () => {
  const bulk = (Operations: readonly object[], more: object = {}) =>
    app.scim('POST', '/Bulk', {
      schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkRequest'],
      Operations,
      ...more,
    });

  it('puts a person who is created later in the request into a group', async () => {
    const { json } = await bulk([
      {
        method: 'POST',
        path: '/Groups',
        bulkId: 'g',
        data: { displayName: 'Bulk', members: [{ value: 'bulkId:u' }] },
      },
      { method: 'POST', path: '/Users', bulkId: 'u', data: { userName: 'bulk', externalId: 'bulk' } },
    ]);
    expect(json.Operations.map(({ status }: { status: string }) => status)).toEqual(['201', '201']);
    const id = String(json.Operations[0].location).split('/').at(-1) ?? '';
    expect(await members(id)).toHaveLength(1);
  });

  it('refuses operations that wait for each other, and makes the rest', async () => {
    const group = (bulkId: string, other: string) => ({
      method: 'POST',
      path: '/Groups',
      bulkId,
      data: { displayName: bulkId, members: [{ value: `bulkId:${other}` }] },
    });
    const { json } = await bulk([
      group('a', 'b'),
      group('b', 'a'),
      { method: 'POST', path: '/Groups', bulkId: 'c', data: { displayName: 'alone' } },
    ]);
    const statuses = json.Operations.map(({ status }: { status: string }) => status);
    expect(statuses[0]).toBe('409');
    expect(['400', '409']).toContain(statuses[1]);
    expect(statuses[2]).toBe('201');
  });

  it('stops after as many errors as it was told', async () => {
    const bad = (bulkId: string) => ({ method: 'POST', path: '/Users', bulkId, data: {} });
    const { json } = await bulk([bad('1'), bad('2'), bad('3')], { failOnErrors: 2 });
    expect(json.Operations).toHaveLength(2);
    expect(json.Operations[0].response).toMatchObject({ status: '400', scimType: 'invalidValue' });
  });

  it('takes a hundred operations and not one more', async () => {
    const operations = Array.from({ length: 101 }, (_, i) => ({ method: 'DELETE', path: `/Users/${i}` }));
    expect((await bulk(operations)).status).toBe(413);
    expect((await bulk(operations.slice(1))).status).toBe(200);
  });
});

describe('search', () => {
  it('pages through users in an order that stays', async () => {
    const seen: string[] = [];
    const { totalResults } = (await app.scim('GET', '/Users?count=0')).json;
    for (let startIndex = 1; startIndex <= totalResults; startIndex += 200) {
      const { json } = await app.scim('GET', `/Users?startIndex=${startIndex}&count=500&attributes=id`);
      expect(json.itemsPerPage).toBeLessThanOrEqual(200);
      seen.push(...json.Resources.map(({ id }: { id: string }) => id));
    }
    expect(new Set(seen).size).toBe(totalResults);
    expect(seen).toHaveLength(totalResults);
  });

  it('finds by every operator, in lists and by whole elements', async () => {
    const id = await app.user('search-me', {
      title: 'Director',
      active: false,
      emails: [
        { value: 'one@example.org', type: 'work' },
        { value: 'two@example.org', type: 'home' },
      ],
    });
    const found = async (filter: string) => {
      const { json } = await app.scim('POST', '/Users/.search', {
        filter: `(${filter}) and userName eq "search-me"`,
        schemas: ['urn:ietf:params:scim:api:messages:2.0:SearchRequest'],
      });
      return json.Resources?.some((user: { id: string }) => user.id === id) ?? json;
    };
    for (const filter of [
      'title eq "director"',
      'title co "rect"',
      'title sw "DIR"',
      'title ew "tor"',
      'title pr',
      'title gt "a" and title lt "z"',
      'not (title eq "other")',
      'nickName ne "x"',
      'active eq "False"',
      'emails eq "one@example.org"',
      'emails[type eq "home" and value sw "two"]',
      'emails.type eq "work"',
      'meta.created gt "2020-01-01T00:00:00Z"',
      'urn:ietf:params:scim:schemas:core:2.0:User:title eq "Director"',
      'nickName eq null',
    ])
      expect([filter, await found(filter)]).toEqual([filter, true]);
    for (const filter of [
      'title eq "x"',
      'active eq true',
      'emails[type eq "home" and value sw "one"]',
      'nickName pr',
    ])
      expect([filter, await found(filter)]).toEqual([filter, false]);
  });

  it('asks whether a group has a member, as Entra does', async () => {
    const person = await app.user('s-member');
    const id = await app.group('Asked', [person]);
    const filter = encodeURIComponent(`id eq "${id}" and members eq "${person}"`);
    const { json } = await app.scim('GET', `/Groups?excludedAttributes=members&filter=${filter}`);
    expect(json.totalResults).toBe(1);
    expect(json.Resources[0].members).toBeUndefined();
  });

  it('looks through users and groups together', async () => {
    await app.user('both', { displayName: 'Both of them' });
    await app.group('Both of them');
    const { json } = await app.scim('POST', '/.search', { filter: 'displayName eq "both of them"' });
    expect(json.Resources.map(({ meta }: { meta: { resourceType: string } }) => meta.resourceType)).toEqual([
      'User',
      'Group',
    ]);
    const onlyUsers = await app.scim('POST', '/.search', { filter: 'userName eq "both"' });
    expect(onlyUsers.json.totalResults).toBe(1);
  });

  it('sorts, and pages within the order', async () => {
    const { json } = await app.scim(
      'GET',
      '/Groups?sortBy=displayName&sortOrder=descending&attributes=displayName',
    );
    const names = json.Resources.map(({ displayName }: { displayName: string }) => displayName);
    expect(names.length).toBeGreaterThan(3);
    expect(names).toEqual([...names].sort().reverse());
  });
});
