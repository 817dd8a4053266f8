-- What identity providers say by themselves (Shared Signals): each said once has one effect, and none of it gives anybody
-- anything. The caller of these is nobody, so they can do no more than take away.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table security_event (
  tenant_id int not null references tenant,
  -- the issuer of the event, and its id there, compared byte by byte
  transmitter text collate "C" not null check (octet_length(transmitter) between 1 and 1024),
  jti text collate "C" not null check (octet_length(jti) between 1 and 1024),
  issued_at timestamptz not null,
  primary key (tenant_id, transmitter, jti)
);
create index security_event_by_age on security_event (tenant_id, transmitter, issued_at);
alter table security_event enable row level security;
alter table security_event force row level security;
grant select, insert, delete on security_event to bulkhead_kernel;
create policy kernel_security_event on security_event to bulkhead_kernel
  using (tenant_id = (select ctx_tenant())) with check (tenant_id = (select ctx_tenant()));

-- `kernel_directory_account` of 0005 keeps it in the tenant
grant update (status) on directory_account to bulkhead_kernel;

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

create function require_nobody() returns void
language plpgsql stable set search_path = bulkhead, pg_temp as $$
begin
  if ctx_tenant() is null or cardinality(ctx_principals()) is distinct from 0 then
    raise exception 'a person does not act as a signal' using errcode = '42501';
  end if;
end
$$;

-- Whether the event is new; it is not again, as long as the transaction is kept. Those issued before p_forget, which
-- their age refuses by now, are forgotten.
create function take_security_event(p_transmitter text, p_jti text, p_issued_at timestamptz, p_forget timestamptz)
returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform require_nobody();
  delete from security_event
    where tenant_id = ctx_tenant() and transmitter = p_transmitter and issued_at < p_forget;
  insert into security_event (tenant_id, transmitter, jti, issued_at)
    values (ctx_tenant(), p_transmitter, p_jti, p_issued_at) on conflict do nothing;
  return found;
end
$$;

-- The account's status before it was disabled; null where there is none. There is no way back but a person.
create function disable_on_signal(p_account text) returns text
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_before text;
begin
  perform require_nobody();
  select a.status into v_before from directory_account a join principal p on p.id = a.principal_id
    where p.tenant_id = ctx_tenant() and p.key = p_account for update of a;
  if v_before = 'active' then
    update directory_account a set status = 'disabled' from principal p
      where p.id = a.principal_id and p.tenant_id = ctx_tenant() and p.key = p_account;
  end if;
  return v_before;
end
$$;

revoke all on function require_nobody, take_security_event, disable_on_signal from public;
grant execute on function take_security_event, disable_on_signal to bulkhead_admin;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
