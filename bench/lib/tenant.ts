/** A tenant whose documents were dealt out, filled through the real pipeline. */
import type { Core } from '../../src/assembly/core.ts';
import { ensureContainers } from '../../src/ingest/ensure-containers.ts';
import { ingestMany } from '../../src/ingest/ingest.ts';
import { provisionPeople } from '../../src/ingest/provision.ts';
import type { IngestParts, IngestResult, Submission, Submitter } from '../../src/ingest/submission.ts';
import { instant } from '../../src/policy/ids.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import { createTenant } from '../../src/store/tenants.ts';
import type { BenchDocument } from './collections.ts';
import { type Dealing, ISSUER, type ReaderName, userOf } from './dealing.ts';

const ADMINISTRATOR = userOf('administrator');

/** A caller as identity would hand it on. */
export function identityOf(tenant: string, user: ReaderName | 'administrator'): CallerIdentity {
  return {
    tenant,
    user: userOf(user),
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
}

/** Tenant, people and containers, without documents. */
export async function makeTenant(core: Core, name: string, dealing: Dealing): Promise<void> {
  const { database } = core;
  const rootLevel = core.scheme.levels[0]?.name ?? '';
  const admin = { principal: ADMINISTRATOR, source: ISSUER, displayName: 'Administrator' };
  await createTenant(database, { name, admin, rootLevel });
  const { authority } = await submitterOf(core, name);
  await provisionPeople(database, authority.context, dealing.people, instant(Date.now()));
  const ensured = await ensureContainers(core.ingest, await submitterOf(core, name), dealing.containers);
  if (ensured.failed.length > 0)
    throw new Error(`a container was not made: ${JSON.stringify(ensured.failed[0])}`);
}

export async function submitterOf({ database, scheme }: Core, tenant: string): Promise<Submitter> {
  return { authority: await authorize(database, 'ingest', scheme, identityOf(tenant, 'administrator')) };
}

/** The documents as submissions, each where it was dealt. */
export function submissionsOf(
  documents: readonly BenchDocument[],
  dealing: Pick<Dealing, 'placements'>,
): readonly Submission[] {
  const encoder = new TextEncoder();
  return documents.map(({ id, title, text }, i) => {
    const placement = dealing.placements[i];
    if (placement === undefined) throw new Error('a document was dealt to no container');
    return {
      source: 'bench',
      externalId: id,
      mediaType: 'text/plain',
      bytes: encoder.encode(text),
      title,
      ...placement,
    };
  });
}

/** Ingests all. A document without text is left out; any other failure ends the run. */
export async function ingestAll(
  parts: IngestParts,
  submitter: Submitter,
  submissions: readonly Submission[],
  onProgress: (done: number) => void = () => {},
): Promise<readonly IngestResult[]> {
  const results: IngestResult[] = [];
  for await (const result of ingestMany(parts, submitter, submissions)) {
    if (result.status === 'failed' && result.error?.code !== 'empty_document')
      throw new Error(`${result.externalId}: ${result.error?.detail}`);
    results.push(result);
    onProgress(results.length);
  }
  return results;
}
