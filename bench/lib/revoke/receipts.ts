/** What the audit log says of a round, read as the superuser of its database. */
import pg from 'pg';
import type { Round } from './rounds.ts';

export interface Found {
  /** Receipts of the caller before the revocation was committed, and of those the ones that it took away. */
  readonly before: number;
  readonly beforeTakenAway: number;
  /** Receipts of the caller committed after it, and of those the ones that it took away: to be none. */
  readonly after: number;
  readonly leaked: number;
  /** As `leaked`, by the time that the receipts state. */
  readonly leakedByTime: number;
}

/**
 * Both commits are those that the server stamped, in microseconds. A receipt that was written before the revocation
 * holds a lock that the revocation waits for, so its commit is earlier.
 * @throws Error when the revocation is not in the log, or the server stamps no commits
 */
export async function findReceipts(databaseUrl: string, round: Round): Promise<Found> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Record<keyof Found, string | null>>(QUERY, [
      round.revoking,
      round.subject,
      round.container ?? null,
    ]);
    const [row] = rows;
    if (row === undefined) throw new Error(`the log has no revocation of request ${round.revoking}`);
    return {
      before: Number(row.before),
      beforeTakenAway: Number(row.beforeTakenAway),
      after: Number(row.after),
      leaked: Number(row.leaked),
      leakedByTime: Number(row.leakedByTime),
    };
  } finally {
    await client.end();
  }
}

const QUERY = `
  with revocation as (
    select pg_xact_commit_timestamp(xmin) as committed from bulkhead.audit_record
    where body::jsonb->>'request' = $1
      and kind in ('entry.removed', 'membership.removed', 'credential.revoked')),
  receipt as (
    select r.at, pg_xact_commit_timestamp(r.xmin) as committed,
      $3::text is null or exists (
        select 1 from jsonb_array_elements(r.body::jsonb->'passages') p
        join bulkhead.document d on d.id = (p->>'document')::uuid
        join bulkhead.access_class c on c.id = d.container_id
        where c.path = $3) as taken_away
    from bulkhead.audit_record r where r.kind = 'release' and r.body::jsonb->>'subject' = $2)
  select
    count(*) filter (where r.committed < v.committed) as before,
    count(*) filter (where r.committed < v.committed and taken_away) as "beforeTakenAway",
    -- one without a time of commit counts as late
    count(r.at) filter (where (r.committed >= v.committed) is not false) as after,
    count(r.at) filter (where (r.committed >= v.committed) is not false and taken_away) as leaked,
    count(*) filter (where r.at > v.committed and taken_away) as "leakedByTime"
  from revocation v left join receipt r on true
  group by v.committed`;
