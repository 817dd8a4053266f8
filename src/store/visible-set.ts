import { sql } from 'kysely';
import { type ClassId, classId } from '../policy/ids.ts';
import type { PolicyEpoch } from './authority.ts';
import type { Database } from './database.ts';
import type { ProcessRole } from './process-role.ts';
import type { SessionContext } from './session-context.ts';

/** The classes a caller may read, with their effective ranks, and the epoch they were computed in. */
export interface VisibleSet {
  readonly epoch: PolicyEpoch;
  readonly watermark: number;
  readonly ranks: ReadonlyMap<ClassId, number>;
}

interface Row {
  readonly incarnation: string;
  readonly counter: number;
  readonly watermark: number;
  readonly ids: readonly number[] | null;
  readonly ranks: readonly number[] | null;
}

/**
 * The first enforcer: V(user part) ∩ ceiling(actor part), computed with the epoch in one statement. Row-level
 * security never uses it, so that each catches the other's mistakes.
 * @param above only classes interned after this watermark, to extend a cached set
 * @param role whose unit of work it is: every condition is in the statement, so that one that sees more reads the same
 */
export async function readVisibleSet(
  database: Database,
  context: SessionContext,
  above: number | undefined,
  role: Extract<ProcessRole, 'retrieve' | 'admin'> = 'retrieve',
): Promise<VisibleSet> {
  const [row] = await database.statement(role, context, statement(context, above ?? -1));
  if (row === undefined) throw new Error('the tenant has no policy epoch');
  const ranks = new Map<ClassId, number>();
  row.ids?.forEach((id, i) => {
    ranks.set(classId(id), row.ranks?.[i] ?? Number.POSITIVE_INFINITY);
  });
  return { epoch: { incarnation: row.incarnation, counter: row.counter }, watermark: row.watermark, ranks };
}

function statement(context: SessionContext, above: number) {
  const principals = [...context.principals];
  const actors = [...context.actorPrincipals];
  const now = new Date(context.now).toISOString();
  return sql<Row>`
    with recursive
    candidate as materialized (
      select distinct a.class_id as id
      from bulkhead.entry e
      join bulkhead.class_ancestor a on a.ancestor_id = e.class_id and a.allows_pass
      join bulkhead.access_class c on c.id = a.class_id and c.seq > ${above}
      where e.tenant_id = ${context.tenant} and e.effect = 'allow' and e.principal_id = any (${principals}::int[])
        and bulkhead.valid_at(e.valid_from, e.valid_until, ${now}::timestamptz)),
    denied as materialized (
      select a.class_id as id
      from bulkhead.entry e join bulkhead.class_ancestor a on a.ancestor_id = e.class_id
      where e.tenant_id = ${context.tenant} and e.effect = 'deny'
        and e.principal_id = any (${principals}::int[] || ${actors}::int[])
        and bulkhead.valid_at(e.valid_from, e.valid_until, ${now}::timestamptz)),
    labelled as materialized (
      select id, rank, compartments from bulkhead.access_class
      where tenant_id = ${context.tenant} and (rank is not null or compartments <> '{}')),
    effective as materialized (
      select k.id, max(l.rank) as rank
      from candidate k join bulkhead.class_ancestor a on a.class_id = k.id join labelled l on l.id = a.ancestor_id
      group by k.id),
    held as materialized (
      select id, rank, compartments from bulkhead.clearance
      where tenant_id = ${context.tenant} and principal_id = any (${principals}::int[])
        and bulkhead.valid_at(valid_from, valid_until, ${now}::timestamptz)),
    -- what each clearance alone does not dominate, and everything below it
    beyond as materialized (
      select distinct h.id as clearance_id, a.class_id
      from held h
      join labelled l on l.rank > h.rank or not l.compartments <@ h.compartments
      join bulkhead.class_ancestor a on a.ancestor_id = l.id),
    ${ceilingOf(context)}
    visible as (
      select f.id, f.rank from effective f
      where f.rank <= ${context.maxRank}
        and not exists (select 1 from denied d where d.id = f.id)
        and exists (select 1 from held h
          where not exists (select 1 from beyond b where b.clearance_id = h.id and b.class_id = f.id))
        ${context.actor === undefined ? sql`` : sql`and exists (select 1 from admitted m where m.id = f.id)`})
    select p.incarnation, p.counter, p.watermark,
      (select array_agg(id order by id) from visible) as ids,
      (select array_agg(rank order by id) from visible) as ranks
    from bulkhead.policy_epoch p where p.tenant_id = ${context.tenant}`;
}

/** The classes that the acting service's ceiling admits; an actor without one admits none. */
function ceilingOf(context: SessionContext) {
  if (context.actor === undefined) return sql``;
  return sql`
    ceiling as materialized (
      select rank, compartments, containers from bulkhead.actor_ceiling where principal_id = ${context.actor}),
    admitted as materialized (
      select a.class_id as id from ceiling g join bulkhead.class_ancestor a on a.ancestor_id = any (g.containers)
      except
      select a.class_id from ceiling g
        join labelled l on l.rank > g.rank or not l.compartments <@ g.compartments
        join bulkhead.class_ancestor a on a.ancestor_id = l.id),`;
}
