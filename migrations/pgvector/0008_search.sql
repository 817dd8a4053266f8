-- Exact search in one statement (docs/decisions/0004): the only way from a caller to the index tables.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- Counts follow every change of index_vector, whoever makes it. Rows are taken in the order of their key, so
-- that two writers never wait for each other.
create function count_index_chunks() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if tg_op <> 'INSERT' then
    update index_class_count c set chunks = c.chunks - g.n
    from (
      select k.collection_id, k.tenant_id, k.class_id, o.n
      from index_class_count k join (
        select collection_id, tenant_id, class_id, count(*)::int as n from before group by 1, 2, 3
      ) o using (collection_id, tenant_id, class_id)
      order by 1, 2, 3 for update of k
    ) g
    where (c.collection_id, c.tenant_id, c.class_id) = (g.collection_id, g.tenant_id, g.class_id);
  end if;
  if tg_op <> 'DELETE' then
    insert into index_class_count as c (collection_id, tenant_id, class_id, chunks)
      select collection_id, tenant_id, class_id, count(*)::int from after group by 1, 2, 3 order by 1, 2, 3
      on conflict (collection_id, tenant_id, class_id) do update set chunks = c.chunks + excluded.chunks;
  end if;
  if tg_op <> 'INSERT' then
    delete from index_class_count c using (select distinct collection_id, tenant_id, class_id from before) o
      where (c.collection_id, c.tenant_id, c.class_id) = (o.collection_id, o.tenant_id, o.class_id) and c.chunks = 0;
  end if;
  return null;
end
$$;
revoke all on function count_index_chunks from public;
create trigger count_insert after insert on index_vector referencing new table as after
  for each statement execute function count_index_chunks();
create trigger count_update after update on index_vector referencing old table as before new table as after
  for each statement execute function count_index_chunks();
create trigger count_delete after delete on index_vector referencing old table as before
  for each statement execute function count_index_chunks();

grant select on index_collection, index_vector, index_posting, index_class_count to bulkhead_search;
grant create on schema bulkhead to bulkhead_search;
reset role;
set local role bulkhead_search;
set local search_path = bulkhead, public;

-- The collection a search may use: live, and of the model that made the query's embedding.
create function live_collection(p_tenant int, p_fingerprint text) returns smallint
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
declare
  v_collection smallint;
begin
  -- without a context ctx_tenant() is null, which is distinct from every tenant
  if p_tenant is null or p_tenant is distinct from ctx_tenant() then
    raise exception 'not the tenant of this unit of work' using errcode = '42501';
  end if;
  select id into v_collection from index_collection where live and fingerprint = p_fingerprint;
  if v_collection is null then
    raise exception 'the live collection is of another model' using errcode = '55000';
  end if;
  return v_collection;
end
$$;

-- The visible classes as a condition on class_id: those in one of the inclusive ranges and, where given, among
-- the ids ($1), and with their bit set in the mask ($2; bit i stands for the class p_from[1] + i). Each argument
-- only narrows. The text holds nothing but integers; why there are three forms is in docs/decisions/0004.
create function class_condition(p_from int[], p_to int[], p_ids int[], p_mask bytea) returns text
language plpgsql immutable set search_path = bulkhead, pg_temp as $$
declare
  v_condition text;
begin
  select '(' || string_agg(format('class_id between %s and %s', f, t), ' or ') || ')' into v_condition
    from unnest(p_from, p_to) r(f, t);
  if v_condition is null or array_position(p_from || p_to, null) is not null
    or cardinality(p_from) <> cardinality(p_to) then
    raise exception 'a search needs visible classes' using errcode = '22023';
  end if;
  if p_ids is not null then
    v_condition := v_condition || ' and class_id = any ($1)';
  end if;
  if p_mask is not null then
    if cardinality(p_from) > 1 or octet_length(p_mask)::bigint * 8 <= p_to[1]::bigint - p_from[1] then
      raise exception 'the mask does not cover the range' using errcode = '22023';
    end if;
    -- `case`, because get_bit fails outside the mask and conditions are evaluated in any order
    v_condition := v_condition || format(
      ' and case when class_id between %1$s and %2$s then get_bit($2, class_id - %1$s) = 1 end', p_from[1], p_to[1]);
  end if;
  return v_condition;
end
$$;

-- How many chunks the classes hold.
create function count_chunks(p_tenant int, p_fingerprint text, p_from int[], p_to int[], p_ids int[], p_mask bytea)
returns bigint language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
declare
  v_count bigint;
begin
  execute format('select coalesce(sum(chunks), 0) from index_class_count where collection_id = %s and tenant_id = %s and %s',
      live_collection(p_tenant, p_fingerprint), p_tenant, class_condition(p_from, p_to, p_ids, p_mask))
    into v_count using p_ids, p_mask;
  return v_count;
end
$$;

-- The nearest chunks by inner product ('dense') and by BM25 ('sparse') among the visible classes, and, where
-- p_documents is not null, among those documents. Document frequencies and N come from the rows that the class
-- filter admits, whatever p_documents says. Sparse scores are summed in fixed point (2^-20): a sum of floats
-- would depend on the order of the rows, and so on rows that the caller may not see.
create function search_chunks(p_tenant int, p_fingerprint text, p_from int[], p_to int[], p_ids int[], p_mask bytea,
  p_documents uuid[], p_embedding public.vector, p_terms int[], p_limit int)
returns table (list text, chunk_id bigint, document_id uuid, class_id int, version int, score double precision)
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
      select chunk_id, document_id, class_id, version, embedding operator(public.<#>) $4 as distance
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
    select 'dense', chunk_id, document_id, class_id, version, 0 - distance from nearest
    union all
    select 'sparse', chunk_id, document_id, class_id, version, total / 1048576.0::double precision
    from best join index_vector using (chunk_id) where %4$s
    $query$, v_admitted, v_narrow_dense, v_narrow_sparse, v_rows)
    using p_ids, p_mask, p_documents, p_embedding, p_terms, p_limit;
end
$$;

revoke all on function live_collection, class_condition, count_chunks, search_chunks from public;
grant execute on function count_chunks, search_chunks to bulkhead_retrieve;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_search;
reset role;
