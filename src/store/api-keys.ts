/** Keys of services: migrations/0035_api_keys.sql. Only hashes of secrets get here. */
import { sql } from 'kysely';
import { type ClassId, classId, type PrincipalId, principalId } from '../policy/ids.ts';
import type { Authority } from './authority.ts';
import type { Database, Work } from './database.ts';
import { KEPT } from './kept-plan.ts';
import type { ProcessRole } from './process-role.ts';
import type { CredentialRight } from './session-context.ts';

/** The issuer of principals that hold the limits of keys. No identity provider may have this name. */
export const KEY_ISSUER = 'key';

/** A key as its administrators see it. Instants in milliseconds since 1970. */
export interface ApiKeyRow {
  readonly id: string;
  /** Principals in text form. */
  readonly service: string;
  readonly name: string;
  readonly rights: readonly CredentialRight[];
  /** Absent: nothing but its rights limits the key. */
  readonly actor: string | null;
  readonly limits: {
    readonly level: string;
    readonly compartments: readonly string[];
    readonly containers: readonly string[];
  } | null;
  readonly createdBy: string;
  /** Whether its maker's account is there and not disabled; the key works all the same. */
  readonly isMakerActive: boolean;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number | null;
  readonly revokedAt: number | null;
  readonly replaces: string | null;
  readonly replacedBy: string | null;
}

export interface NewApiKey {
  readonly id: string;
  /** SHA-256 of the secret. */
  readonly secretHash: Uint8Array;
  readonly service: PrincipalId;
  readonly actor: PrincipalId | undefined;
  readonly name: string;
  readonly rights: readonly CredentialRight[];
  readonly createdBy: PrincipalId;
  readonly lifetimeMs: number;
  readonly replaces: string | undefined;
}

/** In a unit of work of role `admin`; row-level security asks for `administer` at the root. */
export class ApiKeys {
  readonly #trx: Work;

  private constructor(trx: Work) {
    this.#trx = trx;
  }

  static within(trx: Work): ApiKeys {
    return new ApiKeys(trx);
  }

  async add(key: NewApiKey): Promise<void> {
    await sql`
      insert into bulkhead.api_key (id, tenant_id, service_id, actor_id, secret_hash, name, rights, created_by,
        expires_at, replaces)
      values (${key.id}, bulkhead.ctx_tenant(), ${key.service}, ${key.actor ?? null}, ${key.secretHash}, ${key.name},
        ${[...key.rights]}::text[], ${key.createdBy}, now() + make_interval(secs => ${key.lifetimeMs / 1000}),
        ${key.replaces ?? null})`.execute(this.#trx);
  }

  async find(id: string): Promise<ApiKeyRow | undefined> {
    const { rows } = await sql<ApiKeyRow>`${KEYS} where k.id = ${id}`.execute(this.#trx);
    return rows[0];
  }

  /** By id, after `after`; of one service or of all. */
  async list(service: string | undefined, after: string, limit: number): Promise<readonly ApiKeyRow[]> {
    const { rows } = await sql<ApiKeyRow>`${KEYS}
      where k.id > ${after} and (${service ?? null}::text is null or s.key = ${service ?? null})
      order by k.id limit ${limit}`.execute(this.#trx);
    return rows;
  }

  /** Lets the key end after so many milliseconds, unless it ends before. @returns when it ends */
  async endAfter(id: string, ms: number): Promise<number> {
    const { rows } = await sql<{ at: number }>`
      update bulkhead.api_key set expires_at = least(expires_at, now() + make_interval(secs => ${ms / 1000}))
      where id = ${id} returning bulkhead.ms(expires_at) as at`.execute(this.#trx);
    return rows[0]?.at ?? Number.NaN;
  }

  async revoke(id: string): Promise<void> {
    await sql`
      update bulkhead.api_key set revoked_at = now() where id = ${id} and revoked_at is null`.execute(
      this.#trx,
    );
  }

  /**
   * Rights of the service, through its groups and at any time, that a key would use and the caller of this unit of work
   * does not hold there.
   * @param service with every group around it
   * @param containers paths that the key is limited to; absent = all
   */
  async rightsBeyondCaller(
    service: ReadonlySet<PrincipalId>,
    rights: readonly CredentialRight[],
    containers: readonly string[] | undefined,
  ): Promise<readonly { readonly container: string; readonly right: string }[]> {
    const { rows } = await sql<{ container: string; right: string }>`
      select distinct c.path as container, b.right_name as "right"
      from bulkhead.role_binding b join bulkhead.access_class c on c.id = b.container_id
      where b.principal_id = any (${[...service]}::int[]) and b.right_name = any (${[...rights]}::text[])
        and (${containers === undefined} or exists (
          select 1 from bulkhead.access_class l join bulkhead.class_ancestor a
            on (a.class_id = c.id and a.ancestor_id = l.id) or (a.class_id = l.id and a.ancestor_id = c.id)
          where l.path = any (${[...(containers ?? [])]}::text[])))
        and not bulkhead.holds_right(b.container_id, b.right_name)
      order by 1, 2`.execute(this.#trx);
    return rows;
  }
}

/**
 * Whom the caller can act as or stands for: themselves, the services and limits of keys that work and that they made,
 * and so have seen, and whoever made the key that they came with.
 */
export async function heldPrincipals(
  trx: Work,
  { revocable }: Pick<Authority, 'revocable'>,
): Promise<ReadonlySet<PrincipalId>> {
  const { rows } = await sql<{ id: number }>`
    select id from bulkhead.held_principals(${keysOf(revocable)}::text[]) id`.execute(trx);
  return new Set(rows.map(({ id }) => principalId(id)));
}

/** The same, and all that these and `principals` are in, now or at another time, themselves among them. */
export async function heldAndAround(
  trx: Work,
  { revocable }: Pick<Authority, 'revocable'>,
  principals: readonly PrincipalId[],
): Promise<{ readonly held: ReadonlySet<PrincipalId>; readonly around: ReadonlySet<PrincipalId> }> {
  const { rows } = await sql<{ id: number; isHeld: boolean }>`${KEPT}
    with recursive held as materialized (
      select id from bulkhead.held_principals(${keysOf(revocable)}::text[]) id),
    around(id) as (
      (select unnest(${[...principals]}::int[]) union select id from held)
      union
      select m.group_id from around join bulkhead.membership m on m.member_id = around.id)
    select id, id in (select id from held) as "isHeld" from around`.execute(trx);
  return {
    held: new Set(rows.filter(({ isHeld }) => isHeld).map(({ id }) => principalId(id))),
    around: new Set(rows.map(({ id }) => principalId(id))),
  };
}

/** Ids of our own keys among what the caller came with. */
function keysOf(revocable: Authority['revocable']): string[] {
  const own = `${KEY_ISSUER}|`;
  return revocable.flatMap(({ kind, id }) =>
    kind === 'key' && id.startsWith(own) ? [id.slice(own.length)] : [],
  );
}

/** Those of the classes that an actor's ceiling admits. */
export async function classesWithin(
  trx: Work,
  classes: readonly ClassId[],
  ceiling: NonNullable<ApiKeyRow['limits']>,
): Promise<readonly ClassId[]> {
  const { rows } = await sql<{ id: number }>`
    with ceiling(rank) as (select rank from bulkhead.sensitivity_level where name = ${ceiling.level})
    select distinct a.class_id as id
    from bulkhead.class_ancestor a join bulkhead.access_class l on l.id = a.ancestor_id
    where a.class_id = any (${[...classes]}::int[]) and l.path = any (${[...ceiling.containers]}::text[])
      and not exists (
        select 1 from bulkhead.class_ancestor up join bulkhead.access_class c on c.id = up.ancestor_id, ceiling
        where up.class_id = a.class_id
          and (c.rank > ceiling.rank or not c.compartments <@ ${[...ceiling.compartments]}::text[]))`.execute(
    trx,
  );
  return rows.map(({ id }) => classId(id));
}

/** What a presented key turned out to be. Instants in milliseconds since 1970. */
export interface FoundApiKey {
  readonly tenant: string;
  readonly service: string;
  readonly actor: string | null;
  readonly rights: readonly CredentialRight[];
  readonly createdAt: number;
  readonly expiresAt: number;
  /** Milliseconds until it expires, by the database's clock. */
  readonly remaining: number;
  /** Whether it was noted within the last minute that the key is used. */
  readonly isUseKnown: boolean;
}

/**
 * The key with this id and this secret, in any tenant.
 * @param hash SHA-256 of the secret
 * @returns `undefined` for an unknown, expired or revoked key and for another secret alike
 */
export async function findApiKey(
  database: Database,
  role: ProcessRole,
  id: string,
  hash: Uint8Array,
): Promise<FoundApiKey | undefined> {
  const [row] = await database.statement(
    role,
    undefined,
    sql<{ found: FoundApiKey | null }>`select bulkhead.find_api_key(${id}, ${hash}) as found`,
  );
  return row?.found ?? undefined;
}

/** Notes that the key is used now, once a minute at most. */
export async function touchApiKey(database: Database, role: ProcessRole, id: string): Promise<void> {
  await database.statement(role, undefined, sql`select bulkhead.touch_api_key(${id})`);
}

const KEYS = sql`
  select k.id, s.key as service, k.name, k.rights, a.key as actor, m.key as "createdBy",
    coalesce(d.status = 'active', false) as "isMakerActive",
    case when l.principal_id is not null then json_build_object('level', l.level, 'compartments', l.compartments,
      'containers', array(select c.path from bulkhead.access_class c where c.id = any (l.containers)
        order by c.path collate "C")) end as limits,
    bulkhead.ms(k.created_at) as "createdAt", bulkhead.ms(k.expires_at) as "expiresAt",
    bulkhead.ms(k.last_used_at) as "lastUsedAt", k.replaces,
    -- taken back as a key, or like any other credential
    bulkhead.ms(coalesce(k.revoked_at, (select r.revoked_at from bulkhead.revocation r
      where r.tenant_id = k.tenant_id and r.kind = 'key' and r.id = ${`${KEY_ISSUER}|`} || k.id))) as "revokedAt",
    (select n.id from bulkhead.api_key n where n.replaces = k.id) as "replacedBy"
  from bulkhead.api_key k join bulkhead.principal s on s.id = k.service_id
  join bulkhead.principal m on m.id = k.created_by
  left join bulkhead.directory_account d on d.principal_id = k.created_by
  left join bulkhead.principal a on a.id = k.actor_id
  left join bulkhead.actor_ceiling l on l.principal_id = k.actor_id`;
