import type { SessionEnding } from '../http/pages/provider-logout.ts';
import type { LogoutNotice } from '../identity/logout-token.ts';
import type { TenantId } from '../policy/ids.ts';
import { endSessions } from '../store/ended-sessions.ts';
import type { EndedSession } from '../store/session-store.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';

type EndingParts = Pick<Parts, 'database' | 'tenants' | 'audit'>;

const SIGNED_OUT = 'signed out here';
const SIGNED_OUT_AT_PROVIDER = 'signed out at the identity provider';

/** The end of a session, for the store of revocations: what still runs on its tokens ends with it. */
export function sessionEnding(parts: EndingParts): SessionEnding {
  const { database } = parts;
  const idOf = (tenant: string) => need(parts.tenants, 'tenants').find(tenant);
  return {
    endSession: async (tenant, session) => {
      const id = await idOf(tenant);
      if (id !== undefined) await endSessions(database, id, { sessions: [session], users: [] }, SIGNED_OUT);
    },
    endAtProvider: async (notice, ended, requestId) => {
      // of an issuer with several tenants a program may hold tokens of the session in another than the browser was in
      const tenants = new Set([...notice.tenants, ...ended.map(({ tenant }) => tenant)]);
      for (const tenant of tenants) {
        const id = await idOf(tenant);
        const here = ended.filter((session) => session.tenant === tenant);
        if (id !== undefined) await endInTenant(parts, id, notice, here, requestId);
      }
    },
  };
}

/** In one transaction with its record. */
async function endInTenant(
  { database, audit }: EndingParts,
  tenant: TenantId,
  notice: LogoutNotice,
  ended: readonly EndedSession[],
  request: string,
): Promise<void> {
  const { issuer, session = null } = notice;
  const users = session === null ? usersOf(notice, ended) : [];
  const what = { sessions: sessionsOf(notice, ended), users };
  const body = { actor: null, request, issuer, session, sessions: ended.length };
  const subject = ended[0]?.principal ?? users[0] ?? null;
  await endSessions(database, tenant, what, SIGNED_OUT_AT_PROVIDER, (trx) =>
    need(audit, 'audit log').appendWithin(trx, [
      { tenant, kind: 'signin.ended_by_provider', body: { ...body, subject: subject && asUser(subject) } },
    ]),
  );
}

function sessionsOf({ issuer, session }: LogoutNotice, ended: readonly EndedSession[]): readonly string[] {
  const ids = [session, ...ended.map((one) => one.session)].filter((id) => id !== undefined);
  return [...new Set(ids)].map((id) => `${issuer}|${id}`);
}

/** A logout that names nobody's session ends whatever the person has; sessions here say who that is. */
function usersOf({ issuer, principalId }: LogoutNotice, ended: readonly EndedSession[]): readonly string[] {
  const named = principalId === undefined ? [] : [`${issuer}|${principalId}`];
  return [...new Set([...named, ...ended.map(({ principal }) => principal.replace(/^user:/, ''))])];
}

function asUser(name: string): string {
  return name.startsWith('user:') ? name : `user:${name}`;
}
