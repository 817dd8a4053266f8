import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdminCaller, AdminParts } from '../../src/admin/change.ts';
import { bindRole, grantClearance, revokeClearance } from '../../src/admin/clearances.ts';
import { grant, revoke, setContainerLabel, setInherits } from '../../src/admin/container-access.ts';
import { setDocumentAccess, setDocumentLabel } from '../../src/admin/document-access.ts';
import { addMember, removeMember, setMembers } from '../../src/admin/memberships.ts';
import { moveContainer } from '../../src/admin/move-container.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { authorize } from '../../src/store/authority.ts';
import { syncLevels } from '../../src/store/level-scheme.ts';
import { readVisibleSet } from '../../src/store/visible-set.ts';
import { openTestAudit, type TestAudit } from '../helpers/audit.ts';
import { openTestDatabase } from '../helpers/database.ts';
import { nestPaths } from '../helpers/moves.ts';
import { asSuperuser, SCHEME, type WrittenPolicy, writePolicy } from '../helpers/policy-tables.ts';
import { EVERYONE, randomPolicy, USER } from '../helpers/random-policy.ts';
import { faultsOfTree } from '../helpers/tree.ts';

const RUNS = Math.ceil(Number(process.env.BULKHEAD_TEST_RUNS ?? 2000) / 20);

/** Operations of a random administrator on a random tenant; numbers choose among what there is. */
const principal = fc.nat({ max: 6 });
const place = fc.nat({ max: 8 });
const compartments = fc.subarray(['a', 'b']);
const level = fc.option(fc.constantFrom('public', 'internal', 'confidential', 'restricted'), { nil: null });
const effect = fc.constantFrom('allow' as const, 'deny' as const);
const hours = fc.option(fc.constantFrom(-3, 2), { nil: undefined, freq: 2 });
const entry = fc.record({ principal, effect, from: hours });
/** The commonest way to open something, drawn often: nearly all else is refused, or changes nobody's reading. */
const opening = fc.constant({ principal: EVERYONE, effect: 'allow' as const, from: undefined });
const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ op: fc.constant('grant' as const), place, entry: opening }) },
  fc.record({ op: fc.constantFrom('grant' as const, 'revoke' as const), place, entry }),
  fc.record({ op: fc.constantFrom('label' as const, 'documentLabel' as const), place, level, compartments }),
  fc.record({ op: fc.constant('inherits' as const), place, inherits: fc.boolean() }),
  { weight: 3, arbitrary: fc.record({ op: fc.constant('move' as const), place, to: place }) },
  fc.record({
    op: fc.constant('documentAccess' as const),
    place,
    inherits: fc.boolean(),
    entries: fc.array(entry, { maxLength: 2 }),
  }),
  fc.record({
    op: fc.constantFrom('addMember' as const, 'removeMember' as const),
    group: principal,
    member: principal,
    from: hours,
  }),
  fc.record({
    op: fc.constant('setMembers' as const),
    group: principal,
    members: fc.array(principal, { maxLength: 2 }),
  }),
  fc.record({
    op: fc.constantFrom('grantClearance' as const, 'revokeClearance' as const),
    principal,
    level: fc.constantFrom('internal', 'restricted'),
    compartments,
  }),
  fc.record({ op: fc.constant('bind' as const), principal, place }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** By these an administrator opens things to groups and to everyone; see separation-of-duties.ts. */
const OF_ENTRIES: readonly Operation['op'][] = ['grant', 'revoke', 'documentAccess', 'inherits', 'move'];

describe('Separation of duties: no sequence of changes by one administrator lets that administrator read more', () => {
  let audit: TestAudit;
  beforeAll(async () => {
    const database = await openTestDatabase();
    // out of the way of the ids that `writePolicy` gives itself
    await asSuperuser(
      database,
      `select setval(pg_get_serial_sequence('tenant', 'id'), 1000000), setval('class_block_seq', 100000000)`,
    );
    audit = await openTestAudit(database);
    await syncLevels(database, SCHEME);
  });
  afterAll(() => audit.close());

  it(`on ${RUNS} random tenants, but by entries for groups, each of which leaves an alert`, {
    timeout: 600_000,
  }, async () => {
    const seen = { made: 0, refused: 0, alerts: 0, moves: 0 };
    const property = async (policy: Parameters<typeof writePolicy>[1], operations: readonly Operation[]) => {
      const written = await writePolicy(audit.database, policy);
      await makeAdministrator(audit, written);
      await nestPaths(audit.database, written);
      const parts = { database: audit.database, scheme: SCHEME, audit: audit.log };
      const me = callerOf(written);
      let before = await documentsOf(parts, me);
      for (const step of operations) {
        const alerts = await alertsOf(audit, written);
        const made = await attempt(run(parts, me, written, await pathsOf(audit, written), step));
        if (step.op === 'move' && made) seen.moves += 1;
        seen[made ? 'made' : 'refused'] += 1;
        const after = await documentsOf(parts, me);
        const gained = [...after].filter((id) => !before.has(id));
        if (gained.length > 0) {
          expect(OF_ENTRIES).toContain(step.op);
          expect(await alertsOf(audit, written)).toBe(alerts + 1);
          seen.alerts += 1;
        }
        before = after;
      }
    };
    const operations = fc.array(operation, { minLength: 1, maxLength: 8 });
    await fc.assert(fc.asyncProperty(randomPolicy, operations, property), { numRuns: RUNS });
    // a property whose operations are all refused, or never open anything, proves nothing
    expect(Math.min(seen.made, seen.refused)).toBeGreaterThan(RUNS / 2);
    expect(Math.min(seen.alerts, seen.moves)).toBeGreaterThan(0);
    expect(await faultsOfTree(audit.database)).toEqual([]);
  });
});

/** Every right at the root, which is no reading. */
async function makeAdministrator({ database }: TestAudit, written: WrittenPolicy): Promise<void> {
  const root = written.classes[0];
  await asSuperuser(
    database,
    `set local session_replication_role = replica;
     update access_class set level = 'restricted', rank = 3 where id = ${root} and level is null;
     update document d set container_id = d.class_id where tenant_id = ${written.tenantId};
     insert into role_binding (tenant_id, container_id, principal_id, right_name)
       select ${written.tenantId}, ${root}, ${written.principals[USER]}, r
       from unnest(array['administer', 'grant', 'label', 'ingest', 'audit']) r;`,
  );
}

function callerOf(written: WrittenPolicy): AdminCaller {
  const identity = { tenant: written.tenant, user: 'user:w|u', tokenGroups: [], actor: undefined };
  return { identity: { ...identity, acr: 'mfa', authTime: written.now }, requestId: 'r' };
}

/** What is read through the first enforcer, document by document. */
async function documentsOf(
  { database, scheme }: AdminParts,
  { identity }: AdminCaller,
): Promise<ReadonlySet<string>> {
  const authority = await authorize(database, 'retrieve', scheme, identity);
  const { ranks } = await readVisibleSet(database, authority.context, undefined);
  const rows = await asSuperuser<{ id: string }>(
    database,
    `select id from document where class_id = any (array[${[...ranks.keys()].join()}]::int[])`,
  );
  return new Set(rows.map(({ id }) => id));
}

async function alertsOf({ database }: TestAudit, { tenantId }: WrittenPolicy): Promise<number> {
  const rows = await asSuperuser<{ n: number }>(
    database,
    `select count(*) as n from audit_record where tenant_id = ${tenantId} and kind = 'alert.own_reach'`,
  );
  return rows[0]?.n ?? 0;
}

/** @returns whether it was made; a refusal of ours is an outcome, anything else a failure */
async function attempt(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isBulkheadError(error) && error.code !== 'internal') return false;
    throw error;
  }
}

/** By the order of `written.classes`; they change with each move. */
async function pathsOf({ database }: TestAudit, { classes }: WrittenPolicy): Promise<readonly string[]> {
  const rows = await asSuperuser<{ path: string }>(
    database,
    `select path from access_class where id = any (array[${classes.join()}]) order by id`,
  );
  return rows.map(({ path }) => path);
}

function run(
  parts: AdminParts,
  me: AdminCaller,
  written: WrittenPolicy,
  paths: readonly string[],
  step: Operation,
): Promise<unknown> {
  const container = (i: number) => paths[i % paths.length] ?? '';
  const document = (i: number) => written.documents[i % written.documents.length] ?? '';
  const name = (i: number) => keyOf(i % written.principals.length);
  const at = (from: number | undefined) => (from === undefined ? undefined : written.now + from * 3_600_000);
  const entryOf = (e: { principal: number; effect: 'allow' | 'deny'; from: number | undefined }) => ({
    principal: name(e.principal),
    effect: e.effect,
    validFrom: at(e.from),
  });
  switch (step.op) {
    case 'grant':
      return grant(parts, me, { container: container(step.place), entry: entryOf(step.entry) });
    case 'revoke':
      return revoke(parts, me, { container: container(step.place), ...entryOf(step.entry) });
    case 'label':
      return setContainerLabel(parts, me, { container: container(step.place), label: step });
    case 'documentLabel':
      return setDocumentLabel(parts, me, { document: document(step.place), label: step });
    case 'inherits':
      return setInherits(parts, me, { container: container(step.place), inherits: step.inherits });
    case 'move':
      return moveContainer(parts, me, { container: container(step.place), to: container(step.to) });
    case 'documentAccess': {
      const entries = step.entries.map(entryOf);
      return setDocumentAccess(parts, me, {
        document: document(step.place),
        entries,
        inherits: step.inherits,
      });
    }
    case 'addMember':
      return addMember(parts, me, {
        group: name(step.group),
        member: name(step.member),
        validFrom: at(step.from),
      });
    case 'removeMember':
      return removeMember(parts, me, { group: name(step.group), member: name(step.member) });
    case 'setMembers':
      return setMembers(parts, me, {
        group: name(step.group),
        members: step.members.map((m) => ({ member: name(m) })),
      });
    case 'grantClearance':
      return grantClearance(parts, me, { ...step, principal: name(step.principal) });
    case 'revokeClearance':
      return revokeClearance(parts, me, { ...step, principal: name(step.principal) });
    case 'bind':
      return bindRole(parts, me, {
        principal: name(step.principal),
        container: container(step.place),
        right: 'audit',
      });
  }
}

/** As `writePolicy` names them. */
function keyOf(i: number): string {
  return ['user:w|u', 'service:w|s', 'everyone'][i] ?? `group:w|g${i}`;
}
