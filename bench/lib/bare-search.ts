/** The yardstick: the same exact hybrid search as one statement that asks nobody's permission. */
import { type RawBuilder, sql } from 'kysely';
import type { EmbeddedQuestion } from './embedded-question.ts';

/**
 * The two lists of `bulkhead.search_chunks`, over everything there is in the one collection of the one tenant. The
 * keys that lead its index to the postings are named; nothing else is asked.
 */
export function bareSearch({ vector, terms }: EmbeddedQuestion, limit: number): RawBuilder<unknown> {
  const embedding = `[${vector.join(',')}]`;
  return sql`
    with nearest as materialized (
      select chunk_id, embedding <#> ${embedding}::vector as distance
      from index_vector order by distance, chunk_id limit ${limit}),
    visible as materialized (select sum(chunks) as n from index_class_count),
    posting as materialized (
      select term, chunk_id, weight from index_posting
      where collection_id = 1 and tenant_id = 1 and term = any (${[...terms]}::int[])),
    idf as materialized (
      select term, ln(1 + ((select n from visible) - count(*) + 0.5::double precision) / (count(*) + 0.5::double precision)) as value
      from posting group by term),
    best as materialized (
      select chunk_id, sum(round(weight * value * 1048576)::int) as total from posting join idf using (term)
      group by chunk_id order by total desc, chunk_id limit ${limit})
    select 'dense' as list, chunk_id, 0 - distance as score from nearest
    union all
    select 'sparse', chunk_id, total / 1048576.0::double precision from best`;
}
