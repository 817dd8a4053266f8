import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grant, revoke, setContainerLabel, setInherits } from '../../src/admin/container-access.ts';
import { createContainer, getContainer, listContainers } from '../../src/admin/containers.ts';
import { setDocumentAccess, setDocumentLabel } from '../../src/admin/document-access.ts';
import { createUser, getPrincipal, listPrincipals } from '../../src/admin/principals.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';

let firm: Company;
beforeAll(async () => {
  firm = await openCompany();
});
afterAll(() => firm.close());

const root = () => firm.caller('root');
const paths = async (name: string, actor?: string) =>
  (await listContainers(firm.parts, firm.caller(name, actor), { limit: 50 })).items.map(({ path }) => path);

describe('the list of containers', () => {
  it('has those with something the caller may read, and those where they hold a right', async () => {
    expect(await paths('petra')).toEqual(['/open']);
    expect(await paths('anna')).toEqual(['/hr', '/hr/payroll', '/open']);
    expect(await paths('otto')).toEqual(['/hr', '/hr/payroll', '/open']);
    expect(await paths('root')).toEqual(['/', '/hr', '/hr/payroll', '/open']);
    expect(await paths('root', 'agent')).toEqual(['/open']);
  });

  it('comes in pages that miss nothing and repeat nothing', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listContainers(firm.parts, root(), { limit: 1, cursor });
      seen.push(...page.items.map(({ path }) => path));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(seen).toEqual(['/', '/hr', '/hr/payroll', '/open']);
  });
});

describe('one container', () => {
  it('shows its own label and entries to whoever oversees it', async () => {
    expect(await getContainer(firm.parts, firm.caller('otto'), '/hr')).toEqual({
      path: '/hr',
      label: { level: 'confidential', compartments: [] },
      inherits: true,
      entries: [
        { id: expect.any(Number), principal: group('hr'), displayName: 'Human Resources', effect: 'allow' },
      ],
      rights: ['audit'],
    });
  });

  it('is the same not_found for its readers, for others and when it is missing', async () => {
    const answers = await Promise.allSettled([
      getContainer(firm.parts, firm.caller('anna'), '/hr'),
      getContainer(firm.parts, firm.caller('petra'), '/hr'),
      getContainer(firm.parts, firm.caller('petra'), '/nowhere'),
    ]);
    const reasons = answers.map((answer) => answer.status === 'rejected' && answer.reason);
    expect(reasons[0]).toMatchObject({ code: 'not_found' });
    expect(new Set(reasons.map(({ code, detail }) => `${code} ${detail}`)).size).toBe(1);
  });
});

describe('a change of a container', () => {
  it('of inheritance reaches what lies below, as decide, the visible set and row-level security agree', async () => {
    const { '/hr': hr, '/hr/payroll': payroll } = firm.documents;
    expect((await firm.readable('anna')).includes(payroll)).toBe(true);
    await setInherits(firm.parts, root(), { container: '/hr/payroll', inherits: false });
    expect(await firm.readable('anna')).not.toContain(payroll);
    expect(await firm.readable('anna')).toContain(hr);
    await setInherits(firm.parts, root(), { container: '/hr/payroll', inherits: true });
    expect(await firm.readable('anna')).toContain(payroll);
  });

  it('may raise its label above its readers, and lower it again', async () => {
    const label = (level: string) =>
      setContainerLabel(firm.parts, root(), { container: '/hr', label: { level, compartments: [] } });
    await label('restricted');
    expect(await firm.readable('anna')).toEqual([firm.documents['/open']]);
    await label('confidential');
    expect(await firm.readable('anna')).toHaveLength(3);
  });

  it('is refused with the name of what is wrong with it', async () => {
    const label = (level: string | null, compartments: string[] = [], container = '/hr') =>
      setContainerLabel(firm.parts, root(), { container, label: { level, compartments } });
    await expect(label('cosmic')).rejects.toMatchObject({ code: 'unknown_level' });
    await expect(label('public', ['ufo'])).rejects.toMatchObject({ code: 'unknown_compartment' });
    await expect(label(null, [], '/')).rejects.toMatchObject({ code: 'label_required' });
    const entry = (more: object, principal = user('petra')) =>
      grant(firm.parts, root(), { container: '/hr', entry: { principal, effect: 'deny', ...more } });
    await expect(entry({}, user('nobody'))).rejects.toMatchObject({ code: 'unknown_principal' });
    await expect(entry({ validFrom: 2, validUntil: 2 })).rejects.toMatchObject({ code: 'invalid_request' });
    await entry({ validUntil: 2e12 });
    await expect(entry({ validUntil: 2e12 })).rejects.toMatchObject({ code: 'conflict' });
    await revoke(firm.parts, root(), { container: '/hr', principal: user('petra'), effect: 'deny' });
    await expect(
      revoke(firm.parts, root(), { container: '/hr', principal: user('petra'), effect: 'deny' }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  it('makes no container without a parent, twice, or with a name that is none', async () => {
    const make = (path: string) =>
      createContainer(firm.parts, root(), {
        path,
        label: { level: null, compartments: [] },
        inherits: true,
        entries: [],
      });
    await expect(make('/a/b')).rejects.toMatchObject({ code: 'unknown_container' });
    await expect(make('/hr')).rejects.toMatchObject({ code: 'conflict' });
    for (const path of ['/', '', 'hr', '/hr/', '//hr', '/hr/..', '/a\u0000b', `/${'a'.repeat(121)}`])
      await expect(make(path)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('a change of a document', () => {
  const own = (document: string) =>
    firm.one<{
      level: string | null;
      compartments: string[];
      inherits: boolean;
      entries: number;
      kind: string;
    }>(
      `select c.level, c.compartments, c.inherits, c.kind, (select count(*) from entry e where e.class_id = c.id) as entries
       from document d join access_class c on c.id = d.class_id where d.id = '${document}'`,
    );

  it('keeps the label when the entries change, and the entries when the label does', async () => {
    const document = firm.documents['/hr'];
    await setDocumentLabel(firm.parts, root(), {
      document,
      label: { level: 'restricted', compartments: ['legal'] },
    });
    const entries = [{ principal: user('otto'), effect: 'allow' as const }];
    await setDocumentAccess(firm.parts, root(), { document, entries, inherits: false });
    expect(await own(document)).toMatchObject({
      level: 'restricted',
      compartments: ['legal'],
      inherits: false,
      entries: 1,
    });
    await setDocumentLabel(firm.parts, root(), { document, label: { level: null, compartments: [] } });
    expect(await own(document)).toMatchObject({ level: null, compartments: [], inherits: false, entries: 1 });
    expect(await firm.readable('otto')).toContain(document);
    expect(await firm.readable('anna')).not.toContain(document);
  });

  it('that leaves it nothing of its own puts it back into its container, and tells the index', async () => {
    const document = firm.documents['/hr'];
    await setDocumentAccess(firm.parts, root(), { document, entries: [], inherits: true });
    expect(await own(document)).toMatchObject({ kind: 'container' });
    const { moves } = await firm.one<{ moves: number }>(
      `select count(*) as moves from outbox where document_id = '${document}' and operation = 'move'`,
    );
    expect(moves).toBe(4);
  });

  it('gives the same class to the same access, in whatever order it was written', async () => {
    const [a, b] = [
      { principal: user('otto'), effect: 'allow' as const, validUntil: 2e12 },
      { principal: group('hr'), effect: 'deny' as const },
    ];
    const cls = (document: string) => firm.one(`select class_id from document where id = '${document}'`);
    const document = firm.documents['/hr/payroll'];
    await setDocumentAccess(firm.parts, root(), { document, entries: [a, b], inherits: true });
    const first = await cls(document);
    await setDocumentAccess(firm.parts, root(), { document, entries: [], inherits: true });
    await setDocumentAccess(firm.parts, root(), { document, entries: [b, a, b], inherits: true });
    expect(await cls(document)).toEqual(first);
  });
});

describe('the directory', () => {
  it('is listed by prefix for whoever administers it or may grant somewhere, and for nobody else', async () => {
    const keys = async (name: string, prefix: string) =>
      (await listPrincipals(firm.parts, firm.caller(name), { prefix, limit: 50 })).items.map(
        (p) => p.principal,
      );
    expect(await keys('root', 'group:')).toEqual([group('hr'), group('staff')]);
    expect(await keys('maria', 'human')).toEqual([group('hr')]);
    await expect(keys('otto', '')).rejects.toMatchObject({ code: 'right_missing' });
    const first = await listPrincipals(firm.parts, root(), { limit: 2 });
    const second = await listPrincipals(firm.parts, root(), { limit: 2, cursor: first.next });
    expect([...first.items, ...second.items].map((p) => p.principal)).toEqual([
      'everyone',
      group('hr'),
      group('staff'),
      service('agent'),
    ]);
  });

  it('says what a principal holds', async () => {
    expect(await getPrincipal(firm.parts, root(), group('hr'))).toMatchObject({
      displayName: 'Human Resources',
      members: [{ member: user('anna') }, { member: user('maria') }],
    });
    expect((await getPrincipal(firm.parts, root(), user('otto'))).rights).toMatchObject([
      { container: '/hr', right: 'audit' },
    ]);
    await expect(getPrincipal(firm.parts, firm.caller('maria'), user('otto'))).rejects.toMatchObject({
      code: 'right_missing',
    });
  });

  it('takes no account twice, and none of another kind', async () => {
    const make = (principal: string) => createUser(firm.parts, root(), { principal, displayName: 'X' });
    await expect(make(user('anna'))).rejects.toMatchObject({ code: 'conflict' });
    await expect(make(group('x'))).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(make('anna')).rejects.toMatchObject({ code: 'invalid_request' });
  });
});
