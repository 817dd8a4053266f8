-- The caller, as transaction-local settings. Policies read them through a scalar sub-select, so each is
-- evaluated once a statement. After a transaction a setting reads '' and not null: hence nullif. Unset and
-- empty give null, and null passes no policy.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create function ctx_tenant() returns int language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.tenant', true), '')::int $$;
create function ctx_principals() returns int[] language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.principals', true), '')::int[] $$;
-- the acting service, null when the user calls directly
create function ctx_actor() returns int language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.actor', true), '')::int $$;
create function ctx_actor_principals() returns int[] language sql stable parallel safe
  as $$ select coalesce(nullif(current_setting('bulkhead.actor_principals', true), '')::int[], '{}') $$;
create function ctx_now() returns timestamptz language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.now', true), '')::timestamptz $$;
-- the highest rank that the caller's authentication and directory freshness admit
create function ctx_max_rank() returns int language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.max_rank', true), '')::int $$;

-- Half-open [from, until); a null instant is valid at no time.
create function valid_at(valid_from timestamptz, valid_until timestamptz, at timestamptz) returns boolean
  language sql immutable parallel safe
  as $$ select at is not null and (valid_from is null or at >= valid_from) and (valid_until is null or at < valid_until) $$;

-- Milliseconds since 1970; instants are kept to the millisecond everywhere, so SQL and code compare alike.
create function ms(at timestamptz) returns double precision language sql immutable parallel safe
  as $$ select extract(epoch from at) * 1000 $$;

-- The one clock. A request reads it once, and the answer serves all three enforcers.
create function clock() returns timestamptz language sql stable
  as $$ select date_trunc('milliseconds', now()) $$;
