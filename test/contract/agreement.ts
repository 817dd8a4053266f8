import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide } from '../../src/policy/decide.ts';
import { documentId, instant, principalId } from '../../src/policy/ids.ts';
import type { Subject } from '../../src/policy/subject.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import type { Database } from '../../src/store/database.ts';
import { ReadableDocuments } from '../../src/store/passages.ts';
import { readVisibleSet } from '../../src/store/visible-set.ts';
import {
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

/** On any engine: whatever the policy, the two enforcers in SQL allow exactly what the definition in code allows. */
export function agreementContract(engine: string, runs: number, open: () => Promise<Database>): void {
  describe(`Agreement: decide(), the visible set and row-level security agree on every document, on ${engine}`, () => {
    let database: Database;
    beforeAll(async () => {
      database = await open();
      await writeLevels(database);
    });
    afterAll(() => database.close());

    it(`on ${runs} random policies`, { timeout: 3_600_000 }, () => agreesOnRandomPolicies(database, runs));
  });
}

async function agreesOnRandomPolicies(database: Database, runs: number): Promise<void> {
  const outcomes = { allow: 0, deny: 0, stepUp: 0 };
  await fc.assert(
    fc.asyncProperty(randomPolicy, async (policy) => {
      const written = await writePolicy(database, policy);
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

      const readable = await ReadableDocuments.as(database, authority.context).matching({});
      expect(readable.map((id) => written.documents.indexOf(id)).sort(byNumber)).toEqual(decided);

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
