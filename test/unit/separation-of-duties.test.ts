import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bindRole, grantClearance, setActorCeiling } from '../../src/admin/clearances.ts';
import { grant, revoke, setContainerLabel } from '../../src/admin/container-access.ts';
import { createContainer } from '../../src/admin/containers.ts';
import { setDocumentAccess, setDocumentLabel } from '../../src/admin/document-access.ts';
import { addMember, removeMember, setMembers } from '../../src/admin/memberships.ts';
import { createGroup } from '../../src/admin/principals.ts';
import { Directory } from '../../src/store/directory.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';

let firm: Company;
beforeEach(async () => {
  firm = await openCompany();
  // maria administers the directory too
  const rights = ['ingest', 'label', 'grant', 'audit', 'administer'];
  await Directory.as(firm.database, firm.admin.context).bindRight(
    rights.map((right) => ({ principal: user('maria'), container: '/', right })),
  );
  await createGroup(firm.parts, firm.caller('root'), { principal: group('board'), displayName: 'Board' });
});
afterEach(() => firm.close());

const maria = () => firm.caller('maria');
const HIGH = { level: 'restricted', compartments: ['payroll'] };
const INTERNAL = { level: 'internal', compartments: [] };

async function expectRefusal(attempt: Promise<unknown>, rule: string): Promise<void> {
  const before = await firm.epoch();
  await expect(attempt).rejects.toMatchObject({ code: 'separation_of_duties' });
  expect(await firm.epoch()).toEqual(before);
  expect((await firm.events()).slice(-2)).toMatchObject([
    { kind: 'change.refused', body: { subject: user('maria'), rule, code: 'separation_of_duties' } },
    { kind: 'alert.separation_of_duties', body: { subject: user('maria'), rule, request: 'req-maria' } },
  ]);
}

describe('nobody raises their own rights: refused, recorded and alerted', () => {
  it('a membership of oneself', async () => {
    await expectRefusal(
      addMember(firm.parts, maria(), { group: group('board'), member: user('maria') }),
      'membership',
    );
    const members = [{ member: user('petra') }, { member: user('maria') }];
    await expectRefusal(setMembers(firm.parts, maria(), { group: group('board'), members }), 'membership');
  });

  it('a membership of a group that one is in, however indirectly, and of everyone', async () => {
    for (const member of [group('hr'), group('staff'), 'everyone'])
      await expectRefusal(addMember(firm.parts, maria(), { group: group('board'), member }), 'membership');
  });

  it('a membership of a group that one will be in', async () => {
    await addMember(firm.parts, firm.caller('root'), {
      group: group('board'),
      member: user('maria'),
      validFrom: 4e12,
    });
    await expectRefusal(
      addMember(firm.parts, maria(), { group: group('staff'), member: group('board') }),
      'membership',
    );
  });

  it('a clearance or a right for oneself, one of one’s groups, or everyone', async () => {
    for (const principal of [user('maria'), group('hr'), group('staff'), 'everyone']) {
      await expectRefusal(grantClearance(firm.parts, maria(), { principal, ...HIGH }), 'clearance');
      const right = { container: '/open', principal, right: 'unmask:email' };
      await expectRefusal(bindRole(firm.parts, maria(), right), 'right');
    }
  });

  it('an entry that allows oneself, on a container, a new one and a document', async () => {
    const entry = { principal: user('maria'), effect: 'allow' as const };
    await expectRefusal(grant(firm.parts, maria(), { container: '/open', entry }), 'entry');
    const label = { level: null, compartments: [] };
    const made = { path: '/mine', label, inherits: true, entries: [entry] };
    await expectRefusal(createContainer(firm.parts, maria(), made), 'entry');
    const change = { document: firm.documents['/hr'], entries: [entry], inherits: true };
    await expectRefusal(setDocumentAccess(firm.parts, maria(), change), 'entry');
  });

  it('the end of an entry that denies oneself', async () => {
    const entry = { principal: user('maria'), effect: 'deny' as const };
    await grant(firm.parts, firm.caller('root'), { container: '/open', entry });
    await expectRefusal(revoke(firm.parts, maria(), { container: '/open', ...entry }), 'entry');
  });

  it('a label lowered so far that one could read what it covers', async () => {
    await expectRefusal(
      setContainerLabel(firm.parts, maria(), { container: '/hr', label: INTERNAL }),
      'effect',
    );
  });

  it('a label lowered today of what one will be allowed tomorrow', async () => {
    const root = firm.caller('root');
    await revoke(firm.parts, root, { container: '/hr', principal: group('hr'), effect: 'allow' });
    const entry = { principal: user('maria'), effect: 'allow' as const, validFrom: Date.now() + 86_400_000 };
    await grant(firm.parts, root, { container: '/hr', entry });
    await expectRefusal(
      setContainerLabel(firm.parts, maria(), { container: '/hr', label: INTERNAL }),
      'effect',
    );
  });

  it('a document’s label lowered so far that one could read it', async () => {
    const root = firm.caller('root');
    const document = firm.documents['/hr'];
    await setDocumentLabel(firm.parts, root, { document, label: HIGH });
    await setContainerLabel(firm.parts, root, { container: '/hr', label: INTERNAL });
    await expectRefusal(setDocumentLabel(firm.parts, maria(), { document, label: INTERNAL }), 'effect');
  });

  it('to leave a group that is denied what one could read otherwise', async () => {
    const root = firm.caller('root');
    await addMember(firm.parts, root, { group: group('board'), member: user('maria') });
    await grant(firm.parts, root, {
      container: '/open',
      entry: { principal: group('board'), effect: 'deny' },
    });
    const membership = { group: group('board'), member: user('maria') };
    await expectRefusal(removeMember(firm.parts, maria(), membership), 'effect');
  });

  it('the ceiling of the service that makes the change', async () => {
    await Directory.as(firm.database, firm.admin.context).setCeiling([
      { principal: service('agent'), level: 'internal', compartments: [], containers: ['/'] },
    ]);
    const ceiling = { principal: service('agent'), ...HIGH, containers: ['/'] };
    await expectRefusal(setActorCeiling(firm.parts, firm.caller('maria', 'agent'), ceiling), 'ceiling');
  });
});

describe('what is not one’s own may be changed', () => {
  it('memberships, clearances, rights and entries of others', async () => {
    await addMember(firm.parts, maria(), { group: group('hr'), member: user('petra') });
    await grantClearance(firm.parts, maria(), { principal: user('petra'), ...HIGH });
    await bindRole(firm.parts, maria(), { container: '/hr', principal: user('petra'), right: 'audit' });
    await grant(firm.parts, maria(), {
      container: '/hr',
      entry: { principal: user('petra'), effect: 'allow' },
    });
    expect((await firm.events()).filter(({ kind }) => kind.startsWith('alert.'))).toEqual([]);
  });

  it('labels, by whoever gains nothing by it', async () => {
    await setContainerLabel(firm.parts, firm.caller('root'), { container: '/hr', label: INTERNAL });
    await setContainerLabel(firm.parts, maria(), {
      container: '/hr',
      label: { level: 'public', compartments: [] },
    });
  });

  it('to leave a group, when that opens nothing', async () => {
    await removeMember(firm.parts, maria(), { group: group('hr'), member: user('maria') });
  });
});

describe('an entry for a group of one’s own, or for everyone', () => {
  it('may be taken away and put back, and its maker’s reading more by it leaves an alert', async () => {
    const everyone = { principal: 'everyone', effect: 'allow' as const };
    await revoke(firm.parts, maria(), { container: '/open', ...everyone });
    expect(await firm.readable('maria')).toEqual([]);
    await grant(firm.parts, maria(), { container: '/open', entry: everyone });
    expect(await firm.readable('maria')).toEqual([firm.documents['/open']]);
    expect((await firm.events()).slice(-2)).toMatchObject([
      { kind: 'entry.added' },
      { kind: 'alert.own_reach', body: { subject: user('maria'), operation: 'grant', target: '/open' } },
    ]);
  });

  it('leaves none where its maker’s clearance keeps them out', async () => {
    const entry = { principal: 'everyone', effect: 'allow' as const };
    await grant(firm.parts, maria(), { container: '/hr', entry });
    expect((await firm.events()).filter(({ kind }) => kind.startsWith('alert.'))).toEqual([]);
  });
});
