import { sql } from 'kysely';
import { type Instant, instant } from '../policy/ids.ts';
import type { PolicyEpoch } from './authority.ts';
import type { Database } from './database.ts';
import type { SessionContext } from './session-context.ts';

interface ProbedDocument {
  readonly class: number;
  readonly version: number;
  /** When it was last published or moved. */
  readonly changedAt: Instant;
}

export interface Probe {
  readonly epoch: PolicyEpoch;
  readonly documents: ReadonlyMap<string, ProbedDocument>;
}

/** The present class and version of documents, hidden ones included: for the drift alarm, never for an answer. */
export async function probeDocuments(
  database: Database,
  context: SessionContext,
  documents: readonly string[],
): Promise<Probe> {
  return database.unitOfWork('retrieve', context, async (trx) => {
    const { rows } = await sql<{ id: string; class_id: number; version: number; changed_at: number }>`
      select id, class_id, version, changed_at from bulkhead.probe_documents(${[...documents]}::uuid[])`.execute(
      trx,
    );
    const epoch = await sql<PolicyEpoch>`
      select incarnation, counter from bulkhead.policy_epoch where tenant_id = ${context.tenant}`.execute(
      trx,
    );
    return {
      epoch: epoch.rows[0] ?? { incarnation: '', counter: -1 },
      documents: new Map(
        rows.map((row) => [
          row.id,
          { class: row.class_id, version: row.version, changedAt: instant(row.changed_at) },
        ]),
      ),
    };
  });
}
