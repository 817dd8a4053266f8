/** Names that a change of the directory uses, checked before it is written. */
import { type RawBuilder, sql } from 'kysely';
import { BulkheadError, type ErrorCode } from '../errors.ts';
import type { Work } from './database.ts';

/** @throws BulkheadError `unknown_principal` naming all that are missing */
export function refuseUnknownPrincipals(trx: Work, keys: readonly string[]): Promise<void> {
  const known = sql`select key from bulkhead.principal`;
  return refuseMissing(trx, keys, known, 'unknown_principal', 'The directory does not have');
}

/** @throws BulkheadError `unknown_container` naming all that are missing */
export function refuseUnknownContainers(trx: Work, paths: readonly string[]): Promise<void> {
  const known = sql`select path from bulkhead.access_class where path is not null`;
  return refuseMissing(trx, paths, known, 'unknown_container', 'There is no container');
}

/** @throws BulkheadError `unknown_level` naming all that are missing */
export function refuseUnknownLevels(trx: Work, labels: readonly { readonly level: string }[]): Promise<void> {
  const known = sql`select name from bulkhead.sensitivity_level`;
  const names = labels.map(({ level }) => level);
  return refuseMissing(trx, names, known, 'unknown_level', 'The configuration does not have');
}

async function refuseMissing(
  trx: Work,
  names: readonly string[],
  known: RawBuilder<unknown>,
  code: ErrorCode,
  complaint: string,
): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select name from unnest(${[...new Set(names)]}::text[]) name except (${known}) order by name`.execute(
    trx,
  );
  if (rows.length === 0) return;
  throw new BulkheadError(code, `${complaint} ${rows.map(({ name }) => name).join(', ')}.`);
}
