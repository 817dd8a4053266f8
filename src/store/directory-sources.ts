import { sql } from 'kysely';
import type { Work } from './database.ts';

/** Everything that one source has in the directory, by the principals' keys. */
export interface SourceContent {
  readonly accounts: readonly {
    readonly key: string;
    readonly displayName: string;
    readonly email: string | null;
    readonly active: boolean;
  }[];
  readonly groups: readonly { readonly key: string; readonly displayName: string }[];
  /** Between groups of the source and its own accounts and groups; what an administrator added is not the source's. */
  readonly memberships: readonly { readonly group: string; readonly member: string }[];
}

/** In a unit of work of role `admin`. */
export async function readSource(trx: Work, source: string): Promise<SourceContent> {
  const prefix = `group:${source}|`;
  const { rows: accounts } = await sql<SourceContent['accounts'][number]>`
    select p.key, a.display_name as "displayName", a.email, a.status = 'active' as active
    from bulkhead.directory_account a join bulkhead.principal p on p.id = a.principal_id
    where a.source = ${source} order by p.key collate "C"`.execute(trx);
  const { rows: groups } = await sql<SourceContent['groups'][number]>`
    select p.key, g.display_name as "displayName"
    from bulkhead.directory_group g join bulkhead.principal p on p.id = g.principal_id
    where starts_with(p.key, ${prefix}) order by p.key collate "C"`.execute(trx);
  const { rows: memberships } = await sql<SourceContent['memberships'][number]>`
    select g.key as "group", p.key as member
    from bulkhead.membership m join bulkhead.principal g on g.id = m.group_id
    join bulkhead.principal p on p.id = m.member_id
    left join bulkhead.directory_account a on a.principal_id = p.id
    where starts_with(g.key, ${prefix}) and (a.source = ${source} or starts_with(p.key, ${prefix}))
    order by g.key collate "C", p.key collate "C"`.execute(trx);
  return { accounts, groups, memberships };
}

/** Which of these keys are accounts of another source. */
export async function accountsElsewhere(
  trx: Work,
  source: string,
  keys: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await sql<{ key: string }>`
    select p.key from bulkhead.directory_account a join bulkhead.principal p on p.id = a.principal_id
    where a.source <> ${source} and p.key = any (${[...keys]}::text[]) order by p.key`.execute(trx);
  return rows.map(({ key }) => key);
}

type Pairs = readonly { readonly group: string; readonly member: string }[];

/** Needs `administer` on the root. The principals are there. */
export async function addMemberships(trx: Work, pairs: Pairs): Promise<void> {
  await sql`
    insert into bulkhead.membership (tenant_id, group_id, member_id)
    select bulkhead.ctx_tenant(), g.id, p.id from jsonb_to_recordset(${JSON.stringify(pairs)}::text::jsonb) as r ("group" text, member text)
    join bulkhead.principal g on g.key = r."group" join bulkhead.principal p on p.key = r.member
    on conflict do nothing`.execute(trx);
}

/** Needs `administer` on the root. */
export async function dropMemberships(trx: Work, pairs: Pairs): Promise<void> {
  await sql`
    delete from bulkhead.membership m
    using jsonb_to_recordset(${JSON.stringify(pairs)}::text::jsonb) as r ("group" text, member text),
      bulkhead.principal g, bulkhead.principal p
    where g.key = r."group" and p.key = r.member and m.group_id = g.id and m.member_id = p.id`.execute(trx);
}

/**
 * Takes these principals out of every group, hand-made ones too, but for those of other sources that a deny reaches: who
 * comes back under the same key is not rid of what a person denied them. Needs `administer` on the root, or the scope.
 */
export async function dropMembershipsOf(trx: Work, source: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  await sql`
    with recursive above(id, first) as (
      select m.group_id, m.group_id from bulkhead.membership m join bulkhead.principal p on p.id = m.member_id
        where p.key = any (${[...keys]}::text[])
      union select m.group_id, above.first from above join bulkhead.membership m on m.member_id = above.id)
    delete from bulkhead.membership m using bulkhead.principal p, bulkhead.principal g
    where p.id = m.member_id and p.key = any (${[...keys]}::text[]) and g.id = m.group_id
      and (starts_with(g.key, ${`group:${source}|`}) or not exists (
        select 1 from above join bulkhead.entry e on e.principal_id = above.id and e.effect = 'deny'
        where above.first = m.group_id))`.execute(trx);
}

export interface SourceStatus {
  readonly source: string;
  /** Milliseconds since 1970; `null`: never known to be current. */
  readonly asOf: number | null;
  readonly accounts: number;
  readonly disabled: number;
  readonly groups: number;
}

/** Every source of the tenant, by name. */
export async function sourceStatus(trx: Work): Promise<readonly SourceStatus[]> {
  const { rows } = await sql<SourceStatus>`
    with named as (
      select source from bulkhead.directory_source
      union select source from bulkhead.directory_account),
    accounts as (
      select source, count(*)::int as accounts, count(*) filter (where status <> 'active')::int as disabled
      from bulkhead.directory_account group by source),
    groups as (
      select split_part(substr(p.key, 7), '|', 1) as source, count(*)::int as groups
      from bulkhead.directory_group g join bulkhead.principal p on p.id = g.principal_id group by 1)
    select n.source, bulkhead.ms(s.as_of) as "asOf", coalesce(a.accounts, 0) as accounts,
      coalesce(a.disabled, 0) as disabled, coalesce(g.groups, 0) as groups
    from (select source from named union select source from groups) n
    left join bulkhead.directory_source s on s.source = n.source
    left join accounts a on a.source = n.source left join groups g on g.source = n.source
    order by n.source collate "C"`.execute(trx);
  return rows;
}
