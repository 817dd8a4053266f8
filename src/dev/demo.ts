/** The demo tenant: a believable company whose documents people may read differently. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBulkheadError } from '../errors.ts';
import { ensureContainers } from '../ingest/ensure-containers.ts';
import { ingestMany } from '../ingest/ingest.ts';
import { provisionPeople, provisionRights } from '../ingest/provision.ts';
import { readFolder } from '../ingest/sources/folder.ts';
import type { IngestParts, IngestResult } from '../ingest/submission.ts';
import type { Instant } from '../policy/ids.ts';
import { authorize, type CallerIdentity } from '../store/authority.ts';
import { createTenant } from '../store/tenants.ts';
import { COMPANY, DEMO_DIRECTORY } from './company.ts';
import { loadDirectory } from './load-directory.ts';

const DOCUMENTS = join(COMPANY, 'documents');
/** Holds every right at the root, and no clearance that would let it read. */
const ADMINISTRATOR = 'user:workforce|stefan.wolf';

export interface DemoProgress {
  readonly done: number;
  readonly total: number;
  readonly failed: readonly IngestResult[];
}

/**
 * Loads the demo tenant where it is not yet loaded; what a killed start left behind is taken up.
 * @param folder the data folder, where a finished load is noted
 * @param onProgress told after each document
 * @returns whether anything had to be loaded
 */
export async function loadDemo(
  parts: IngestParts,
  options: {
    readonly tenant: string;
    readonly folder: string;
    readonly now: Instant;
    readonly onProgress: (progress: DemoProgress) => void;
  },
): Promise<boolean> {
  const marker = join(options.folder, 'demo-loaded');
  if (existsSync(marker)) return false;
  const directory = await loadDirectory(DEMO_DIRECTORY);
  await createDemoTenant(parts, options.tenant);
  const context = async () => (await as(parts, options.tenant)).context;
  await provisionPeople(parts.database, await context(), directory, options.now);
  const content = await readFolder(DOCUMENTS, { source: 'demo', batch: 'demo' });
  await ensureContainers(parts, { authority: await as(parts, options.tenant) }, content.containers);
  await provisionRights(parts.database, await context(), directory);
  const total = await countDocuments(content.documents());
  const failed: IngestResult[] = [];
  let done = 0;
  for await (const result of ingestMany(
    parts,
    { authority: await as(parts, options.tenant) },
    content.documents(),
  )) {
    done += 1;
    if (result.status === 'failed') failed.push(result);
    options.onProgress({ done, total, failed });
  }
  await parts.database.maintain();
  writeFileSync(marker, `${done}\n`);
  return true;
}

async function countDocuments(documents: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of documents) count += 1;
  return count;
}

async function createDemoTenant({ database }: IngestParts, name: string): Promise<void> {
  try {
    await createTenant(database, {
      name,
      admin: { principal: ADMINISTRATOR, source: 'workforce', displayName: 'Stefan Wolf' },
      rootLevel: 'public',
    });
  } catch (error) {
    if (!isBulkheadError(error) || error.code !== 'conflict') throw error;
  }
}

function as({ database, scheme }: IngestParts, tenant: string) {
  const administrator: CallerIdentity = {
    tenant,
    user: ADMINISTRATOR,
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
  return authorize(database, 'ingest', scheme, administrator);
}
