/** What the API and the pages need of the rest. Main wires it; nothing here knows a database. */
import type { AdminCaller } from '../admin/change.ts';
import type {
  bindRole,
  grantClearance,
  revokeClearance,
  setActorCeiling,
  unbindRole,
} from '../admin/clearances.ts';
import type { grant, revoke, setContainerLabel, setInherits } from '../admin/container-access.ts';
import type { createContainer, getContainer, listContainers } from '../admin/containers.ts';
import type { setDocumentAccess, setDocumentLabel } from '../admin/document-access.ts';
import type { explain } from '../admin/explain.ts';
import type { addMember, removeMember, setMembers } from '../admin/memberships.ts';
import type {
  createGroup,
  createService,
  createUser,
  disableAccount,
  enableAccount,
  getPrincipal,
  listPrincipals,
} from '../admin/principals.ts';
import type { queryAudit, verifyAudit } from '../audit/query.ts';
import type { ErrorCode } from '../errors.ts';
import type { VerifiedCaller } from '../identity/verify-token.ts';
import type { Difference } from '../ingest/doctor.ts';
import type { IngestResult, Submission } from '../ingest/submission.ts';
import type { Released } from '../retrieve/6-release.ts';
import type { Answer } from '../retrieve/answer.ts';
import type { DocumentList, DocumentView, ListRequest } from '../retrieve/documents.ts';
import type { RetrieveRequest } from '../retrieve/stages.ts';
import type { CallerIdentity } from '../store/authority.ts';
import type { Refusal } from './refusals.ts';

/** Who asks, and in which request: what every operation is called with. */
export type Caller = AdminCaller;

export interface Services {
  /** @throws BulkheadError `invalid_token`, `identity_unavailable` */
  verifyToken(token: string): Promise<VerifiedCaller>;
  retrieve(identity: CallerIdentity, request: RetrieveRequest): Promise<Released<Answer>>;
  readDocument(
    identity: CallerIdentity,
    request: { readonly requestId: string; readonly document: string },
  ): Promise<Released<DocumentView>>;
  listDocuments(identity: CallerIdentity, request: ListRequest): Promise<Released<DocumentList>>;
  readonly ingest: IngestService;
  readonly admin: AdminService;
  readonly explain: Bound<typeof explain>;
  readonly audit: AuditService;
  readonly maintenance: MaintenanceService;
  /** Each part by name, and whether it works. Never throws. */
  readiness(): Promise<Readonly<Record<string, boolean>>>;
}

interface IngestService {
  one(caller: Caller, submission: Submission): Promise<IngestResult>;
  /**
   * Rejects before the first result when the caller may not send at all; then no document stops the others.
   * Results come in the order of completion, and only when the document can be found.
   */
  many(caller: Caller, submissions: AsyncIterable<Submission>): Promise<AsyncIterable<IngestResult>>;
  remove(caller: Caller, document: string): Promise<void>;
}

/** An operation as its module has it, with the parts it works on filled in. */
type Bound<F> = F extends (parts: never, ...rest: infer R) => infer Result ? (...rest: R) => Result : never;

/** Changes of policy; each checks the caller's right, and is recorded in its own transaction. */
export interface AdminService {
  readonly setDocumentAccess: Bound<typeof setDocumentAccess>;
  readonly setDocumentLabel: Bound<typeof setDocumentLabel>;
  readonly listContainers: Bound<typeof listContainers>;
  readonly getContainer: Bound<typeof getContainer>;
  readonly createContainer: Bound<typeof createContainer>;
  readonly setContainerLabel: Bound<typeof setContainerLabel>;
  readonly setInherits: Bound<typeof setInherits>;
  readonly grant: Bound<typeof grant>;
  readonly revoke: Bound<typeof revoke>;
  readonly listPrincipals: Bound<typeof listPrincipals>;
  readonly getPrincipal: Bound<typeof getPrincipal>;
  readonly createUser: Bound<typeof createUser>;
  readonly createGroup: Bound<typeof createGroup>;
  readonly createService: Bound<typeof createService>;
  readonly enableAccount: Bound<typeof enableAccount>;
  readonly disableAccount: Bound<typeof disableAccount>;
  readonly addMember: Bound<typeof addMember>;
  readonly removeMember: Bound<typeof removeMember>;
  readonly setMembers: Bound<typeof setMembers>;
  readonly grantClearance: Bound<typeof grantClearance>;
  readonly revokeClearance: Bound<typeof revokeClearance>;
  readonly bindRole: Bound<typeof bindRole>;
  readonly unbindRole: Bound<typeof unbindRole>;
  readonly setActorCeiling: Bound<typeof setActorCeiling>;
}

interface AuditService {
  readonly list: Bound<typeof queryAudit>;
  readonly verify: Bound<typeof verifyAudit>;
  refused(refusal: Refusal): Promise<void>;
  signIn(event: SignInEvent): Promise<void>;
}

export type SignInEvent =
  | {
      readonly kind: 'succeeded';
      readonly caller: Caller;
      readonly issuer: string;
      readonly acr: string | null;
    }
  | {
      readonly kind: 'failed';
      readonly issuer: string | null;
      readonly code: ErrorCode;
      readonly requestId: string;
    }
  | { readonly kind: 'ended'; readonly caller: Caller; readonly issuer: string };

interface MaintenanceService {
  /**
   * Compares the index with the database, and repairs it when told to: how many chunks of the tenant differ, by
   * kind of difference.
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  doctor(
    caller: Caller,
    options: { readonly repair: boolean },
  ): Promise<Readonly<Record<Difference['kind'], number>>>;
  /**
   * Embeds every passage with the configured model and switches to it.
   * @returns how many passages it embedded
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  reembed(caller: Caller): Promise<number>;
}
