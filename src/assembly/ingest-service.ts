import type { Caller, Services } from '../http/services.ts';
import { ingestMany, ingestOne } from '../ingest/ingest.ts';
import { removeDocument } from '../ingest/remove.ts';
import type { Submitter } from '../ingest/submission.ts';
import { documentId } from '../policy/ids.ts';
import { authorize } from '../store/authority.ts';
import { readPending } from '../store/index-progress.ts';
import { requireCredentialRight } from '../store/rights.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';

/** Taking documents in, for whoever the directory knows; each document is then checked against its container. */
export function ingestService(parts: Parts): Services['ingest'] {
  const taking = () => need(parts.ingest, 'ingestion');
  return {
    one: async (caller, submission) => ingestOne(taking(), await submitterOf(parts, caller), submission),
    many: async (caller, submissions) => ingestMany(taking(), await submitterOf(parts, caller), submissions),
    remove: async (caller, document) =>
      removeDocument(taking(), await submitterOf(parts, caller), documentId(document)),
    pending: async (caller, versions) => {
      const { authority } = await submitterOf(parts, caller);
      const asked = versions.map(({ document, version }) => ({ document: documentId(document), version }));
      return readPending(parts.database, authority.context, asked);
    },
  };
}

async function submitterOf({ database, scheme }: Parts, caller: Caller): Promise<Submitter> {
  const renew = () => authorize(database, 'ingest', scheme, caller.identity);
  const authority = await renew();
  requireCredentialRight(caller.identity, 'ingest');
  return { authority, renew, request: caller.requestId };
}
