import { sql } from 'kysely';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Work } from './database.ts';

export interface BegunIncarnation {
  readonly tenant: TenantId;
  readonly name: string;
  readonly before: string;
  readonly incarnation: string;
}

interface Row {
  readonly tenant: number;
  readonly name: string;
  readonly before: string;
  readonly incarnation: string;
}

/** Makes every visible set and guard from before void, in every tenant and every process. Runs as `admin`. */
export async function beginIncarnations(trx: Work): Promise<readonly BegunIncarnation[]> {
  const { rows } = await sql<{
    begun: readonly Row[];
  }>`select bulkhead.begin_incarnations() as begun`.execute(trx);
  return (rows[0]?.begun ?? []).map((row) => ({ ...row, tenant: tenantId(row.tenant) }));
}
