import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as apiKeys from '../../src/admin/api-keys.ts';
import type { AdminParts } from '../../src/admin/change.ts';
import * as clearances from '../../src/admin/clearances.ts';
import * as containerAccess from '../../src/admin/container-access.ts';
import * as containers from '../../src/admin/containers.ts';
import type { Vocabulary } from '../../src/admin/decision-vocabulary.ts';
import * as documentAccess from '../../src/admin/document-access.ts';
import { explain } from '../../src/admin/explain.ts';
import * as memberships from '../../src/admin/memberships.ts';
import { moveContainer } from '../../src/admin/move-container.ts';
import * as principals from '../../src/admin/principals.ts';
import * as revocations from '../../src/admin/revocations.ts';
import { decisionService } from '../../src/assembly/decision-service.ts';
import { issuerService } from '../../src/assembly/issuer-service.ts';
import { KeyReloads } from '../../src/assembly/key-reloads.ts';
import { repairService } from '../../src/assembly/repair-service.ts';
import { queryAudit, verifyAudit } from '../../src/audit/query.ts';
import { limitsSchema } from '../../src/config/limits.ts';
import { createDevIdentityProviders, type DevIdentityProviders } from '../../src/dev/identity-provider.ts';
import { loadDirectory } from '../../src/dev/load-directory.ts';
import type { Embedder } from '../../src/embed/embedder.ts';
import { BulkheadError } from '../../src/errors.ts';
import { redactionPolicy } from '../../src/guard/redaction-policy.ts';
import { type AppOptions, type BulkheadApp, createApp } from '../../src/http/app.ts';
import type { RequestLimits } from '../../src/http/rate-limit-requests.ts';
import { RateLimits } from '../../src/http/rate-limits.ts';
import type { Refusal } from '../../src/http/refusals.ts';
import { listen } from '../../src/http/server.ts';
import type { Services, SignInEvent } from '../../src/http/services.ts';
import { newApiKey } from '../../src/identity/api-key-form.ts';
import { createApiKeys } from '../../src/identity/api-keys.ts';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import type { CertificateVerifier } from '../../src/identity/credentials.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { MemoryReplayStore } from '../../src/identity/replay-store.ts';
import { createSignIn } from '../../src/identity/sign-in.ts';
import { createTokenVerifier } from '../../src/identity/verify-token.ts';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import { doctor } from '../../src/ingest/doctor.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestMany, ingestOne } from '../../src/ingest/ingest.ts';
import { ParsePool } from '../../src/ingest/parsers/parse-pool.ts';
import { provisionPeople, provisionRights } from '../../src/ingest/provision.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { IngestParts, Submission, Submitter } from '../../src/ingest/submission.ts';
import { documentId, instant } from '../../src/policy/ids.ts';
import type { LabelScheme } from '../../src/policy/label.ts';
import { listDocuments, readDocument } from '../../src/retrieve/documents.ts';
import { createDriftWatch } from '../../src/retrieve/drift.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import { VisibleSets } from '../../src/retrieve/visible-sets.ts';
import { authorize, type CallerIdentity } from '../../src/store/authority.ts';
import { GivenClassIds } from '../../src/store/class-ids.ts';
import { readPending } from '../../src/store/index-progress.ts';
import { KnownCallers } from '../../src/store/known-callers.ts';
import { requireCredentialRight } from '../../src/store/rights.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { openTestAudit, type TestAudit } from './audit.ts';
import { testEmbedder } from './embedder.ts';
import { TEST_SCHEME } from './tenant.ts';

const DIRECTORY = fileURLToPath(new URL('app-directory.yaml', import.meta.url));
const AUDIENCE = 'https://bulkhead.example/api';
export const LEVELS = TEST_SCHEME.levels.map(({ name }) => name);
const mintKey = () => newApiKey(randomBytes);
const RULES = LEVELS.map((name) => ({ name, redact: ['email', 'card'], alwaysMask: ['card'] }));

export interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** The whole application, real to the model, on a port of this machine, over an empty firm with three containers. */
export interface TestApp {
  readonly url: string;
  readonly app: BulkheadApp;
  readonly options: AppOptions;
  readonly store: TestAudit;
  readonly services: Services;
  readonly refusals: readonly Refusal[];
  readonly signIns: readonly SignInEvent[];
  readonly logLines: readonly string[];
  readonly token: (
    account: string,
    options?: { actor?: string; lifetimeSeconds?: number },
  ) => Promise<string>;
  /** A request as `account`; `undefined` sends no token. */
  readonly ask: (account: string | undefined, method: string, path: string, body?: unknown) => Promise<Asked>;
  /** The new document's id. */
  readonly add: (container: string, text: string, more?: object) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** What a test changes of the application. */
export interface TestAppChanges
  extends Partial<Pick<AppOptions, 'limits' | 'resource' | 'decideStreamsEveryMs'>> {
  /** Words of other applications that ask for decisions. */
  readonly vocabulary?: Vocabulary;
  /** With the levels of TEST_SCHEME. */
  readonly scheme?: LabelScheme;
  /** Issuers beside those of the development identity provider. */
  readonly profiles?: readonly IssuerProfile[];
  /** Of services that show one. */
  readonly certificates?: CertificateVerifier;
  readonly more?: (url: string, store: TestAudit) => Partial<AppOptions>;
}

/** The limits of an installation that configures none. */
function defaultLimits(): RequestLimits {
  return {
    limits: new RateLimits({ rules: limitsSchema.parse({}), now: Date.now }),
    trustedProxies: new BlockList(),
  };
}

export async function openTestApp(
  change: (services: Services) => Services = (services) => services,
  changes: TestAppChanges = {},
): Promise<TestApp> {
  const {
    limits = defaultLimits(),
    resource,
    decideStreamsEveryMs,
    vocabulary = { resources: {} },
  } = changes;
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-app-'));
  const [store, embedder, directory] = await Promise.all([
    openTestAudit(),
    testEmbedder(),
    loadDirectory(DIRECTORY),
  ]);
  await provisionPeople(store.database, store.admin.context, directory, instant(Date.now()));
  let app: BulkheadApp | undefined;
  const server = await listen(
    {
      fetch: (...args) => app?.fetch(...args) ?? new Response(null, { status: 503 }),
      headersTooLarge: () => app?.headersTooLarge(),
    },
    { host: '127.0.0.1', port: 0 },
  );
  const url = `http://127.0.0.1:${server.port}`;
  const idp = createDevIdentityProviders({
    production: false,
    accounts: directory,
    keysFile: join(folder, 'keys.json'),
    baseUrl: url,
    resource: AUDIENCE,
    clientRedirectUri: `${url}/callback`,
    postLogoutRedirectUri: `${url}/signed-out`,
  });
  const refusals: Refusal[] = [];
  const signIns: SignInEvent[] = [];
  const logLines: string[] = [];
  const parser = new ParsePool();
  const real = await realServices(store, embedder, parser, idp, refusals, signIns, changes);
  const parts = { database: store.database, scheme: TEST_SCHEME, audit: store.log };
  const services = change({ ...real, decisions: decisionService(() => parts, vocabulary) });
  const options: AppOptions = {
    version: '0.1.0',
    publicUrl: new URL(url),
    levels: LEVELS,
    now: Date.now,
    randomBytes,
    newRequestId: randomUUID,
    log: createLog({ level: 'info', destination: { write: (line) => void logLines.push(line) } }),
    signIn: createSignIn({
      profiles: idp.issuers.map(profileOf),
      clientOf: () => ({ clientId: idp.clientId }),
      redirectUri: `${url}/callback`,
      postLogoutRedirectUri: `${url}/signed-out`,
      now: Date.now,
    }),
    limits,
    resource,
    decideStreamsEveryMs,
    signInChoices: [
      { name: 'workforce', title: 'Meridian' },
      { name: 'partners', title: 'Partners' },
    ],
    mounts: [{ path: '/dev/idp', app: idp.handle }],
    ...changes.more?.(url, store),
  };
  app = createApp(services, options);
  const token: TestApp['token'] = (account, options = {}) =>
    idp.mintToken(account, { now: Date.now(), ...options });
  const ask = asker(url, token);
  await addContainers(ask);
  await provisionRights(store.database, store.admin.context, directory);
  return {
    url,
    app,
    options,
    store,
    services,
    refusals,
    signIns,
    logLines,
    token,
    ask,
    add: async (container, text, more = {}) => {
      const body = { container, external_id: randomUUID(), media_type: 'text/markdown', text, ...more };
      const answer = await ask('root', 'POST', '/v1/documents', body);
      if (answer.status !== 201) throw new Error(answer.text);
      return String(answer.json.document_id);
    },
    close: async () => {
      await app?.close();
      await server.close();
      await Promise.all([parser.close(), store.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** `/open` for everyone, `/hr` for HR, confidential; `/secret` for nobody at all. */
async function addContainers(ask: TestApp['ask']): Promise<void> {
  const hr = { path: '/hr', level: 'confidential', entries: [{ allow: 'group:workforce|hr' }] };
  const made = [
    await ask('root', 'POST', '/v1/containers', { path: '/open', entries: [{ allow: 'everyone' }] }),
    await ask('root', 'POST', '/v1/containers', hr),
    await ask('root', 'POST', '/v1/containers', { path: '/secret', level: 'restricted' }),
  ];
  for (const answer of made) if (answer.status !== 201) throw new Error(answer.text);
}

function asker(url: string, token: TestApp['token']): TestApp['ask'] {
  return async (account, method, path, body) => {
    const response = await fetch(url + path, {
      method,
      redirect: 'manual',
      headers: {
        ...(account !== undefined && { authorization: `Bearer ${await token(account)}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text.split('\n')[0] ?? '') : {},
    };
  };
}

function profileOf({ name, issuer }: { name: string; issuer: string }): IssuerProfile {
  return {
    name,
    tenant: 'meridian',
    issuer,
    audience: AUDIENCE,
    algorithms: ['ES256'],
    typ: ['at+jwt'],
    claims: { subject: 'sub', client: 'client_id', acr: 'acr', authTime: 'auth_time' },
    groupSource: 'directory',
    clockToleranceSeconds: 0,
  };
}

async function realServices(
  store: TestAudit,
  embedder: Embedder,
  parser: ParsePool,
  idp: DevIdentityProviders,
  refusals: Refusal[],
  signIns: SignInEvent[],
  { scheme = TEST_SCHEME, profiles = [], certificates }: TestAppChanges,
): Promise<Omit<Services, 'decisions'>> {
  const { database, log: audit, checkpointsFile, key } = store;
  const redaction = redactionPolicy(RULES);
  const parts = { database, scheme, audit, redaction };
  const collections = new PgvectorCollections(database);
  const index = await collections.open(embedder);
  const retrieveParts: RetrieveParts = {
    ...parts,
    callers: new KnownCallers(),
    visibleSets: new VisibleSets(database),
    givenClassIds: new GivenClassIds(database),
    embedder,
    index,
    questionKey: key.questionKey,
    drift: createDriftWatch({ database, index }, { drift: async () => {}, lag: () => {}, failed: () => {} }),
    indexLag: () => 'current',
  };
  const indexer = new Indexer({ ...parts, index, fingerprint: embedder.fingerprint, onFailure: () => {} });
  const ingestParts: IngestParts = {
    ...parts,
    parser,
    embedder,
    indexer,
    newDocumentId: () => documentId(randomUUID()),
  };
  const trusted = [...idp.issuers.map(profileOf), ...profiles];
  const verifier = createTokenVerifier(trusted, { now: Date.now });
  const auditParts = { ...parts, checkpointsFile, publicKey: key.publicKey };
  const submitter = async ({ identity, requestId }: Parameters<Services['ingest']['one']>[0]) => {
    const authority = await authorize(database, 'ingest', TEST_SCHEME, identity);
    requireCredentialRight(identity, 'ingest');
    return { authority, request: requestId };
  };
  const requireRoot = async (identity: CallerIdentity) => {
    const authority = await authorize(database, 'admin', TEST_SCHEME, identity);
    if (authority.subject.user.name !== 'user:workforce|root')
      throw new BulkheadError('right_missing', 'This needs the right administer on /.');
    return authority;
  };
  return {
    ...createAuthenticator({
      tokens: verifier,
      replays: new MemoryReplayStore(),
      apiKeys: createApiKeys({ database, role: 'retrieve', onFailure: () => {} }),
      certificates,
      now: Date.now,
    }),
    verifyToken: (token) => verifier.verify(token),
    ...issuerService(parts, { profiles: trusted, keyReloads: new KeyReloads(verifier) }),
    stillHolds: async (identity) => {
      await authorize(database, 'retrieve', TEST_SCHEME, identity);
    },
    retrieve: (identity, request) => retrieve(retrieveParts, identity, request),
    readDocument: (identity, request) => readDocument(parts, identity, request),
    listDocuments: (identity, request) => listDocuments(parts, identity, request),
    ingest: ingestService(ingestParts, submitter),
    admin: adminService(parts),
    explain: (caller, question) => explain(parts, caller, question),
    audit: {
      list: (caller, query) => queryAudit(auditParts, caller, query),
      verify: (caller) => verifyAudit(auditParts, caller),
      refused: async (refusal) => void refusals.push(refusal),
      signIn: async (event) => void signIns.push(event),
    },
    maintenance: {
      ...repairService({ database, audit, collections, space: async () => embedder }, ({ identity }) =>
        requireRoot(identity),
      ),
      doctor: async ({ identity }, { repair }) => {
        const { subject } = await requireRoot(identity);
        const counts = { missing: 0, 'stale-version': 0, 'wrong-class': 0, orphan: 0 };
        const { fingerprint } = embedder;
        const options = { database, tenant: subject.tenant, index, fingerprint, repair };
        for await (const { kind } of doctor(options)) counts[kind] += 1;
        return { differences: counts, remaining: counts };
      },
      reembed: async () => {
        throw new BulkheadError('right_missing', 'This needs the right administer on /.');
      },
      indexStats: async () => {
        throw new BulkheadError('right_missing', 'This needs the right administer on /.');
      },
      calibrate: async () => {
        throw new BulkheadError('right_missing', 'This needs the right administer on /.');
      },
      encryption: async () => {
        throw new BulkheadError('right_missing', 'This needs the right administer on /.');
      },
      rotateKeys: async () => {
        throw new BulkheadError('right_missing', 'This needs the right administer on /.');
      },
    },
    readiness: async () => ({ database: true, model: true }),
  };
}

function ingestService(
  parts: IngestParts,
  submitter: (caller: Parameters<Services['ingest']['one']>[0]) => Promise<Submitter>,
): Services['ingest'] {
  return {
    one: async (caller, submission) => ingestOne(parts, await submitter(caller), submission),
    many: async (caller, submissions: AsyncIterable<Submission>) =>
      ingestMany(parts, await submitter(caller), submissions),
    remove: async (caller, document) => removeDocument(parts, await submitter(caller), documentId(document)),
    pending: async (caller, versions) => {
      const { authority } = await submitter(caller);
      const asked = versions.map(({ document, version }) => ({ document: documentId(document), version }));
      return readPending(parts.database, authority.context, asked);
    },
  };
}

/** Every operation with its parts filled in. */
function adminService(parts: AdminParts): Services['admin'] {
  return {
    setDocumentAccess: (caller, input) => documentAccess.setDocumentAccess(parts, caller, input),
    setDocumentLabel: (caller, input) => documentAccess.setDocumentLabel(parts, caller, input),
    listContainers: (caller, input) => containers.listContainers(parts, caller, input),
    getContainer: (caller, input) => containers.getContainer(parts, caller, input),
    createContainer: (caller, input) => containers.createContainer(parts, caller, input),
    setContainerLabel: (caller, input) => containerAccess.setContainerLabel(parts, caller, input),
    setInherits: (caller, input) => containerAccess.setInherits(parts, caller, input),
    moveContainer: (caller, input) => moveContainer(parts, caller, input),
    grant: (caller, input) => containerAccess.grant(parts, caller, input),
    revoke: (caller, input) => containerAccess.revoke(parts, caller, input),
    listPrincipals: (caller, input) => principals.listPrincipals(parts, caller, input),
    getPrincipal: (caller, input) => principals.getPrincipal(parts, caller, input),
    createUser: (caller, input) => principals.createUser(parts, caller, input),
    createGroup: (caller, input) => principals.createGroup(parts, caller, input),
    createService: (caller, input) => principals.createService(parts, caller, input),
    enableAccount: (caller, input) => principals.enableAccount(parts, caller, input),
    disableAccount: (caller, input) => principals.disableAccount(parts, caller, input),
    addMember: (caller, input) => memberships.addMember(parts, caller, input),
    removeMember: (caller, input) => memberships.removeMember(parts, caller, input),
    setMembers: (caller, input) => memberships.setMembers(parts, caller, input),
    grantClearance: (caller, input) => clearances.grantClearance(parts, caller, input),
    revokeClearance: (caller, input) => clearances.revokeClearance(parts, caller, input),
    bindRole: (caller, input) => clearances.bindRole(parts, caller, input),
    unbindRole: (caller, input) => clearances.unbindRole(parts, caller, input),
    setActorCeiling: (caller, input) => clearances.setActorCeiling(parts, caller, input),
    revokeCredential: (caller, input) => revocations.revokeCredential(parts, caller, input),
    listRevocations: (caller, input) => revocations.listRevocations(parts, caller, input),
    listApiKeys: (caller, input) => apiKeys.listApiKeys(parts, caller, input),
    createApiKey: (caller, input) => apiKeys.createApiKey({ ...parts, mintKey }, caller, input),
    rotateApiKey: (caller, input) => apiKeys.rotateApiKey({ ...parts, mintKey }, caller, input),
    revokeApiKey: (caller, input) => apiKeys.revokeApiKey(parts, caller, input),
  };
}
