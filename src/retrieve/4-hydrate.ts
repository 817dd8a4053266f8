import type { Database } from '../store/database.ts';
import { ReadableDocuments } from '../store/passages.ts';
import type { Authorized, Candidate, Hydrated } from './stages.ts';

/**
 * Stage 4: the texts, read under row-level security. What the index proposed and the database does not show is
 * kept apart: either the index lags, or one of the enforcers is wrong.
 */
export async function hydrate(
  database: Database,
  authorized: Authorized,
  searched: readonly Candidate[],
): Promise<Hydrated> {
  const readable = ReadableDocuments.as(database, authorized.authority.context);
  const chunks = searched.map(({ hit }) => hit.chunkId);
  const { passages, classes } = await readable.hydrate(chunks);
  const byChunk = new Map(passages.map((passage) => [passage.chunk, passage]));
  return {
    candidates: searched.flatMap((candidate) => {
      const passage = byChunk.get(candidate.hit.chunkId);
      return passage === undefined ? [] : [{ ...candidate, passage }];
    }),
    classes,
    missing: chunks.filter((chunk) => !byChunk.has(chunk)),
  };
}
