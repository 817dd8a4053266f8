import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  bindRole,
  grantClearance,
  revokeClearance,
  setActorCeiling,
  unbindRole,
} from '../../src/admin/clearances.ts';
import { grant, revoke, setContainerLabel, setInherits } from '../../src/admin/container-access.ts';
import { createContainer } from '../../src/admin/containers.ts';
import { setDocumentAccess, setDocumentLabel } from '../../src/admin/document-access.ts';
import { addMember, removeMember, setMembers } from '../../src/admin/memberships.ts';
import { moveContainer } from '../../src/admin/move-container.ts';
import {
  createGroup,
  createService,
  createUser,
  disableAccount,
  enableAccount,
} from '../../src/admin/principals.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { Directory } from '../../src/store/directory.ts';
import { type Company, group, openCompany, service, user } from '../helpers/company.ts';

let firm: Company;
const open = async () => {
  firm = await openCompany();
};
const close = () => firm.close();

const SECRET = { level: 'restricted', compartments: ['legal'] };
const HR_ENTRY = { container: '/hr', principal: group('hr'), effect: 'allow' } as const;
const MISSING = '00000000-0000-4000-8000-00000000dead';

interface Operation {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** What tells the enforcers: the epoch, the watermark of new classes, or the document's class. */
  readonly tells: 'epoch' | 'watermark' | 'class' | 'nobody';
  readonly kinds: readonly string[];
  readonly says: Record<string, unknown>;
  readonly prepare?: () => Promise<unknown>;
}

const root = () => firm.caller('root');
const OPERATIONS: readonly Operation[] = [
  {
    name: 'createContainer',
    run: () =>
      createContainer(firm.parts, root(), {
        path: '/legal',
        label: SECRET,
        inherits: false,
        entries: [{ principal: group('hr'), effect: 'deny' }],
      }),
    tells: 'watermark',
    kinds: ['container.created', 'entry.added'],
    says: { container: '/legal', inherits: false, ...SECRET },
  },
  {
    name: 'grant',
    run: () =>
      grant(firm.parts, root(), {
        container: '/hr',
        entry: { principal: user('petra'), effect: 'allow', validUntil: 2e12 },
      }),
    tells: 'epoch',
    kinds: ['entry.added'],
    says: { container: '/hr', principal: user('petra'), effect: 'allow', from: null, until: 2e12 },
  },
  {
    name: 'revoke',
    run: () => revoke(firm.parts, root(), HR_ENTRY),
    tells: 'epoch',
    kinds: ['entry.removed'],
    says: { container: '/hr', principal: group('hr'), effect: 'allow' },
  },
  {
    name: 'setContainerLabel',
    run: () => setContainerLabel(firm.parts, root(), { container: '/hr', label: SECRET }),
    tells: 'epoch',
    kinds: ['label.changed'],
    says: {
      container: '/hr',
      document: null,
      ...SECRET,
      before: { level: 'confidential', compartments: [] },
    },
  },
  {
    name: 'setInherits',
    run: () => setInherits(firm.parts, root(), { container: '/hr/payroll', inherits: false }),
    tells: 'epoch',
    kinds: ['inherits.changed'],
    says: { container: '/hr/payroll', inherits: false, before: true },
  },
  {
    name: 'moveContainer',
    run: () => moveContainer(firm.parts, root(), { container: '/hr/payroll', to: '/open' }),
    tells: 'epoch',
    kinds: ['container.moved'],
    says: { from: '/hr/payroll', to: '/open/payroll' },
  },
  {
    name: 'setDocumentLabel',
    run: () => setDocumentLabel(firm.parts, root(), { document: firm.documents['/hr'], label: SECRET }),
    tells: 'class',
    kinds: ['label.changed'],
    says: { container: '/hr', ...SECRET, before: { level: null, compartments: [] } },
  },
  {
    name: 'setDocumentAccess',
    run: () =>
      setDocumentAccess(firm.parts, root(), {
        document: firm.documents['/hr'],
        entries: [{ principal: user('petra'), effect: 'deny' }],
        inherits: false,
      }),
    tells: 'class',
    kinds: ['access.changed'],
    says: {
      inherits: false,
      entries: [{ principal: user('petra'), effect: 'deny', from: null, until: null }],
      before: { inherits: true, entries: [] },
    },
  },
  {
    name: 'createUser',
    run: () => createUser(firm.parts, root(), { principal: user('nina'), displayName: 'Nina' }),
    tells: 'epoch',
    kinds: ['account.created'],
    says: { principal: user('nina'), source: 'workforce' },
  },
  {
    name: 'createService',
    run: () => createService(firm.parts, root(), { principal: service('sync'), displayName: 'Sync' }),
    tells: 'epoch',
    kinds: ['account.created'],
    says: { principal: service('sync'), source: 'workforce' },
  },
  {
    // a group without members, entries or clearances is nothing that a decision could rest on
    name: 'createGroup',
    run: () => createGroup(firm.parts, root(), { principal: group('it'), displayName: 'IT' }),
    tells: 'epoch',
    kinds: ['group.created'],
    says: { principal: group('it') },
  },
  {
    name: 'disableAccount',
    run: () => disableAccount(firm.parts, root(), user('anna')),
    tells: 'epoch',
    kinds: ['account.changed'],
    says: { principal: user('anna'), status: 'disabled', before: 'active' },
  },
  {
    name: 'enableAccount',
    prepare: () => disableAccount(firm.parts, root(), user('anna')),
    run: () => enableAccount(firm.parts, root(), user('anna')),
    tells: 'epoch',
    kinds: ['account.changed'],
    says: { principal: user('anna'), status: 'active', before: 'disabled' },
  },
  {
    name: 'addMember',
    run: () => addMember(firm.parts, root(), { group: group('hr'), member: user('petra'), validFrom: 1e12 }),
    tells: 'epoch',
    kinds: ['membership.added'],
    says: { group: group('hr'), member: user('petra'), from: 1e12, until: null },
  },
  {
    name: 'removeMember',
    run: () => removeMember(firm.parts, root(), { group: group('hr'), member: user('anna') }),
    tells: 'epoch',
    kinds: ['membership.removed'],
    says: { group: group('hr'), member: user('anna') },
  },
  {
    name: 'setMembers',
    run: () =>
      setMembers(firm.parts, root(), {
        group: group('hr'),
        members: [{ member: user('anna') }, { member: user('petra') }],
      }),
    tells: 'epoch',
    kinds: ['membership.removed', 'membership.added'],
    says: { group: group('hr'), member: user('maria') },
  },
  {
    name: 'grantClearance',
    run: () => grantClearance(firm.parts, root(), { principal: group('staff'), ...SECRET }),
    tells: 'epoch',
    kinds: ['clearance.added'],
    says: { principal: group('staff'), ...SECRET, from: null, until: null },
  },
  {
    name: 'revokeClearance',
    run: () =>
      revokeClearance(firm.parts, root(), {
        principal: user('anna'),
        level: 'confidential',
        compartments: ['payroll'],
      }),
    tells: 'epoch',
    kinds: ['clearance.removed'],
    says: { principal: user('anna'), level: 'confidential', compartments: ['payroll'] },
  },
  {
    name: 'bindRole',
    run: () =>
      bindRole(firm.parts, root(), { container: '/hr', principal: user('petra'), right: 'unmask:email' }),
    tells: 'epoch',
    kinds: ['right.added'],
    says: { container: '/hr', principal: user('petra'), right: 'unmask:email' },
  },
  {
    name: 'unbindRole',
    run: () => unbindRole(firm.parts, root(), { container: '/hr', principal: user('otto'), right: 'audit' }),
    tells: 'epoch',
    kinds: ['right.removed'],
    says: { container: '/hr', principal: user('otto'), right: 'audit' },
  },
  {
    name: 'setActorCeiling',
    run: () =>
      setActorCeiling(firm.parts, root(), { principal: service('agent'), ...SECRET, containers: ['/hr'] }),
    tells: 'epoch',
    kinds: ['ceiling.set'],
    says: {
      principal: service('agent'),
      ...SECRET,
      containers: ['/hr'],
      before: { level: 'confidential', compartments: [], containers: ['/open'] },
    },
  },
];

const classOf = (id: string) =>
  firm.one<{ class_id: number }>(`select class_id from document where id = '${id}'`);

describe('each change of policy', () => {
  beforeEach(open);
  afterEach(close);

  for (const { name, run, tells, kinds, says, prepare } of OPERATIONS)
    it(`${name} is told to ${tells === 'nobody' ? 'nobody, for nothing rests on it' : `the enforcers by the ${tells}`} and recorded with who, what and what was before`, async () => {
      await prepare?.();
      const [before, cls] = [await firm.epoch(), await classOf(firm.documents['/hr'])];
      const seen = (await firm.events()).length;
      await run();
      const after = await firm.epoch();
      if (tells === 'epoch') expect(after.counter).toBeGreaterThan(before.counter);
      else expect(after.counter).toBe(before.counter);
      if (tells === 'watermark') expect(after.watermark).toBeGreaterThan(before.watermark);
      if (tells === 'class') expect(await classOf(firm.documents['/hr'])).not.toEqual(cls);

      const events = (await firm.events()).slice(seen);
      expect(events.map((event) => event.kind)).toEqual(kinds);
      const who = { subject: user('root'), actor: null, request: 'req-root' };
      expect(events[0]?.body).toMatchObject({ ...who, ...says });
      expect((await firm.verify()).problems).toEqual([]);
    });
});

describe('a change whose record cannot be written', () => {
  beforeAll(open);
  afterAll(close);

  for (const { name, run } of OPERATIONS)
    it(`is not made: ${name}`, async () => {
      const before = await firm.epoch();
      const cls = await classOf(firm.documents['/hr']);
      await firm.one('revoke execute on function append_audit from bulkhead_admin');
      await expect(run()).rejects.toMatchObject({ code: 'audit_unavailable' });
      expect(await firm.epoch()).toEqual(before);
      expect(await classOf(firm.documents['/hr'])).toEqual(cls);
    });
});

describe('a revocation', () => {
  beforeEach(open);
  afterEach(close);

  const hr = { container: '/hr', principal: group('hr'), effect: 'allow' } as const;

  it('that row-level security stops is refused, and nothing is recorded as taken away', async () => {
    const seen = (await firm.events()).length;
    await firm.one('alter policy admin_revoke on entry using (false)');
    await expect(revoke(firm.parts, firm.caller('root'), hr)).rejects.toMatchObject({
      code: 'right_missing',
    });
    expect((await firm.events()).slice(seen)).toEqual([]);
  });

  it('that another one came before finds no entry any more', async () => {
    const outcomes = await Promise.allSettled([1, 2].map(() => revoke(firm.parts, firm.caller('root'), hr)));
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'not_found' },
    });
    expect((await firm.events()).filter(({ kind }) => kind === 'entry.removed')).toHaveLength(1);
  });
});

/** Writes by petra, who holds no right anywhere and sees `/open` only; `place` is where they are aimed at. */
const AIMED: Readonly<Record<string, (place: string, document: string) => Promise<unknown>>> = {
  createContainer: (place) =>
    createContainer(firm.parts, firm.caller('petra'), {
      path: `${place}/new`,
      label: SECRET,
      inherits: true,
      entries: [],
    }),
  grant: (place) =>
    grant(firm.parts, firm.caller('petra'), {
      container: place,
      entry: { principal: user('nobody'), effect: 'allow' },
    }),
  revoke: (place) =>
    revoke(firm.parts, firm.caller('petra'), { container: place, principal: group('hr'), effect: 'allow' }),
  setContainerLabel: (place) =>
    setContainerLabel(firm.parts, firm.caller('petra'), {
      container: place,
      label: { level: 'cosmic', compartments: [] },
    }),
  setInherits: (place) => setInherits(firm.parts, firm.caller('petra'), { container: place, inherits: true }),
  moveContainer: (place) =>
    moveContainer(firm.parts, firm.caller('petra'), { container: place, to: '/open' }),
  bindRole: (place) =>
    bindRole(firm.parts, firm.caller('petra'), {
      container: place,
      principal: user('petra'),
      right: 'audit',
    }),
  unbindRole: (place) =>
    unbindRole(firm.parts, firm.caller('petra'), {
      container: place,
      principal: user('otto'),
      right: 'audit',
    }),
  setDocumentAccess: (_, document) =>
    setDocumentAccess(firm.parts, firm.caller('petra'), { document, entries: [], inherits: true }),
  setDocumentLabel: (_, document) =>
    setDocumentLabel(firm.parts, firm.caller('petra'), {
      document,
      label: { level: 'cosmic', compartments: ['x'] },
    }),
};

async function refusal(
  attempt: Promise<unknown>,
): Promise<{ code: string; detail: string; issues: unknown }> {
  try {
    await attempt;
  } catch (error) {
    if (!isBulkheadError(error)) throw error;
    const { code, detail, issues } = error;
    return { code, detail, issues };
  }
  throw new Error('it was not refused');
}

describe('silence', () => {
  beforeAll(open);
  afterAll(close);

  for (const [name, aim] of Object.entries(AIMED)) {
    it(`${name} refuses what is hidden exactly as what is missing`, async () => {
      const hidden = await refusal(aim('/hr', firm.documents['/hr']));
      const missing = await refusal(aim('/nowhere', MISSING));
      expect(hidden).toEqual(missing);
      expect(['not_found', 'unknown_container']).toContain(hidden.code);
    });

    it(`${name} says that a right is missing only on what the caller can read`, async () => {
      expect((await refusal(aim('/open', firm.documents['/open']))).code).toBe('right_missing');
    });
  }

  it('takes an id that is none for a document that does not exist', async () => {
    const change = { document: "'; drop", entries: [], inherits: true };
    expect(await refusal(setDocumentAccess(firm.parts, root(), change))).toEqual(
      await refusal(setDocumentAccess(firm.parts, root(), { ...change, document: MISSING })),
    );
  });

  it('refuses the entry of a hidden container exactly as one that does not exist', async () => {
    const { id } = await firm.one<{ id: number }>(
      "select e.id from entry e join access_class c on c.id = e.class_id where c.path = '/hr'",
    );
    const petra = firm.caller('petra');
    expect(await refusal(revoke(firm.parts, petra, { entry: id }))).toEqual(
      await refusal(revoke(firm.parts, petra, { entry: 999_999 })),
    );
  });

  it('refuses every change of the directory to whoever does not administer it, before looking anything up', async () => {
    const maria = firm.caller('maria');
    const attempts = [
      createUser(firm.parts, maria, { principal: user('petra'), displayName: 'P' }),
      disableAccount(firm.parts, maria, user('nobody')),
      addMember(firm.parts, maria, { group: group('nobody'), member: user('nobody') }),
      grantClearance(firm.parts, maria, { principal: user('nobody'), level: 'cosmic', compartments: [] }),
      setActorCeiling(firm.parts, maria, {
        principal: service('no'),
        level: 'x',
        compartments: [],
        containers: [],
      }),
    ];
    const refusals = await Promise.all(attempts.map(refusal));
    expect(refusals.map(({ code }) => code)).toEqual(attempts.map(() => 'right_missing'));
    expect(new Set(refusals.map(({ detail }) => detail)).size).toBe(1);
  });
});

describe('permissions are rows', () => {
  beforeEach(open);
  afterEach(close);

  const counts = () =>
    firm.one<Record<string, number>>(`select (select count(*) from entry) as entries,
      (select count(*) from access_class) as classes, (select count(*) from class_ancestor) as ancestors`);
  /** Every version of a row has its own xmin: a rewritten row shows, whatever it says. */
  const untouched = () =>
    firm.one(`select (select array_agg(xmin::text order by id) from document) as d,
      (select array_agg(xmin::text order by id) from chunk) as c, (select count(*) from outbox) as o`);

  it('a grant and a revocation change one row, and rewrite no document, passage or vector', async () => {
    const [before, rows] = [await untouched(), await counts()];
    const entry = { principal: user('petra'), effect: 'allow' } as const;
    await grant(firm.parts, root(), { container: '/', entry });
    expect(await counts()).toEqual({ ...rows, entries: (rows.entries ?? 0) + 1 });
    await revoke(firm.parts, root(), { container: '/', ...entry });
    expect(await counts()).toEqual(rows);
    expect(await untouched()).toEqual(before);
  });

  it('a label and inheritance change one class, and rewrite no document, passage or vector', async () => {
    const before = await untouched();
    const classes = () =>
      firm.one<{ x: Record<string, string> }>(
        'select json_object_agg(path, xmin::text) as x from access_class',
      );
    const { x: first } = await classes();
    await setContainerLabel(firm.parts, root(), { container: '/hr', label: SECRET });
    const { x: second } = await classes();
    expect(Object.keys(first).filter((path) => first[path] !== second[path])).toEqual(['/hr']);
    await setInherits(firm.parts, root(), { container: '/hr', inherits: false });
    const { x: third } = await classes();
    expect(Object.keys(first).filter((path) => second[path] !== third[path])).toEqual(['/hr']);
    expect(await untouched()).toEqual(before);
  });
});

describe('an acting service', () => {
  beforeEach(open);
  afterEach(close);

  it('narrows the rights of whom it acts for to its own containers', async () => {
    const through = firm.caller('root', 'agent');
    const entry = { principal: user('petra'), effect: 'deny' } as const;
    await grant(firm.parts, through, { container: '/open', entry });
    expect((await firm.events()).at(-1)?.body).toMatchObject({
      subject: user('root'),
      actor: service('agent'),
    });
    expect(await refusal(grant(firm.parts, through, { container: '/hr', entry }))).toEqual(
      await refusal(grant(firm.parts, through, { container: '/nowhere', entry })),
    );
    const nina = { principal: user('nina'), displayName: 'Nina' };
    expect((await refusal(createUser(firm.parts, through, nina))).code).toBe('right_missing');
  });
});

describe('a right that is taken away', () => {
  beforeEach(open);
  afterEach(close);

  it('is gone for a change that was looked up before and comes after', async () => {
    const drop = () =>
      unbindRole(firm.parts, root(), { container: '/hr', principal: user('maria'), right: 'grant' });
    const entry = { principal: user('petra'), effect: 'allow' } as const;
    const attempts = [
      drop(),
      ...[1, 2, 3].map((n) =>
        refusalOrNothing(
          grant(firm.parts, firm.caller('maria'), {
            container: '/hr',
            entry: { ...entry, validUntil: 2e12 + n },
          }),
        ),
      ),
    ];
    await Promise.all(attempts);
    const events = await firm.events();
    const lost = events.findIndex(({ kind }) => kind === 'right.removed');
    expect(lost).toBeGreaterThanOrEqual(0);
    expect(events.slice(lost + 1).filter(({ kind }) => kind === 'entry.added')).toEqual([]);
  });

  it('is looked up again when the policy moved in between, and a change that cannot settle is given up', async () => {
    let moves = 0;
    const restless = Object.create(firm.database, {
      unitOfWork: {
        value: async (role: 'admin', context: never, work: never) => {
          const result = await firm.database.unitOfWork(role, context, work);
          moves += 1;
          await Directory.as(firm.database, firm.admin.context).upsertAccounts([
            { principal: user('petra'), source: 'workforce', displayName: `P${moves}`, status: 'active' },
          ]);
          return result;
        },
      },
      // a private member is of the object that has it
      statement: { value: firm.database.statement.bind(firm.database) },
      flush: { value: () => firm.database.flush() },
    });
    const parts = { ...firm.parts, database: restless };
    const entry = { principal: user('petra'), effect: 'allow' } as const;
    expect((await refusal(grant(parts, root(), { container: '/hr', entry }))).code).toBe('authority_moved');
    expect(await firm.events()).toEqual([]);
  });
});

async function refusalOrNothing(attempt: Promise<unknown>): Promise<void> {
  await attempt.catch((error) => {
    if (!isBulkheadError(error)) throw error;
  });
}
