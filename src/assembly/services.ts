import { randomBytes } from 'node:crypto';
import * as apiKeys from '../admin/api-keys.ts';
import * as clearances from '../admin/clearances.ts';
import * as containerAccess from '../admin/container-access.ts';
import * as containers from '../admin/containers.ts';
import * as documentAccess from '../admin/document-access.ts';
import { explain } from '../admin/explain.ts';
import * as memberships from '../admin/memberships.ts';
import { moveContainer } from '../admin/move-container.ts';
import * as principals from '../admin/principals.ts';
import * as revocations from '../admin/revocations.ts';
import type { AdminService, Services } from '../http/services.ts';
import { newApiKey } from '../identity/api-key-form.ts';
import { tenantsOf } from '../identity/issuer.ts';
import { listDocuments, readDocument } from '../retrieve/documents.ts';
import { retrieve } from '../retrieve/retrieve.ts';
import { authorize, type CallerIdentity } from '../store/authority.ts';
import { auditService } from './audit-service.ts';
import { now, type Parts } from './core.ts';
import { decisionService } from './decision-service.ts';
import { directoryServices } from './directory-services.ts';
import type { ReembedProgress } from './index-work.ts';
import { ingestService } from './ingest-service.ts';
import { issuerService } from './issuer-service.ts';
import { maintenanceService, readinessOf } from './maintenance-service.ts';
import { need } from './need.ts';
import { openAuthenticator } from './open-authenticator.ts';
import type { Identity } from './open-identity.ts';
import { signalService } from './signal-service.ts';
import { tenantOfStrangers } from './strangers.ts';

/**
 * Fills the parts into every operation that the API and the pages call. One whose part this process has not is there
 * too, and fails: no route that it serves leads to it.
 */
export function createServices(
  parts: Parts,
  identity: Identity | undefined,
  onReembedProgress?: ReembedProgress,
): Services {
  const profiles = identity?.profiles ?? [];
  const tenantOfIssuer = (name: string) => {
    const profile = profiles.find((one) => one.name === name);
    const [tenant, ...others] = profile === undefined ? [] : tenantsOf(profile);
    // of a failed sign-in with an issuer of several tenants nobody knows whose it was
    return others.length === 0 ? tenant : undefined;
  };
  const retrieving = () => need(parts.retrieve, 'retrieval');
  return {
    ...openAuthenticator(parts, identity, now),
    ...issuerService(parts, identity),
    verifyToken: async (token) => need(identity, 'callers').verifier.verify(token),
    stillHolds: (caller) => stillHolds(parts, caller),
    retrieve: async (caller, request) => retrieve(retrieving(), caller, request),
    readDocument: async (caller, request) => readDocument(retrieving(), caller, request),
    listDocuments: async (caller, request) => listDocuments(retrieving(), caller, request),
    ingest: ingestService(parts),
    admin: adminService(parts),
    explain: async (caller, question) => explain(need(parts.admin, 'policy'), caller, question),
    decisions: decisionService(() => need(parts.admin, 'policy'), parts.config.authzen),
    audit: auditService(parts, tenantOfIssuer, tenantOfStrangers(parts.config, profiles)),
    ...directoryServices(parts),
    maintenance: maintenanceService(parts, onReembedProgress),
    ...signalService(parts),
    readiness: readinessOf(parts, now),
  };
}

/** In the role that this process has; the indexer answers nobody. */
async function stillHolds({ config, database, scheme }: Parts, caller: CallerIdentity): Promise<void> {
  await authorize(database, config.role === 'all' ? 'retrieve' : config.role, scheme, caller);
}

type AdminPart = NonNullable<Parts['admin']>;
type Operation<A extends unknown[], R> = (parts: AdminPart, ...rest: A) => R;

/** With the keys' form, which admin does not know. */
function minting<A extends unknown[], R>(
  operation: (parts: apiKeys.ApiKeyParts, ...rest: A) => R,
): Operation<A, R> {
  return (parts, ...rest) => operation({ ...parts, mintKey: () => newApiKey(randomBytes) }, ...rest);
}

function adminService({ admin }: Parts): AdminService {
  const bound =
    <A extends unknown[], R>(operation: Operation<A, R>) =>
    (...rest: A): R =>
      operation(need(admin, 'policy'), ...rest);
  return {
    setDocumentAccess: bound(documentAccess.setDocumentAccess),
    setDocumentLabel: bound(documentAccess.setDocumentLabel),
    listContainers: bound(containers.listContainers),
    getContainer: bound(containers.getContainer),
    createContainer: bound(containers.createContainer),
    setContainerLabel: bound(containerAccess.setContainerLabel),
    setInherits: bound(containerAccess.setInherits),
    moveContainer: bound(moveContainer),
    grant: bound(containerAccess.grant),
    revoke: bound(containerAccess.revoke),
    listPrincipals: bound(principals.listPrincipals),
    getPrincipal: bound(principals.getPrincipal),
    createUser: bound(principals.createUser),
    createGroup: bound(principals.createGroup),
    createService: bound(principals.createService),
    enableAccount: bound(principals.enableAccount),
    disableAccount: bound(principals.disableAccount),
    addMember: bound(memberships.addMember),
    removeMember: bound(memberships.removeMember),
    setMembers: bound(memberships.setMembers),
    grantClearance: bound(clearances.grantClearance),
    revokeClearance: bound(clearances.revokeClearance),
    bindRole: bound(clearances.bindRole),
    unbindRole: bound(clearances.unbindRole),
    setActorCeiling: bound(clearances.setActorCeiling),
    revokeCredential: bound(revocations.revokeCredential),
    listRevocations: bound(revocations.listRevocations),
    listApiKeys: bound(apiKeys.listApiKeys),
    createApiKey: bound(minting(apiKeys.createApiKey)),
    rotateApiKey: bound(minting(apiKeys.rotateApiKey)),
    revokeApiKey: bound(apiKeys.revokeApiKey),
  };
}
