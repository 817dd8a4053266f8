/** What the API and the pages need of the rest. Main wires it; nothing here knows a database. */
import type { AdminCaller } from '../admin/change.ts';
import type { grant, revoke, setContainerLabel, setInherits } from '../admin/container-access.ts';
import type {
  createContainer,
  getContainer,
  listContainers,
  Page,
  PageRequest,
} from '../admin/containers.ts';
import type { setDocumentAccess, setDocumentLabel } from '../admin/document-access.ts';
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
import type { ErrorCode, FieldIssue } from '../errors.ts';
import type { VerifiedCaller } from '../identity/verify-token.ts';
import type { AccessFields } from '../ingest/parsers/access-fields.ts';
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
  explain(caller: Caller, question: ExplainQuestion): Promise<Explanation>;
  readonly audit: AuditService;
  readonly maintenance: MaintenanceService;
  /** Each part by name, and whether it works. Never throws. */
  readiness(): Promise<Readonly<Record<string, boolean>>>;
}

/** One document as it is sent: text and media type, and what its sender wants of it. */
export interface Upload {
  readonly container: string;
  readonly externalId: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly source: string;
  readonly title?: string;
  /** Milliseconds since 1970. */
  readonly date?: number;
  /** Absent fields keep what the document has. */
  readonly access?: AccessFields;
  /** Position in a batch, from 1. */
  readonly line?: number;
}

export interface UploadResult {
  readonly externalId: string;
  readonly status: 'created' | 'replaced' | 'unchanged' | 'relabelled' | 'failed';
  readonly documentId?: string | undefined;
  readonly version?: number | undefined;
  /** Passages it was split into. */
  readonly chunks?: number | undefined;
  readonly error?:
    | { readonly code: ErrorCode; readonly detail: string; readonly issues?: readonly FieldIssue[] | undefined }
    | undefined;
  readonly line?: number | undefined;
}

interface IngestService {
  one(caller: Caller, upload: Upload): Promise<UploadResult>;
  /**
   * Rejects before the first result when the caller may not send at all; then no document stops the others.
   * Results come in the order of completion, and only when the document can be found.
   */
  many(caller: Caller, uploads: AsyncIterable<Upload>): Promise<AsyncIterable<UploadResult>>;
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
}

export interface ExplainQuestion {
  readonly document: string;
  /** Absent: the caller. */
  readonly subject?: string;
  readonly actor?: string;
}

export interface Explanation {
  readonly decision: 'allow' | 'deny' | 'stepUp';
  readonly reason?: string | undefined;
  readonly label: { readonly level: string; readonly compartments: readonly string[] } | null;
  /** Sentences for a person. */
  readonly steps: readonly string[];
}

export interface AuditRecord {
  readonly writer: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: string;
  readonly id: string;
  readonly body: unknown;
  readonly hash: string;
}

interface AuditService {
  list(
    caller: Caller,
    request: PageRequest & { readonly kind: string | undefined },
  ): Promise<Page<AuditRecord>>;
  verify(caller: Caller): Promise<{
    readonly chains: number;
    readonly records: number;
    readonly problems: readonly {
      readonly writer: string;
      readonly seq: number;
      readonly what: string;
      readonly detail: string;
    }[];
  }>;
  refused(refusal: Refusal): Promise<void>;
  signIn(event: SignInEvent): Promise<void>;
}

export type SignInEvent =
  | { readonly kind: 'succeeded'; readonly caller: Caller; readonly issuer: string; readonly acr: string | null }
  | { readonly kind: 'failed'; readonly issuer: string | null; readonly code: ErrorCode; readonly requestId: string }
  | { readonly kind: 'ended'; readonly caller: Caller; readonly issuer: string };

interface MaintenanceService {
  /** Compares the index with the database, and repairs it when told to. Counts of the caller's tenant. */
  doctor(
    caller: Caller,
    options: { readonly repair: boolean },
  ): Promise<{
    readonly missing: number;
    readonly stale: number;
    readonly misplaced: number;
    readonly orphaned: number;
    readonly repaired: boolean;
  }>;
  /** Embeds every passage with the configured model and switches to it. */
  reembed(caller: Caller): Promise<{ readonly chunks: number; readonly fingerprint: string }>;
}
