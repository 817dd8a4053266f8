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
import { type Core, now } from './core.ts';
import { ingestService } from './ingest-service.ts';
import { maintenanceService, type ReembedProgress, readinessOf } from './maintenance-service.ts';
import type { Identity } from './open-identity.ts';

/** Fills the parts into every operation that the API and the pages call. */
export function createServices(
  core: Core,
  { verifier, profiles }: Identity,
  onReembedProgress?: ReembedProgress,
): Services {
  const tenantOfIssuer = (name: string) => profiles.find((profile) => profile.name === name)?.tenant;
  return {
    verifyToken: (token) => verifier.verify(token),
    retrieve: (identity, request) => retrieve(core.retrieve, identity, request),
    readDocument: (identity, request) => readDocument(core.retrieve, identity, request),
    listDocuments: (identity, request) => listDocuments(core.retrieve, identity, request),
    ingest: ingestService(core),
    admin: adminService(core),
    explain: (caller, question) => explain(core.admin, caller, question),
    audit: auditService(core, tenantOfIssuer),
    maintenance: maintenanceService(core, onReembedProgress),
    readiness: readinessOf(core, now),
  };
}

type Operation<A extends unknown[], R> = (parts: Core['admin'], ...rest: A) => R;

function adminService({ admin }: Core): AdminService {
  const bound =
    <A extends unknown[], R>(operation: Operation<A, R>) =>
    (...rest: A): R =>
      operation(admin, ...rest);
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
