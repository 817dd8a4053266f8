import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VectorIndex } from '../../src/index/vector-index.ts';
import { decide } from '../../src/policy/decide.ts';
import { chunkId, classId, documentId, instant, principalId, tenantId } from '../../src/policy/ids.ts';
import type { Subject } from '../../src/policy/subject.ts';
import { visibilityFilter } from '../../src/policy/visibility-filter.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import type { Database } from '../../src/store/database.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { readVisibleSet, type VisibleSet } from '../../src/store/visible-set.ts';
import { makeMoves } from '../helpers/moves.ts';
import {
  asSuperuser,
  classLookup,
  SCHEME,
  type WrittenPolicy,
  writeLevels,
  writePolicy,
} from '../helpers/policy-tables.ts';
import {
  ACTOR,
  EVERYONE,
  FIRST_GROUP,
  type RandomPolicy,
  randomPolicy,
  USER,
} from '../helpers/random-policy.ts';
import type { TestStores } from '../helpers/stores.ts';
import { faultsOfTree } from '../helpers/tree.ts';

/** On any engine: whatever the policy, the two enforcers in SQL allow exactly what the definition in code allows. */
export function agreementContract(engine: string, runs: number, open: () => Promise<TestStores>): void {
  describe(`Agreement: decide(), the visible set, row-level security and the index agree on every document, on ${engine}`, () => {
    let stores: TestStores;
    beforeAll(async () => {
      stores = await open();
      await writeLevels(stores.database);
    });
    afterAll(() => Promise.all([stores.database.close(), stores.closeIndex()]));

    it(`on ${runs} random policies, with containers moved about in half of them`, {
      timeout: 3_600_000,
    }, async () => {
      const index = await stores.collections.open({ fingerprint: 'a9'.repeat(32), dimension: 2 });
      await agreesOnRandomPolicies(stores.database, index, runs);
    });
  });
}

const moves = fc.oneof(
  fc.constant([]),
  fc.array(fc.tuple(fc.nat({ max: 8 }), fc.nat({ max: 8 })), { minLength: 1, maxLength: 3 }),
);

/** Policies kept at once: without statistics, tables that grow make every plan slower. */
const KEPT = 50;

async function agreesOnRandomPolicies(database: Database, index: VectorIndex, runs: number): Promise<void> {
  let kept = 0;
  const outcomes = { allow: 0, deny: 0, stepUp: 0 };
  await fc.assert(
    fc.asyncProperty(randomPolicy, moves, async (original, wanted) => {
      kept += 1;
      if (kept % KEPT === 0) await forget(database);
      const written = await writePolicy(database, original);
      const policy = await makeMoves(database, written, original, wanted);
      if (wanted.length > 0) expect(await faultsOfTree(database, written.tenantId)).toEqual([]);
      const authority = await authorize(database, 'retrieve', SCHEME, callerOf(policy, written));
      const decided = policy.classes.flatMap((_, i) => {
        const decision = decideIndependently(policy, written, i);
        outcomes[decision.kind] += 1;
        return decision.kind === 'allow' ? [i] : [];
      });

      const visible = await readVisibleSet(database, authority.context, undefined);
      expect([...visible.ranks.keys()].map((id) => written.classes.indexOf(id)).sort(byNumber)).toEqual(
        decided,
      );
      // a cached set is extended by the classes above its watermark: by all of them, when it is that old
      expect(sorted(await readVisibleSet(database, authority.context, -1))).toEqual(sorted(visible));
      expect(sorted(await readVisibleSet(database, authority.context, undefined, 'admin'))).toEqual(
        sorted(visible),
      );

      const readable = await ReadableDocuments.as(database, authority.context).matching({});
      expect(readable.map((id) => written.documents.indexOf(id)).sort(byNumber)).toEqual(decided);

      expect(await found(index, policy, written, visible)).toEqual(decided);

      const stored = await ReadableDocuments.as(database, authority.context).hydratePage({}, undefined, 50);
      const judged = stored.passages.filter(
        (p) =>
          decide({
            subject: authority.subject,
            class: p.class,
            lookup: (id) => stored.classes.get(id),
            scheme: SCHEME,
            now: authority.now,
          }).kind === 'allow',
      );
      expect(judged.map((p) => written.documents.indexOf(documentId(p.document))).sort(byNumber)).toEqual(
        decided,
      );
    }),
    { numRuns: runs },
  );
  // a property that never meets an allow proves nothing
  expect(Math.min(outcomes.allow, outcomes.deny, outcomes.stepUp)).toBeGreaterThan(runs / 50);
}

/** The index keeps its points: no later policy has their tenants. */
async function forget(database: Database): Promise<void> {
  const tables = await asSuperuser<{ name: string }>(
    database,
    "select tablename as name from pg_tables where schemaname = 'bulkhead' and tablename in ('index_vector', 'index_posting', 'index_class_count')",
  );
  const all = ['tenant', ...tables.map(({ name }) => name)];
  await asSuperuser(
    database,
    `set local session_replication_role = replica; truncate ${all.join(', ')} cascade`,
  );
}

/** Which documents a search finds, every one of them put into the index whoever may read it. */
async function found(
  index: VectorIndex,
  policy: RandomPolicy,
  { tenantId: tenant, classes, documents }: WrittenPolicy,
  { ranks }: VisibleSet,
): Promise<readonly number[]> {
  await index.upsert(
    policy.classes.map((_, i) => ({
      chunkId: chunkId(classes[i] ?? -1),
      documentId: documentId(documents[i] ?? ''),
      version: 1,
      classId: classes[i] ?? classId(-1),
      tenant: tenantId(tenant),
      embedding: Float32Array.of(1, 0),
      terms: { ids: [7], weights: [1] },
    })),
  );
  const visible = visibilityFilter(ranks.keys());
  if (visible.kind === 'nothing') return [];
  const { dense, sparse } = await index.search({
    tenant: tenantId(tenant),
    visible,
    dense: Float32Array.of(1, 0),
    terms: [7],
    limit: 50,
  });
  const lists = [dense, sparse].map((hits) =>
    hits.map((hit) => classes.findIndex((id) => Number(id) === hit.chunkId)).sort(byNumber),
  );
  expect(lists[1]).toEqual(lists[0]);
  return lists[0] ?? [];
}

const sorted = ({ ranks }: VisibleSet) => [...ranks].sort(([a], [b]) => a - b);
const byNumber = (a: number, b: number) => a - b;

function callerOf(policy: RandomPolicy, written: WrittenPolicy): CallerIdentity {
  return {
    tenant: written.tenant,
    user: 'user:w|u',
    tokenGroups: [],
    actor: policy.withActor ? 'service:w|s' : undefined,
    acr: policy.acr,
    authTime: authTime(policy, written),
  };
}

function authTime(policy: RandomPolicy, written: WrittenPolicy) {
  return policy.authAgeSeconds === undefined
    ? undefined
    : instant(written.now - policy.authAgeSeconds * 1000);
}

/** `decide` on a subject put together from the random policy itself, without the database. */
function decideIndependently(policy: RandomPolicy, written: WrittenPolicy, document: number) {
  const lookup = classLookup(policy, written);
  const at = (hours: number | undefined) =>
    hours === undefined ? undefined : instant(written.now + hours * 3_600_000);
  const user = closure(policy, [USER, EVERYONE]);
  const ids = (set: ReadonlySet<number>) =>
    new Set([...set].map((i) => principalId(written.principals[i] ?? -1)));
  const subject: Subject = {
    tenant: written.tenantId as Subject['tenant'],
    user: {
      principal: principalId(written.principals[USER] ?? -1),
      name: 'user:w|u',
      principals: ids(user),
      clearances: policy.clearances
        .filter((c) => user.has(c.principal))
        .map((c) => ({
          principal: principalId(written.principals[c.principal] ?? -1),
          rank: c.rank,
          compartments: new Set(c.compartments),
          validFrom: at(c.from),
          validUntil: at(c.until),
        })),
      assurance: { acr: policy.acr, authTime: authTime(policy, written), directoryAsOf: written.now },
    },
    actor: policy.withActor
      ? {
          principal: principalId(written.principals[ACTOR] ?? -1),
          name: 'service:w|s',
          principals: ids(closure(policy, [ACTOR])),
          ceiling: policy.ceiling && {
            rank: policy.ceiling.rank,
            compartments: new Set(policy.ceiling.compartments),
            containers: new Set(
              policy.ceiling.containers.flatMap((c) => written.classes[c % policy.classes.length] ?? []),
            ),
          },
        }
      : undefined,
  };
  const cls = written.classes[document];
  if (cls === undefined) throw new Error('no such document');
  return decide({ subject, class: cls, lookup: (id) => lookup.get(id), scheme: SCHEME, now: written.now });
}

/** Groups reached through memberships valid now, by brute force. */
function closure(policy: RandomPolicy, start: readonly number[]): ReadonlySet<number> {
  const valid = policy.memberships.filter((m) => (m.from ?? -1) < 0 && (m.until ?? 1) > 0);
  const reached = new Set(start);
  for (let i = 0; i <= policy.groups + FIRST_GROUP; i += 1)
    for (const m of valid) if (reached.has(m.member)) reached.add(m.group);
  return reached;
}
