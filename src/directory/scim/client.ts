/**
 * Who provisions, and what of. A client is bound by configuration to one tenant, one source and one issuer; nothing that
 * it sends chooses them. Being that client, with an active account, is all the right it needs and all it has: the role
 * binding `administer` would let it give out clearances and rights, which no identity provider should.
 */

import {
  type AdminCaller,
  type AdminParts,
  type Changer,
  makeChange,
  type Outcome,
} from '../../admin/change.ts';
import type { AuditEvent } from '../../audit/audit-log.ts';
import { BulkheadError } from '../../errors.ts';
import { authorize, type CallerIdentity } from '../../store/authority.ts';
import type { Work } from '../../store/database.ts';
import { beat, enterScope } from '../../store/directory-scope.ts';
import { requireCredentialRight } from '../../store/rights.ts';
import type { Serial } from '../serial.ts';
import type { SubjectAttribute } from './schemas.ts';
import { ScimError } from './scim-error.ts';

export interface ScimBinding {
  readonly tenant: string;
  /** `service:<issuer>|<client>` */
  readonly client: string;
  readonly source: string;
  readonly issuer: string;
  readonly subjectAttribute: SubjectAttribute;
}

export interface ScimParts extends AdminParts {
  readonly bindings: readonly ScimBinding[];
  readonly serial: Serial;
  readonly newId: () => string;
}

export interface ScimCaller extends AdminCaller {
  /** Address of `/scim/v2` as callers see it. */
  readonly base: string;
}

/**
 * The binding of whoever asks. A service on its own only: nobody provisions for somebody else, and a credential that was
 * narrowed to other rights is not for this.
 * @throws BulkheadError `right_missing`, `insufficient_scope`
 */
export function bindingOf({ bindings }: Pick<ScimParts, 'bindings'>, identity: CallerIdentity): ScimBinding {
  requireCredentialRight(identity, 'administer');
  const { tenant, user, actor } = identity;
  const binding = bindings.find((each) => each.tenant === tenant && each.client === user);
  if (binding === undefined || actor !== undefined)
    throw new BulkheadError('right_missing', 'This credential is not bound to a directory source.');
  return binding;
}

/** What is looked at in one unit of work. Having asked is a sign that the source is connected: see `beat`. */
export async function reading<T>(
  parts: ScimParts,
  { identity }: ScimCaller,
  work: (trx: Work, binding: ScimBinding) => Promise<T>,
): Promise<T> {
  const binding = bindingOf(parts, identity);
  const { context, now } = await authorize(parts.database, 'admin', parts.scheme, identity);
  return parts.database.unitOfWork('admin', context, async (trx) => {
    await enterScope(trx, binding);
    const result = await work(trx, binding);
    await beat(trx, binding.source, now);
    return result;
  });
}

/** A change of the source's own accounts and groups, recorded with it or not made. */
export async function changing<R>(
  parts: ScimParts,
  caller: ScimCaller,
  operation: string,
  apply: (changer: Changer, binding: ScimBinding) => Promise<Outcome<R>>,
): Promise<R> {
  const binding = bindingOf(parts, caller.identity);
  return parts.serial.run(binding.tenant, () =>
    makeChange(parts, caller, {
      operation,
      locate: async () => undefined,
      apply: async (changer) => {
        await enterScope(changer.trx, binding);
        const outcome = await apply(changer, binding);
        await beat(changer.trx, binding.source, changer.authority.now);
        return outcome;
      },
    }),
  );
}

/**
 * Asked inside the change's lock, so of two clients with the same version one is refused (RFC 9110 §13.1.1).
 * @throws ScimError `precondition_failed`
 */
export function requireVersion(ifMatch: string | undefined, version: number): void {
  if (ifMatch === undefined || namesVersion(ifMatch, version)) return;
  throw new ScimError('precondition_failed', undefined, 'The resource has been changed since.');
}

/** Versions are weak: the same resource is not always the same bytes. */
export function etag(version: number): string {
  return `W/"${version}"`;
}

export function namesVersion(header: string, version: number): boolean {
  return header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === '*' || tag.replace(/^W\//, '') === `"${version}"`);
}

type DirectoryEvent = Extract<AuditEvent, { kind: `directory.${string}` | 'alert.account_returned' }>;
type Body<K extends DirectoryEvent['kind']> = Extract<DirectoryEvent, { kind: K }>['body'];

/** The event, by whom and of which source filled in. */
export function eventOf<
  K extends 'directory.account' | 'directory.group' | 'directory.members' | 'alert.account_returned',
>(
  { authority, by }: Changer,
  { source }: ScimBinding,
  kind: K,
  body: Omit<Body<K>, 'subject' | 'actor' | 'request' | 'source'>,
): AuditEvent {
  return {
    tenant: authority.subject.tenant,
    kind,
    body: { ...by, source, ...body },
  } as unknown as AuditEvent;
}
