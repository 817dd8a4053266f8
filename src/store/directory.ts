import { type RawBuilder, sql } from 'kysely';
import { type Instant, type PrincipalId, principalId } from '../policy/ids.ts';
import type { Validity } from '../policy/validity.ts';
import type { Database, Work } from './database.ts';
import { refuseUnknownContainers, refuseUnknownLevels, refuseUnknownPrincipals } from './known-names.ts';
import type { SessionContext } from './session-context.ts';

/** A person or a service. Principals are in text form throughout, see policy/principal.ts. */
export interface AccountRecord {
  readonly principal: string;
  /** The directory source that vouches for the account. */
  readonly source: string;
  readonly displayName: string;
  readonly email?: string | undefined;
  readonly status: 'active' | 'disabled';
}

export interface GroupRecord {
  readonly principal: string;
  readonly displayName: string;
}

/** A group with all its members: who is not named is no longer one. */
export interface GroupMembers {
  readonly group: string;
  readonly members: readonly ({ readonly principal: string } & Validity)[];
}

export interface ClearanceRecord extends Validity {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
}

export interface BindingRecord extends Validity {
  readonly principal: string;
  /** Path of a container, `/` for the tenant. */
  readonly container: string;
  readonly right: string;
}

export interface CeilingRecord {
  readonly principal: string;
  readonly level: string;
  readonly compartments: readonly string[];
  /** Paths. */
  readonly containers: readonly string[];
}

export interface PrincipalRow {
  readonly id: PrincipalId;
  readonly key: string;
  readonly kind: 'user' | 'group' | 'service' | 'everyone';
  readonly displayName: string;
  readonly status: 'active' | 'disabled';
}

/**
 * Who there is and what they hold, written as the administrator it is bound to: row-level security asks for
 * `administer` on the root (role bindings: on the container). Each method writes in bulk and changes nothing
 * when everything is as given already, so that a repeated import raises no epoch.
 * Raising one's own rights is not refused here but in admin, which knows who asks.
 */
export class Directory {
  readonly #run: <T>(work: (trx: Work) => Promise<T>) => Promise<T>;

  private constructor(run: <T>(work: (trx: Work) => Promise<T>) => Promise<T>) {
    this.#run = run;
  }

  /** Each method is a transaction of its own. */
  static as(database: Database, context: SessionContext): Directory {
    return new Directory((work) => database.unitOfWork('admin', context, work));
  }

  /** Several methods, and the audit event that tells of them, in one unit of work of role `admin`. */
  static within(trx: Work): Directory {
    return new Directory((work) => work(trx));
  }

  upsertAccounts(accounts: readonly AccountRecord[]): Promise<void> {
    return this.#run(async (trx) => {
      await addPrincipals(trx, accounts);
      await sql`
        insert into bulkhead.directory_account as a (principal_id, tenant_id, source, display_name, email, status)
        select p.id, bulkhead.ctx_tenant(), r.source, r."displayName", r.email, r.status
        from jsonb_to_recordset(${json(accounts)}) as r (principal text, source text, "displayName" text, email text, status text)
        join bulkhead.principal p on p.key = r.principal
        on conflict (principal_id) do update set source = excluded.source, display_name = excluded.display_name,
          email = excluded.email, status = excluded.status
        where (a.source, a.display_name, a.email, a.status)
          is distinct from (excluded.source, excluded.display_name, excluded.email, excluded.status)`.execute(
        trx,
      );
    });
  }

  upsertGroups(groups: readonly GroupRecord[]): Promise<void> {
    return this.#run(async (trx) => {
      await addPrincipals(trx, groups);
      await sql`
        insert into bulkhead.directory_group as g (principal_id, tenant_id, display_name)
        select p.id, bulkhead.ctx_tenant(), r."displayName"
        from jsonb_to_recordset(${json(groups)}) as r (principal text, "displayName" text)
        join bulkhead.principal p on p.key = r.principal
        on conflict (principal_id) do update set display_name = excluded.display_name
        where g.display_name <> excluded.display_name`.execute(trx);
    });
  }

  /** @throws BulkheadError `unknown_principal` */
  setMembers(groups: readonly GroupMembers[]): Promise<void> {
    return this.#run(async (trx) => {
      const given = groups.flatMap(({ group, members }) => members.map((member) => ({ group, ...member })));
      await refuseUnknownPrincipals(trx, [...groups.map(({ group }) => group), ...given.map(nameOf)]);
      await sql`
        delete from bulkhead.membership m using bulkhead.principal g, bulkhead.principal p
        where g.id = m.group_id and p.id = m.member_id and g.key = any (${groups.map(({ group }) => group)}::text[])
          and not exists (select 1 from jsonb_to_recordset(${json(given)}) as r ("group" text, principal text)
            where r."group" = g.key and r.principal = p.key)`.execute(trx);
      await sql`
        insert into bulkhead.membership as m (tenant_id, group_id, member_id, valid_from, valid_until)
        select bulkhead.ctx_tenant(), g.id, p.id, ${FROM}, ${UNTIL}
        from jsonb_to_recordset(${json(given)}) as r ("group" text, principal text, ${BOUNDS})
        join bulkhead.principal g on g.key = r."group" join bulkhead.principal p on p.key = r.principal
        on conflict (member_id, group_id) do update set valid_from = excluded.valid_from, valid_until = excluded.valid_until
        where (m.valid_from, m.valid_until) is distinct from (excluded.valid_from, excluded.valid_until)`.execute(
        trx,
      );
    });
  }

  /** @throws BulkheadError `unknown_principal`, `unknown_level` */
  grantClearance(clearances: readonly ClearanceRecord[]): Promise<void> {
    return this.#run(async (trx) => {
      await refuseUnknownPrincipals(trx, clearances.map(nameOf));
      await refuseUnknownLevels(trx, clearances);
      await sql`
        insert into bulkhead.clearance (tenant_id, principal_id, level, rank, compartments, valid_from, valid_until)
        select distinct bulkhead.ctx_tenant(), p.id, l.name, l.rank, ${COMPARTMENTS}, ${FROM}, ${UNTIL}
        from jsonb_to_recordset(${json(clearances)}) as r (principal text, level text, compartments jsonb, ${BOUNDS})
        join bulkhead.principal p on p.key = r.principal join bulkhead.sensitivity_level l on l.name = r.level
        where not exists (select 1 from bulkhead.clearance k where k.principal_id = p.id and k.level = l.name
          and k.compartments = ${COMPARTMENTS}
          and (k.valid_from, k.valid_until) is not distinct from (${FROM}, ${UNTIL}))`.execute(trx);
    });
  }

  /** @returns how many of these clearances there were */
  revokeClearance(ids: readonly number[]): Promise<number> {
    return this.#run(async (trx) => {
      const { rows } = await sql`
        delete from bulkhead.clearance where id = any (${[...ids]}::int[]) returning id`.execute(trx);
      return rows.length;
    });
  }

  /** @throws BulkheadError `unknown_principal`, `unknown_container` */
  bindRight(bindings: readonly BindingRecord[]): Promise<void> {
    return this.#run(async (trx) => {
      await refuseUnknownPrincipals(trx, bindings.map(nameOf));
      await refuseUnknownContainers(
        trx,
        bindings.map(({ container }) => container),
      );
      await sql`
        insert into bulkhead.role_binding (tenant_id, container_id, principal_id, right_name, valid_from, valid_until)
        select bulkhead.ctx_tenant(), c.id, p.id, r."right", ${FROM}, ${UNTIL}
        from jsonb_to_recordset(${json(bindings)}) as r (principal text, container text, "right" text, ${BOUNDS})
        join bulkhead.principal p on p.key = r.principal join bulkhead.access_class c on c.path = r.container
        on conflict do nothing`.execute(trx);
    });
  }

  /** @throws BulkheadError `unknown_principal`, `unknown_level`, `unknown_container` */
  setCeiling(ceilings: readonly CeilingRecord[]): Promise<void> {
    return this.#run(async (trx) => {
      await refuseUnknownPrincipals(trx, ceilings.map(nameOf));
      await refuseUnknownLevels(trx, ceilings);
      await refuseUnknownContainers(
        trx,
        ceilings.flatMap(({ containers }) => containers),
      );
      await sql`
        insert into bulkhead.actor_ceiling as a (principal_id, tenant_id, level, rank, compartments, containers)
        select p.id, bulkhead.ctx_tenant(), l.name, l.rank, ${COMPARTMENTS},
          array(select c.id from bulkhead.access_class c
            where c.path in (select jsonb_array_elements_text(r.containers)) order by c.id)
        from jsonb_to_recordset(${json(ceilings)}) as r (principal text, level text, compartments jsonb, containers jsonb)
        join bulkhead.principal p on p.key = r.principal join bulkhead.sensitivity_level l on l.name = r.level
        on conflict (principal_id) do update set level = excluded.level, rank = excluded.rank,
          compartments = excluded.compartments, containers = excluded.containers
        where (a.level, a.compartments, a.containers)
          is distinct from (excluded.level, excluded.compartments, excluded.containers)`.execute(trx);
    });
  }

  /** Says that the sources were current at the instant. It never goes back. */
  touchSource(sources: readonly string[], asOf: Instant): Promise<void> {
    return this.#run(async (trx) => {
      await sql`
        insert into bulkhead.directory_source as s (tenant_id, source, as_of, kept)
        select bulkhead.ctx_tenant(), name, to_timestamp(${asOf}::float8 / 1000), true
        from unnest(${[...sources]}::text[]) name
        on conflict (tenant_id, source) do update set as_of = greatest(s.as_of, excluded.as_of), kept = true
        where s.as_of < excluded.as_of or not s.kept`.execute(trx);
    });
  }

  /** Everyone of the directory, by key. */
  listPrincipals(): Promise<readonly PrincipalRow[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<PrincipalRow>`
        select p.id, p.key, p.kind, coalesce(a.display_name, g.display_name, p.key) as "displayName",
          coalesce(a.status, 'active') as status
        from bulkhead.principal p
        left join bulkhead.directory_account a on a.principal_id = p.id
        left join bulkhead.directory_group g on g.principal_id = p.id
        order by p.key`.execute(trx);
      return rows.map((row) => ({ ...row, id: principalId(row.id) }));
    });
  }
}

const json = (rows: unknown): RawBuilder<unknown> => sql`${JSON.stringify(rows)}::text::jsonb`;

/** Instants travel as milliseconds; the columns keep no more. */
const BOUNDS = sql`"validFrom" float8, "validUntil" float8`;
const FROM = sql`to_timestamp(r."validFrom" / 1000)::timestamptz(3)`;
const UNTIL = sql`to_timestamp(r."validUntil" / 1000)::timestamptz(3)`;
/** Sorted and each once, so that equal sets are equal arrays. */
const COMPARTMENTS = sql`array(select distinct c from jsonb_array_elements_text(r.compartments) c order by c)`;

const nameOf = ({ principal }: { readonly principal: string }): string => principal;

async function addPrincipals(trx: Work, records: readonly { readonly principal: string }[]): Promise<void> {
  await sql`
    insert into bulkhead.principal (tenant_id, kind, key)
    select bulkhead.ctx_tenant(), split_part(r.key, ':', 1), r.key from unnest(${records.map(nameOf)}::text[]) as r (key)
    where not exists (select 1 from bulkhead.principal p where p.key = r.key)
    on conflict do nothing`.execute(trx);
}
