-- What a process that was taken over could do with the role ingest, cut to what ingestion does: it writes texts and
-- reads none, its own context decides nothing about a class, and it sees the keys that seal now.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

revoke select, update, delete on chunk, chunk_embedding from bulkhead_ingest;
revoke update, delete on document_version from bulkhead_ingest;
grant select (id, tenant_id, document_id, version, ordinal) on chunk to bulkhead_ingest;
grant select (chunk_id) on chunk_embedding to bulkhead_ingest;

-- Enough to lock a row. Container, class, name and live version of a document are not its to set.
revoke update on document from bulkhead_ingest;
grant update (updated_at) on document to bulkhead_ingest;

grant create on schema bulkhead to bulkhead_kernel, bulkhead_epoch;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Whether everybody whom the one class lets in gets in by the other too, both of one container, by what they say
-- themselves: the rules of docs/decisions/0009, for whoever gets round src/ingest/4-label.ts. The container's own
-- class says nothing.
create function is_tighter(p_class int, p_than int) returns boolean
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
declare
  v_to access_class;
  v_from access_class;
begin
  select * into v_to from access_class where id = p_class;
  select * into v_from from access_class where id = p_than;
  if v_from.kind = 'container' then
    -- whoever says nothing has no allows of its own that another class could repeat
    return not exists (select 1 from entry e where e.class_id = p_class and v_to.kind = 'adhoc' and e.effect = 'allow');
  end if;
  return v_to.kind = 'adhoc'
    and (v_from.level is null or coalesce(v_to.level = v_from.level, false) or coalesce(v_to.rank >= v_from.rank, false))
    and v_to.compartments @> v_from.compartments
    and (v_from.inherits or not v_to.inherits)
    and not exists (
      -- a deny that was dropped or shortened, or an allow that was added or extended
      select 1 from entry e
      where e.class_id = case e.effect when 'deny' then p_than else p_class end
        and e.class_id in (p_class, p_than)
        and not exists (
          select 1 from entry o
          where o.class_id = case e.effect when 'deny' then p_class else p_than end
            and o.effect = e.effect and o.principal_id = e.principal_id
            and coalesce(o.valid_from, '-infinity') <= coalesce(e.valid_from, '-infinity')
            and coalesce(o.valid_until, 'infinity') >= coalesce(e.valid_until, 'infinity')));
end
$$;

-- The class of a document that was submitted again. Needs `ingest` on its container, and only ever tightens: to loosen
-- takes the role admin, which `move_document` is left to.
create function tighten_document(p_document uuid, p_class int) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_class int;
begin
  select class_id into v_class from document where id = p_document and tenant_id = ctx_tenant() for update;
  if v_class is not null and is_tighter(p_class, v_class) is not true then
    raise exception 'the class is wider than the one that the document has' using errcode = '42501';
  end if;
  perform move_document(p_document, p_class, 'ingest');
end
$$;
revoke all on function is_tighter, tighten_document from public;
grant execute on function tighten_document to bulkhead_ingest;
revoke execute on function move_document from bulkhead_ingest;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
-- A data key that has sealed enough goes out of sight of whoever retires it, which row-level security takes for a
-- write that is not allowed: hence a function.
revoke update (state, retired_at) on data_key from bulkhead_ingest;
grant update (state, retired_at) on data_key to bulkhead_epoch;
drop policy ingest_data_key on data_key;
create policy ingest_data_key on data_key to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and state = 'current')
  with check (tenant_id = (select ctx_tenant()) and state = 'current');

reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;
create function retire_data_key(p_key uuid) returns void
language sql volatile security definer set search_path = bulkhead, pg_temp as $$
  update data_key set state = 'old', retired_at = now()
  where id = p_key and tenant_id = ctx_tenant() and state = 'current'
$$;
revoke all on function retire_data_key from public;
grant execute on function retire_data_key to bulkhead_ingest, bulkhead_indexer;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel, bulkhead_epoch;
grant execute on function ctx_tenant to bulkhead_epoch;
reset role;
