import { sql } from 'kysely';
import { type ClassId, classId, type PrincipalId } from '../policy/ids.ts';
import type { Validity } from '../policy/validity.ts';
import type { Work } from './database.ts';
import { KEPT } from './kept-plan.ts';
import { RIGHTS, type Right } from './rights.ts';

export interface ContainerRow {
  readonly id: ClassId;
  readonly path: string;
  readonly level: string | null;
  readonly compartments: readonly string[];
  readonly inherits: boolean;
}

/** An entry with its principal in text form. Instants in milliseconds since 1970. */
export interface EntryRow {
  readonly id: number;
  readonly principal: string;
  readonly principalId: PrincipalId;
  readonly displayName: string;
  readonly effect: 'allow' | 'deny';
  readonly from: number | null;
  readonly until: number | null;
}

/** An entry to be written. */
export interface NewEntry extends Validity {
  readonly principal: PrincipalId;
  readonly effect: 'allow' | 'deny';
}

/** An entry by its id, or all of one principal and effect. */
export type EntrySelection =
  | { readonly entry: number }
  | { readonly principal: string; readonly effect: 'allow' | 'deny' };

/** One container of the list, with the rights its reader holds there. */
export interface ListedContainer {
  readonly path: string;
  readonly rights: readonly Right[];
}

/** Containers and their own entries, in a unit of work of role `admin`. Reading them asks for no right: admin does. */
export class Containers {
  readonly #trx: Work;

  private constructor(trx: Work) {
    this.#trx = trx;
  }

  static within(trx: Work): Containers {
    return new Containers(trx);
  }

  async find(path: string): Promise<ContainerRow | undefined> {
    const { rows } = await sql<ContainerRow>`
      select id, path, level, compartments, inherits from bulkhead.access_class
      where path = ${path}`.execute(this.#trx);
    return rows[0];
  }

  /** By path, those among `visible` and those where the caller holds a right. */
  async list(visible: readonly ClassId[], after: string, limit: number): Promise<readonly ListedContainer[]> {
    const { rows } = await sql<ListedContainer>`
      with held as materialized (
        select a.class_id as id, array_agg(distinct b.right_name order by b.right_name) as rights
        from bulkhead.role_binding b join bulkhead.class_ancestor a on a.ancestor_id = b.container_id
        join bulkhead.access_class c on c.id = a.class_id and c.kind = 'container'
        where b.principal_id = any ((select bulkhead.ctx_principals())::int[])
          and b.right_name = any (${[...RIGHTS]}::text[]) and bulkhead.holds_right(a.class_id, b.right_name)
        group by a.class_id)
      select c.path, coalesce(h.rights, '{}') as rights
      from bulkhead.access_class c left join held h on h.id = c.id
      where c.kind = 'container' and c.path collate "C" > ${after}
        and (h.id is not null or c.id = any (${[...visible]}::int[]))
      order by c.path collate "C" limit ${limit}`.execute(this.#trx);
    return rows;
  }

  async entries(container: ClassId): Promise<readonly EntryRow[]> {
    const { rows } = await sql<EntryRow>`${ENTRIES} where e.class_id = ${container} order by e.id`.execute(
      this.#trx,
    );
    return rows;
  }

  /** Those of the container with this id, or with this principal and effect. */
  async selectedEntries(container: ClassId, which: EntrySelection): Promise<readonly EntryRow[]> {
    const selected =
      'entry' in which
        ? sql`e.id = ${which.entry}`
        : sql`p.key = ${which.principal} and e.effect = ${which.effect}`;
    const { rows } = await sql<EntryRow>`${KEPT}
      ${ENTRIES} where e.class_id = ${container} and ${selected} order by e.id`.execute(this.#trx);
    return rows;
  }

  /** The entry and the path of its container; `undefined` too for an entry of single documents. */
  async findEntry(id: number): Promise<(EntryRow & { readonly container: string }) | undefined> {
    const { rows } = await sql<EntryRow & { container: string }>`
      ${ENTRIES} where e.id = ${id} and c.kind = 'container'`.execute(this.#trx);
    return rows[0];
  }

  /**
   * Needs `administer` on the parent.
   * @throws DatabaseError 23505 when the path is taken
   */
  async create(
    parent: ClassId,
    container: Omit<ContainerRow, 'id'> & { readonly entries: readonly NewEntry[] },
  ): Promise<ClassId> {
    const entries = container.entries.map(({ principal, effect, validFrom, validUntil }) => ({
      principal,
      effect,
      from: validFrom ?? null,
      until: validUntil ?? null,
    }));
    const { rows } = await sql<{ id: number }>`select bulkhead.create_container(${parent}, ${container.path},
      ${container.inherits}, ${container.level}, ${[...container.compartments]}::text[],
      ${JSON.stringify(entries)}::text::jsonb) as id`.execute(this.#trx);
    return classId(rows[0]?.id ?? Number.NaN);
  }

  /**
   * One row. Needs `grant`.
   * @throws DatabaseError 23505 when the same entry is there
   */
  async addEntry(container: ClassId, entry: NewEntry): Promise<number> {
    const { rows } = await sql<{ id: number }>`${KEPT}
      insert into bulkhead.entry (tenant_id, class_id, principal_id, effect, valid_from, valid_until)
      values (bulkhead.ctx_tenant(), ${container}, ${entry.principal}, ${entry.effect},
        to_timestamp(${entry.validFrom ?? null}::float8 / 1000), to_timestamp(${entry.validUntil ?? null}::float8 / 1000))
      returning id`.execute(this.#trx);
    return rows[0]?.id ?? Number.NaN;
  }

  /** Needs `grant`. @returns how many of these there were */
  async removeEntries(ids: readonly number[]): Promise<number> {
    const { rows } = await sql`${KEPT}
      delete from bulkhead.entry where id = any (${[...ids]}::bigint[]) returning id`.execute(this.#trx);
    return rows.length;
  }

  /** One row. Needs `label`. @returns whether the caller may */
  async setLabel(
    container: ClassId,
    level: string | null,
    compartments: readonly string[],
  ): Promise<boolean> {
    const { rows } = await sql`
      update bulkhead.access_class set level = ${level}, compartments = ${[...compartments]}::text[],
        rank = (select rank from bulkhead.sensitivity_level where name = ${level})
      where id = ${container} returning id`.execute(this.#trx);
    return rows.length > 0;
  }

  /** Needs `grant`. Rewrites what is known of the tree below, no document and no entry. */
  async setInherits(container: ClassId, inherits: boolean): Promise<void> {
    await sql`select bulkhead.set_inherits(${container}, ${inherits})`.execute(this.#trx);
  }

  /**
   * Needs `grant` and `label` on both, `administer` on `to` and on the container's parent. Rewrites what is known of the
   * tree below, and the paths of containers there; no document and no entry.
   * @throws DatabaseError 23505 when `to` has a container of its name
   */
  async move(container: ClassId, to: ClassId): Promise<void> {
    await sql`select bulkhead.move_container(${container}, ${to})`.execute(this.#trx);
  }
}

const ENTRIES = sql`
  select e.id, p.key as principal, p.id as "principalId", coalesce(a.display_name, g.display_name, p.key) as "displayName", e.effect,
    bulkhead.ms(e.valid_from) as "from", bulkhead.ms(e.valid_until) as until, c.path as container
  from bulkhead.entry e join bulkhead.access_class c on c.id = e.class_id
  join bulkhead.principal p on p.id = e.principal_id
  left join bulkhead.directory_account a on a.principal_id = p.id
  left join bulkhead.directory_group g on g.principal_id = p.id`;
