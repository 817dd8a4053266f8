import { sql } from 'kysely';
import type { Instant } from '../policy/ids.ts';
import type { Work } from './database.ts';
import type { Credential } from './revocations.ts';

/** What one event of an identity provider comes to here. */
export interface SecuritySignal {
  /** The event's type as its specification names it, as in `caep/session-revoked`. */
  readonly event: string;
  /** `noted`: it changes nothing here; `stopped`: no more will come. */
  readonly effect: 'revoke' | 'disable' | 'noted' | 'stopped';
  /** What to revoke; `undefined` where the event takes nothing back. */
  readonly credential: Credential | undefined;
  /** The account to disable, a principal in text form. */
  readonly account: string | undefined;
  /** Whom it is about, for the record: a principal, or `session:<issuer>|<id>`. */
  readonly about: string | undefined;
  /** Milliseconds since 1970; what was issued until then is what the event is about. */
  readonly occurredAt: Instant;
  /** A word of the transmitter's, for whoever reads the record. */
  readonly note: string | undefined;
}

/** A security event token that verified (RFC 8417). */
export interface SecurityEvents {
  /** The token's issuer. */
  readonly transmitter: string;
  readonly tenant: string;
  /** Unique at the transmitter: the same again has no second effect. */
  readonly jti: string;
  readonly issuedAt: Instant;
  /** Tokens issued before are refused for their age, so their ids need not be kept. */
  readonly forgetBefore: Instant;
  readonly signals: readonly SecuritySignal[];
}

/** Inside a unit of work of role `admin` in a context without a caller: whether the events are new. */
export async function takeSecurityEvent(trx: Work, events: SecurityEvents): Promise<boolean> {
  const { transmitter, jti, issuedAt, forgetBefore } = events;
  const { rows } = await sql<{ is_new: boolean }>`
    select bulkhead.take_security_event(${transmitter}, ${jti}, to_timestamp(${issuedAt}::float8 / 1000),
      to_timestamp(${forgetBefore}::float8 / 1000)) as is_new`.execute(trx);
  return rows[0]?.is_new === true;
}

/**
 * Inside such a unit of work. Comes before locks on revocations.
 * @returns the status before, `undefined` where there is no such account
 */
export async function disableOnSignal(
  trx: Work,
  account: string,
): Promise<'active' | 'disabled' | undefined> {
  const { rows } = await sql<{ before: 'active' | 'disabled' | null }>`
    select bulkhead.disable_on_signal(${account}) as before`.execute(trx);
  return rows[0]?.before ?? undefined;
}
