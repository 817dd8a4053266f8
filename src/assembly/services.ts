import * as clearances from '../admin/clearances.ts';
import * as containerAccess from '../admin/container-access.ts';
import * as containers from '../admin/containers.ts';
import * as documentAccess from '../admin/document-access.ts';
import { explain } from '../admin/explain.ts';
import * as memberships from '../admin/memberships.ts';
import * as principals from '../admin/principals.ts';
import type { AdminService, Services } from '../http/services.ts';
import { listDocuments, readDocument } from '../retrieve/documents.ts';
import { retrieve } from '../retrieve/retrieve.ts';
import { auditService } from './audit-service.ts';
import { now, type Parts } from './core.ts';
import type { ReembedProgress } from './index-work.ts';
import { ingestService } from './ingest-service.ts';
import { maintenanceService, readinessOf } from './maintenance-service.ts';
import { need } from './need.ts';
import type { Identity } from './open-identity.ts';

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
  const tenantOfIssuer = (name: string) => profiles.find((profile) => profile.name === name)?.tenant;
  const retrieving = () => need(parts.retrieve, 'retrieval');
  return {
    verifyToken: async (token) => need(identity, 'callers').verifier.verify(token),
    retrieve: async (caller, request) => retrieve(retrieving(), caller, request),
    readDocument: async (caller, request) => readDocument(retrieving(), caller, request),
    listDocuments: async (caller, request) => listDocuments(retrieving(), caller, request),
    ingest: ingestService(parts),
    admin: adminService(parts),
    explain: async (caller, question) => explain(need(parts.admin, 'policy'), caller, question),
    audit: auditService(parts, tenantOfIssuer),
    maintenance: maintenanceService(parts, onReembedProgress),
    readiness: readinessOf(parts, now),
  };
}

type AdminPart = NonNullable<Parts['admin']>;
type Operation<A extends unknown[], R> = (parts: AdminPart, ...rest: A) => R;

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
  };
}
