-- Sessions of the pages and sign-ins under way, for any replica to go on with. What is in one is sealed under a key
-- that only its cookie yields; the table has a hash of the cookie, so that whoever reads it can neither open nor use one.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table browser_session (
  -- SHA-256 of the cookie's value
  id_hash bytea primary key check (octet_length(id_hash) = 32),
  -- `used`: a logout token that must not be taken twice
  kind text not null check (kind in ('session', 'sign-in', 'used')),
  -- null until it is known who signs in
  tenant_id int references tenant,
  sealed bytea not null check (octet_length(sealed) <= 262144),
  -- by what the provider's logout finds it: the issuer's name, its `sub` and its `sid`
  issuer text,
  subject text,
  provider_sid text,
  -- the principal's text form
  principal text,
  -- raised by every change of the content, so that two replicas never overwrite each other
  version int not null default 1,
  -- one replica at a time renews the tokens: refresh tokens are used once
  leased_until timestamptz(3),
  created_at timestamptz(3) not null,
  used_at timestamptz(3) not null,
  absolute_end timestamptz(3) not null,
  check (kind <> 'session' or (tenant_id is not null and issuer is not null and subject is not null and principal is not null))
);
create index browser_session_by_end on browser_session (absolute_end);
create index browser_session_by_use on browser_session (kind, used_at desc);
create index browser_session_by_subject on browser_session (issuer, subject) where issuer is not null;
create index browser_session_by_sid on browser_session (issuer, provider_sid) where provider_sid is not null;
alter table browser_session enable row level security;
alter table browser_session force row level security;

-- A session is looked for before anybody knows whose it is, so no tenant's context applies; only the functions below
-- reach the table, each by the hash of a cookie or by what a provider signed.
grant select, insert, update, delete on browser_session to bulkhead_kernel;
create policy kernel_browser_session on browser_session to bulkhead_kernel using (true) with check (true);

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Adds one, takes away what has ended, and, beyond p_most of the kind, those that were used longest ago.
create function add_session(p_kind text, p_id bytea, p_sealed bytea, p_owner jsonb, p_now timestamptz, p_end timestamptz,
  p_most int) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if p_kind not in ('session', 'sign-in') then
    raise exception 'not a kind of session' using errcode = '22023';
  end if;
  delete from browser_session where id_hash in (
    select id_hash from browser_session where absolute_end <= p_now limit 100 for update skip locked);
  insert into browser_session (id_hash, kind, tenant_id, sealed, issuer, subject, provider_sid, principal, created_at,
      used_at, absolute_end)
    values (p_id, p_kind, (select id from tenant where name = p_owner->>'tenant'), p_sealed, p_owner->>'issuer',
      p_owner->>'subject', p_owner->>'session', p_owner->>'principal', p_now, p_now, p_end);
  if p_most is not null then
    delete from browser_session where id_hash in (
      select id_hash from browser_session where kind = p_kind order by used_at desc offset p_most for update skip locked);
  end if;
end
$$;

-- The live session. The time of its use is kept to the minute, so that reading is seldom writing.
create function find_session(p_kind text, p_id bytea, p_now timestamptz, p_idle interval)
returns table (sealed bytea, version int, created_at double precision)
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v browser_session;
begin
  select * into v from browser_session s where s.id_hash = p_id and s.kind = p_kind;
  if not found then return; end if;
  if v.absolute_end <= p_now or v.used_at + p_idle <= p_now then
    delete from browser_session s where s.id_hash = p_id;
    return;
  end if;
  if p_now - v.used_at >= interval '1 minute' then
    update browser_session s set used_at = greatest(s.used_at, p_now) where s.id_hash = p_id;
  end if;
  return query select v.sealed, v.version, ms(v.created_at);
end
$$;

-- Another content, if it still is the version that was read.
create function replace_session(p_id bytea, p_version int, p_sealed bytea) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  update browser_session set sealed = p_sealed, version = version + 1
    where id_hash = p_id and version = p_version and kind = 'session';
  return found;
end
$$;

-- Whether the caller alone may renew the tokens of this version until then.
create function lease_session(p_id bytea, p_version int, p_now timestamptz, p_until timestamptz) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  update browser_session set leased_until = p_until
    where id_hash = p_id and version = p_version and kind = 'session' and (leased_until is null or leased_until <= p_now);
  return found;
end
$$;

create function release_session(p_id bytea) returns void
language sql security definer set search_path = bulkhead, pg_temp as $$
  update browser_session set leased_until = null where id_hash = p_id
$$;

-- Whether it was there: of two that take one, one is told so.
create function remove_session(p_id bytea) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  delete from browser_session where id_hash = p_id;
  return found;
end
$$;

-- Whether this is the first use. Kept until it would be refused for its age anyway.
create function use_once(p_id bytea, p_now timestamptz, p_until timestamptz) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  insert into browser_session (id_hash, kind, sealed, created_at, used_at, absolute_end)
    values (p_id, 'used', '', p_now, p_now, p_until) on conflict do nothing;
  return found;
end
$$;

-- Ends the sessions that a provider has ended: one by its `sid`, or all of its `sub`. Returns whose they were.
create function end_provider_sessions(p_issuer text, p_subject text, p_session text)
returns table (tenant text, principal text, session text)
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if p_subject is null and p_session is null then
    raise exception 'nobody is named' using errcode = '22023';
  end if;
  return query
    with ended as (
      delete from browser_session s
      where s.kind = 'session' and s.issuer = p_issuer
        and (p_session is null or s.provider_sid = p_session) and (p_subject is null or s.subject = p_subject)
      returning s.tenant_id, s.principal, s.provider_sid)
    select t.name, e.principal, e.provider_sid from ended e join tenant t on t.id = e.tenant_id;
end
$$;

-- Beside `end_session` of 0034, for a logout that names no session: whatever was issued to the user until now.
create function end_sessions_of_user(p_id text, p_reason text) returns void
language sql security definer set search_path = bulkhead, pg_temp as $$
  select store_revocation('user', p_id, p_reason, null)
$$;

revoke all on function add_session, find_session, replace_session, lease_session, release_session,
  remove_session, use_once, end_provider_sessions, end_sessions_of_user from public;
grant execute on function add_session, find_session, replace_session, lease_session, release_session,
  remove_session, use_once, end_provider_sessions, end_sessions_of_user to bulkhead_retrieve;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
