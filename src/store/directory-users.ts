import { type RawBuilder, sql } from 'kysely';
import type { PrincipalId } from '../policy/ids.ts';
import type { Work } from './database.ts';
import { condition, type Filter, type FilterTarget, type Place } from './directory-filter.ts';
import { dropMembershipsOf } from './directory-sources.ts';

/** A group that a user is in: the group's own id, name, and whether directly. */
export interface UserGroup {
  readonly id: string;
  readonly displayName: string;
  readonly direct: boolean;
}

/** A SCIM user as it is stored. Instants in milliseconds since 1970. */
export interface ScimUserRow {
  readonly id: string;
  readonly principalId: PrincipalId;
  readonly principal: string;
  readonly userName: string;
  readonly externalId: string | null;
  readonly displayName: string | null;
  /** `null`: the client took back what it had said. */
  readonly active: boolean | null;
  /** Everything else that is kept, by the names of RFC 7643. */
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly version: number;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type ScimUserFields = Pick<
  ScimUserRow,
  'userName' | 'externalId' | 'displayName' | 'active' | 'attributes'
>;

export interface Listing {
  readonly filter: Filter | undefined;
  readonly sortBy: Place | undefined;
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
}

const COLUMNS = sql`r.id, r.principal_id as "principalId", p.key as principal, r.user_name as "userName",
  r.external_id as "externalId", r.display_name as "displayName", r.active, r.attributes, r.version,
  bulkhead.ms(r.created_at) as "createdAt", bulkhead.ms(r.modified_at) as "modifiedAt"`;
const FROM = sql`from bulkhead.scim_user r join bulkhead.principal p on p.id = r.principal_id`;

/** @returns a page, and how many there are in all */
export async function listUsers(
  trx: Work,
  { filter, sortBy, descending, offset, limit }: Listing,
): Promise<{ readonly rows: readonly ScimUserRow[]; readonly total: number }> {
  const where = filter === undefined ? sql`true` : condition(USER, filter);
  const { rows: counted } = await sql<{ total: number }>`
    select count(*)::int as total from bulkhead.scim_user r where ${where}`.execute(trx);
  const order = orderOf(sortBy && USER.single(sortBy), descending);
  const { rows } =
    limit === 0
      ? { rows: [] }
      : await sql<ScimUserRow>`
          select ${COLUMNS} from (
            select * from bulkhead.scim_user r where ${where} order by ${order} offset ${offset} limit ${limit}) r
          join bulkhead.principal p on p.id = r.principal_id order by ${order}`.execute(trx);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Ties end in the order of creation, so that pages do not overlap. */
export function orderOf(by: RawBuilder<unknown> | undefined, descending: boolean): RawBuilder<unknown> {
  const creation = sql`r.created_at, r.id`;
  if (by === undefined) return creation;
  return descending ? sql`${by} desc nulls last, ${creation}` : sql`${by} nulls last, ${creation}`;
}

export async function findUser(trx: Work, id: string): Promise<ScimUserRow | undefined> {
  const { rows } = await sql<ScimUserRow>`select ${COLUMNS} ${FROM} where r.id = ${id}`.execute(trx);
  return rows[0];
}

/** Whether another user of the source has the name, letter case aside. */
export async function isUserNameTaken(trx: Work, userName: string, except: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from bulkhead.scim_user r where r.user_name_key = lower(${userName}::text) and r.id <> ${except}`.execute(
    trx,
  );
  return rows.length > 0;
}

/** What the directory has under the key already, whoever vouches for it. */
export async function findAccount(
  trx: Work,
  principal: string,
): Promise<
  { readonly source: string | null; readonly isActive: boolean; readonly isProvisioned: boolean } | undefined
> {
  const { rows } = await sql<{ source: string | null; isActive: boolean; isProvisioned: boolean }>`
    select a.source, a.status = 'active' as "isActive",
      exists (select 1 from bulkhead.scim_user r where r.principal_id = p.id) as "isProvisioned"
    from bulkhead.principal p left join bulkhead.directory_account a on a.principal_id = p.id
    where p.key = ${principal}`.execute(trx);
  return rows[0];
}

/** The principal must be there. */
export async function insertUser(
  trx: Work,
  id: string,
  principal: string,
  fields: ScimUserFields,
): Promise<void> {
  await sql`
    insert into bulkhead.scim_user (id, tenant_id, source, principal_id, user_name, external_id, display_name, active,
      attributes, created_at, modified_at)
    select ${id}, bulkhead.ctx_tenant(), bulkhead.ctx_directory_source(), p.id, ${fields.userName},
      ${fields.externalId}, ${fields.displayName}, ${fields.active}, ${JSON.stringify(fields.attributes)}::text::jsonb,
      bulkhead.clock(), bulkhead.clock()
    from bulkhead.principal p where p.key = ${principal}`.execute(trx);
}

export async function updateUser(trx: Work, id: string, fields: ScimUserFields): Promise<void> {
  await sql`
    update bulkhead.scim_user set user_name = ${fields.userName}, external_id = ${fields.externalId},
      display_name = ${fields.displayName}, active = ${fields.active},
      attributes = ${JSON.stringify(fields.attributes)}::text::jsonb,
      version = version + 1, modified_at = greatest(bulkhead.clock(), modified_at)
    where id = ${id}`.execute(trx);
}

/** The SCIM id is gone for good; the principal stays, disabled by the caller and in no group that lets it in. */
export async function removeUser(trx: Work, source: string, { id, principal }: ScimUserRow): Promise<void> {
  await dropMembershipsOf(trx, source, [principal]);
  await sql`delete from bulkhead.scim_user where id = ${id}`.execute(trx);
}

/** Refuses what was issued to the account until now, when it is used again too. Needs the scope of its source. */
export async function revokeIssued(trx: Work, principal: string, reason: string): Promise<void> {
  await sql`select bulkhead.revoke_provisioned(${principal}, ${reason})`.execute(trx);
}

/** The provisioned groups that hold each of the users now, directly or through others. */
export async function groupsOfUsers(
  trx: Work,
  users: readonly PrincipalId[],
): Promise<ReadonlyMap<PrincipalId, readonly UserGroup[]>> {
  const { rows } = await sql<UserGroup & { user: PrincipalId }>`
    with recursive held(member, id, direct) as (
      select m.member_id, m.group_id, true from bulkhead.membership m where m.member_id = any (${[...users]}::int[])
      union
      select held.member, m.group_id, false from held join bulkhead.membership m on m.member_id = held.id)
    select held.member as "user", g.id, g.display_name as "displayName", bool_or(held.direct) as direct
    from held join bulkhead.scim_group g on g.principal_id = held.id
    group by held.member, g.id, g.display_name order by g.display_name, g.id`.execute(trx);
  const groups = new Map<PrincipalId, UserGroup[]>();
  for (const { user, ...group } of rows) groups.set(user, [...(groups.get(user) ?? []), group]);
  return groups;
}

const SINGLE: Readonly<Record<string, RawBuilder<unknown>>> = {
  id: sql`r.id::text`,
  externalId: sql`r.external_id`,
  userName: sql`r.user_name`,
  displayName: sql`r.display_name`,
  active: sql`r.active`,
  'meta.created': sql`r.created_at`,
  'meta.lastModified': sql`r.modified_at`,
  'meta.resourceType': sql`'User'`,
};

/** Row-level security shows users of the source only, so no filter can reach beyond it. */
const USER: FilterTarget = {
  single: (place) => {
    const path = place.sub === undefined ? [place.attribute] : [place.attribute, place.sub];
    return SINGLE[path.join('.')] ?? sql`(r.attributes #>> ${path}::text[])`;
  },
  folded: ({ attribute }) => (attribute === 'userName' ? sql`r.user_name_key` : undefined),
  elements: (list) =>
    list === 'groups'
      ? sql`(select g.id::text as value, g.display_name as display from bulkhead.membership m
          join bulkhead.scim_group g on g.principal_id = m.group_id where m.member_id = r.principal_id) e`
      : sql`jsonb_array_elements(coalesce(r.attributes -> ${list}::text, '[]')) e (v)`,
  ofElement: (list, { attribute, type }) => {
    if (list === 'groups') return attribute === 'value' ? sql`e.value` : sql`e.display`;
    const text = sql`(e.v ->> ${attribute}::text)`;
    return type === 'boolean' ? sql`${text}::boolean` : text;
  },
};
