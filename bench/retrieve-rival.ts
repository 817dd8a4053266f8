/** The server process of a contestant other than Bulkhead; `bench/retrieve.ts` starts it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hono } from 'hono';
import pg from 'pg';
import { openEmbedder } from '../src/embed/embedder.ts';
import { listen } from '../src/http/server.ts';
import { type BareSearch, bare } from './baselines/bare.ts';
import type { Baseline, BaselineAnswer, BaselineRequest } from './baselines/baseline.ts';
import { type CheckMany, postFilter } from './baselines/post-filter.ts';
import { unprotected } from './baselines/unprotected.ts';
import { PROJECT } from './lib/folders.ts';
import { layoutOf } from './lib/scale/layout.ts';
import { readPolicy } from './lib/scale/load-classes.ts';
import { qdrantClient } from './lib/scale/load-qdrant.ts';
import { checkWith } from './lib/scale/openfga.ts';
import type { RivalOptions } from './lib/scale/rival-process.ts';

const options = JSON.parse(process.env.BENCH_RIVAL ?? '') as RivalOptions;
const embedder = await openEmbedder({
  manifestPath: join(PROJECT, 'models/all-MiniLM-L6-v2/manifest.json'),
  ingestWorkers: 1,
});
const baseline = await open();
const app = new Hono();
app.post('/search', async (c) => c.json(await answer(await c.req.json<BaselineRequest>())));
app.onError((error, c) => c.text(String(error.stack), 500));
const { port } = await listen(app, { host: '127.0.0.1', port: 0 });
console.log(`listening on ${port}`);

/** Qdrant closes connections that were idle for five seconds, at times just when one is used again. */
async function answer(request: BaselineRequest): Promise<BaselineAnswer> {
  try {
    return await baseline.answer(request);
  } catch (error) {
    if (error instanceof TypeError) return baseline.answer(request);
    throw error;
  }
}

async function open(): Promise<Baseline> {
  if (options.kind === 'unprotected')
    return unprotected({ url: options.qdrantUrl, key: options.qdrantKey }, embedder);
  const client = qdrantClient(options.qdrantUrl, options.qdrantKey);
  if (options.kind === 'post-filter') return postFilter(client, embedder, await openCheck());
  const lines = readFileSync(options.searchesFile ?? '', 'utf8')
    .split('\n')
    .filter(Boolean);
  const searches = lines.map((line): BareSearch => JSON.parse(line));
  return bare(options.qdrantUrl, searches, embedder);
}

/** OpenFGA, or, where there is none, a look into memory that costs nothing: the best case for this contestant. */
async function openCheck(): Promise<CheckMany> {
  if (options.openFga !== undefined) return checkWith(options.openFga);
  const layout = layoutOf(options.spec);
  const database = new pg.Client({ connectionString: options.databaseUrl });
  await database.connect();
  const { classIds } = await readPolicy(database, options.spec, layout);
  await database.end();
  const positions = new Map(Array.from(classIds, (id, position) => [id, position]));
  return async (caller, classes) =>
    new Set(classes.filter((cls) => layout.mayRead(caller, positions.get(cls) ?? -1)));
}
