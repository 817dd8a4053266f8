/** The installation's levels: written by who may change policy, and compared by everybody else. */
import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Database, Work } from './database.ts';
import { DatabaseError } from './database-error.ts';
import type { ProcessRole } from './process-role.ts';

/** The parts that processes must agree on: names, lowest first, and the digest of all that they ask. */
export interface AgreedScheme {
  readonly levels: readonly { readonly name: string }[];
  readonly digest: string;
}

const RETRY_AFTER_SECONDS = 10;

/**
 * Makes the installation's levels those of the configuration. A changed rank reaches every label and clearance that
 * names the level. Any change, of what a level asks too, raises every tenant's policy epoch in the same transaction:
 * what was decided by the levels before is not released after.
 * @returns whether anything changed
 * @throws BulkheadError `config_invalid` when a level that is left out is still in use
 */
export async function syncLevels(database: Database, scheme: AgreedScheme): Promise<boolean> {
  const wanted = scheme.levels.map(({ name }) => name);
  try {
    return await database.unitOfWork('admin', undefined, async (trx) => {
      // first, because its row is the lock for two that start at once
      const isOther = await replaceDigest(trx, scheme.digest);
      return (await replaceLevels(trx, wanted)) || isOther;
    });
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlState === '23503')
      throw new BulkheadError(
        'config_invalid',
        `The configured levels are ${wanted.join(', ')}: one that was there before is left out, but labels, clearances or ceilings still name it.`,
      );
    throw error;
  }
}

/**
 * For a process that may not change the levels: its configuration must say what the installation's says, or it would
 * compare ranks of one order with ranks of another, or ask less of a session than the level does.
 * @throws BulkheadError `config_invalid` in one line that names what differs
 */
export async function requireLevels(
  database: Database,
  role: Exclude<ProcessRole, 'admin'>,
  scheme: AgreedScheme,
): Promise<void> {
  const wanted = scheme.levels.map(({ name }) => name);
  const stored = await database.unitOfWork(role, undefined, async (trx) => ({
    levels: await storedLevels(trx),
    digest: await storedDigest(trx),
  }));
  if (stored.digest === scheme.digest && stored.levels.join() === wanted.join()) return;
  throw new BulkheadError('config_invalid', whatDiffers(stored, wanted));
}

/**
 * For work that goes on for long after its process started: its levels must still be those of the installation.
 * @throws BulkheadError `policy_unavailable`
 */
export async function requireScheme(
  database: Database,
  role: ProcessRole,
  scheme: Pick<LabelScheme, 'digest'>,
): Promise<void> {
  const [row] = await database.statement(role, undefined, digestQuery());
  refuseOtherScheme(row?.digest, scheme);
}

/** `requireScheme` inside a unit of work. */
export async function requireSchemeWithin(trx: Work, scheme: Pick<LabelScheme, 'digest'>): Promise<void> {
  refuseOtherScheme(await storedDigest(trx), scheme);
}

/** @throws BulkheadError `policy_unavailable` unless the installation's digest is that of the process */
export function refuseOtherScheme(
  stored: string | null | undefined,
  { digest }: Pick<LabelScheme, 'digest'>,
): void {
  if (stored === digest) return;
  throw new BulkheadError(
    'policy_unavailable',
    'This process has other levels than the installation. Restart it with the current configuration.',
    { retryAfterSeconds: RETRY_AFTER_SECONDS },
  );
}

function whatDiffers(
  stored: { readonly levels: readonly string[]; readonly digest: string | undefined },
  wanted: readonly string[],
): string {
  const names = stored.levels.join(', ');
  if (stored.levels.length === 0)
    return `There are no levels in the database yet, and the configuration has ${wanted.join(', ')}. Start a process of the role admin with this configuration first.`;
  if (stored.levels.join() !== wanted.join())
    return `The database has the levels ${names}, and the configuration has ${wanted.join(', ')}. Start a process of the role admin with this configuration first.`;
  if (stored.digest === undefined)
    return `The database has the levels ${names} but not yet what they ask. Start a process of the role admin with this configuration first.`;
  return `The database has the levels ${names} as in the configuration, but their safeguards, redaction, encryption or compartments differ. Start this process with the configuration of the role admin, or a process of the role admin with this one first.`;
}

function digestQuery() {
  return sql<{ digest: string }>`select digest from bulkhead.level_scheme`;
}

async function storedDigest(trx: Work): Promise<string | undefined> {
  const { rows } = await digestQuery().execute(trx);
  return rows[0]?.digest;
}

async function storedLevels(trx: Work): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from bulkhead.sensitivity_level order by rank`.execute(trx);
  return rows.map(({ name }) => name);
}

/** @returns whether it was another */
async function replaceDigest(trx: Work, digest: string): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into bulkhead.level_scheme (digest) values (${digest})
    on conflict (singleton) do update set digest = excluded.digest
    where level_scheme.digest <> excluded.digest`.execute(trx);
  return numAffectedRows === 1n;
}

async function replaceLevels(trx: Work, wanted: readonly string[]): Promise<boolean> {
  const stored = await storedLevels(trx);
  if (stored.join() === wanted.join()) return false;
  await sql`delete from bulkhead.sensitivity_level where name <> all (${[...wanted]}::text[])`.execute(trx);
  await sql`
    insert into bulkhead.sensitivity_level (name, rank)
    select w.name, w.position - 1 from unnest(${[...wanted]}::text[]) with ordinality as w (name, position)
    on conflict (name) do update set rank = excluded.rank
    where sensitivity_level.rank <> excluded.rank`.execute(trx);
  return true;
}
