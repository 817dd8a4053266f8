import { sql } from 'kysely';
import type { AccessClass } from '../../src/policy/access-class.ts';
import { type ClassId, classId, type Instant, instant, principalId } from '../../src/policy/ids.ts';
import type { LabelScheme } from '../../src/policy/label.ts';
import type { Database } from '../../src/store/database.ts';
import { ACTOR, EVERYONE, type RandomPolicy, type RandomValidity, USER } from './random-policy.ts';

/** Four levels; the highest asks for a second factor at most a day old. */
export const SCHEME: LabelScheme = {
  levels: ['public', 'internal', 'confidential', 'restricted'].map((name, rank) => ({
    name,
    rank,
    safeguards: rank === 3 ? { acr: ['mfa'], maxAuthAgeSeconds: 86_400 } : {},
  })),
  compartments: new Set(['a', 'b']),
  digest: '5'.repeat(64),
};

/** Ids as written, by index of the random policy; documents stand at the index of their class. */
export interface WrittenPolicy {
  readonly tenant: string;
  readonly tenantId: number;
  readonly principals: readonly number[];
  readonly classes: readonly ClassId[];
  readonly documents: readonly string[];
  readonly now: Instant;
}

/**
 * Runs statements as the superuser, as nothing but a test and a migration can.
 * @returns the rows of the statement; of several, those of the last
 */
export async function asSuperuser<T = unknown>(
  database: Database,
  statements: string,
): Promise<readonly T[]> {
  return database.unitOfWork('admin', undefined, async (trx) => {
    await sql
      .raw(
        'set local role none; set local session authorization postgres; set local search_path = bulkhead, public',
      )
      .execute(trx);
    const { rows } = await sql.raw<T>(statements).execute(trx);
    return rows;
  });
}

export async function writeLevels(database: Database): Promise<void> {
  const values = SCHEME.levels.map((level) => `('${level.name}', ${level.rank})`).join(', ');
  await asSuperuser(
    database,
    `insert into sensitivity_level (name, rank) values ${values};
     insert into level_scheme (digest) values ('${SCHEME.digest}')`,
  );
}

let serial = 0;

/** Writes the policy as a tenant of its own, straight into the tables, one document a class. */
export async function writePolicy(
  database: Database,
  policy: RandomPolicy,
  now = Date.now(),
): Promise<WrittenPolicy> {
  serial += 1;
  const n = serial;
  const principalCount = 3 + policy.groups;
  const base = n * 1000;
  const at = (hours: number | undefined) =>
    hours === undefined ? 'null' : `to_timestamp(${(now + hours * 3_600_000) / 1000})`;
  const when = (v: RandomValidity) => `${at(v.from)}, ${at(v.until)}`;
  const pid = (i: number) => base + i;
  const cid = (i: number) => base + i;
  const doc = (i: number) => `00000000-0000-4000-8000-${String(base + i).padStart(12, '0')}`;
  const rows = (list: readonly string[], into: string) =>
    list.length === 0 ? '' : `insert into ${into} values ${list.map((row) => `(${row})`).join(', ')};`;
  const texts = (list: readonly string[]) => `array[${list.map((c) => `'${c}'`).join(',')}]::text[]`;
  const level = (r: number) => `'${SCHEME.levels[r]?.name}', ${r}`;
  const key = (i: number) =>
    i === USER ? 'user:w|u' : i === ACTOR ? 'service:w|s' : i === EVERYONE ? 'everyone' : `group:w|g${i}`;

  await asSuperuser(
    database,
    [
      `set local session_replication_role = replica;`,
      rows([`${n}, 't${n}'`], 'tenant (id, name) overriding system value'),
      rows([`${n}, 0, ${policy.classes.length}`], 'policy_epoch (tenant_id, counter, watermark)'),
      rows(
        Array.from(
          { length: principalCount },
          (_, i) => `${pid(i)}, ${n}, '${key(i).split(':')[0]}', '${key(i)}'`,
        ),
        'principal (id, tenant_id, kind, key) overriding system value',
      ),
      rows(
        [`${pid(USER)}, ${n}, 'w', 'U'`, `${pid(ACTOR)}, ${n}, 'w', 'S'`],
        'directory_account (principal_id, tenant_id, source, display_name)',
      ),
      rows([`${n}, 'w', now()`], 'directory_source (tenant_id, source, as_of)'),
      rows(
        policy.memberships.map((m) => `${n}, ${pid(m.group)}, ${pid(m.member)}, ${when(m)}`),
        'membership (tenant_id, group_id, member_id, valid_from, valid_until)',
      ),
      rows(
        policy.clearances.map(
          (c) => `${n}, ${pid(c.principal)}, ${level(c.rank)}, ${texts(c.compartments)}, ${when(c)}`,
        ),
        'clearance (tenant_id, principal_id, level, rank, compartments, valid_from, valid_until)',
      ),
      rows(
        policy.classes.map(
          (c, i) =>
            `${cid(i)}, ${n}, ${i === 0 ? 'null' : cid(c.parent)}, ${kindOf(policy, i)}, ${c.inherits}, ${c.rank === undefined ? 'null, null' : level(c.rank)}, ${texts(c.compartments)}, ${i + 1}`,
        ),
        'access_class (id, tenant_id, parent_id, kind, path, intern_key, inherits, level, rank, compartments, seq)',
      ),
      rows(
        ancestry(policy).map(([c, a, passes]) => `${cid(c)}, ${cid(a)}, ${n}, ${passes}`),
        'class_ancestor (class_id, ancestor_id, tenant_id, allows_pass)',
      ),
      rows(
        policy.classes.flatMap((c, i) =>
          c.entries.map((e) => `${n}, ${cid(i)}, ${pid(e.principal)}, '${e.effect}', ${when(e)}`),
        ),
        'entry (tenant_id, class_id, principal_id, effect, valid_from, valid_until)',
      ).replace(/;$/, ' on conflict do nothing;'),
      policy.ceiling === undefined
        ? ''
        : rows(
            [
              `${pid(ACTOR)}, ${n}, ${level(policy.ceiling.rank)}, ${texts(policy.ceiling.compartments)}, array[${policy.ceiling.containers.map((c) => cid(c % policy.classes.length)).join(',')}]::int[]`,
            ],
            'actor_ceiling (principal_id, tenant_id, level, rank, compartments, containers)',
          ),
      rows(
        policy.classes.map(
          (_, i) =>
            `'${doc(i)}', ${n}, ${cid(0)}, ${cid(i)}, 's', 'd${i}', 1, 1, 'title ${i}', 'text/plain', '\\x00'`,
        ),
        'document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count, title, media_type, content_hash)',
      ),
      rows(
        policy.classes.map((_, i) => `${n}, '${doc(i)}', 1, 0, 'text ${i}', 0, 6, 2`),
        'chunk (tenant_id, document_id, version, ordinal, text, start_offset, end_offset, tokens)',
      ),
    ].join('\n'),
  );
  return {
    tenant: `t${n}`,
    tenantId: n,
    principals: Array.from({ length: principalCount }, (_, i) => pid(i)),
    classes: policy.classes.map((_, i) => classId(cid(i))),
    documents: policy.classes.map((_, i) => doc(i)),
    now: instant(now),
  };
}

/** The flattened tree, computed for the test by walking parents. */
function ancestry(policy: RandomPolicy): readonly [number, number, boolean][] {
  return policy.classes.flatMap((_, start) => {
    const rows: [number, number, boolean][] = [];
    let passes = true;
    for (let i = start; ; i = policy.classes[i]?.parent ?? 0) {
      rows.push([start, i, passes]);
      passes = passes && (policy.classes[i]?.inherits ?? false);
      if (i === 0) return rows;
    }
  });
}

/** The classes as `decide` looks them up, straight from the random policy. */
export function classLookup(policy: RandomPolicy, written: WrittenPolicy): Map<ClassId, AccessClass> {
  const at = (hours: number | undefined) =>
    hours === undefined ? undefined : instant(written.now + hours * 3_600_000);
  return new Map(
    policy.classes.map((c, i) => {
      const id = written.classes[i] ?? classId(-1);
      return [
        id,
        {
          id,
          parent: i === 0 ? undefined : written.classes[c.parent],
          inherits: c.inherits,
          label: { rank: c.rank, compartments: new Set(c.compartments) },
          entries: c.entries.map((e) => ({
            principal: principalId(written.principals[e.principal] ?? -1),
            effect: e.effect,
            validFrom: at(e.from),
            validUntil: at(e.until),
          })),
        },
      ];
    }),
  );
}

/** Kind, path and key. */
function kindOf(policy: RandomPolicy, i: number): string {
  if (i === 0) return "'container', '/', null";
  return isInterned(policy, i) ? `'adhoc', null, 'k${i}'` : `'container', '/c${i}', null`;
}

/** Every other class that has nothing below it. */
export function isInterned({ classes }: RandomPolicy, i: number): boolean {
  const isLeaf = classes.every(({ parent }, child) => child === 0 || parent !== i);
  return i % 2 === 1 && isLeaf;
}
