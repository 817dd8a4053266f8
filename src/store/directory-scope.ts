import { sql } from 'kysely';
import type { Instant } from '../policy/ids.ts';
import type { Work } from './database.ts';

/** What one provisioning client may write: accounts of one source and issuer, groups of that source. */
export interface DirectoryScope {
  readonly source: string;
  readonly issuer: string;
}

/**
 * Lets this unit of work of role `admin` see and write what belongs to the scope, until it ends. Row-level security
 * holds it to that, whatever the caller's rights.
 */
export async function enterScope(trx: Work, { source, issuer }: DirectoryScope): Promise<void> {
  await sql`select set_config('bulkhead.directory_source', ${source}, true),
    set_config('bulkhead.directory_issuer', ${issuer}, true)`.execute(trx);
}

/** Finer than any sensible limit on a directory's age, and not a write for each request. */
const HEARTBEAT_MS = 10_000;

/** Says that the source is current now; written at most every ten seconds. It never goes back. */
export async function beat(trx: Work, source: string, now: Instant): Promise<void> {
  await sql`
    insert into bulkhead.directory_source as s (tenant_id, source, as_of, kept)
    values (bulkhead.ctx_tenant(), ${source}, to_timestamp(${now}::float8 / 1000), true)
    on conflict (tenant_id, source) do update set as_of = greatest(s.as_of, excluded.as_of), kept = true
    where s.as_of < excluded.as_of - make_interval(secs => ${HEARTBEAT_MS / 1000}::float8) or not s.kept`.execute(
    trx,
  );
}
