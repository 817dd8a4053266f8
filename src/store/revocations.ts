/** Credentials that were taken back. */
import { sql } from 'kysely';
import { type Instant, instant } from '../policy/ids.ts';
import type { Authority } from './authority.ts';
import type { Work } from './database.ts';
import { credentialRevoked, type Revocable } from './revocable.ts';

/** Which credential; the id is `<issuer>|<id>`, compared byte by byte. */
export type Credential = Pick<Revocable, 'kind' | 'id'>;

export interface Revocation extends Credential {
  /** What was issued until then, that instant included, is refused; absent: for good. */
  readonly issuedUntil: Instant | undefined;
  readonly reason: string;
  readonly revokedAt: Instant;
}

interface Row {
  readonly kind: Revocable['kind'];
  readonly id: string;
  readonly reason: string;
  /** Milliseconds; infinite for good. */
  readonly until: number;
  readonly at: number;
}

/** What became of a revocation: one that was there already and reaches as far is left as it is. */
export interface Revoked {
  readonly revocation: Revocation;
  readonly isNew: boolean;
}

/** The revocations of the tenant of one unit of work of role `admin`. */
export class Revocations {
  readonly #trx: Work;

  private constructor(trx: Work) {
    this.#trx = trx;
  }

  static within(trx: Work): Revocations {
    return new Revocations(trx);
  }

  /**
   * As the caller of the unit of work: needs `administer` at the root, but for their own account and what is in `own`.
   * @param own what the caller came with
   * @throws DatabaseError of insufficient privilege
   */
  revoke(credential: Credential, reason: string, own: readonly Revocable[]): Promise<Revoked> {
    const { kind, id } = credential;
    return this.#store(
      credential,
      reason,
      sql`bulkhead.revoke_credential(${kind}, ${id}, ${reason}, ${JSON.stringify(own)}::text::jsonb)`,
    );
  }

  /**
   * What an identity provider said by itself, in a context without a caller.
   * @param issuedUntil of users and clients, what was issued until then; absent, or later than now: until now
   */
  revokeOnSignal(credential: Credential, reason: string, issuedUntil: Instant | undefined): Promise<Revoked> {
    const { kind, id } = credential;
    const until = issuedUntil === undefined ? null : new Date(issuedUntil).toISOString();
    return this.#store(
      credential,
      reason,
      sql`bulkhead.revoke_on_signal(${kind}, ${id}, ${reason}, ${until}::timestamptz)`,
    );
  }

  /** By kind and id, those after `after`. Row-level security shows them to who administers the root. */
  async list(after: Credential | undefined, limit: number): Promise<readonly Revocation[]> {
    const { rows } = await sql<Row>`
      select kind, id, reason, bulkhead.ms(not_before) as until, bulkhead.ms(revoked_at) as at
      from bulkhead.revocation
      where tenant_id = (select bulkhead.ctx_tenant())
        and (kind, id) > (${after?.kind ?? ''}, ${after?.id ?? ''} collate "C")
      order by kind, id limit ${limit}`.execute(this.#trx);
    return rows.map(toRevocation);
  }

  async #store(
    { kind, id }: Credential,
    reason: string,
    call: ReturnType<typeof sql<unknown>>,
  ): Promise<Revoked> {
    const { rows } = await sql<{ until: number; at: number; is_new: boolean }>`
      select bulkhead.ms(not_before) as until, bulkhead.ms(revoked_at) as at, is_new from ${call}`.execute(
      this.#trx,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('a revocation was not stored');
    return { revocation: toRevocation({ kind, id, reason, ...row }), isNew: row.is_new };
  }
}

/**
 * For a change that rests on the caller's credentials, inside its unit of work: none is revoked, and then none can be
 * before the unit of work is over. Comes after locks on the policy and before those of the audit log.
 * @throws BulkheadError `credential_revoked`
 */
export async function requireCredentials(trx: Work, { revocable }: Authority): Promise<void> {
  const { rows } = await sql<{ hold: boolean }>`
    select bulkhead.lock_credentials(${JSON.stringify(revocable)}::text::jsonb) as hold`.execute(trx);
  if (rows[0]?.hold !== true) throw credentialRevoked();
}

function toRevocation({ kind, id, reason, until, at }: Row): Revocation {
  return {
    kind,
    id,
    reason,
    issuedUntil: Number.isFinite(until) ? instant(until) : undefined,
    revokedAt: instant(at),
  };
}
