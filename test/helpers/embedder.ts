import { fileURLToPath } from 'node:url';
import { type Embedder, openEmbedder } from '../../src/embed/embedder.ts';

const MODEL = fileURLToPath(new URL('../../models/all-MiniLM-L6-v2/manifest.json', import.meta.url));

let opened: Promise<Embedder> | undefined;

/** The repository's model, loaded once: it remembers nothing of what it embeds. It ends with this process. */
export function testEmbedder(): Promise<Embedder> {
  opened ??= openEmbedder({ manifestPath: MODEL, ingestWorkers: 1 });
  return opened;
}
