import { type RawBuilder, sql } from 'kysely';
import type { PrincipalId } from '../policy/ids.ts';
import type { Work } from './database.ts';
import { condition, type FilterTarget } from './directory-filter.ts';
import { type Listing, orderOf } from './directory-users.ts';

/** A SCIM group as it is stored; its members are memberships. Instants in milliseconds since 1970. */
export interface ScimGroupRow {
  readonly id: string;
  readonly principalId: PrincipalId;
  readonly principal: string;
  readonly displayName: string;
  readonly externalId: string | null;
  readonly version: number;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type ScimGroupFields = Pick<ScimGroupRow, 'displayName' | 'externalId'>;

export interface ScimMember {
  readonly id: string;
  readonly kind: 'User' | 'Group';
}

/** A provisioned user or group of the source, by its SCIM id. */
export interface Provisioned {
  readonly id: string;
  readonly principalId: PrincipalId;
  readonly principal: string;
  readonly kind: 'User' | 'Group';
}

const COLUMNS = sql`r.id, r.principal_id as "principalId", p.key as principal, r.display_name as "displayName",
  r.external_id as "externalId", r.version, bulkhead.ms(r.created_at) as "createdAt",
  bulkhead.ms(r.modified_at) as "modifiedAt"`;
const FROM = sql`from bulkhead.scim_group r join bulkhead.principal p on p.id = r.principal_id`;

/** @returns a page, and how many there are in all */
export async function listGroups(
  trx: Work,
  { filter, sortBy, descending, offset, limit }: Listing,
): Promise<{ readonly rows: readonly ScimGroupRow[]; readonly total: number }> {
  const where = filter === undefined ? sql`true` : condition(GROUP, filter);
  const { rows: counted } = await sql<{ total: number }>`
    select count(*)::int as total from bulkhead.scim_group r where ${where}`.execute(trx);
  const order = orderOf(sortBy && GROUP.single(sortBy), descending);
  const { rows } =
    limit === 0
      ? { rows: [] }
      : await sql<ScimGroupRow>`
          select ${COLUMNS} from (
            select * from bulkhead.scim_group r where ${where} order by ${order} offset ${offset} limit ${limit}) r
          join bulkhead.principal p on p.id = r.principal_id order by ${order}`.execute(trx);
  return { rows, total: counted[0]?.total ?? 0 };
}

export async function findGroup(trx: Work, id: string): Promise<ScimGroupRow | undefined> {
  const { rows } = await sql<ScimGroupRow>`select ${COLUMNS} ${FROM} where r.id = ${id}`.execute(trx);
  return rows[0];
}

export async function insertGroup(
  trx: Work,
  id: string,
  principal: string,
  { displayName, externalId }: ScimGroupFields,
): Promise<PrincipalId> {
  const { rows } = await sql<{ id: PrincipalId }>`
    insert into bulkhead.scim_group (id, tenant_id, source, principal_id, display_name, external_id, created_at,
      modified_at)
    select ${id}, bulkhead.ctx_tenant(), bulkhead.ctx_directory_source(), p.id, ${displayName}, ${externalId},
      bulkhead.clock(), bulkhead.clock()
    from bulkhead.principal p where p.key = ${principal} returning principal_id as id`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new Error('the group has no principal');
  return row.id;
}

/** Raises the version: members are part of the resource, and change without a field of its row. */
export async function updateGroup(
  trx: Work,
  id: string,
  { displayName, externalId }: ScimGroupFields,
): Promise<void> {
  await sql`
    update bulkhead.scim_group set display_name = ${displayName}, external_id = ${externalId},
      version = version + 1, modified_at = greatest(bulkhead.clock(), modified_at)
    where id = ${id}`.execute(trx);
}

/** The principal stays, with nobody in it: its id is in no later group, whatever entries still name it. */
export async function removeGroup(trx: Work, { id, principalId }: ScimGroupRow): Promise<void> {
  await sql`
    delete from bulkhead.membership where group_id = ${principalId} or member_id = ${principalId}`.execute(
    trx,
  );
  await sql`delete from bulkhead.scim_group where id = ${id}`.execute(trx);
}

/** What these ids name among users and groups of the source; an id of another source names nothing. */
export async function findProvisioned(trx: Work, ids: readonly string[]): Promise<readonly Provisioned[]> {
  const { rows } = await sql<Provisioned>`
    select r.id, r.principal_id as "principalId", p.key as principal, r.kind from (
      select id, principal_id, 'User' as kind from bulkhead.scim_user
      union all select id, principal_id, 'Group' from bulkhead.scim_group) r
    join bulkhead.principal p on p.id = r.principal_id where r.id = any (${[...ids]}::uuid[])`.execute(trx);
  return rows;
}

/** @returns the keys of those that were not members before */
export async function addMembers(
  trx: Work,
  group: PrincipalId,
  members: readonly PrincipalId[],
): Promise<readonly string[]> {
  const { rows } = await sql<{ key: string }>`
    with added as (
      insert into bulkhead.membership (tenant_id, group_id, member_id)
      select bulkhead.ctx_tenant(), ${group}, member from unnest(${[...members]}::int[]) member
      on conflict do nothing returning member_id)
    select p.key from added join bulkhead.principal p on p.id = added.member_id order by p.key`.execute(trx);
  return rows.map(({ key }) => key);
}

/**
 * Members that were not provisioned, an administrator's additions, are left alone.
 * @param which `except`: everybody but these
 * @returns who was a member before
 */
export async function removeMembers(
  trx: Work,
  group: PrincipalId,
  which: { readonly only: readonly PrincipalId[] } | { readonly except: readonly PrincipalId[] },
): Promise<readonly { readonly id: PrincipalId; readonly key: string }[]> {
  const named =
    'only' in which
      ? sql`m.member_id = any (${[...which.only]}::int[])`
      : sql`m.member_id <> all (${[...which.except]}::int[]) and (
          exists (select 1 from bulkhead.scim_user u where u.principal_id = m.member_id)
          or exists (select 1 from bulkhead.scim_group g where g.principal_id = m.member_id))`;
  const { rows } = await sql<{ id: PrincipalId; key: string }>`
    with removed as (
      delete from bulkhead.membership m where m.group_id = ${group} and ${named} returning member_id)
    select p.id, p.key from removed join bulkhead.principal p on p.id = removed.member_id order by p.key`.execute(
    trx,
  );
  return rows;
}

/** The provisioned members of each group, at most `limit` in all, by SCIM id. */
export async function membersOfGroups(
  trx: Work,
  groups: readonly PrincipalId[],
  limit: number,
): Promise<ReadonlyMap<PrincipalId, readonly ScimMember[]>> {
  const { rows } = await sql<ScimMember & { group: PrincipalId }>`
    select m.group_id as "group", r.id, r.kind from bulkhead.membership m join (
      select id, principal_id, 'User' as kind from bulkhead.scim_user
      union all select id, principal_id, 'Group' from bulkhead.scim_group) r on r.principal_id = m.member_id
    where m.group_id = any (${[...groups]}::int[]) order by array_position(${[...groups]}::int[], m.group_id), r.id
    limit ${limit}`.execute(trx);
  const members = new Map<PrincipalId, ScimMember[]>();
  for (const { group, ...member } of rows) {
    const list = members.get(group);
    if (list === undefined) members.set(group, [member]);
    else list.push(member);
  }
  return members;
}

/**
 * How the groups would be nested if `inner` were members of `outer`: whether one of them holds it already, and how many
 * groups there would be on the longest way through it, counted up to `limit`.
 */
export async function nestingWith(
  trx: Work,
  outer: PrincipalId,
  inner: readonly PrincipalId[],
  limit: number,
): Promise<{ readonly isCircular: boolean; readonly depth: number }> {
  const { rows } = await sql<{ circular: boolean; up: number; down: number }>`
    with recursive up(id, depth) as (
      select ${outer}::int, 1
      union select m.group_id, up.depth + 1 from up join bulkhead.membership m on m.member_id = up.id
        where up.depth < ${limit}),
    down(id, depth) as (
      select i, 1 from unnest(${[...inner]}::int[]) i
      union select m.member_id, down.depth + 1 from down join bulkhead.membership m on m.group_id = down.id
        join bulkhead.principal p on p.id = m.member_id and p.kind = 'group'
        where down.depth < ${limit})
    select exists (select 1 from up where up.id = any (${[...inner]}::int[])) as circular,
      (select max(depth) from up) as up, coalesce((select max(depth) from down), 0) as down`.execute(trx);
  const [row] = rows;
  return { isCircular: row?.circular ?? true, depth: (row?.up ?? limit) + (row?.down ?? limit) };
}

const SINGLE: Readonly<Record<string, RawBuilder<unknown>>> = {
  id: sql`r.id::text`,
  externalId: sql`r.external_id`,
  displayName: sql`r.display_name`,
  'meta.created': sql`r.created_at`,
  'meta.lastModified': sql`r.modified_at`,
  'meta.resourceType': sql`'Group'`,
};

const MEMBERS = sql`(
  select u.id::text as value, 'User' as type
  from bulkhead.membership m join bulkhead.scim_user u on u.principal_id = m.member_id where m.group_id = r.principal_id
  union all
  select g.id::text, 'Group'
  from bulkhead.membership m join bulkhead.scim_group g on g.principal_id = m.member_id where m.group_id = r.principal_id) e`;
const MEMBER_FIELDS: Readonly<Record<string, RawBuilder<unknown>>> = {
  value: sql`e.value`,
  type: sql`e.type`,
};

const GROUP: FilterTarget = {
  single: ({ attribute, sub }) =>
    SINGLE[sub === undefined ? attribute : `${attribute}.${sub}`] ?? sql`null::text`,
  folded: ({ attribute }) => (attribute === 'displayName' ? sql`r.display_name_key` : undefined),
  elements: () => MEMBERS,
  ofElement: (_, { attribute }) => MEMBER_FIELDS[attribute] ?? sql`null::text`,
};
