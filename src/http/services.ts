/** What the API and the pages need of the rest. Main wires it; nothing here knows a database. */
import type { z } from '@hono/zod-openapi';
import type { createApiKey, listApiKeys, revokeApiKey, rotateApiKey } from '../admin/api-keys.ts';
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
import type { evaluate } from '../admin/decision-point.ts';
import type { searchActions, searchResources, searchSubjects } from '../admin/decision-search.ts';
import type { setDocumentAccess, setDocumentLabel } from '../admin/document-access.ts';
import type { explain } from '../admin/explain.ts';
import type { addMember, removeMember, setMembers } from '../admin/memberships.ts';
import type { moveContainer } from '../admin/move-container.ts';
import type {
  createGroup,
  createService,
  createUser,
  disableAccount,
  enableAccount,
  getPrincipal,
  listPrincipals,
} from '../admin/principals.ts';
import type { listRevocations, revokeCredential } from '../admin/revocations.ts';
import type { queryAudit, verifyAudit } from '../audit/query.ts';
import type { importDirectory } from '../directory/import/import-directory.ts';
import type { ScimService } from '../directory/scim/service.ts';
import type { directoryStatus } from '../directory/status.ts';
import type { ErrorCode } from '../errors.ts';
import type { PresentedCredentials } from '../identity/credentials.ts';
import type { VerifiedCaller } from '../identity/verify-token.ts';
import type { Difference } from '../ingest/doctor.ts';
import type { Rotation } from '../ingest/rotate-keys.ts';
import type { IngestResult, Submission } from '../ingest/submission.ts';
import type { Released } from '../retrieve/6-release.ts';
import type { Answer } from '../retrieve/answer.ts';
import type { DocumentList, DocumentView, ListRequest } from '../retrieve/documents.ts';
import type { RetrieveRequest } from '../retrieve/stages.ts';
import type { CallerIdentity } from '../store/authority.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import type { encryptionView, rotatedView } from './encryption-views.ts';
import type { calibrationView, indexStatsView } from './index-views.ts';
import type { ProgressWork } from './progress-stream.ts';
import type { Refusal } from './refusals.ts';

/** Who asks, and in which request: what every operation is called with. */
export interface Caller extends AdminCaller {
  /** When what they were let in by ends of itself: milliseconds since 1970. Absent: it does not. */
  readonly expiresAt?: number | undefined;
}

export interface Services {
  /** @throws BulkheadError `missing_token`, `invalid_token`, `identity_unavailable`, `replay_check_unavailable` */
  authenticate(presented: PresentedCredentials): Promise<VerifiedCaller>;
  /**
   * For the pages, whose token did not come with the request.
   * @throws BulkheadError `invalid_token`, `identity_unavailable`
   */
  verifyToken(token: string): Promise<VerifiedCaller>;
  /**
   * Makes this process forget an issuer's keys and fetch them anew, and soon every other one.
   * @throws BulkheadError `right_missing` without `administer` at the root; `not_found` for an issuer of another tenant;
   *   `identity_unavailable`, and then no token of the issuer is believed
   */
  reloadIssuerKeys(caller: Caller, issuer: string): Promise<void>;
  /**
   * Whether the caller may go on with what they were let in to: their credentials stand, and their account is active.
   * @throws BulkheadError as `authorize` does
   */
  stillHolds(identity: CallerIdentity): Promise<void>;
  retrieve(identity: CallerIdentity, request: RetrieveRequest): Promise<Released<Answer>>;
  readDocument(
    identity: CallerIdentity,
    request: { readonly requestId: string; readonly document: string },
  ): Promise<Released<DocumentView>>;
  listDocuments(identity: CallerIdentity, request: ListRequest): Promise<Released<DocumentList>>;
  readonly ingest: IngestService;
  readonly admin: AdminService;
  readonly explain: Bound<typeof explain>;
  /** What subjects may do, for applications that enforce it. */
  readonly decisions: {
    readonly evaluate: Bound<typeof evaluate>;
    readonly searchSubjects: Bound<typeof searchSubjects>;
    readonly searchResources: Bound<typeof searchResources>;
    readonly searchActions: Bound<typeof searchActions>;
  };
  readonly audit: AuditService;
  /** Absent where policy is not changed. */
  readonly scim?: ScimService | undefined;
  readonly directory?: DirectoryService | undefined;
  readonly maintenance: MaintenanceService;
  /** Absent where nobody is configured to say anything by themselves. */
  readonly securityEvents?: SecurityEventReceiver | undefined;
  /** Each part by name, and whether it works. Never throws. */
  readiness(): Promise<Readonly<Record<string, boolean>>>;
}

interface SecurityEventReceiver {
  /**
   * Resolves once what the event says is done, recorded and durable, now or when it came before.
   * @throws SecurityEventRefused for what will never be taken; BulkheadError for what should be sent again
   */
  receive(delivery: {
    readonly token: string;
    readonly authorization: string | undefined;
    readonly requestId: string;
  }): Promise<void>;
}

interface IngestService {
  one(caller: Caller, submission: Submission): Promise<IngestResult>;
  /**
   * Rejects before the first result when the caller may not send at all; then no document stops the others.
   * Results come in the order of completion, and only when the document can be found.
   */
  many(caller: Caller, submissions: AsyncIterable<Submission>): Promise<AsyncIterable<IngestResult>>;
  remove(caller: Caller, document: string): Promise<void>;
  /** Those among these versions that are not in the index yet; of documents that are not the caller's nothing is said. */
  pending(
    caller: Caller,
    versions: readonly { readonly document: string; readonly version: number }[],
  ): Promise<ReadonlyMap<string, 'under-way' | 'failed'>>;
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
  readonly moveContainer: Bound<typeof moveContainer>;
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
  readonly revokeCredential: Bound<typeof revokeCredential>;
  readonly listRevocations: Bound<typeof listRevocations>;
  readonly listApiKeys: Bound<typeof listApiKeys>;
  readonly createApiKey: Bound<typeof createApiKey>;
  readonly rotateApiKey: Bound<typeof rotateApiKey>;
  readonly revokeApiKey: Bound<typeof revokeApiKey>;
}

/** People and groups by the source that keeps them. */
export interface DirectoryService {
  readonly import: Bound<typeof importDirectory>;
  readonly status: Bound<typeof directoryStatus>;
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

type Differences = Readonly<Record<Difference['kind'], number>>;

interface MaintenanceService {
  /**
   * Compares the index with the database, and repairs it when told to: how many chunks of the tenant differ, by
   * kind of difference, and how many still do after the repair.
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  doctor(
    caller: Caller,
    options: { readonly repair: boolean },
  ): Promise<{ readonly differences: Differences; readonly remaining: Differences }>;
  /**
   * Embeds every passage with the configured model and switches to it.
   * @returns how many passages it embedded
   * @throws BulkheadError `right_missing` without `administer` at the root; `conflict` while the index is being rebuilt
   *   or embedded again, and where several tenants share it
   */
  reembed(caller: Caller): Promise<number>;
  /**
   * Documents of the caller's tenant that the index could not take, the oldest first.
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  deadLetters(caller: Caller): Promise<{ readonly letters: readonly DeadLetter[]; readonly more: boolean }>;
  /**
   * Lets the index try again; all of them where none are named.
   * @returns how many
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  retryDeadLetters(caller: Caller, documents: readonly string[] | undefined): Promise<number>;
  /**
   * Resolves to the building, which has not begun, once it is sure that it may.
   * @throws BulkheadError `right_missing` without `administer` at the root; `conflict` while another one is under way, and
   *   where several tenants share the index: then its operator does it
   */
  rebuild(caller: Caller): Promise<ProgressWork<{ readonly passages: number }>>;
  /**
   * Figures of the caller's tenant.
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  indexStats(caller: Caller): Promise<IndexStatsView>;
  /**
   * Resolves to the measuring, which has not begun, once it is sure that it can.
   * @throws BulkheadError `right_missing` without `administer` at the root; `conflict` for an index that is exact by
   *   nature, while another calibration is under way, and where several tenants share the index
   */
  calibrate(caller: Caller, options: { readonly seconds: number }): Promise<CalibrationRun>;
  /**
   * Data keys of the caller's tenant, and what waits to be sealed.
   * @throws BulkheadError `right_missing` without `administer` at the root
   */
  encryption(caller: Caller): Promise<Omit<z.infer<typeof encryptionView>, 'request_id'>>;
  /**
   * Resolves to the rotating, which has not begun. Readers go on meanwhile.
   * @throws BulkheadError `right_missing` without `administer` at the root; `conflict` without a key file
   */
  rotateKeys(caller: Caller, rotation: Rotation): Promise<ProgressWork<z.infer<typeof rotatedView>>>;
}

/** Measures and stores; resolves to what it found. */
export type CalibrationRun = (
  onProgress: (done: number, total: number) => void,
) => Promise<z.infer<typeof calibrationView>>;

export type IndexStatsView = Omit<z.infer<typeof indexStatsView>, 'request_id'>;
