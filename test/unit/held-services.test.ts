import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiKeyParts, createApiKey, revokeApiKey } from '../../src/admin/api-keys.ts';
import type { AdminCaller } from '../../src/admin/change.ts';
import { bindRole, grantClearance } from '../../src/admin/clearances.ts';
import { grant, revoke, setContainerLabel, setInherits } from '../../src/admin/container-access.ts';
import { createContainer } from '../../src/admin/containers.ts';
import { setDocumentAccess, setDocumentLabel } from '../../src/admin/document-access.ts';
import { addMember, removeMember, setMembers } from '../../src/admin/memberships.ts';
import { createGroup, createService } from '../../src/admin/principals.ts';
import { toIdentity } from '../../src/http/authenticate.ts';
import { newApiKey } from '../../src/identity/api-key-form.ts';
import { createApiKeys } from '../../src/identity/api-keys.ts';
import { authorize } from '../../src/store/authority.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import type { CredentialRight } from '../../src/store/session-context.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const BOT = service('bot');
const BOTS = group('bots');
const HR = { level: 'confidential', compartments: ['payroll'] };
const PUBLIC = { level: 'public', compartments: [] };
const DAY_MS = 86_400_000;
let firm: Company;
let parts: ApiKeyParts;
/** `bot` is in `bots` and cleared for all of `/hr`, where nothing allows it yet. */
beforeEach(async () => {
  firm = await openCompany();
  parts = { ...firm.parts, mintKey: () => newApiKey(randomBytes) };
  await createService(parts, root(), { principal: BOT, displayName: 'Bot' });
  await createGroup(parts, root(), { principal: BOTS, displayName: 'Bots' });
  await addMember(parts, root(), { group: BOTS, member: BOT });
  await grantClearance(parts, root(), { principal: BOT, ...HR });
});
afterEach(() => firm.close());

const root = () => firm.caller('root');
const allow = (principal: string) => ({ principal, effect: 'allow' as const });
const deny = (principal: string) => ({ principal, effect: 'deny' as const });
const makeKey = (rights: readonly CredentialRight[] = ['read'], caller = root()) =>
  createApiKey(parts, caller, { service: BOT, name: 'Bot', rights });

async function identityOf(key: string): Promise<AdminCaller['identity']> {
  const keys = createApiKeys({ database: firm.database, role: 'retrieve', onFailure: () => {} });
  return toIdentity(await keys.verify(key, Date.now()));
}

async function readableWith(key: string): Promise<readonly string[]> {
  const { context } = await authorize(firm.database, 'retrieve', TEST_SCHEME, await identityOf(key));
  return ReadableDocuments.as(firm.database, context).matching({});
}

async function refused(attempt: Promise<unknown>, target: string): Promise<void> {
  const before = await firm.epoch();
  await expect(attempt).rejects.toMatchObject({ code: 'separation_of_duties' });
  expect(await firm.epoch()).toEqual(before);
  expect((await firm.events()).slice(-2)).toMatchObject([
    { kind: 'change.refused', body: { rule: 'effect', target, code: 'separation_of_duties' } },
    { kind: 'alert.separation_of_duties', body: { rule: 'effect', target } },
  ]);
}

const alerts = async () => (await firm.events()).filter(({ kind }) => kind.startsWith('alert.'));

describe('whoever made a key of a service does not raise what it reads above what they read themselves', () => {
  it('by an allow for a group that the service is in, however indirectly', async () => {
    const { id, key } = await makeKey();
    await createGroup(parts, root(), { principal: group('machines'), displayName: 'Machines' });
    await asSuperuser(
      firm.database,
      `insert into membership (tenant_id, group_id, member_id) select g.tenant_id, g.id, m.id
       from principal g, principal m where g.key = '${group('machines')}' and m.key = '${BOTS}'`,
    );
    for (const principal of [BOTS, group('machines'), 'everyone']) {
      await refused(grant(parts, root(), { container: '/hr', entry: allow(principal) }), '/hr');
      const change = { document: firm.documents['/hr'], entries: [allow(principal)], inherits: true };
      await refused(setDocumentAccess(parts, root(), change), firm.documents['/hr']);
    }
    expect(await readableWith(key)).toEqual([firm.documents['/open']]);
    await revokeApiKey(parts, root(), id);
    await grant(parts, root(), { container: '/hr', entry: allow(BOTS) });
  });

  it('by the end of a deny of its group, or by taking it, or a group that it is in, out of one that is denied', async () => {
    await createGroup(parts, root(), { principal: group('denied'), displayName: 'Denied' });
    await addMember(parts, root(), { group: group('denied'), member: BOTS });
    await grant(parts, root(), { container: '/hr', entry: allow(BOT) });
    await grant(parts, root(), { container: '/hr', entry: deny(group('denied')) });
    const { key } = await makeKey();
    await refused(revoke(parts, root(), { container: '/hr', ...deny(group('denied')) }), '/hr');
    await refused(removeMember(parts, root(), { group: BOTS, member: BOT }), BOTS);
    await refused(setMembers(parts, root(), { group: BOTS, members: [] }), BOTS);
    await refused(removeMember(parts, root(), { group: group('denied'), member: BOTS }), group('denied'));
    expect(await readableWith(key)).toEqual([firm.documents['/open']]);
  });

  it('by a label lowered, or by inheritance', async () => {
    await revoke(parts, root(), { container: '/hr', ...allow(group('hr')) });
    await setContainerLabel(parts, root(), { container: '/hr', label: { ...HR, level: 'restricted' } });
    await grant(parts, root(), { container: '/hr', entry: allow(BOTS) });
    const document = firm.documents['/hr'];
    await setDocumentLabel(parts, root(), { document, label: { ...HR, level: 'restricted' } });
    await makeKey();
    await refused(setContainerLabel(parts, root(), { container: '/hr', label: HR }), '/hr');
    await asSuperuser(firm.database, "update access_class set inherits = false where path = '/hr/payroll'");
    await asSuperuser(
      firm.database,
      "update access_class set level = 'confidential', rank = 2 where path = '/hr'",
    );
    await refused(setDocumentLabel(parts, root(), { document, label: HR }), document);
    await refused(setInherits(parts, root(), { container: '/hr/payroll', inherits: true }), '/hr/payroll');
  });

  describe('by a lower label, either, that brings within the limits of a key what the service could read without them', () => {
    const limited = (limits: { level?: string; compartments?: string[]; containers?: string[] }) =>
      createApiKey(parts, root(), { service: BOT, name: 'Bot', rights: ['read'], ...limits });
    const INTERNAL = { level: 'internal', compartments: [] };
    beforeEach(() => grant(parts, root(), { container: '/hr', entry: allow(BOTS) }));

    it('of a container', async () => {
      const { id, key } = await limited({ level: 'internal' });
      await refused(setContainerLabel(parts, root(), { container: '/hr', label: INTERNAL }), '/hr');
      expect(await readableWith(key)).toEqual([firm.documents['/open']]);
      await revokeApiKey(parts, root(), id);
      await setContainerLabel(parts, root(), { container: '/hr', label: INTERNAL });
    });

    it('of a document', async () => {
      const document = firm.documents['/hr'];
      await revoke(parts, root(), { container: '/hr', ...allow(BOTS) });
      await setDocumentLabel(parts, root(), { document, label: { ...INTERNAL, compartments: ['payroll'] } });
      await setDocumentAccess(parts, root(), { document, entries: [allow(BOTS)], inherits: true });
      await setContainerLabel(parts, root(), { container: '/hr', label: PUBLIC });
      const { key } = await limited({ compartments: [] });
      await refused(setDocumentLabel(parts, root(), { document, label: INTERNAL }), document);
      expect(await readableWith(key)).toEqual([firm.documents['/open']]);
      await setDocumentLabel(parts, await secondAdmin(), { document, label: INTERNAL });
      expect(await readableWith(key)).toContain(document);
    });

    it('with the key itself, or once a deny of the key is over', async () => {
      await bindRole(parts, root(), { container: '/', principal: BOT, right: 'label' });
      const { id, key } = await createApiKey(parts, root(), {
        service: BOT,
        name: 'Bot',
        rights: ['read', 'label'],
        level: 'internal',
      });
      const bot = { identity: await identityOf(key), requestId: 'r' };
      await refused(setContainerLabel(parts, bot, { container: '/hr', label: INTERNAL }), '/hr');
      const entry = { ...deny(`service:key|${id}`), validUntil: Date.now() + DAY_MS };
      await grant(parts, root(), { container: '/hr', entry });
      await refused(setContainerLabel(parts, root(), { container: '/hr', label: INTERNAL }), '/hr');
    });

    it('but where the key does not reach, or its maker reads as well, labels are lowered', async () => {
      await limited({ level: 'internal', containers: ['/open'] });
      await setContainerLabel(parts, root(), { container: '/hr', label: INTERNAL });
      await setContainerLabel(parts, root(), { container: '/hr', label: HR });
      await grantClearance(parts, await secondAdmin(), { principal: user('root'), ...HR });
      await addMember(parts, await secondAdmin(), { group: group('hr'), member: user('root') });
      await limited({ level: 'internal' });
      await setContainerLabel(parts, root(), { container: '/hr', label: INTERNAL });
      expect((await alerts()).filter(({ kind }) => kind !== 'alert.own_reach')).toEqual([]);
    });
  });

  it('later, when an entry, a membership or its maker’s own reading begins or ends', async () => {
    const tomorrow = Date.now() + DAY_MS;
    const { id } = await makeKey();
    const entry = { ...allow(BOTS), validFrom: tomorrow };
    await refused(grant(parts, root(), { container: '/hr', entry }), '/hr');
    await revokeApiKey(parts, root(), id);
    await setMembers(parts, root(), { group: BOTS, members: [{ member: BOT, validFrom: tomorrow }] });
    await grantClearance(parts, await secondAdmin(), {
      principal: user('root'),
      ...HR,
      validUntil: tomorrow + DAY_MS,
    });
    await makeKey();
    await refused(grant(parts, root(), { container: '/hr', entry: allow(BOTS) }), '/hr');
    await refused(grant(parts, root(), { container: '/hr', entry: allow('everyone') }), '/hr');
    const short = { ...allow('everyone'), validUntil: tomorrow + DAY_MS };
    await grant(parts, root(), { container: '/hr', entry: short });
  });

  it('behind a deny of a group that the service has left', async () => {
    await createGroup(parts, root(), { principal: group('past'), displayName: 'Past' });
    const validUntil = Date.now() + 60_000;
    await addMember(parts, root(), { group: group('past'), member: BOT, validUntil });
    await grant(parts, root(), { container: '/hr', entry: deny(group('past')) });
    await makeKey();
    await refused(grant(parts, root(), { container: '/hr', entry: allow(BOTS) }), '/hr');
    await asSuperuser(
      firm.database,
      "update membership set valid_until = now() - interval '1 minute' where valid_until is not null",
    );
    await refused(grant(parts, root(), { container: '/hr', entry: allow(BOTS) }), '/hr');
  });

  it('by opening a container that has no documents yet', async () => {
    await createContainer(parts, root(), { path: '/hr/new', label: PUBLIC, inherits: true, entries: [] });
    await makeKey();
    await refused(grant(parts, root(), { container: '/hr/new', entry: allow(BOTS) }), '/hr/new');
  });

  it('with the key either: what its service gains is measured by its maker', async () => {
    for (const right of ['administer', 'grant', 'label'])
      await bindRole(parts, root(), { container: '/', principal: BOT, right });
    const { key } = await makeKey(['administer', 'grant', 'label']);
    const bot = { identity: await identityOf(key), requestId: 'r' };
    await refused(grant(parts, bot, { container: '/hr', entry: allow(BOTS) }), '/hr');
    await refused(grant(parts, bot, { container: '/hr', entry: allow('everyone') }), '/hr');
  });

  it('nor what they read themselves, by a label that is lowered or a group that is left with the key', async () => {
    for (const right of ['administer', 'grant', 'label'])
      await bindRole(parts, root(), { container: '/', principal: BOT, right });
    const { key } = await makeKey(['administer', 'grant', 'label']);
    const bot = { identity: await identityOf(key), requestId: 'r' };
    await addMember(parts, await secondAdmin(), { group: group('hr'), member: user('root') });
    await refused(setContainerLabel(parts, bot, { container: '/hr', label: PUBLIC }), '/hr');
    const document = firm.documents['/hr'];
    await setDocumentLabel(parts, root(), { document, label: HR });
    await setContainerLabel(parts, await secondAdmin(), { container: '/hr', label: PUBLIC });
    await refused(setDocumentLabel(parts, bot, { document, label: PUBLIC }), document);
    await createGroup(parts, root(), { principal: group('denied'), displayName: 'Denied' });
    await addMember(parts, await secondAdmin(), { group: group('denied'), member: user('root') });
    await grant(parts, root(), { container: '/open', entry: deny(group('denied')) });
    const left = { group: group('denied'), member: user('root') };
    await refused(removeMember(parts, bot, left), group('denied'));
  });
});

describe('what lets the service read nothing beyond its maker goes through', () => {
  it('an allow for its group of what its maker reads as well, without an alert', async () => {
    await makeKey();
    await revoke(parts, root(), { container: '/open', ...allow('everyone') });
    await grant(parts, root(), { container: '/open', entry: allow('everyone') });
    await grant(parts, root(), { container: '/open', entry: allow(BOTS) });
    expect((await alerts()).map(({ kind }) => kind)).toEqual(['alert.own_reach']);
  });

  it('changes for groups that it is not in, and a deny of one that it is in', async () => {
    await makeKey();
    await revoke(parts, root(), { container: '/hr', ...allow(group('hr')) });
    await grant(parts, root(), { container: '/hr', entry: allow(group('hr')) });
    await grant(parts, root(), { container: '/hr', entry: deny(BOTS) });
    await setContainerLabel(parts, root(), { container: '/hr', label: PUBLIC });
    await setDocumentLabel(parts, root(), { document: firm.documents['/hr'], label: HR });
    await addMember(parts, root(), { group: group('hr'), member: user('petra') });
    await removeMember(parts, root(), { group: group('hr'), member: user('petra') });
    expect(await alerts()).toEqual([]);
  });

  it('its leaving a group that opens things to it, or is denied what it could not read anyway', async () => {
    await grant(parts, root(), { container: '/hr', entry: deny(BOTS) });
    await makeKey();
    await removeMember(parts, root(), { group: BOTS, member: BOT });
    expect(await alerts()).toEqual([]);
  });

  it('what its maker reads through a group of their token', async () => {
    await grantClearance(parts, await secondAdmin(), { principal: user('root'), ...HR });
    await makeKey();
    const caller = root();
    const inHr = { ...caller, identity: { ...caller.identity, tokenGroups: [group('hr')] } };
    await refused(grant(parts, caller, { container: '/hr', entry: allow(BOTS) }), '/hr');
    await grant(parts, inHr, { container: '/hr', entry: allow(BOTS) });
  });

  it('whatever an administrator changes who made no key of it', async () => {
    await makeKey();
    await grant(parts, await secondAdmin(), { container: '/hr', entry: allow(BOTS) });
    expect(await alerts()).toEqual([]);
  });

  it('an entry made with the key by which the key’s maker reads more, and it leaves the alert of their own', async () => {
    await bindRole(parts, root(), { container: '/', principal: BOT, right: 'grant' });
    await grantClearance(parts, await secondAdmin(), { principal: user('root'), ...HR });
    const { key } = await makeKey(['grant']);
    await addMember(parts, await secondAdmin(), { group: group('hr'), member: user('root') });
    const bot = { identity: await identityOf(key), requestId: 'r' };
    await grant(parts, bot, { container: '/open', entry: allow(group('hr')) });
    expect(await alerts()).toEqual([]);
    await createGroup(parts, root(), { principal: group('chiefs'), displayName: 'Chiefs' });
    await addMember(parts, await secondAdmin(), { group: group('chiefs'), member: user('root') });
    await removeMember(parts, await secondAdmin(), { group: group('hr'), member: user('root') });
    await grant(parts, bot, { container: '/hr', entry: allow(group('chiefs')) });
    expect(await alerts()).toMatchObject([
      { kind: 'alert.own_reach', body: { subject: BOT, target: '/hr' } },
    ]);
  });
});

describe('nor does it help', () => {
  it('to open a new container, still empty, to a group that the service is in', async () => {
    await makeKey();
    const container = { path: '/hr/new', label: PUBLIC, inherits: true, entries: [allow(BOTS)] };
    await refused(createContainer(parts, root(), container), '/hr/new');
    await createContainer(parts, root(), { ...container, entries: [] });
  });

  it('to have the key made by another service, by a key that one made for that', async () => {
    const agent = service('agent');
    await createService(parts, root(), { principal: agent, displayName: 'Agent' }).catch(() => {});
    for (const principal of [BOT, agent])
      for (const right of ['administer', 'grant'])
        await bindRole(parts, root(), { container: '/', principal, right });
    const first = await createApiKey(parts, root(), {
      service: agent,
      name: 'Agent',
      rights: ['administer', 'grant'],
    });
    const second = await makeKey(['administer', 'grant'], {
      identity: await identityOf(first.key),
      requestId: 'r',
    });
    const bot = { identity: await identityOf(second.key), requestId: 'r' };
    const raised = { code: 'separation_of_duties' };
    await expect(grantClearance(parts, bot, { principal: user('root'), ...HR })).rejects.toMatchObject(
      raised,
    );
    await expect(addMember(parts, bot, { group: group('hr'), member: user('root') })).rejects.toMatchObject(
      raised,
    );
  });
});

/** `otto`, who holds no key; rights that he holds already are a conflict. */
async function secondAdmin(): Promise<AdminCaller> {
  // a right that is held already is a conflict
  for (const right of ['administer', 'grant', 'label'])
    await bindRole(parts, root(), { container: '/', principal: user('otto'), right }).catch(() => {});
  return firm.caller('otto');
}
