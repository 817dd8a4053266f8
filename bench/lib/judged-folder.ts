/** The judged collections in a data folder, each a tenant of its own. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { COLLECTIONS_FOLDER, type Collection } from './collections.ts';
import { keptFolder, type OpenFolder } from './data-folder.ts';
import { type Dealing, deal } from './dealing.ts';
import { cachedEmbedder } from './embedding-cache.ts';
import { VECTORS_FOLDER } from './folders.ts';
import { progress } from './progress.ts';
import { ingestAll, makeTenant, submissionsOf, submitterOf } from './tenant.ts';

const SEED = 20_260_101;

export function dealingOf(collection: Collection): Dealing {
  return deal(collection.documents.length, SEED);
}

/** The folder that holds the collections; minutes when it is not there yet. */
export function ingestCollections(collections: readonly Collection[]): Promise<string> {
  const inputs = collections.map(({ name }) => {
    const { size, mtimeMs } = statSync(join(COLLECTIONS_FOLDER, name, 'corpus.jsonl'));
    return `${name} ${size} ${mtimeMs}`;
  });
  return keptFolder('judged', inputs, async ({ core }) => {
    for (const collection of collections) await ingestCollection(core, collection);
  });
}

async function ingestCollection(core: OpenFolder['core'], collection: Collection): Promise<void> {
  const { name, documents } = collection;
  const dealing = dealingOf(collection);
  await makeTenant(core, name, dealing);
  const embedder = cachedEmbedder(
    core.embedder,
    join(VECTORS_FOLDER, `${core.embedder.fingerprint.slice(0, 12)}.bin`),
  );
  const submissions = submissionsOf(documents, dealing);
  const parts = { ...core.ingest, embedder };
  const said = progress(`Ingesting ${name}`, documents.length);
  await ingestAll(parts, await submitterOf(core, name), submissions, said);
  embedder.keep();
}
