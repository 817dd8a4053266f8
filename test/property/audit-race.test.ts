import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PolicyEpoch } from '../../src/store/authority.ts';
import { openTestAudit, REFUSAL, receiptBody, type TestAudit } from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const RUNS = Number(process.env.BULKHEAD_TEST_RUNS ?? 60);

let test: TestAudit;
let log: TestAudit['log'];
let run = 0;

beforeAll(async () => {
  test = await openTestAudit();
});
afterAll(() => test.close());

/** One request: what it decided on is read some turns before its receipt is asked for. */
type Step = { readonly does: 'grant' | 'revoke' | 'release'; readonly waits: number };

const steps = fc.array(
  fc.record({
    does: fc.constantFrom('grant' as const, 'revoke' as const, 'release' as const),
    waits: fc.nat(4),
  }),
  { minLength: 2, maxLength: 14 },
);

it('no receipt carries an epoch older than one that was committed before it', {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      run += 1;
      log = test.open({ writer: `race-${run}` });
      const outcomes = await Promise.all(plan.map(perform));
      const records = await recorded(`race-${run}`);
      const releases = records.filter(({ kind }) => kind === 'release');
      expect(releases).toHaveLength(outcomes.filter((outcome) => outcome === 'appended').length);
      let committed = 0;
      for (const { kind, body } of records) {
        // a change names the epoch that it made, a receipt the one that it was decided under
        if (kind === 'release') expect(body.policy?.counter).toBeGreaterThanOrEqual(committed);
        else committed = Number(body.request);
      }
    }),
    { numRuns: RUNS },
  );
});

async function perform({ does, waits }: Step): Promise<string> {
  if (does !== 'release') return changePolicy(does, waits);
  const policy = await currentEpoch();
  await turns(waits);
  const guard = { ...policy, documents: [], revocable: test.admin.revocable };
  const { status } = await log.appendReceipt(
    test.tenant,
    'release',
    receiptBody(test.admin, { policy }),
    guard,
  );
  return status;
}

/** The change and its record in one transaction, the change first, as admin code does it. */
async function changePolicy(does: 'grant' | 'revoke', waits: number): Promise<string> {
  await turns(waits);
  await test.database.unitOfWork('admin', test.admin.context, async (trx) => {
    const from = sql`from bulkhead.principal p, bulkhead.access_class c where p.kind = 'everyone' and c.path = '/'`;
    if (does === 'grant')
      await sql`insert into bulkhead.entry (tenant_id, class_id, principal_id, effect, valid_from)
        select p.tenant_id, c.id, p.id, 'allow', now() - random() * interval '1 year' ${from}`.execute(trx);
    else await sql`delete from bulkhead.entry where id = (select max(id) from bulkhead.entry)`.execute(trx);
    const { rows } = await sql<PolicyEpoch>`select counter from bulkhead.policy_epoch`.execute(trx);
    const body = { ...REFUSAL, request: String(rows[0]?.counter) };
    await log.appendWithin(trx, [{ tenant: test.tenant, kind: 'request.refused', body }]);
  });
  return does;
}

function currentEpoch(): Promise<PolicyEpoch> {
  return test.database.unitOfWork('retrieve', test.admin.context, async (trx) => {
    const { rows } = await sql<PolicyEpoch>`select incarnation, counter from bulkhead.policy_epoch`.execute(
      trx,
    );
    return rows[0] ?? { incarnation: '', counter: -1 };
  });
}

async function recorded(writer: string) {
  const rows = await asSuperuser<{ kind: string; body: string }>(
    test.database,
    `select r.kind, r.body from audit_record r join audit_chain c on c.id = r.chain_id
     where c.writer = '${writer}' order by r.seq`,
  );
  return rows.map(({ kind, body }) => ({
    kind,
    body: JSON.parse(body) as { request?: string; policy?: PolicyEpoch },
  }));
}

async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
