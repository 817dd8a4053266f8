/** What Bulkhead's adapter asks Qdrant for each caller and question, so that it can be asked again without Bulkhead. */
import { writeFileSync } from 'node:fs';
import { search } from '../../../src/retrieve/3-search.ts';
import type { BareSearch } from '../../baselines/bare.ts';
import { embeddedQuestion } from '../embedded-question.ts';
import type { DataSet } from './data-set.ts';
import { authorizedOf } from './identity.ts';
import { openProduct } from './product.ts';
import { isSearch, startProxy } from './qdrant-proxy.ts';

/** Only searches are kept: what else the adapter asks is the price of permissions. */
export async function recordSearches(
  data: DataSet,
  callers: readonly string[],
  questions: readonly string[],
  file: string,
): Promise<void> {
  const proxy = await startProxy(data.stores.qdrantUrl);
  const { core, close } = await openProduct(data.stores, { QDRANT_URL: proxy.url });
  try {
    const lines: string[] = [];
    for (const caller of callers) {
      const authorized = await authorizedOf(core, caller);
      for (const query of questions) {
        proxy.take();
        await search(core.index, authorized, await embeddedQuestion(core.embedder, query));
        const recorded: BareSearch = { caller, query, calls: proxy.take().filter(isSearch) };
        lines.push(JSON.stringify(recorded));
      }
    }
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  } finally {
    await close();
    await proxy.close();
  }
}
