-- A search tells ids and scores only. What the index holds of a chunk is asked for apart, and only to find out why
-- the database did not show it.
set local role bulkhead_owner;
grant create on schema bulkhead to bulkhead_search;
reset role;
set local role bulkhead_search;
set local search_path = bulkhead, public;

drop function search_chunks(int, text, int[], int[], int[], bytea, uuid[], vector, int[], int);

-- The nearest chunks by inner product ('dense') and by BM25 ('sparse') among the visible classes, and, where
-- p_documents is not null, among those documents. Document frequencies and N come from the rows that the class
-- filter admits, whatever p_documents says. Sparse scores are summed in fixed point (2^-20): a sum of floats
-- would depend on the order of the rows, and so on rows that the caller may not see.
create function search_chunks(p_tenant int, p_fingerprint text, p_from int[], p_to int[], p_ids int[], p_mask bytea,
  p_documents uuid[], p_embedding public.vector, p_terms int[], p_limit int)
returns table (list text, chunk_id bigint, score double precision)
language plpgsql stable security definer set search_path = bulkhead, pg_temp set jit = off as $$
declare
  v_rows text := format('collection_id = %s and tenant_id = %s', live_collection(p_tenant, p_fingerprint), p_tenant);
  v_admitted text := v_rows || ' and ' || class_condition(p_from, p_to, p_ids, p_mask);
  v_narrow_dense text := '';
  v_narrow_sparse text := '';
begin
  if p_limit is null or p_limit < 1 then
    raise exception 'a search needs a limit of at least 1' using errcode = '22023';
  end if;
  if p_documents is not null then
    v_narrow_dense := 'and document_id = any ($3)';
    v_narrow_sparse := format('where chunk_id in (select chunk_id from index_vector where %s and document_id = any ($3))', v_rows);
  end if;
  return query execute format($query$
    with nearest as materialized (
      select chunk_id, embedding operator(public.<#>) $4 as distance
      from index_vector where %1$s %2$s
      order by distance, chunk_id limit $6),
    visible as materialized (
      select coalesce(sum(chunks), 0) as n from index_class_count where %1$s),
    posting as materialized (
      select term, chunk_id, weight from index_posting where %1$s and term = any ($5)),
    idf as materialized (
      select term, ln(1 + ((select n from visible) - count(*) + 0.5::double precision) / (count(*) + 0.5::double precision)) as value
      from posting group by term),
    best as materialized (
      select chunk_id, sum(round(weight * value * 1048576)::int) as total from posting join idf using (term)
      %3$s group by chunk_id order by total desc, chunk_id limit $6)
    select 'dense', chunk_id, 0 - distance from nearest
    union all
    select 'sparse', chunk_id, total / 1048576.0::double precision from best
    $query$, v_admitted, v_narrow_dense, v_narrow_sparse)
    using p_ids, p_mask, p_documents, p_embedding, p_terms, p_limit;
end
$$;

-- What the live collection holds of these chunks, hidden ones included: for the drift alarm, never for an answer.
create function locate_chunks(p_tenant int, p_fingerprint text, p_chunks bigint[])
returns table (chunk_id bigint, document_id uuid, version int, class_id int)
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
declare
  v_collection smallint := live_collection(p_tenant, p_fingerprint);
begin
  return query
    select v.chunk_id, v.document_id, v.version, v.class_id from index_vector v
    where v.collection_id = v_collection and v.tenant_id = p_tenant and v.chunk_id = any (p_chunks);
end
$$;

revoke all on function search_chunks, locate_chunks from public;
grant execute on function search_chunks, locate_chunks to bulkhead_retrieve;
reset role;
set local role bulkhead_owner;
revoke create on schema bulkhead from bulkhead_search;
reset role;
