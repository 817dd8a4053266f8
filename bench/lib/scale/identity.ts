import { setTimeout as sleep } from 'node:timers/promises';
import type { Core } from '../../../src/assembly/core.ts';
import { authorizeQuery } from '../../../src/retrieve/1-authorize.ts';
import type { Authorized } from '../../../src/retrieve/stages.ts';
import type { CallerIdentity } from '../../../src/store/authority.ts';
import { userOf } from '../dealing.ts';
import { TENANT } from './load-tenant.ts';

const LONGEST_COUNT_MS = 30_000;

/** A caller as identity would hand them on. */
export function identityOf(account: string): CallerIdentity {
  return {
    tenant: TENANT,
    user: userOf(account),
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
}

/** What a caller may see, once the planner knows how much that is: it is counted beside the first questions. */
export async function authorizedOf({ retrieve }: Core, account: string): Promise<Authorized> {
  for (const deadline = Date.now() + LONGEST_COUNT_MS; ; await sleep(50)) {
    const authorized = await authorizeQuery(retrieve, identityOf(account), {});
    if (authorized.searchedChunks !== undefined) return authorized;
    if (Date.now() > deadline) throw new Error('the visible chunks are not counted');
  }
}
