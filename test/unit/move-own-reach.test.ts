import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiKey } from '../../src/admin/api-keys.ts';
import { bindRole, grantClearance } from '../../src/admin/clearances.ts';
import { grant, revoke, setContainerLabel, setInherits } from '../../src/admin/container-access.ts';
import { addMember } from '../../src/admin/memberships.ts';
import { createGroup, createService } from '../../src/admin/principals.ts';
import { newApiKey } from '../../src/identity/api-key-form.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';
import { movingIn } from '../helpers/moving.ts';

let firm: Company;
beforeEach(async () => {
  firm = await openCompany();
});
afterEach(() => firm.close());

const { root, maria, move, make, bind, rows, parentsByPath } = movingIn(() => firm);
const ALL = ['administer', 'grant', 'label'];

describe('nobody raises their own rights by a move: refused, recorded and alerted', () => {
  const raised = async (attempt: () => Promise<unknown>, rule: string, target: string) => {
    const before = [await firm.epoch(), await parentsByPath()];
    await expect(attempt()).rejects.toMatchObject({ code: 'separation_of_duties' });
    expect([await firm.epoch(), await parentsByPath()]).toEqual(before);
    const body = { subject: user('maria'), operation: 'moveContainer', rule, target };
    expect((await firm.events()).slice(-2)).toMatchObject([
      { kind: 'change.refused', body: { ...body, code: 'separation_of_duties' } },
      { kind: 'alert.separation_of_duties', body },
    ]);
  };
  const plain = { level: null, compartments: [] };
  /** Maria is in hr and cleared for internal. */
  beforeEach(async () => {
    await bind(user('maria'), '/', ALL);
    await setContainerLabel(firm.parts, root(), {
      container: '/hr/payroll',
      label: { level: 'internal', compartments: [] },
    });
    await make('/hrlike', { entries: [{ principal: group('hr'), effect: 'allow' }] });
  });

  it('to below a lower label, where an entry that was there already lets its mover in', async () => {
    await grant(firm.parts, root(), {
      container: '/hr/payroll',
      entry: { principal: group('hr'), effect: 'allow' },
    });
    await make('/desk');
    await raised(() => move('/hr/payroll', '/desk', maria()), 'effect', '/hr/payroll');
    expect(await move('/hr/payroll', '/desk')).toBe('/desk/payroll');
    expect(await firm.readable('maria')).toContain(firm.documents['/hr/payroll']);
  });

  it('to below a lower label and an entry that lets its mover in', async () => {
    await raised(() => move('/hr/payroll', '/hrlike', maria()), 'effect', '/hr/payroll');
  });

  it('from below a deny of one’s own account, and to below an allow of it, whatever follows from it', async () => {
    const entry = { principal: user('maria'), effect: 'deny' as const };
    await grant(firm.parts, root(), { container: '/hr', entry });
    await make('/desk', { label: { level: 'restricted', compartments: [] } });
    await raised(() => move('/hr/payroll', '/desk', maria()), 'entry', '/hr/payroll');
    await revoke(firm.parts, root(), { container: '/hr', ...entry });
    await grant(firm.parts, root(), { container: '/desk', entry: { ...entry, effect: 'allow' } });
    await raised(() => move('/hr/payroll', '/desk', maria()), 'entry', '/hr/payroll');
    await setInherits(firm.parts, root(), { container: '/hr/payroll', inherits: false });
    expect(await move('/hr/payroll', '/desk', maria())).toBe('/desk/payroll');
  });

  it('to below where one holds a right that one does not hold where it is', async () => {
    await make('/desk', { label: { level: 'confidential', compartments: [] } });
    await bindRole(firm.parts, root(), { container: '/desk', principal: group('hr'), right: 'unmask:email' });
    await raised(() => move('/hr/payroll', '/desk', maria()), 'right', '/hr/payroll');
    await bindRole(firm.parts, root(), {
      container: '/hr/payroll',
      principal: user('maria'),
      right: 'unmask:email',
    });
    expect(await move('/hr/payroll', '/desk', maria())).toBe('/desk/payroll');
  });

  it('not even later, when an entry begins or a clearance does', async () => {
    await make('/desk', {
      entries: [{ principal: 'everyone', effect: 'allow', validFrom: Date.now() + 86_400_000 }],
    });
    await raised(() => move('/hr/payroll', '/desk', maria()), 'effect', '/hr/payroll');
  });

  it('but may, where labels stay or rise, by entries for others, which leaves an alert', async () => {
    await make('/desk', { label: { level: 'internal', compartments: [] } });
    await make('/desk/list', { label: plain });
    await rows(`update document set container_id = c.id, class_id = c.id from access_class c
      where c.path = '/desk/list' and document.id = '${firm.documents['/hr/payroll']}'`);
    await setContainerLabel(firm.parts, root(), {
      container: '/hrlike',
      label: { level: 'internal', compartments: [] },
    });
    const before = (await firm.events()).length;
    expect(await move('/desk/list', '/hrlike', maria())).toBe('/hrlike/list');
    expect((await firm.events()).slice(before)).toMatchObject([
      { kind: 'container.moved', body: { from: '/desk/list', to: '/hrlike/list' } },
      { kind: 'alert.own_reach', body: { subject: user('maria'), operation: 'moveContainer' } },
    ]);
  });

  it('and may move what it opens to others only', async () => {
    await make('/desk', { entries: [{ principal: user('petra'), effect: 'allow' }] });
    await grantClearance(firm.parts, root(), {
      principal: user('petra'),
      level: 'internal',
      compartments: [],
    });
    expect(await move('/hr/payroll', '/desk', maria())).toBe('/desk/payroll');
    expect(await firm.readable('petra')).toContain(firm.documents['/hr/payroll']);
    expect((await firm.events()).filter(({ kind }) => kind.startsWith('alert.'))).toEqual([]);
  });

  describe('nor those of a service whose key they made', () => {
    const BOT = service('bot');
    const makeKey = (limits?: { containers?: readonly string[]; level?: string }) =>
      createApiKey({ ...firm.parts, mintKey: () => newApiKey(randomBytes) }, maria(), {
        service: BOT,
        name: 'Bot',
        rights: ['read'],
        ...limits,
      });
    beforeEach(async () => {
      await createService(firm.parts, root(), { principal: BOT, displayName: 'Bot' });
      await createGroup(firm.parts, root(), { principal: group('bots'), displayName: 'Bots' });
      await addMember(firm.parts, root(), { group: group('bots'), member: BOT });
      await grantClearance(firm.parts, root(), { principal: BOT, level: 'internal', compartments: [] });
    });

    it('by an entry, where labels stay as well', async () => {
      await makeKey();
      await make('/desk', {
        label: { level: 'confidential', compartments: [] },
        entries: [{ principal: group('bots'), effect: 'allow' }],
      });
      await grantClearance(firm.parts, root(), { principal: BOT, level: 'confidential', compartments: [] });
      await raised(() => move('/hr/payroll', '/desk', maria()), 'effect', '/hr/payroll');
      expect(await move('/hr/payroll', '/desk')).toBe('/desk/payroll');
    });

    it('by bringing something within the limits of the key', async () => {
      await make('/desk');
      await makeKey({ containers: ['/desk'] });
      await raised(() => move('/hr/payroll', '/desk', maria()), 'ceiling', '/hr/payroll');
      await make('/desk/list');
      await make('/desk/old');
      expect(await move('/desk/list', '/desk/old', maria())).toBe('/desk/old/list');
    });

    it('by a lower label that brings it within the level of the key', async () => {
      const entry = { principal: group('bots'), effect: 'allow' as const };
      await grantClearance(firm.parts, root(), { principal: BOT, level: 'confidential', compartments: [] });
      await makeKey({ level: 'internal' });
      await grant(firm.parts, root(), { container: '/hr/payroll', entry });
      await make('/desk');
      await make('/vault', { label: { level: 'confidential', compartments: [] } });
      await raised(() => move('/hr/payroll', '/desk', maria()), 'ceiling', '/hr/payroll');
      expect(await move('/hr/payroll', '/vault', maria())).toBe('/vault/payroll');
    });
  });
});
