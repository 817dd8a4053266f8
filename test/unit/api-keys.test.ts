import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ApiKeyParts,
  createApiKey,
  listApiKeys,
  type NewApiKey,
  revokeApiKey,
  rotateApiKey,
} from '../../src/admin/api-keys.ts';
import { bindRole, grantClearance, setActorCeiling } from '../../src/admin/clearances.ts';
import { grant, revoke } from '../../src/admin/container-access.ts';
import { createContainer } from '../../src/admin/containers.ts';
import { setDocumentAccess } from '../../src/admin/document-access.ts';
import { addMember } from '../../src/admin/memberships.ts';
import { createService } from '../../src/admin/principals.ts';
import { toIdentity } from '../../src/http/authenticate.ts';
import { newApiKey, readApiKey } from '../../src/identity/api-key-form.ts';
import { createApiKeys } from '../../src/identity/api-keys.ts';
import type { ApiKeyVerifier } from '../../src/identity/credentials.ts';
import { ApiKeys } from '../../src/store/api-keys.ts';
import { authorize } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { rightsOn } from '../../src/store/rights.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let firm: Company;
let keys: ApiKeyVerifier;
let parts: ApiKeyParts;
let failures: unknown[];
beforeEach(async () => {
  firm = await openCompany();
  failures = [];
  keys = createApiKeys({
    database: firm.database,
    role: 'retrieve',
    onFailure: (error) => failures.push(error),
  });
  parts = { ...firm.parts, mintKey: () => newApiKey(randomBytes) };
  await createService(parts, root(), { principal: service('bot'), displayName: 'Bot' });
});
afterEach(async () => {
  // a last use is noted without anybody waiting for it
  await firm.one('select 1');
  await firm.close();
  expect(failures).toEqual([]);
});

const root = () => firm.caller('root');
const BOT: NewApiKey = { service: service('bot'), name: 'Bot', rights: ['read'] };
const create = (changes: Partial<NewApiKey> = {}) => createApiKey(parts, root(), { ...BOT, ...changes });
const later = async (ms = 31_000) => Date.now() + ms;
const verify = async (key: string, now = Date.now()) => toIdentity(await keys.verify(key, now));
const fresh = () => createApiKeys({ database: firm.database, role: 'audit', onFailure: () => {} });
const authorityOf = async (key: string, role: 'retrieve' | 'ingest' | 'admin' = 'retrieve') =>
  authorize(firm.database, role, TEST_SCHEME, await verify(key));
const readableWith = async (key: string) =>
  ReadableDocuments.as(firm.database, (await authorityOf(key)).context).matching({});
const rightsAt = async (key: string, path: string) => {
  const { id } = await firm.one<{ id: number }>(`select id from access_class where path = '${path}'`);
  const { context } = await authorityOf(key, 'admin');
  return firm.database.unitOfWork('admin', context, async (trx) => [...(await rightsOn(trx, id as never))]);
};
const INVALID = { code: 'invalid_token', detail: 'The API key is not valid.' };

describe('the form of a key', () => {
  it('is 256 random bits with a name before and a checksum after, and reads back', () => {
    const { id, secretHash, text } = newApiKey(randomBytes);
    expect(text).toMatch(/^bhk_[a-z2-7]{16}_[a-z2-7]{60}$/);
    expect(readApiKey(text)).toEqual({ id, secretHash });
    expect(secretHash).toHaveLength(32);
  });

  it('is as RFC 4648 writes base32', () => {
    const counting = (count: number) => Uint8Array.from({ length: count }, (_, i) => i);
    expect(newApiKey(counting).text.slice(0, 73)).toBe(
      'bhk_aaaqeayeaudaocaj_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq',
    );
  });

  it('is told from one with any other character, one less or one more', () => {
    const { text } = newApiKey(randomBytes);
    for (let i = 0; i < text.length; i += 1) {
      const other = text[i] === 'a' ? 'b' : 'a';
      expect(readApiKey(text.slice(0, i) + other + text.slice(i + 1))).toBeUndefined();
      expect(readApiKey(text.slice(0, i) + text.slice(i + 1))).toBeUndefined();
    }
    for (const wrong of ['', 'bhk_', `${text}a`, `${text}\n`, text.toUpperCase(), ` ${text}`])
      expect(readApiKey(wrong)).toBeUndefined();
  });
});

describe('a key that was made', () => {
  it('is its service, with the rights it was made for, and can be revoked by itself and by its service', async () => {
    const { id, key, expiresAt } = await create();
    const caller = await keys.verify(key, Date.now());
    expect(caller).toMatchObject({
      tenant: 'meridian',
      issuer: 'workforce',
      kind: 'service',
      id: 'bot',
      groups: [],
      actor: undefined,
      acr: undefined,
      expiresAt,
      rights: new Set(['read']),
      revocable: [
        { kind: 'key', id: `key|${id}` },
        { kind: 'client', id: 'workforce|bot' },
      ],
    });
    expect(await readableWith(key)).toEqual([firm.documents['/open']]);
  });

  it('ends after 90 days, or when it was said, and never lasts longer than 366 days', async () => {
    const days = async (given?: number) =>
      Math.round(((await create({ ...(given && { days: given }) })).expiresAt - Date.now()) / 86_400_000);
    expect(await days()).toBe(90);
    expect(await days(366)).toBe(366);
    for (const wrong of [0.5, 367, -1, Number.NaN])
      await expect(create({ days: wrong })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(
      asSuperuser(firm.database, "update api_key set created_at = created_at - interval '277 days'"),
    ).rejects.toMatchObject({ sqlState: '23514' });
  });

  it('is nowhere: neither it nor its secret is in the database, the log of changes or the list', async () => {
    const { key } = await create();
    const [, , secret] = key.split('_');
    const rows = await asSuperuser<{ all: string }>(
      firm.database,
      `select (select string_agg(k::text, '') from api_key k) || (select string_agg(body, '') from audit_record) as all`,
    );
    expect(rows[0]?.all).not.toContain(secret?.slice(0, 20));
    const { items } = await listApiKeys(parts, root(), { limit: 10 });
    expect(JSON.stringify(items)).not.toContain(secret?.slice(0, 20));
    expect(items).toMatchObject([{ service: service('bot'), createdBy: user('root'), limits: null }]);
  });

  it('is recorded with who made it and what for', async () => {
    const { id, expiresAt } = await create({ containers: ['/open'] });
    expect((await firm.events()).at(-1)).toMatchObject({
      kind: 'api_key.created',
      body: {
        subject: user('root'),
        request: 'req-root',
        key: id,
        service: service('bot'),
        rights: ['read'],
        limits: { containers: ['/open'], level: 'restricted' },
        expiresAt,
      },
    });
  });

  it('has its last use noted, to the minute', async () => {
    const { key } = await create();
    await keys.verify(key, Date.now());
    await expect
      .poll(async () => (await listApiKeys(parts, root(), { limit: 1 })).items[0]?.lastUsedAt)
      .toBeGreaterThan(Date.now() - 60_000);
    await asSuperuser(firm.database, "update api_key set last_used_at = now() - interval '59 seconds'");
    const noted = async () => (await firm.one<{ at: Date }>('select last_used_at as at from api_key')).at;
    const before = await noted();
    await firm.database.unitOfWork('audit', undefined, (trx) =>
      sql`select bulkhead.touch_api_key(${readApiKey(key)?.id})`.execute(trx),
    );
    expect(await noted()).toEqual(before);
  });
});

describe('one answer, and nothing of why, for', () => {
  const refused = async (key: string) => {
    await expect(keys.verify(key, Date.now())).rejects.toMatchObject(INVALID);
    await expect(fresh().verify(key, Date.now())).rejects.toMatchObject(INVALID);
  };

  it('a key that is cut, mistyped or none: the database is not asked', async () => {
    const { key } = await create();
    const blind = createApiKeys({
      database: { statement: () => Promise.reject(new Error('asked')) } as never,
      role: 'retrieve',
      onFailure: () => {},
    });
    const wrong = [
      key.slice(0, -1),
      `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`,
      'bhk_',
      `${key}a`,
    ];
    for (const text of wrong) await expect(blind.verify(text, Date.now())).rejects.toMatchObject(INVALID);
    await expect(blind.verify(key, Date.now())).rejects.toThrow('asked');
  });

  it('an id that nobody has, and the right id with another secret', async () => {
    const { key } = await create();
    const other = newApiKey(randomBytes);
    await refused(other.text);
    const stolen = newApiKey((count) => (count === 10 ? idBytes(key) : randomBytes(count)));
    expect(stolen.id).toBe(readApiKey(key)?.id);
    await refused(stolen.text);
    await keys.verify(key, Date.now());
  });

  it('a key that expired by one second', async () => {
    const { key } = await create();
    await asSuperuser(
      firm.database,
      "update api_key set created_at = now() - interval '1 day', expires_at = now() - interval '1 second'",
    );
    await refused(key);
  });

  it('a key that was verified a moment ago and has expired since', async () => {
    const { key } = await create();
    await asSuperuser(firm.database, "update api_key set expires_at = now() + interval '5 seconds'");
    const now = Date.now();
    await keys.verify(key, now);
    await keys.verify(key, now + 4_000);
    await asSuperuser(
      firm.database,
      "update api_key set created_at = now() - interval '1 day', expires_at = now()",
    );
    await expect(keys.verify(key, now + 5_000)).rejects.toMatchObject(INVALID);
  });

  it('a key that was revoked', async () => {
    const { id, key } = await create();
    await revokeApiKey(parts, root(), id);
    await refused(key);
  });
});

describe('a revoked key', () => {
  it('is refused on the next request by whoever verified it before', async () => {
    const { id, key } = await create();
    expect(await readableWith(key)).toHaveLength(1);
    await revokeApiKey(parts, root(), id);
    await expect(readableWith(key)).rejects.toMatchObject({ code: 'credential_revoked' });
    await expect(keys.verify(key, await later())).rejects.toMatchObject(INVALID);
    expect((await firm.events()).at(-1)).toMatchObject({
      kind: 'api_key.revoked',
      body: { key: id, service: service('bot'), subject: user('root') },
    });
  });

  it('stays revoked, and takes no other key with it', async () => {
    const [gone, kept] = [await create(), await create()];
    await revokeApiKey(parts, root(), gone.id);
    await revokeApiKey(parts, root(), gone.id);
    expect((await firm.events()).filter(({ kind }) => kind === 'api_key.revoked')).toHaveLength(1);
    expect(await readableWith(kept.key)).toHaveLength(1);
    const undo = (what: string) =>
      firm.database.unitOfWork('admin', firm.admin.context, (trx) =>
        sql`update bulkhead.api_key set ${sql.raw(what)} where id = ${gone.id}`.execute(trx),
      );
    await expect(undo('revoked_at = null')).rejects.toMatchObject({ sqlState: '42501' });
    await expect(undo("expires_at = expires_at + interval '1 day'")).rejects.toMatchObject({
      sqlState: '42501',
    });
  });

  it('does not have to exist for a stranger to hear the same', async () => {
    await expect(revokeApiKey(parts, root(), 'aaaaaaaaaaaaaaaa')).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(revokeApiKey(parts, firm.caller('petra'), 'aaaaaaaaaaaaaaaa')).rejects.toMatchObject({
      code: 'right_missing',
    });
  });
});

describe('a rotated key', () => {
  it('works beside its successor for the overlap, and not after it', async () => {
    const old = await create({ containers: ['/open'], level: 'public' });
    const next = await rotateApiKey(parts, root(), { key: old.id, overlapMs: 60_000 });
    expect(await readableWith(old.key)).toEqual(await readableWith(next.key));
    expect((await keys.verify(old.key, Date.now())).actor).toEqual(
      (await keys.verify(next.key, Date.now())).actor,
    );
    await asSuperuser(
      firm.database,
      `update api_key set created_at = now() - interval '1 day', expires_at = now() - interval '1 second' where id = '${old.id}'`,
    );
    await expect(keys.verify(old.key, await later())).rejects.toMatchObject(INVALID);
    expect(await readableWith(next.key)).toHaveLength(1);
    expect((await firm.events()).at(-1)).toMatchObject({
      kind: 'api_key.rotated',
      body: { key: next.id, replaces: old.id },
    });
  });

  it('ends in a day by default, at once with no overlap, and is no key to rotate again', async () => {
    const first = await create();
    const second = await rotateApiKey(parts, root(), { key: first.id });
    const { items } = await listApiKeys(parts, root(), { limit: 10 });
    const old = items.find(({ id }) => id === first.id);
    expect(old).toMatchObject({ replacedBy: second.id });
    expect(Math.abs((old?.expiresAt ?? 0) - Date.now() - 86_400_000)).toBeLessThan(60_000);
    await expect(rotateApiKey(parts, root(), { key: first.id })).rejects.toMatchObject({ code: 'conflict' });
    await readableWith(second.key);
    await rotateApiKey(parts, root(), { key: second.id, overlapMs: 0 });
    await expect(readableWith(second.key)).rejects.toMatchObject({ code: 'credential_revoked' });
    await expect(rotateApiKey(parts, root(), { key: second.id, overlapMs: 59_999 })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});

describe('a key with limits', () => {
  it('reads and does what its service may within them, and acts under a name of its own', async () => {
    await grantClearance(parts, root(), {
      principal: service('bot'),
      level: 'confidential',
      compartments: [],
    });
    for (const right of ['ingest', 'administer'])
      await bindRole(parts, root(), { container: '/', principal: service('bot'), right });
    await grant(parts, root(), {
      container: '/hr',
      entry: { principal: service('bot'), effect: 'allow' },
    });
    const wide = { ...BOT, rights: ['read', 'ingest', 'administer'] } as const;
    // maria is no administrator of the tenant, and root reads no /hr: anna is let do it for the test
    for (const right of ['administer', 'ingest', 'label', 'grant', 'audit'])
      await bindRole(parts, root(), { container: '/', principal: user('anna'), right });
    const anna = firm.caller('anna');
    const all = await createApiKey(parts, anna, wide);
    const hr = await createApiKey(parts, anna, { ...wide, containers: ['/hr'] });
    const low = await createApiKey(parts, anna, { ...wide, level: 'internal' });
    expect((await readableWith(all.key)).length).toBe(2);
    expect(await readableWith(hr.key)).toEqual([firm.documents['/hr']]);
    expect(await readableWith(low.key)).toEqual([firm.documents['/open']]);
    expect(await rightsAt(all.key, '/open')).toEqual(['ingest', 'administer']);
    expect(await rightsAt(hr.key, '/hr')).toEqual(['ingest', 'administer']);
    expect(await rightsAt(hr.key, '/open')).toEqual([]);
    expect(await rightsAt(hr.key, '/')).toEqual([]);
    const { subject } = await authorityOf(hr.key);
    expect([subject.user.name, subject.actor?.name]).toEqual([service('bot'), `service:key|${hr.id}`]);
  });

  it('is narrowed by whoever changes its principal’s ceiling, disables it or denies it', async () => {
    const { id, key } = await create({ containers: ['/open'] });
    const actor = `service:key|${id}`;
    for (const right of ['administer', 'grant'])
      await bindRole(parts, root(), { container: '/', principal: user('otto'), right });
    const root2 = () => firm.caller('otto');
    expect(await readableWith(key)).toHaveLength(1);
    await grant(parts, root(), { container: '/open', entry: { principal: actor, effect: 'deny' } });
    expect(await readableWith(key)).toEqual([]);
    await revoke(parts, root2(), { container: '/open', principal: actor, effect: 'deny' });
    expect(await readableWith(key)).toHaveLength(1);
    const ceiling = { principal: actor, level: 'public', compartments: [], containers: ['/hr'] };
    await setActorCeiling(parts, root2(), ceiling);
    expect(await readableWith(key)).toEqual([]);
  });

  it('names containers, levels and compartments that there are', async () => {
    await expect(create({ containers: ['/nowhere'] })).rejects.toMatchObject({ code: 'unknown_container' });
    await expect(create({ level: 'cosmic' })).rejects.toMatchObject({ code: 'unknown_level' });
    await expect(create({ compartments: ['x'] })).rejects.toMatchObject({ code: 'unknown_compartment' });
    await expect(create({ containers: [] })).rejects.toMatchObject({ code: 'invalid_request' });
    expect((await listApiKeys(parts, root(), { limit: 10 })).items).toEqual([]);
  });
});

describe('whoever makes a key', () => {
  const refusedAs = async (attempt: Promise<unknown>, rule: string) => {
    await expect(attempt).rejects.toMatchObject({ code: 'separation_of_duties' });
    expect((await firm.events()).slice(-2)).toMatchObject([
      { kind: 'change.refused', body: { rule } },
      { kind: 'alert.separation_of_duties', body: { rule } },
    ]);
  };

  it('administers the tenant', async () => {
    for (const name of ['petra', 'maria'])
      await expect(createApiKey(parts, firm.caller(name), BOT)).rejects.toMatchObject({
        code: 'right_missing',
      });
    await expect(listApiKeys(parts, firm.caller('maria'), { limit: 1 })).rejects.toMatchObject({
      code: 'right_missing',
    });
  });

  it('comes to read nothing by it, for the key would be theirs to use', async () => {
    await addMember(parts, root(), { group: group('hr'), member: service('bot') });
    await create();
    await grantClearance(parts, firm.caller('root'), { principal: service('agent'), ...HR });
    await addMember(parts, root(), { group: group('hr'), member: service('agent') });
    const agent = { service: service('agent') };
    await refusedAs(create(agent), 'effect');
    await refusedAs(create({ ...agent, containers: ['/hr'] }), 'effect');
    // within limits that keep it to what its maker reads, and without reading at all
    await create({ ...agent, containers: ['/open'] });
    await create({ ...agent, level: 'internal' });
    await create({ ...agent, rights: ['ingest'] });
  });

  it('comes to read nothing by it later either, when something of the service begins', async () => {
    const validFrom = Date.now() + 3_600_000;
    await grantClearance(parts, root(), { principal: service('bot'), ...HR });
    const inHr = {
      container: '/hr',
      entry: { principal: service('bot'), effect: 'allow', validFrom },
    } as const;
    await grant(parts, root(), inHr);
    await refusedAs(create(), 'effect');
    await create({ containers: ['/open'] });
    await createService(parts, root(), { principal: service('late'), displayName: 'Late' });
    await addMember(parts, root(), { group: group('hr'), member: service('late'), validFrom });
    await grantClearance(parts, root(), { principal: service('late'), ...HR });
    await refusedAs(create({ service: service('late') }), 'effect');
    await create({ service: service('late'), rights: ['ingest'] });
  });

  it('comes to hold no right by it', async () => {
    await bindRole(parts, root(), { container: '/', principal: user('petra'), right: 'administer' });
    await bindRole(parts, root(), { container: '/hr', principal: service('bot'), right: 'ingest' });
    const petra = firm.caller('petra');
    const ingest = { ...BOT, rights: ['ingest'] } as const;
    await refusedAs(createApiKey(parts, petra, ingest), 'right');
    await createApiKey(parts, petra, BOT);
    await createApiKey(parts, petra, { ...ingest, containers: ['/open'] });
    await createApiKey(parts, root(), ingest);
  });

  it('does not raise its service afterwards, while the key works', async () => {
    const { id } = await create();
    const bot = service('bot');
    const raises: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['clearance', () => grantClearance(parts, root(), { principal: bot, ...HR })],
      ['membership', () => addMember(parts, root(), { group: group('hr'), member: bot })],
      ['right', () => bindRole(parts, root(), { container: '/hr', principal: bot, right: 'grant' })],
      ['entry', () => grant(parts, root(), { container: '/hr', entry: { principal: bot, effect: 'allow' } })],
      [
        'entry',
        () =>
          createContainer(parts, root(), {
            path: '/hr/new',
            label: { level: null, compartments: [] },
            inherits: true,
            entries: [{ principal: bot, effect: 'allow' }],
          }),
      ],
      [
        'entry',
        () =>
          setDocumentAccess(parts, root(), {
            document: firm.documents['/hr'],
            inherits: true,
            entries: [{ principal: bot, effect: 'allow' }],
          }),
      ],
    ];
    for (const [rule, raise] of raises) await refusedAs(raise(), rule);
    await revokeApiKey(parts, root(), id);
    for (const [, raise] of raises) await raise();
  });

  it('does not widen what keeps the key within its limits, nor take away what keeps it out', async () => {
    const { id } = await create({ containers: ['/open'], level: 'public' });
    const principal = `service:key|${id}`;
    const ceiling = { principal, level: 'restricted', compartments: ['payroll'], containers: ['/'] };
    await refusedAs(setActorCeiling(parts, root(), ceiling), 'ceiling');
    for (const denied of [principal, service('bot')]) {
      await grant(parts, root(), { container: '/open', entry: { principal: denied, effect: 'deny' } });
      const undo = { container: '/open', principal: denied, effect: 'deny' as const };
      await refusedAs(revoke(parts, root(), undo), 'entry');
    }
  });

  it('is not two people: with the key they raise neither themselves nor another service whose key they made', async () => {
    for (const right of ['administer', 'grant'])
      await bindRole(parts, root(), { container: '/', principal: service('bot'), right });
    await createApiKey(parts, root(), { ...BOT, service: service('agent') });
    const { key } = await create({ rights: ['administer', 'grant'] });
    const bot = { identity: await verify(key), requestId: 'req-bot' };
    for (const principal of [user('root'), service('agent'), service('bot')]) {
      await refusedAs(grantClearance(parts, bot, { principal, ...HR }), 'clearance');
      await refusedAs(addMember(parts, bot, { group: group('hr'), member: principal }), 'membership');
      await refusedAs(bindRole(parts, bot, { container: '/hr', principal, right: 'ingest' }), 'right');
      const entry = { principal, effect: 'allow' as const };
      await refusedAs(grant(parts, bot, { container: '/hr', entry }), 'entry');
    }
    await grantClearance(parts, bot, { principal: user('petra'), ...HR });
  });

  it('is no service that makes one for itself, nor anybody through a service that acts for them', async () => {
    await bindRole(parts, root(), { container: '/', principal: service('bot'), right: 'administer' });
    const identity = { ...root().identity, user: service('bot') };
    await refusedAs(createApiKey(parts, { identity, requestId: 'r' }, BOT), 'key');
    await setActorCeiling(parts, root(), {
      principal: service('agent'),
      level: 'restricted',
      compartments: [],
      containers: ['/'],
    });
    await refusedAs(createApiKey(parts, firm.caller('root', 'agent'), BOT), 'key');
  });

  it('gives it no right that their own credential is not for', async () => {
    const identity = { ...root().identity, rights: new Set(['administer', 'read'] as const) };
    const limited = { identity, requestId: 'r' };
    await createApiKey(parts, limited, BOT);
    await expect(createApiKey(parts, limited, { ...BOT, rights: ['ingest'] })).rejects.toMatchObject({
      code: 'insufficient_scope',
    });
    const reader = { identity: { ...identity, rights: new Set(['read'] as const) }, requestId: 'r' };
    await expect(createApiKey(parts, reader, BOT)).rejects.toMatchObject({ code: 'insufficient_scope' });
  });

  it('makes it for a service of the directory, and for no key, person or group', async () => {
    const wrong = { [user('petra')]: 'invalid_request', [group('hr')]: 'invalid_request' };
    for (const [principal, code] of Object.entries({
      ...wrong,
      everyone: 'invalid_request',
      'service:key|abc': 'invalid_request',
      [service('nobody')]: 'unknown_principal',
    }))
      await expect(create({ service: principal })).rejects.toMatchObject({ code });
  });
});

describe('a key of another tenant', () => {
  it('is of that tenant alone: it is not listed, rotated, revoked or used here', async () => {
    const { key, id } = await create();
    await createTenant(firm.database, {
      name: 'other',
      admin: { principal: 'user:workforce|root', source: 'workforce', displayName: 'Root' },
      rootLevel: 'public',
    });
    const other = { identity: { ...root().identity, tenant: 'other' }, requestId: 'r' };
    expect((await listApiKeys(parts, other, { limit: 10 })).items).toEqual([]);
    await expect(revokeApiKey(parts, other, id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(rotateApiKey(parts, other, { key: id })).rejects.toMatchObject({ code: 'not_found' });
    await expect(createApiKey(parts, other, BOT)).rejects.toMatchObject({ code: 'unknown_principal' });
    expect((await verify(key)).tenant).toBe('meridian');
  });

  it('is not made by a process that writes the row itself', async () => {
    const { id: foreign } = await firm.one<{ id: number }>(
      `with t as (insert into tenant (name) values ('third') returning id),
         e as (insert into policy_epoch (tenant_id) select id from t)
       insert into principal (tenant_id, kind, key) select id, 'service', 'service:w|x' from t returning id`,
    );
    const row = { id: 'a'.repeat(16), secretHash: new Uint8Array(32), actor: undefined, name: 'x' };
    const add = (changes: object) =>
      firm.database.unitOfWork('admin', firm.admin.context, (trx) =>
        ApiKeys.within(trx).add({
          ...row,
          service: foreign as never,
          rights: ['read'],
          createdBy: firm.admin.subject.user.principal,
          lifetimeMs: 1_000,
          replaces: undefined,
          ...changes,
        }),
      );
    await expect(add({})).rejects.toMatchObject({ sqlState: '42501' });
    const { id: bot } = await firm.one<{ id: number }>(
      `select id from principal where key = '${service('bot')}'`,
    );
    await expect(add({ service: bot, createdBy: bot })).rejects.toMatchObject({ sqlState: '42501' });
    await add({ service: bot });
  });
});

describe('the roles of processes', () => {
  const asRole = (role: 'retrieve' | 'ingest' | 'indexer' | 'admin' | 'audit', statement: string) =>
    firm.database.unitOfWork(role, firm.admin.context, (trx) => sql.raw(statement).execute(trx));

  it('never read the hash of a secret, and only the administrators’ sees keys at all', async () => {
    await create();
    for (const role of ['retrieve', 'ingest', 'indexer', 'audit'] as const)
      await expect(asRole(role, 'select id from bulkhead.api_key')).rejects.toMatchObject({
        sqlState: '42501',
      });
    for (const what of ['secret_hash', '*'])
      await expect(asRole('admin', `select ${what} from bulkhead.api_key`)).rejects.toMatchObject({
        sqlState: '42501',
      });
  });

  it('look keys up, but for the one that answers nobody', async () => {
    const find = "select bulkhead.find_api_key('aaaaaaaaaaaaaaaa', '\\x00')";
    for (const role of ['retrieve', 'ingest', 'admin', 'audit'] as const)
      expect((await asRole(role, find)).rows).toEqual([{ find_api_key: null }]);
    await expect(asRole('indexer', find)).rejects.toMatchObject({ sqlState: '42501' });
  });
});

const HR = { level: 'confidential', compartments: ['payroll'] };

/** The bytes that its id was written from. */
function idBytes(key: string): Uint8Array {
  const bits = [...key.slice(4, 20)]
    .map((c) => 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c).toString(2).padStart(5, '0'))
    .join('');
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}
