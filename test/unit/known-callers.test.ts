/** A caller's reading that is kept gives what reading them anew would give, whatever moved in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instant } from '../../src/policy/ids.ts';
import { type Authority, authorize, type CallerIdentity } from '../../src/store/authority.ts';
import type { Database } from '../../src/store/database.ts';
import { KnownCallers } from '../../src/store/known-callers.ts';
import { asSuperuser, SCHEME } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

let spine: Spine;
beforeAll(async () => {
  spine = await openSpine();
  await asSuperuser(
    spine.database,
    `insert into principal (id, tenant_id, kind, key) overriding system value
       values (4, 1, 'group', 'group:w|crew'), (5, 1, 'service', 'service:w|bot'), (6, 1, 'group', 'group:w|later');
     insert into directory_account (principal_id, tenant_id, source, display_name) values (5, 1, 'w', 'Bot')`,
  );
}, 60_000);
afterAll(() => spine.close());

/** The database, told of each statement by the function that it calls. */
function watched(database: Database): { readonly database: Database; readonly calls: string[] } {
  const calls: string[] = [];
  const proxy = new Proxy(database, {
    get: (target, key) => {
      const value = Reflect.get(target, key);
      if (key !== 'statement') return typeof value === 'function' ? value.bind(target) : value;
      return (...[role, context, statement]: Parameters<Database['statement']>) => {
        const text = JSON.stringify(statement.toOperationNode());
        calls.push(/bulkhead\.(\w+)/.exec(text)?.[1] ?? text);
        return target.statement(role, context, statement);
      };
    },
  });
  return { database: proxy, calls };
}

/** What is decided on; the clock moves by itself. */
const withoutClock = ({ now: _, context: { now: __, ...context }, ...rest }: Authority) => ({
  ...rest,
  context,
});
const outcome = (work: Promise<Authority>) =>
  work.then(withoutClock, (error: { code?: string }) => error.code ?? error);

const CHANGES: readonly (readonly [what: string, sql: string])[] = [
  ['a membership was added', 'insert into membership (tenant_id, group_id, member_id) values (1, 4, 1)'],
  [
    'a membership ended',
    "update membership set valid_until = now() - interval '1 second' where member_id = 1",
  ],
  ['a membership was removed', 'delete from membership where member_id = 1'],
  [
    'a clearance was given',
    "insert into clearance (tenant_id, principal_id, level, rank) values (1, 1, 'confidential', 2)",
  ],
  ['a clearance was taken', 'delete from clearance where principal_id = 1'],
  [
    'an entry was added',
    "insert into entry (tenant_id, class_id, principal_id, effect) values (1, 902, 1, 'allow')",
  ],
  ['an entry was removed', 'delete from entry where class_id = 902 and principal_id = 1'],
  ['the account was disabled', "update directory_account set status = 'disabled' where principal_id = 1"],
  ['the account was enabled', "update directory_account set status = 'active' where principal_id = 1"],
  ['the account was renamed', "update directory_account set display_name = 'Anne' where principal_id = 1"],
  [
    'the source of the account was heard of again',
    "update directory_source set as_of = as_of + interval '1 second' where source = 'w'",
  ],
  [
    'another source began to count',
    "insert into directory_source (tenant_id, source, as_of, kept) values (1, 'x', now(), true)",
  ],
  ['the installation was restored', 'update policy_epoch set incarnation = gen_random_uuid()'],
  [
    'the account was revoked',
    `insert into revocation (tenant_id, kind, id, not_before, reason, revoked_at)
       values (1, 'user', 'w|ann', now() + interval '1 hour', 'test', now())`,
  ],
  ['the revocation was lifted by an operator', "delete from revocation where id = 'w|ann'"],
  ['a class was interned', 'update policy_epoch set watermark = watermark + 1'],
  ['the account was removed', 'delete from directory_account where principal_id = 1'],
  [
    'the account came back',
    "insert into directory_account (principal_id, tenant_id, source, display_name) values (1, 1, 'w', 'Ann')",
  ],
];

describe('A caller whose reading was kept', () => {
  const callers = new KnownCallers();
  const ask = (identity: CallerIdentity = spine.ann, database = spine.database) =>
    callers.authorize({ database, scheme: SCHEME }, identity);

  it('is not read again while nothing moves', async () => {
    const { database, calls } = watched(spine.database);
    for (let i = 0; i < 3; i += 1) await ask(spine.ann, database);
    expect(calls).toEqual(['tenant_state', 'authorize', 'tenant_state', 'tenant_state']);
  });

  it('has the clock of the request, not of the reading', async () => {
    const first = await ask();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const second = await ask();
    expect(second.now).toBeGreaterThan(first.now);
    expect(second.context.now).toBe(second.now);
  });

  it.each(CHANGES)('is what reading anew gives when %s', async (_, change) => {
    await outcome(ask());
    await asSuperuser(spine.database, change);
    const anew = await outcome(authorize(spine.database, 'retrieve', SCHEME, spine.ann));
    expect(await outcome(ask())).toEqual(anew);
  });

  it('is read again when an interval begins or ends by the clock alone', async () => {
    await asSuperuser(
      spine.database,
      `insert into membership (tenant_id, group_id, member_id, valid_from, valid_until)
         values (1, 4, 1, clock_timestamp() + interval '400 milliseconds', clock_timestamp() + interval '900 milliseconds')`,
    );
    const seen = new Set<boolean>();
    const began = Date.now();
    let last = true;
    while (Date.now() - began < 1_500) {
      const { subject } = await ask();
      last = [...subject.user.principals].map(Number).includes(4);
      seen.add(last);
    }
    expect([seen.size, last]).toEqual([2, false]);
  });

  it('is not mistaken for one with other groups, another actor, or another credential', async () => {
    const others: readonly CallerIdentity[] = [
      { ...spine.ann, tokenGroups: ['group:w|later'] },
      { ...spine.ann, actor: 'service:w|bot' },
      { ...spine.ann, revocable: [{ kind: 'session', id: 'w|s1', issuedAt: instant(1) }] },
      spine.bob,
    ];
    await ask();
    for (const other of others) {
      const anew = await outcome(authorize(spine.database, 'retrieve', SCHEME, other));
      expect(await outcome(ask(other))).toEqual(anew);
      expect(await outcome(ask(other))).toEqual(anew);
    }
  });

  it('is refused with groups that are not known, and in a tenant that is not there', async () => {
    expect(await outcome(ask({ ...spine.ann, tokenGroups: 'unknown' }))).toBe('groups_unknown');
    expect(await outcome(ask({ ...spine.ann, tenant: 'nowhere' }))).toBe('policy_unavailable');
  });
});
