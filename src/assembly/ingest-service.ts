import type { Caller, Services } from '../http/services.ts';
import { ingestMany, ingestOne } from '../ingest/ingest.ts';
import { removeDocument } from '../ingest/remove.ts';
import type { Submitter } from '../ingest/submission.ts';
import { documentId } from '../policy/ids.ts';
import { authorize } from '../store/authority.ts';
import type { Core } from './core.ts';

/** Taking documents in, for whoever the directory knows; each document is then checked against its container. */
export function ingestService(core: Core): Services['ingest'] {
  return {
    one: async (caller, submission) => ingestOne(core.ingest, await submitterOf(core, caller), submission),
    many: async (caller, submissions) =>
      ingestMany(core.ingest, await submitterOf(core, caller), submissions),
    remove: async (caller, document) =>
      removeDocument(core.ingest, await submitterOf(core, caller), documentId(document)),
  };
}

async function submitterOf({ database, scheme }: Core, caller: Caller): Promise<Submitter> {
  const renew = () => authorize(database, 'ingest', scheme, caller.identity);
  return { authority: await renew(), renew, request: caller.requestId };
}
