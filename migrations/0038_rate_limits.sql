-- What all processes counted in the present window of each limit. Unlogged: it is worth nothing after a minute, and a
-- server that crashed begins to count anew. Keys are digests, of no tenant: many limits are of strangers.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create unlogged table rate_limit (
  key text primary key check (length(key) = 22),
  points bigint not null check (points >= 0),
  ends_at timestamptz(3) not null
);
create index rate_limit_ends_at on rate_limit (ends_at);
grant select, insert, update, delete on rate_limit to bulkhead_kernel;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Adds [{"key": text, "points": int, "remaining": ms}] and returns the totals in the same form. A window that has ended
-- begins anew with what is added. No process can lower a count, and none reads a key that it does not know. Counts end far
-- above any limit: one that no number holds would fail for whoever counts under that key next, and all else they tell.
create function add_rate_counts(p_changes jsonb) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_now timestamptz := clock_timestamp();
  v_totals json;
begin
  if jsonb_array_length(p_changes) > 5000 then
    raise exception 'too many counts at once' using errcode = '22023';
  end if;
  with added as (
    insert into rate_limit as l (key, points, ends_at)
    select c.key, least(greatest(c.points, 0), 1000000000000), v_now + make_interval(secs => least(greatest(c.remaining, 0), 86400000) / 1000.0)
    from jsonb_to_recordset(p_changes) as c (key text, points bigint, remaining double precision)
    -- in one order everywhere, so that two processes never wait for each other
    order by c.key
    on conflict (key) do update set
      points = case when l.ends_at <= v_now then excluded.points else least(l.points + excluded.points, 1000000000000000) end,
      ends_at = case when l.ends_at <= v_now then excluded.ends_at else l.ends_at end
    returning l.key, l.points, l.ends_at)
  select coalesce(json_agg(json_build_object('key', key, 'points', points,
    'remaining', greatest(0, ms(ends_at) - ms(v_now)))), '[]') into v_totals from added;
  delete from rate_limit where key in (
    select key from rate_limit where ends_at < v_now - interval '1 minute' order by ends_at limit 1000
    for update skip locked);
  return v_totals;
end
$$;
revoke all on function add_rate_counts(jsonb) from public;
-- of those who answer callers
grant execute on function add_rate_counts(jsonb) to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
