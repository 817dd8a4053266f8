/** The flattened tree and the paths, held against parents walked one by one. */
import type { Database } from '../../src/store/database.ts';
import { asSuperuser } from './policy-tables.ts';

/** Links that are missing or not so, and containers that are not called as they hang; of one tenant or of all. */
export function faultsOfTree(database: Database, tenant?: number): Promise<readonly unknown[]> {
  const isOfTenant = tenant === undefined ? 'true' : `tenant_id = ${tenant}`;
  return asSuperuser(
    database,
    `with recursive up as (
       select id as class_id, id as ancestor_id, true as passes, inherits, parent_id from access_class where ${isOfTenant}
       union all
       select up.class_id, c.id, up.passes and up.inherits, c.inherits, c.parent_id
       from up join access_class c on c.id = up.parent_id),
     kept as (select class_id, ancestor_id, allows_pass from class_ancestor where ${isOfTenant}),
     fresh as (select class_id, ancestor_id, passes from up)
     select 'link', class_id::text, ancestor_id::text from ((table kept except table fresh) union all (table fresh except table kept)) l
     union all
     select 'path', c.path, p.path from access_class c join access_class p on p.id = c.parent_id
     where c.kind = 'container' and c.id in (select class_id from fresh)
       and c.path <> case p.path when '/' then '' else p.path end || '/' || substring(c.path from '[^/]+$')`,
  );
}
