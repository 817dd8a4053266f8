-- How many chunks each class has among the live versions, for planning searches: a caller's visible part is counted
-- before it is searched. Nothing that is decided or returned depends on these numbers.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table class_chunk_count (
  tenant_id int not null,
  class_id int not null,
  -- no check: what only helps to plan must never keep a document from being deleted
  chunks bigint not null,
  primary key (tenant_id, class_id)
);
alter table class_chunk_count enable row level security;
alter table class_chunk_count force row level security;
-- documents are written for every tenant, the indexer's without a context
create policy owner_count on class_chunk_count to bulkhead_owner using (true) with check (true);
grant select on class_chunk_count to bulkhead_retrieve, bulkhead_admin;
create policy retrieve_count on class_chunk_count for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()));
create policy admin_count on class_chunk_count for select to bulkhead_admin
  using (tenant_id = (select ctx_tenant()));

-- Adds to the counts, which are taken in the order of their key, so that two writers never wait for each other.
-- A document that is not live counts for nothing, and a change that leaves a count as it was takes no lock.
create function add_class_chunks(p_tenants int[], p_classes int[], p_chunks bigint[]) returns void
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  insert into class_chunk_count as c (tenant_id, class_id, chunks)
    select tenant_id, class_id, sum(n) from unnest(p_tenants, p_classes, p_chunks) as t (tenant_id, class_id, n)
    group by tenant_id, class_id having sum(n) <> 0 order by tenant_id, class_id
    on conflict (tenant_id, class_id) do update set chunks = c.chunks + excluded.chunks;
  delete from class_chunk_count c using (select distinct tenant_id, class_id
      from unnest(p_tenants, p_classes) as t (tenant_id, class_id)) t
    where c.tenant_id = t.tenant_id and c.class_id = t.class_id and c.chunks = 0;
end
$$;

create function count_class_chunks() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_tenants int[];
  v_classes int[];
  v_chunks bigint[];
begin
  if tg_op = 'INSERT' then
    select array_agg(tenant_id), array_agg(class_id), array_agg(chunk_count::bigint) into v_tenants, v_classes, v_chunks
      from after where version > 0 and chunk_count > 0;
  elsif tg_op = 'DELETE' then
    select array_agg(tenant_id), array_agg(class_id), array_agg(-chunk_count::bigint) into v_tenants, v_classes, v_chunks
      from before where version > 0 and chunk_count > 0;
  else
    select array_agg(tenant_id), array_agg(class_id), array_agg(n) into v_tenants, v_classes, v_chunks from (
      select tenant_id, class_id, sum(n)::bigint as n from (
        select tenant_id, class_id, chunk_count as n from after where version > 0
        union all
        select tenant_id, class_id, -chunk_count from before where version > 0) t
      group by tenant_id, class_id having sum(n) <> 0) t;
  end if;
  if v_tenants is not null then perform add_class_chunks(v_tenants, v_classes, v_chunks); end if;
  return null;
end
$$;
revoke all on function add_class_chunks, count_class_chunks from public;
create trigger class_count_insert after insert on document referencing new table as after
  for each statement execute function count_class_chunks();
create trigger class_count_update after update on document referencing old table as before new table as after
  for each statement execute function count_class_chunks();
create trigger class_count_delete after delete on document referencing old table as before
  for each statement execute function count_class_chunks();

-- What is there already. The triggers keep writers out until this is committed; the owner sees documents only here.
create policy owner_count on document for select to bulkhead_owner using (true);
insert into class_chunk_count (tenant_id, class_id, chunks)
  select tenant_id, class_id, sum(chunk_count) from document where version > 0 group by tenant_id, class_id
  having sum(chunk_count) > 0;
drop policy owner_count on document;
