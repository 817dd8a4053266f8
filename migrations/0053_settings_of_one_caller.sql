-- `hydrate_as` sets a caller for the rest of its transaction. Within a unit of work of another caller it would leave the
-- statements after it theirs; so there it refuses, and one caller's settings never replace another's
-- (docs/decisions/0030).
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create or replace function hydrate_as(p_context json, p_chunks bigint[], out passages json, out classes json)
language plpgsql security invoker set search_path = bulkhead, pg_temp as $$
begin
  if nullif(current_setting('bulkhead.tenant', true), '') is not null then
    raise exception 'hydrate_as within the unit of work of a caller' using errcode = '42501';
  end if;
  perform set_config(c.key, c.value, true) from json_each_text(p_context) c where starts_with(c.key, 'bulkhead.');
  -- a statement of its own, which begins when the settings are there
  select h.passages, h.classes into passages, classes from hydrate(p_chunks) h;
end
$$;

reset role;
