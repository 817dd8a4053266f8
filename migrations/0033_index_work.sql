-- Work on the index as a whole is one process's at a time, and what is looked at a second time is not late before
-- it is due.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- At most one row: who rebuilds the index or embeds it again, and until when nobody else does.
create table index_work (
  is_only boolean primary key default true check (is_only),
  holder uuid not null,
  kind text not null check (kind in ('rebuild', 'reembed')),
  held_until timestamptz(3) not null
);
grant select, insert, update, delete on index_work to bulkhead_indexer;

-- As in 0027, but for rows that wait from a later time on.
create or replace function index_backlog(out documents bigint, out oldest_ms double precision, out dead bigint)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select count(distinct document_id),
    coalesce(greatest(0, ms(clock_timestamp()) - ms(min(created_at)
      filter (where attempts = 0 or last_error in ('index_unavailable', 'database_unavailable')))), 0),
    count(distinct document_id) filter (where attempts >= 10 and last_error is not null)
  from outbox where created_at <= clock_timestamp()
$$;

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- As in 0027, but for second looks, which stay when they are due.
create or replace function retry_dead_letters(p_documents uuid[]) returns setof uuid
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform require_right(ctx_root(), 'administer');
  return query
  with retried as (
    update outbox o set attempts = 0, not_before = now(), last_error = null
    where o.tenant_id = ctx_tenant() and (p_documents is null or o.document_id = any (p_documents))
      and not (o.operation = 'mend' and o.attempts = 0 and o.not_before > now())
      and exists (select 1 from outbox d where d.document_id = o.document_id
        and d.tenant_id = ctx_tenant() and d.attempts >= 10 and d.last_error is not null)
    returning o.document_id)
  select distinct document_id from retried;
end
$$;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
