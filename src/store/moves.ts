/** What moving a container below another one would give to some principals, besides entries and labels. */
import { type RawBuilder, sql } from 'kysely';
import type { ClassId, PrincipalId } from '../policy/ids.ts';
import type { Label } from '../policy/label.ts';
import type { Work } from './database.ts';

export interface Move {
  readonly container: ClassId;
  /** The container that it is to hang below. */
  readonly to: ClassId;
}

/**
 * Whether one of the principals holds a right where the container is to go, now or later, that none of them holds for as
 * long where it is.
 */
export function bringsRights(
  trx: Work,
  principals: ReadonlySet<PrincipalId>,
  { container, to }: Move,
): Promise<boolean> {
  const ids = sql`any (${[...principals]}::int[])`;
  const now = sql`(select bulkhead.ctx_now())`;
  return exists(
    trx,
    sql`select 1 from bulkhead.role_binding b
      where b.principal_id = ${ids} and b.container_id in (${above(to)})
        and (b.valid_until is null or b.valid_until > ${now})
        and not exists (
          select 1 from bulkhead.role_binding held
          where held.principal_id = ${ids} and held.container_id in (${above(container)})
            and held.right_name = b.right_name
            and coalesce(held.valid_from, '-infinity') <= greatest(b.valid_from, ${now})
            and coalesce(held.valid_until, 'infinity') >= coalesce(b.valid_until, 'infinity'))`,
  );
}

/**
 * Whether the container would come within what one of the principals is limited to: its containers, or its level and
 * compartments. What is below has the container's label too, and so comes within these only when it does.
 * @param labels the container's effective label where it is and where it goes
 */
export function entersLimits(
  trx: Work,
  principals: ReadonlySet<PrincipalId>,
  { container, to }: Move,
  labels: { readonly before: Label | undefined; readonly after: Label | undefined },
): Promise<boolean> {
  return exists(
    trx,
    sql`select 1 from bulkhead.actor_ceiling l
      where l.principal_id = any (${[...principals]}::int[])
        and (l.containers && array(${above(to)}) and not l.containers && array(${above(container)})
          or l.containers && array(${above(to)} union ${below(container)})
            and ${isWithin(labels.after)} and not ${isWithin(labels.before)})`,
  );
}

function isWithin(label: Label | undefined): RawBuilder<unknown> {
  if (label === undefined) return sql`false`;
  return sql`(${label.rank} <= l.rank and ${[...label.compartments]}::text[] <@ l.compartments)`;
}

/** The class itself is its own ancestor. */
const above = (id: ClassId) => sql`select ancestor_id from bulkhead.class_ancestor where class_id = ${id}`;
const below = (id: ClassId) => sql`select class_id from bulkhead.class_ancestor where ancestor_id = ${id}`;

async function exists(trx: Work, query: RawBuilder<unknown>): Promise<boolean> {
  const { rows } = await query.execute(trx);
  return rows.length > 0;
}
