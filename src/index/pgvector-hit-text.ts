/** The rows of `bulkhead.search_chunks` as one text: row by row, the driver takes a tenth of the search to read them. */
import { chunkId } from '../policy/ids.ts';
import type { Hit, SearchResult } from './vector-index.ts';

/** @param text rows parted by `;`, columns by a space; the shortest text of a score reads back as the same number */
export function readHits(text: string): SearchResult {
  const lists: Record<'dense' | 'sparse', Hit[]> = { dense: [], sparse: [] };
  for (const row of text === '' ? [] : text.split(';')) {
    const [list, chunk, score] = row.split(' ');
    lists[list === 'dense' ? 'dense' : 'sparse'].push({
      chunkId: chunkId(Number(chunk)),
      score: Number(score),
    });
  }
  const ordered = (hits: Hit[]) => hits.sort((a, b) => b.score - a.score || a.chunkId - b.chunkId);
  return { dense: ordered(lists.dense), sparse: ordered(lists.sparse) };
}
