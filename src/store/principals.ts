import { sql } from 'kysely';
import { classId, type PrincipalId, principalId } from '../policy/ids.ts';
import type { ActorPart } from '../policy/subject.ts';
import type { Validity } from '../policy/validity.ts';
import type { Work } from './database.ts';
import type { PrincipalRow } from './directory.ts';
import { KEPT } from './kept-plan.ts';

/** Instants in milliseconds since 1970; `null` is unbounded. */
export interface MembershipRow {
  readonly member: string;
  readonly memberId: PrincipalId;
  readonly from: number | null;
  readonly until: number | null;
}

export interface ClearanceRow {
  readonly id: number;
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
  readonly from: number | null;
  readonly until: number | null;
}

export interface CeilingRow {
  readonly level: string;
  readonly compartments: readonly string[];
  readonly containers: readonly string[];
}

/** Reading the directory in a unit of work of role `admin`, which sees all of the tenant: admin asks for the right. */
export class Principals {
  readonly #trx: Work;

  private constructor(trx: Work) {
    this.#trx = trx;
  }

  static within(trx: Work): Principals {
    return new Principals(trx);
  }

  /** By key, after `after`: those whose key or display name begins with the prefix, letter case aside. */
  async list(prefix: string, after: string, limit: number): Promise<readonly PrincipalRow[]> {
    const { rows } = await sql<PrincipalRow>`
      select * from (${PRINCIPALS}) t
      where key collate "C" > ${after}
        and (starts_with(lower(key), lower(${prefix})) or starts_with(lower("displayName"), lower(${prefix})))
      order by key collate "C" limit ${limit}`.execute(this.#trx);
    return rows;
  }

  async find(key: string): Promise<PrincipalRow | undefined> {
    const { rows } = await sql<PrincipalRow>`select * from (${PRINCIPALS}) t where key = ${key}`.execute(
      this.#trx,
    );
    return rows[0];
  }

  /** The ids of those that exist. */
  async idsOf(keys: readonly string[]): Promise<ReadonlyMap<string, PrincipalId>> {
    const { rows } = await sql<{ key: string; id: number }>`${KEPT}
      select key, id from bulkhead.principal where key = any (${[...keys]}::text[])`.execute(this.#trx);
    return new Map(rows.map(({ key, id }) => [key, principalId(id)]));
  }

  async byIds(ids: Iterable<PrincipalId>): Promise<readonly PrincipalRow[]> {
    const { rows } = await sql<PrincipalRow>`
      select * from (${PRINCIPALS}) t where id = any (${[...ids]}::int[])`.execute(this.#trx);
    return rows;
  }

  /** A group's own members; what is inside a member group is not listed. */
  async membersOf(group: string): Promise<readonly MembershipRow[]> {
    const { rows } = await sql<MembershipRow>`
      select p.key as member, p.id as "memberId", bulkhead.ms(m.valid_from) as "from", bulkhead.ms(m.valid_until) as until
      from bulkhead.membership m join bulkhead.principal p on p.id = m.member_id
      join bulkhead.principal g on g.id = m.group_id
      where g.key = ${group} order by p.key collate "C"`.execute(this.#trx);
    return rows;
  }

  /** One row; a membership that is there gets the new validity. Needs `administer` on the root. */
  async setMember(
    group: PrincipalId,
    member: PrincipalId,
    { validFrom, validUntil }: Validity,
  ): Promise<void> {
    await sql`
      insert into bulkhead.membership (tenant_id, group_id, member_id, valid_from, valid_until)
      values (bulkhead.ctx_tenant(), ${group}, ${member}, to_timestamp(${validFrom ?? null}::float8 / 1000),
        to_timestamp(${validUntil ?? null}::float8 / 1000))
      on conflict (member_id, group_id) do update
        set valid_from = excluded.valid_from, valid_until = excluded.valid_until`.execute(this.#trx);
  }

  /** Needs `administer` on the root. */
  async removeMembers(group: PrincipalId, members: readonly PrincipalId[]): Promise<void> {
    await sql`
      delete from bulkhead.membership
      where group_id = ${group} and member_id = any (${[...members]}::int[])`.execute(this.#trx);
  }

  async clearancesOf(key: string): Promise<readonly ClearanceRow[]> {
    const { rows } = await sql<ClearanceRow>`${CLEARANCES} where p.key = ${key} order by k.id`.execute(
      this.#trx,
    );
    return rows;
  }

  async ceilingOf(key: string): Promise<CeilingRow | undefined> {
    const { rows } = await sql<CeilingRow>`
      select a.level, a.compartments, array(select c.path from bulkhead.access_class c
        where c.id = any (a.containers) order by c.path collate "C") as containers
      from bulkhead.actor_ceiling a join bulkhead.principal p on p.id = a.principal_id where p.key = ${key}`.execute(
      this.#trx,
    );
    return rows[0];
  }

  /** Those of the principals that have a ceiling, as the acting part that it makes of them, without their groups. */
  async limitsAmong(principals: readonly PrincipalRow[]): Promise<readonly ActorPart[]> {
    const names = new Map(principals.map(({ id, key }) => [id, key]));
    const { rows } = await sql<{ id: number; rank: number; compartments: string[]; containers: number[] }>`
      select principal_id as id, rank, compartments, containers from bulkhead.actor_ceiling
      where principal_id = any (${[...names.keys()]}::int[])`.execute(this.#trx);
    return rows.map(({ rank, compartments, containers, ...row }) => {
      const id = principalId(row.id);
      const ceiling = {
        rank,
        compartments: new Set(compartments),
        containers: new Set(containers.map(classId)),
      };
      return { principal: id, name: names.get(id) ?? '', principals: new Set([id]), ceiling };
    });
  }

  /** One row. Needs `administer` on the root. @returns whether there is such an account */
  async setStatus(key: string, status: 'active' | 'disabled'): Promise<boolean> {
    const { rows } = await sql`
      update bulkhead.directory_account a set status = ${status} from bulkhead.principal p
      where p.id = a.principal_id and p.key = ${key} returning a.principal_id`.execute(this.#trx);
    return rows.length > 0;
  }
}

const PRINCIPALS = sql`
  select p.id, p.key, p.kind, coalesce(a.display_name, g.display_name, p.key) as "displayName",
    coalesce(a.status, 'active') as status
  from bulkhead.principal p
  left join bulkhead.directory_account a on a.principal_id = p.id
  left join bulkhead.directory_group g on g.principal_id = p.id`;

const CLEARANCES = sql`
  select k.id, p.key as principal, k.level, k.compartments, bulkhead.ms(k.valid_from) as "from",
    bulkhead.ms(k.valid_until) as until
  from bulkhead.clearance k join bulkhead.principal p on p.id = k.principal_id`;
