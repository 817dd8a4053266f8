/** CSV and LDIF files into the directory. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ImportRequest, importDirectory } from '../../src/directory/import/import-directory.ts';
import { parseLdif } from '../../src/directory/import/parse-ldif.ts';
import { readCsv } from '../../src/directory/import/read-csv.ts';
import { readLdif } from '../../src/directory/import/read-ldif.ts';
import { directoryStatus } from '../../src/directory/status.ts';
import { openTestAudit, type TestAudit } from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const CSV = `kind,id,display_name,email,active,groups
group,all,Everybody,,,
group,eng,Engineering,,,all
user,ada,"Byron, Ada",ada@example.org,true,eng
user,tom,Tom Brandt,,false,
`;

describe('CSV', () => {
  it('is read by its header, whatever the order of the columns', () => {
    const file = readCsv('id,display_name,kind,extra\r\nada,"Byron, ""Ada""",user,x\r\n');
    expect(file.accounts).toEqual([
      { id: 'ada', displayName: 'Byron, "Ada"', email: undefined, active: undefined },
    ]);
  });

  it('says of an account that it is active, that it is not, or nothing', () => {
    const file = readCsv('kind,id,display_name,active\nuser,a,A,true\nuser,b,B,false\nuser,c,C,\n');
    expect(file.accounts.map(({ active }) => active)).toEqual([true, false, undefined]);
  });

  it.each([
    ['a group that is not there', 'kind,id,display_name,groups\nuser,a,A,nowhere'],
    ['an id twice', 'kind,id,display_name\nuser,a,A\nuser,a,B'],
    ['another kind', 'kind,id,display_name\nservice,a,A'],
    ['no id', 'kind,id,display_name\nuser,,A'],
    ['no column for names', 'kind,id\nuser,a'],
    ['a row that is too long', 'kind,id,display_name\nuser,a,A,B'],
    ['another word for active', 'kind,id,display_name,active\nuser,a,A,disabled'],
    ['a column twice', 'kind,id,display_name,active,Active\nuser,a,A,false,true'],
  ])('with %s is refused', (_, text) => {
    expect(() => readCsv(text)).toThrow(/invalid_request/);
  });
});

const LDIF = `version: 1
# a comment
#  that is folded
 and goes on
dn: uid=ada,ou=people,dc=example
objectClass: inetOrgPerson
uid: ada
cn:: ${Buffer.from('Ada Ünal').toString('base64')}
mail: ada@exam
 ple.org
description:

dn:: ${Buffer.from('uid=jürg,ou=people,dc=example').toString('base64')}
objectClass: person
uid: jürg
cn: Jürg
nsAccountLock: TRUE
jpegPhoto:: /9j/4AAQ

dn: cn=eng,ou=groups,dc=example
objectClass: groupOfNames
cn: eng
member: UID=ada, ou=People , dc=example
member: uid=jürg,ou=people,dc=example

dn: cn=all,ou=groups,dc=example
objectClass: groupOfNames
cn: all
member: cn=eng,ou=groups,dc=example
`;

describe('LDIF', () => {
  it('is read with folded lines, base64, names as members and groups in groups', () => {
    const file = readLdif(LDIF, {});
    expect(file.accounts).toEqual([
      { id: 'ada', displayName: 'Ada Ünal', email: 'ada@example.org', active: undefined },
      { id: 'jürg', displayName: 'Jürg', email: undefined, active: false },
    ]);
    expect(file.memberships).toEqual([
      { group: 'eng', kind: 'user', member: 'ada' },
      { group: 'eng', kind: 'user', member: 'jürg' },
      { group: 'all', kind: 'group', member: 'eng' },
    ]);
  });

  it('never reads another file, however it is named', () => {
    expect(() => parseLdif('dn: uid=a,dc=x\njpegPhoto:< file:///etc/passwd\n')).toThrow(/another file/);
  });

  it.each([
    ['a change', 'dn: uid=a,dc=x\nchangetype: delete\n'],
    ['an entry without a name', 'uid: a\n'],
    ['a line that is none', 'dn: uid=a,dc=x\nnonsense\n'],
    ['a value that is not base64', 'dn:: %%%\n'],
  ])('with %s is refused', (_, text) => {
    expect(() => parseLdif(text)).toThrow(/invalid_request/);
  });

  it.each([
    ['a member that is not UTF-8', `member:: ${Buffer.from('uid=jürg,dc=x', 'latin1').toString('base64')}`],
    ['an unknown lock', 'nsAccountLock: yes'],
    ['a control that is no number', 'userAccountControl: 514;disabled'],
  ])('with %s is refused: who is left out of a deny, or let in, would not be noticed', (_, line) => {
    const entry = `dn: cn=g,dc=x\nobjectClass: person\nobjectClass: group\nuid: g\ncn: g\n${line}\n`;
    expect(() => readLdif(entry, {})).toThrow(/invalid_request/);
  });

  it('takes a lock for one whatever blanks are around it', () => {
    const locked = (line: string) =>
      readLdif(`dn: uid=a,dc=x\nobjectClass: person\nuid: a\ncn: A\n${line}\n`, {}).accounts[0]?.active;
    expect(['nsAccountLock: TRUE ', 'userAccountControl: 514 '].map(locked)).toEqual([false, false]);
  });

  it('says of an account that it is active only where it has a lock that is open', () => {
    const open = (line: string) =>
      readLdif(`dn: uid=a,dc=x\nobjectClass: person\nuid: a\ncn: A\n${line}\n`, {}).accounts[0]?.active;
    expect(['nsAccountLock: false', 'userAccountControl: 512', 'sn: A'].map(open)).toEqual([
      true,
      true,
      undefined,
    ]);
  });

  it('with a member that is not in the file is refused', () => {
    expect(() => readLdif('dn: cn=g,dc=x\nobjectClass: group\ncn: g\nmember: uid=gone,dc=x\n', {})).toThrow(
      /gone/,
    );
  });

  it('of ten thousand people is read in less than a second', () => {
    const people = Array.from(
      { length: 10_000 },
      (_, i) => `dn: uid=u${i},dc=x\nobjectClass: person\nuid: u${i}\ncn: U\n`,
    );
    const startedAt = performance.now();
    expect(readLdif(people.join('\n'), {}).accounts).toHaveLength(10_000);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('an import', () => {
  let store: TestAudit;
  beforeEach(async () => {
    store = await openTestAudit();
  });
  afterEach(() => store.close());

  const run = (content: string, more: Partial<ImportRequest> = {}, source = 'hr') =>
    importDirectory(
      {
        database: store.database,
        scheme: TEST_SCHEME,
        audit: store.log,
        provisioned: [{ tenant: 'meridian', source: 'entra' }],
      },
      { identity: rootIdentity, requestId: 'request' },
      {
        ...{ source, issuer: 'workforce', format: 'csv', content, dryRun: false, removeMissing: false },
        ...{ allowRemovals: undefined, asOf: undefined },
        ...more,
      },
    );
  const rootIdentity = {
    tenant: 'meridian',
    user: 'user:workforce|root',
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
  const accounts = () =>
    asSuperuser<{ key: string; status: string }>(
      store.database,
      `select p.key, a.status from directory_account a join principal p on p.id = a.principal_id where a.source = 'hr' order by p.key`,
    );
  const epoch = async () =>
    (await asSuperuser<{ counter: number }>(store.database, 'select counter from policy_epoch'))[0]?.counter;

  it('makes accounts, groups and memberships, and says so', async () => {
    const report = await run(CSV);
    expect(report).toMatchObject({
      accounts: { added: 2, changed: 0, enabled: 0, disabled: 0 },
      groups: { added: 2 },
      memberships: { added: 2, removed: 0 },
    });
    expect(await accounts()).toEqual([
      { key: 'user:workforce|ada', status: 'active' },
      { key: 'user:workforce|tom', status: 'disabled' },
    ]);
    const kinds = await asSuperuser<{ kind: string }>(
      store.database,
      `select kind from audit_record where kind like 'directory.%' order by 1`,
    );
    expect(new Set(kinds.map(({ kind }) => kind))).toEqual(
      new Set(['directory.principals', 'directory.members', 'directory.imported']),
    );
  });

  it('of the same file again changes nothing and raises no epoch', async () => {
    await run(CSV);
    const before = await epoch();
    expect(await run(CSV)).toMatchObject({
      accounts: { added: 0, changed: 0 },
      memberships: { added: 0, removed: 0 },
      lines: [],
    });
    expect(await epoch()).toBe(before);
  });

  it('that is dry tells the same and changes nothing', async () => {
    const dry = await run(CSV, { dryRun: true });
    expect(await accounts()).toEqual([]);
    expect(await run(CSV)).toEqual(dry);
  });

  const disable = (key: string) =>
    asSuperuser(
      store.database,
      `update directory_account a set status = 'disabled' from principal p where p.id = a.principal_id and p.key = '${key}'`,
    );
  const statusOf = async (key: string) => (await accounts()).find((each) => each.key === key)?.status;
  const ADA = 'user:workforce|ada';

  it.each([
    ['has no column for it', CSV.replace(/,active,/, ',other,')],
    ['leaves it empty', CSV.replace(',true,eng', ',,eng')],
    ['changes something else of the account', CSV.replace('Byron, Ada', 'King, Ada').replace(',true,', ',,')],
  ])('leaves an account disabled that somebody disabled here, when the file %s', async (_, file) => {
    await run(CSV);
    await disable(ADA);
    for (const dryRun of [true, false]) {
      const report = await run(file, { dryRun });
      expect(report.accounts).toMatchObject({ enabled: 0, disabled: 0 });
      expect(report.lines.join()).not.toContain('re-enabled');
      expect(await statusOf(ADA)).toBe('disabled');
    }
  });

  it('leaves an account active that the file says nothing of, and makes a new one active', async () => {
    await run('kind,id,display_name\nuser,ada,Ada\n');
    expect(await run('kind,id,display_name\nuser,ada,Ada\nuser,eve,Eve\n')).toMatchObject({
      accounts: { added: 1, changed: 0, enabled: 0, disabled: 0 },
    });
    expect(await accounts()).toEqual([
      { key: ADA, status: 'active' },
      { key: 'user:workforce|eve', status: 'active' },
    ]);
  });

  it('enables an account again that the file says is active, and its dry run says so in plain words', async () => {
    await run(CSV);
    await disable(ADA);
    const dry = await run(CSV, { dryRun: true });
    expect(dry).toMatchObject({ accounts: { enabled: 1 }, lines: [`~ ${ADA} (re-enabled)`] });
    expect(await statusOf(ADA)).toBe('disabled');
    expect(await run(CSV)).toEqual(dry);
    expect(await statusOf(ADA)).toBe('active');
    const [record] = await asSuperuser<{ body: string }>(
      store.database,
      `select body from audit_record where kind = 'directory.principals' order by seq desc limit 1`,
    );
    expect(JSON.parse(record?.body ?? '')).toMatchObject({ change: 'enabled', principals: [ADA] });
  });

  it('of an LDIF file without locks enables nobody again', async () => {
    await run(LDIF, { format: 'ldif' });
    await disable(ADA);
    expect(await run(LDIF, { format: 'ldif' })).toMatchObject({ accounts: { enabled: 0 }, lines: [] });
    expect(await statusOf(ADA)).toBe('disabled');
  });

  it('disables who is missing only when told so, and takes them out of every group', async () => {
    await run(CSV);
    const without = CSV.replace(/user,ada.*\n/, '');
    await run(without, { allowRemovals: 1 });
    expect((await accounts())[0]?.status).toBe('active');
    await run(without, { removeMissing: true, allowRemovals: 1 });
    expect((await accounts())[0]?.status).toBe('disabled');
    const left = await asSuperuser(
      store.database,
      `select 1 from membership m join principal p on p.id = m.member_id where p.key = 'user:workforce|ada'`,
    );
    expect(left).toEqual([]);
  });

  it('that would end more than a fifth is refused until somebody says how many', async () => {
    await run(CSV);
    const empty = 'kind,id,display_name\ngroup,all,Everybody\ngroup,eng,Engineering\n';
    await expect(run(empty, { removeMissing: true })).rejects.toThrow(/conflict.*accounts/);
    await expect(run(CSV.replace(',true,eng', ',false,eng'))).rejects.toThrow(/conflict.*accounts/);
    await expect(run(empty)).rejects.toThrow(/conflict.*memberships/);
    expect((await accounts())[0]?.status).toBe('active');
    await run(empty, { removeMissing: true, allowRemovals: 2 });
    expect((await accounts())[0]?.status).toBe('disabled');
  });

  it('leaves the accounts of another source alone', async () => {
    await run(CSV);
    await expect(run(CSV, {}, 'other')).rejects.toThrow(/conflict.*Another source/);
  });

  it('is refused for a source that a client provisions', async () => {
    await expect(run(CSV, {}, 'entra')).rejects.toThrow(/conflict.*provisioning client/);
  });

  it('does not put its maker into a group', async () => {
    const file = `kind,id,display_name,groups\ngroup,g,G,\nuser,root,Root,g\n`;
    const [{ source } = { source: '' }] = await asSuperuser<{ source: string }>(
      store.database,
      `select a.source from directory_account a join principal p on p.id = a.principal_id where p.key = 'user:workforce|root'`,
    );
    await expect(run(file, {}, source)).rejects.toThrow(/separation_of_duties/);
  });

  it('takes its maker out of no group by what it has no longer, hand-made ones included', async () => {
    await run('kind,id,display_name\ngroup,staff,Staff\n');
    await asSuperuser(
      store.database,
      `insert into principal (tenant_id, kind, key) select tenant_id, 'group', 'group:manual|walled' from principal
         where key = 'user:workforce|root';
       insert into membership (tenant_id, group_id, member_id) select g.tenant_id, g.id, m.id from principal g, principal m
         where (g.key, m.key) in (('group:hr|staff', 'user:workforce|root'), ('group:manual|walled', 'group:hr|staff'))`,
    );
    const without = 'kind,id,display_name\ngroup,other,Other\n';
    await expect(run(without, { removeMissing: true, allowRemovals: 9 })).rejects.toThrow(
      /separation_of_duties/,
    );
    const held = await asSuperuser(
      store.database,
      `select 1 from membership m join principal g on g.id = m.group_id where g.key = 'group:manual|walled'`,
    );
    expect(held).toHaveLength(1);
  });

  it('says when the source was current, never in the future and never back', async () => {
    const yesterday = Date.now() - 86_400_000;
    await run(CSV, { asOf: yesterday });
    const status = async () =>
      (
        await directoryStatus(
          { database: store.database, scheme: TEST_SCHEME, audit: store.log },
          { identity: rootIdentity, requestId: 'r' },
        )
      ).find(({ source }) => source === 'hr');
    expect(await status()).toEqual({ source: 'hr', asOf: yesterday, accounts: 2, disabled: 1, groups: 2 });
    await expect(run(CSV, { asOf: Date.now() + 60_000 })).rejects.toThrow(/future/);
    await run(CSV);
    await run(CSV, { asOf: yesterday });
    expect((await status())?.asOf).toBeGreaterThan(yesterday);
  });

  it('is for who administers the root', async () => {
    const identity = { ...rootIdentity, user: 'user:workforce|ada' };
    await run(CSV);
    const parts = { database: store.database, scheme: TEST_SCHEME, audit: store.log };
    await expect(directoryStatus(parts, { identity, requestId: 'r' })).rejects.toThrow(/right_missing/);
  });
});
