// Started by test/unit/embed-telemetry.test.ts: embeds one text as the program would, then stays until its input ends.
// "unguarded" starts the same worker without src/embed/no-telemetry.ts.
import { Worker } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
const { openEmbedder } = await import('../../src/embed/embedder.ts');
const { localFolder, readManifest } = await import('../../src/embed/model-manifest.ts');
const [mode, manifestPath] = process.argv.slice(2);

async function unguarded() {
  const { folder: _, ...rest } = await readManifest(manifestPath);
  const spec = { ...rest, folder: localFolder(rest, manifestPath) };
  const entry = new URL('../../src/embed/worker-entry.mjs', import.meta.url);
  const worker = new Worker(entry, { workerData: { spec, threads: 1 } });
  const reply = () => new Promise((resolve) => worker.once('message', resolve));
  await reply();
  worker.postMessage({ kind: 'embed', texts: ['hello'] });
  await reply();
  return () => worker.terminate();
}

async function guarded() {
  const embedder = await openEmbedder({ manifestPath });
  await embedder.embedQuery('hello');
  return () => embedder.close();
}

const close = mode === 'unguarded' ? await unguarded() : await guarded();
process.stdout.write('embedded\n');
for await (const _ of process.stdin);
await close();
