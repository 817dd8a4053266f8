/** Credentials taken back: everything issued to a person or a service until now, a session or a key for good. */

import type { ByWhom } from '../audit/audit-event.ts';
import type { AuditEvent } from '../audit/audit-log.ts';
import type { TenantId } from '../policy/ids.ts';
import { formatPrincipal } from '../policy/principal.ts';
import { type Authority, authorize } from '../store/authority.ts';
import { type Credential, type Revocation, Revocations } from '../store/revocations.ts';
import { type AdminCaller, type AdminParts, makeChange, type Outcome } from './change.ts';
import { type Page, type PageRequest, pageOf } from './containers.ts';
import { invalid } from './input.ts';
import { requireDirectoryRight } from './reach.ts';

export interface RevocationInput extends Credential {
  /** Why, for those who look at it later; at most 200 characters. */
  readonly reason: string;
}

/**
 * Revokes a credential. It is refused from the next answer on, and no receipt is written for one that is under way. An
 * id that nobody has is taken like any other.
 * @throws BulkheadError `right_missing` without `administer` at the root, unless it is the caller's own session, or
 *   all that was issued to them; `insufficient_scope`, `invalid_request`
 */
export async function revokeCredential(
  parts: AdminParts,
  caller: AdminCaller,
  input: RevocationInput,
): Promise<Revocation> {
  refuseMalformed(input);
  return makeChange(parts, caller, {
    operation: 'revokeCredential',
    locate: async (authority) => {
      // a credential for less than all its subject may do is not for taking the others back
      const isWhole = caller.identity.rights === undefined;
      if (!isWhole || !isOwn(authority, input)) await requireDirectoryRight(parts, authority);
    },
    apply: async ({ trx, authority, by }): Promise<Outcome<Revocation>> => {
      const revocations = Revocations.within(trx);
      const { revocation, isNew } = await revocations.revoke(input, input.reason, authority.revocable);
      const { tenant } = authority.subject;
      return { result: revocation, events: isNew ? [eventOf(tenant, by, revocation)] : [] };
    },
  });
}

/** A service that acts for somebody has nothing of its own: neither its user's sign-in nor what others use it for. */
function isOwn({ subject, revocable }: Authority, { kind, id }: Credential): boolean {
  if (subject.actor !== undefined) return false;
  if (kind === 'session') return revocable.some((own) => own.kind === kind && own.id === id);
  const [issuer = '', ...rest] = id.split('|');
  const ofKind = kind === 'user' ? 'user' : 'service';
  return (
    kind !== 'key' && formatPrincipal({ kind: ofKind, issuer, id: rest.join('|') }) === subject.user.name
  );
}

/** By kind and id, a page. @throws BulkheadError `right_missing`, `insufficient_scope`, `invalid_request` */
export async function listRevocations(
  parts: AdminParts,
  { identity }: AdminCaller,
  { cursor, limit }: PageRequest,
): Promise<Page<Revocation>> {
  const after = cursor === undefined ? undefined : parseCursor(cursor);
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  await requireDirectoryRight(parts, authority);
  const rows = await parts.database.unitOfWork('admin', authority.context, (trx) =>
    Revocations.within(trx).list(after, limit + 1),
  );
  return pageOf(rows, limit, ({ kind, id }) => `${kind}:${id}`);
}

function eventOf(tenant: TenantId, by: ByWhom, { kind, id, reason, issuedUntil }: Revocation): AuditEvent {
  const said = { reason, issuedUntil: issuedUntil ?? null, transmitter: null };
  return { tenant, kind: 'credential.revoked', body: { ...by, credential: kind, id, ...said } };
}

const KINDS: readonly Credential['kind'][] = ['user', 'session', 'client', 'key'];
/** The issuer's name as principals have it; what follows is the issuer's own, and neither trimmed nor folded. */
const ID = /^[a-z0-9][a-z0-9._-]{0,62}\|[^\p{Cc}\p{Cs}]{1,255}$/u;
const REASON = /^[^\p{Cc}\p{Cs}]{1,200}$/u;

function refuseMalformed({ kind, id, reason }: RevocationInput): void {
  if (!KINDS.includes(kind)) throw invalid('kind', `must be one of ${KINDS.join(', ')}`);
  if (!ID.test(id)) throw invalid('id', 'must be <issuer>|<id>');
  if (!REASON.test(reason) || reason.trim() === '')
    throw invalid('reason', 'must be a text of at most 200 characters');
}

function parseCursor(cursor: string): Credential {
  const [, kind, id = ''] = /^(user|session|client|key):(.+)$/su.exec(cursor) ?? [];
  if (kind === undefined || !ID.test(id)) throw invalid('cursor', 'did not come from an earlier page');
  return { kind: kind as Credential['kind'], id };
}
