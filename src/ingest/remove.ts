import type { DocumentId } from '../policy/ids.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { requireCredentials } from '../store/revocations.ts';
import { byWhom } from './7-write.ts';
import type { IngestParts, Submitter } from './submission.ts';

/**
 * Deletes a document. It is gone for readers when this resolves, and from the index unless that does not answer,
 * in which case the index follows later.
 * @throws BulkheadError `not_found` for a missing document and for one where the submitter has no `ingest` alike
 */
export async function removeDocument(
  parts: Pick<IngestParts, 'database' | 'audit' | 'indexer'>,
  submitter: Submitter,
  document: DocumentId,
): Promise<void> {
  const { authority } = submitter;
  await ManagedDocuments.as(parts.database, authority.context).remove(document, async (trx, removed) => {
    await requireCredentials(trx, authority);
    await parts.audit.appendWithin(trx, [
      {
        tenant: authority.subject.tenant,
        kind: 'document.deleted',
        body: {
          ...byWhom(submitter),
          document,
          version: removed.version,
          container: removed.container,
          source: removed.source,
          batch: null,
        },
      },
    ]);
  });
  await parts.indexer?.drain().catch(() => {});
}
