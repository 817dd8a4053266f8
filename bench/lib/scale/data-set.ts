/** A data set in both stores, loaded in an earlier run or now. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Embedder } from '../../../src/embed/embedder.ts';
import { type Pieces, readPieces } from './corpus.ts';
import { type Layout, layoutOf } from './layout.ts';
import { type LoadedPolicy, loadClasses, readPolicy } from './load-classes.ts';
import { loadDocuments } from './load-documents.ts';
import { addChunks, buildGraphs, makeUnprotected, qdrantClient, untilIndexed } from './load-qdrant.ts';
import { makeTenant, migrate } from './load-tenant.ts';
import { openProduct } from './product.ts';
import { type DataSpec, keyOf } from './spec.ts';
import { dataSetFolder, openStores, type Stores } from './stores.ts';

export interface DataSet {
  readonly key: string;
  readonly spec: DataSpec;
  readonly layout: Layout;
  readonly policy: LoadedPolicy;
  readonly pieces: Pieces;
  readonly stores: Stores;
  /** To the database, as superuser. */
  readonly client: pg.Client;
  close(): Promise<void>;
}

export interface DataSetOptions {
  /** Load even what an earlier run has loaded. */
  readonly fresh: boolean;
  /** Also the collection of who asks nobody's permission. */
  readonly withUnprotected: boolean;
  /** On servers of its own. */
  readonly own?: boolean;
}

/** Loading says how far it is; 200,000 chunks take some minutes, a million half an hour. */
export async function openDataSet(
  spec: DataSpec,
  embedder: Embedder,
  { fresh, withUnprotected, own = false }: DataSetOptions,
): Promise<DataSet> {
  const pieces = await readPieces(embedder);
  const key = `${keyOf(spec, pieces.texts)}${withUnprotected ? '' : '-own'}`;
  const folder = dataSetFolder(key);
  const marker = join(folder, 'loaded');
  const isLoaded = existsSync(marker) && !fresh;
  if (!isLoaded) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const stores = await openStores(key, { fresh: !isLoaded, own });
  const client = new pg.Client({ connectionString: stores.databaseUrl });
  try {
    await client.connect();
    await migrate(stores);
    const layout = layoutOf(spec);
    const opened = { key, spec, layout, pieces, stores, client };
    const policy = isLoaded
      ? await readPolicy(client, spec, layout)
      : await load(opened, embedder, withUnprotected);
    if (!isLoaded) writeFileSync(marker, new Date().toISOString());
    return {
      ...opened,
      policy,
      close: async () => {
        await client.end();
        await stores.stop();
      },
    };
  } catch (error) {
    await client.end().catch(() => {});
    await stores.stop();
    throw error;
  }
}

async function load(
  { spec, layout, pieces, stores, client }: Omit<DataSet, 'policy' | 'close'>,
  embedder: Embedder,
  withUnprotected: boolean,
): Promise<LoadedPolicy> {
  const began = Date.now();
  console.error(`Loading ${spec.chunks} chunks in ${spec.classes} classes; this is done once.`);
  await makeTenant(stores, layout);
  const policy = await loadClasses(client, spec, layout);
  const qdrant = qdrantClient(stores.qdrantUrl, stores.qdrantKey);
  if (withUnprotected) await makeUnprotected(qdrant, embedder.dimension);
  const product = await openProduct(stores);
  try {
    await buildGraphs(qdrant, 'later');
    await loadDocuments(client, spec, policy, pieces, embedder.fingerprint, (chunks) =>
      addChunks(withUnprotected ? qdrant : undefined, product.core.index, policy.tenant, chunks),
    );
    await buildGraphs(qdrant, 'now');
    const points = await untilIndexed(qdrant);
    for (const [collection, count] of points)
      if (count !== spec.chunks) console.error(`${collection} has ${count} points, not ${spec.chunks}`);
  } finally {
    await product.close();
  }
  console.error(`Loaded in ${((Date.now() - began) / 1000).toFixed(0)} s.`);
  return policy;
}
