import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Clearance } from '../policy/clearance.ts';
import { classId, type Instant, instant, principalId, type TenantId, tenantId } from '../policy/ids.ts';
import { type AssuranceCeiling, assuranceCeiling, type LabelScheme } from '../policy/label.ts';
import type { ActorPart, Subject } from '../policy/subject.ts';
import type { Database } from './database.ts';
import { isOutage } from './database-error.ts';
import { refuseOtherScheme } from './level-scheme.ts';
import type { ProcessRole } from './process-role.ts';
import { credentialRevoked, type Revocable } from './revocable.ts';
import type { CredentialRight, SessionContext } from './session-context.ts';

export type { Revocable } from './revocable.ts';
export type { CredentialRight } from './session-context.ts';

/** A caller whose credentials were verified, before the directory was asked. Principals in text form. */
export interface CallerIdentity {
  readonly tenant: string;
  readonly user: string;
  /** Groups that the credential itself carries; `unknown` when it could not carry them all. */
  readonly tokenGroups: readonly string[] | 'unknown';
  readonly actor: string | undefined;
  readonly acr: string | undefined;
  readonly authTime: Instant | undefined;
  /** By which of these each presented credential can be revoked, from now on and until the receipt. */
  readonly revocable?: readonly Revocable[] | undefined;
  /** Absent: whatever the subject may. */
  readonly rights?: ReadonlySet<CredentialRight> | undefined;
}

/** Raised by every change of policy; a new incarnation starts after a restore. */
export interface PolicyEpoch {
  readonly incarnation: string;
  readonly counter: number;
}

/** What the caller's rights rest on at one instant of one epoch. */
export interface Authority {
  readonly subject: Subject;
  readonly displayName: string;
  /** The request's one clock, from Postgres. */
  readonly now: Instant;
  readonly epoch: PolicyEpoch;
  /** Classes interned so far. */
  readonly watermark: number;
  /** The next instant at which a validity interval of the tenant begins or ends. */
  readonly boundary: Instant | undefined;
  readonly ceiling: AssuranceCeiling;
  readonly context: SessionContext;
  /** What the caller's credentials can be revoked by; the account itself is always among them. */
  readonly revocable: readonly Revocable[];
  /** Raised by every revocation of a credential in the tenant. */
  readonly revocationEpoch: number;
}

/** Instants in milliseconds since 1970. */
export interface KnownCaller {
  readonly now: number;
  readonly tenant: number;
  readonly incarnation: string;
  readonly counter: number;
  readonly watermark: number;
  /** Digest of the installation's levels; none before they were written. */
  readonly scheme: string | null;
  readonly boundary: number | null;
  readonly revoked: boolean;
  readonly revocable: readonly { kind: Revocable['kind']; id: string; issuedAt: number }[];
  readonly revocationEpoch: number;
  readonly user: {
    principal: number;
    status: string;
    displayName: string;
    directoryAsOf: number | null;
  } | null;
  readonly principals: readonly number[];
  readonly clearances: readonly {
    principal: number;
    rank: number;
    compartments: string[];
    from: number | null;
    until: number | null;
  }[];
  readonly actor: {
    principal: number;
    status: string;
    principals: readonly number[];
    ceiling: { rank: number; compartments: string[]; containers: number[] } | null;
  } | null;
}

/**
 * Resolves a caller in one round trip.
 * @throws BulkheadError `groups_unknown`, `credential_revoked`, `subject_unknown`, `subject_disabled`;
 *   `policy_unavailable` when the tenant has no policy, the installation has other levels than this process, or the
 *   database does not answer
 */
export async function authorize(
  database: Database,
  role: ProcessRole,
  scheme: LabelScheme,
  identity: CallerIdentity,
): Promise<Authority> {
  return authorityOf(await readCaller(database, role, identity), scheme, identity);
}

/**
 * What the database knows of a caller, before anything is concluded from it.
 * @throws BulkheadError `groups_unknown`, `policy_unavailable`
 */
export async function readCaller(
  database: Database,
  role: ProcessRole,
  identity: CallerIdentity,
): Promise<KnownCaller> {
  const { tokenGroups } = identity;
  if (tokenGroups === 'unknown')
    throw new BulkheadError(
      'groups_unknown',
      'Your token could not carry all your groups, so what you may read is not known. Ask an administrator to source groups from the directory.',
    );
  const row = await lookUp(database, role, { ...identity, tokenGroups });
  if (row === null)
    throw new BulkheadError(
      'policy_unavailable',
      `There is no tenant "${identity.tenant}". Run: bulkhead init`,
    );
  return row;
}

/**
 * What a caller's rights rest on, from what the database knows of them.
 * @throws BulkheadError as `authorize` does, but for the database
 */
export function authorityOf(row: KnownCaller, scheme: LabelScheme, identity: CallerIdentity): Authority {
  refuseOtherScheme(row.scheme, scheme);
  // before anything is said about the account: whoever holds a stolen token learns nothing more
  if (row.revoked) throw credentialRevoked();
  return toAuthority(row, identity, scheme);
}

async function lookUp(
  database: Database,
  role: ProcessRole,
  {
    tenant,
    user,
    tokenGroups,
    actor,
    revocable = [],
  }: CallerIdentity & { readonly tokenGroups: readonly string[] },
): Promise<KnownCaller | null> {
  const [row] = await orUnavailable(
    database.statement(
      role,
      undefined,
      sql<{ answer: KnownCaller | null }>`select bulkhead.authorize(
        ${tenant}, ${user}, ${tokenGroups}::text[], ${actor ?? null},
        ${JSON.stringify(revocable)}::text::jsonb) as answer`,
    ),
  );
  return row?.answer ?? null;
}

/** @throws BulkheadError `policy_unavailable` where the database does not answer */
export async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isOutage(error)) throw error;
    throw new BulkheadError('policy_unavailable', 'The database did not answer, so nothing was released.', {
      retryAfterSeconds: error.retryAfterSeconds ?? 2,
      cause: error,
    });
  }
}

function toAuthority(row: KnownCaller, identity: CallerIdentity, scheme: LabelScheme): Authority {
  const { user, now } = { user: activeUser(row), now: instant(row.now) };
  const tenant = tenantId(row.tenant);
  const assurance = {
    acr: identity.acr,
    authTime: identity.authTime,
    directoryAsOf: instant(user.directoryAsOf ?? 0),
  };
  const subject: Subject = {
    tenant,
    user: {
      principal: principalId(user.principal),
      name: identity.user,
      principals: new Set(row.principals.map(principalId)),
      clearances: row.clearances.map(toClearance),
      assurance,
    },
    actor: identity.actor === undefined ? undefined : activeActor(row, identity.actor),
  };
  const ceiling = assuranceCeiling(scheme, assurance, now);
  return {
    subject,
    displayName: user.displayName,
    now,
    epoch: { incarnation: row.incarnation, counter: row.counter },
    watermark: row.watermark,
    boundary: row.boundary === null ? undefined : instant(row.boundary),
    ceiling,
    context: contextOf(tenant, subject, now, ceiling, identity.rights),
    revocable: row.revocable.map((one) => ({ ...one, issuedAt: instant(one.issuedAt) })),
    revocationEpoch: row.revocationEpoch,
  };
}

function activeUser(row: KnownCaller): NonNullable<KnownCaller['user']> {
  if (row.user === null)
    throw new BulkheadError(
      'subject_unknown',
      'Your account is not in the directory of this service. Ask an administrator to add it.',
    );
  if (row.user.status !== 'active') throw new BulkheadError('subject_disabled', 'Your account is disabled.');
  return row.user;
}

function activeActor(row: KnownCaller, name: string): ActorPart {
  if (row.actor === null)
    throw new BulkheadError(
      'subject_unknown',
      'The service acting for you is not in the directory of this service.',
    );
  if (row.actor.status !== 'active')
    throw new BulkheadError('subject_disabled', 'The service acting for you is disabled.');
  const { ceiling } = row.actor;
  return {
    principal: principalId(row.actor.principal),
    name,
    principals: new Set(row.actor.principals.map(principalId)),
    ceiling: ceiling
      ? {
          rank: ceiling.rank,
          compartments: new Set(ceiling.compartments),
          containers: new Set(ceiling.containers.map(classId)),
        }
      : undefined,
  };
}

function toClearance(row: KnownCaller['clearances'][number]): Clearance {
  return {
    principal: principalId(row.principal),
    rank: row.rank,
    compartments: new Set(row.compartments),
    validFrom: row.from === null ? undefined : instant(row.from),
    validUntil: row.until === null ? undefined : instant(row.until),
  };
}

function contextOf(
  tenant: TenantId,
  subject: Subject,
  now: Instant,
  ceiling: AssuranceCeiling,
  rights: CallerIdentity['rights'],
): SessionContext {
  return {
    tenant,
    principals: subject.user.principals,
    actor: subject.actor?.principal,
    actorPrincipals: subject.actor?.principals ?? [],
    now,
    maxRank: rights?.has('read') === false ? -1 : Math.min(ceiling.authentication, ceiling.directory),
    rights,
  };
}
