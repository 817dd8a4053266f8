-- A container with thousands of entries: of its allows the first that holds is enough, and its denies, of which there are
-- few, are found without the rest.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create index entry_denies on entry (class_id) where effect = 'deny';

-- As in 0041 but for the labels, which one walk up the classes compares with a clearance and with the session's strength.
alter policy retrieve_document on document using (
  tenant_id = (select ctx_tenant())
  and version > 0
  and exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and a.allows_pass and e.effect = 'allow'
      and e.principal_id <@ (select ctx_principal_set())
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and not exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and e.effect = 'deny'
      and (e.principal_id <@ (select ctx_principal_set())
        or e.principal_id <@ (select ctx_actor_principal_set()))
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and exists (
    select 1 from clearance k
    where k.principal_id <@ (select ctx_principal_set())
      and (k.valid_from is null or k.valid_from <= (select ctx_now()))
      and (k.valid_until is null or k.valid_until > (select ctx_now()))
      and (
        -- a class without a rank adds nothing to the label, and a document without a label is nobody's
        select max(c.rank) <= (select ctx_max_rank()) and max(c.rank) <= k.rank and bool_and(c.compartments <@ k.compartments)
        from class_ancestor a join access_class c on c.id = a.ancestor_id where a.class_id = document.class_id))
  and ((select ctx_actor()) is null or exists (
    select 1 from actor_ceiling l
    where l.principal_id = (select ctx_actor())
      and exists (select 1 from class_ancestor a
        where a.class_id = document.class_id and a.ancestor_id = any (l.containers))
      and not exists (
        select 1 from class_ancestor a join access_class c on c.id = a.ancestor_id
        where a.class_id = document.class_id
          and (c.rank > l.rank or not c.compartments <@ l.compartments))))
);
reset role;
