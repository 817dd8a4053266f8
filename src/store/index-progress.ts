/** How far the index has come, for those who may not look into the outbox: what they are let ask. */
import { sql } from 'kysely';
import { type DocumentId, documentId } from '../policy/ids.ts';
import type { Database } from './database.ts';
import type { SessionContext } from './session-context.ts';

export interface DocumentVersion {
  readonly document: DocumentId;
  readonly version: number;
}

/** Milliseconds that the oldest work has waited, in the role `retrieve`. */
export function readIndexLagMs(database: Database): Promise<number> {
  return database.unitOfWork('retrieve', undefined, async (trx) => {
    const { rows } = await sql<{ ms: number }>`
      select oldest_ms as ms from bulkhead.index_backlog()`.execute(trx);
    return rows[0]?.ms ?? Number.POSITIVE_INFINITY;
  });
}

/**
 * Those among these versions that readers or the index do not have yet, in the role `ingest`. Of documents that the
 * caller may not manage nothing is said.
 */
export function readPending(
  database: Database,
  context: SessionContext,
  versions: readonly DocumentVersion[],
): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
  return database.unitOfWork('ingest', context, async (trx) => {
    const { rows } = await sql<{ id: string; has_failed: boolean }>`
      select id, has_failed from bulkhead.index_pending(${versions.map(({ document }) => document)}::uuid[],
        ${versions.map(({ version }) => version)}::int[])`.execute(trx);
    return new Map(rows.map(({ id, has_failed }) => [documentId(id), has_failed ? 'failed' : 'under-way']));
  });
}
