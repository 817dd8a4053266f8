/** Moves on a random tenant that was written by `writePolicy`. */
import { authorize } from '../../src/store/authority.ts';
import { Containers } from '../../src/store/containers.ts';
import type { Database } from '../../src/store/database.ts';
import { asSuperuser, isInterned, SCHEME, type WrittenPolicy } from './policy-tables.ts';
import type { RandomPolicy } from './random-policy.ts';

/** Numbers that choose a container and where it goes, among those that there are. */
export type RandomMove = readonly [container: number, to: number];

/** Paths that say where a container hangs, which `writePolicy` does not need. */
export async function nestPaths(database: Database, { tenantId }: WrittenPolicy): Promise<void> {
  await asSuperuser(
    database,
    `with recursive nested as (
       select id, '' as path from access_class where tenant_id = ${tenantId} and parent_id is null
       union all
       select c.id, n.path || c.path from nested n join access_class c on c.parent_id = n.id)
     update access_class c set path = n.path from nested n where n.id = c.id and n.path <> ''`,
  );
}

/**
 * Makes those of the moves that can be made, by somebody who holds every right and is none of the policy's principals.
 * @returns the policy afterwards
 */
export async function makeMoves(
  database: Database,
  written: WrittenPolicy,
  policy: RandomPolicy,
  moves: readonly RandomMove[],
): Promise<RandomPolicy> {
  const classes = [...policy.classes];
  const isContainer = (i: number) => !isInterned(policy, i);
  const possible = moves
    .map(([a, b]) => [a % classes.length, b % classes.length] as const)
    .filter(([container, to]) => isContainer(container) && isContainer(to));
  if (moves.length === 0) return policy;
  await nestPaths(database, written);
  await addMover(database, written);
  const identity = { tenant: written.tenant, user: 'user:w|mover', tokenGroups: [], actor: undefined };
  for (const [container, to] of possible) {
    const [cls, id, target] = [classes[container], written.classes[container], written.classes[to]];
    if (cls === undefined || id === undefined || target === undefined || isAbove(classes, container, to))
      continue;
    const { context } = await authorize(database, 'admin', SCHEME, {
      ...identity,
      acr: 'mfa',
      authTime: written.now,
    });
    await database.unitOfWork('admin', context, (trx) => Containers.within(trx).move(id, target));
    classes[container] = { ...cls, parent: to };
  }
  return { ...policy, classes };
}

/** Whether the first is the second or above it, as the root is above everything. */
function isAbove(classes: RandomPolicy['classes'], first: number, second: number): boolean {
  for (let at = second; ; at = classes[at]?.parent ?? 0) {
    if (at === first) return true;
    if (at === 0) return false;
  }
}

async function addMover(database: Database, { tenantId, classes }: WrittenPolicy): Promise<void> {
  const id = tenantId * 1000 + 999;
  await asSuperuser(
    database,
    `insert into principal (id, tenant_id, kind, key) overriding system value values (${id}, ${tenantId}, 'user', 'user:w|mover');
     insert into directory_account (principal_id, tenant_id, source, display_name) values (${id}, ${tenantId}, 'w', 'M');
     insert into role_binding (tenant_id, container_id, principal_id, right_name)
       select ${tenantId}, ${classes[0]}, ${id}, r from unnest(array['administer', 'grant', 'label']) r`,
  );
}
