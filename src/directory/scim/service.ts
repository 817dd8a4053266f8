/** The SCIM operations with the parts they work on filled in. */
import type { CallerIdentity } from '../../store/authority.ts';
import { bulk } from './bulk.ts';
import { bindingOf, type ScimBinding, type ScimCaller, type ScimParts } from './client.ts';
import { createGroup, deleteGroup, getGroup, patchOfGroup, replaceGroup } from './groups.ts';
import type { Projection } from './projection.ts';
import { type ResourceType, type SearchRequest, search } from './search.ts';
import { createUser, deleteUser, getUser, patchUser, replaceUser, type Versioned } from './users.ts';
import type { Json } from './views.ts';

/** One resource type's operations. */
export interface ScimResources {
  create(caller: ScimCaller, body: unknown, projection: Projection): Promise<Versioned>;
  get(caller: ScimCaller, id: string, projection: Projection): Promise<Versioned>;
  replace(
    caller: ScimCaller,
    id: string,
    body: unknown,
    ifMatch: string | undefined,
    projection: Projection,
  ): Promise<Versioned>;
  /** @param projection absent where nothing was asked to come back */
  patch(
    caller: ScimCaller,
    id: string,
    body: unknown,
    ifMatch: string | undefined,
    projection: Projection | undefined,
  ): Promise<Versioned>;
  remove(caller: ScimCaller, id: string, ifMatch: string | undefined): Promise<void>;
}

export interface ScimService {
  /** @throws BulkheadError `right_missing` for whoever provisions nothing */
  binding(identity: CallerIdentity): ScimBinding;
  readonly users: ScimResources;
  readonly groups: ScimResources;
  search(caller: ScimCaller, types: readonly ResourceType[], request: SearchRequest): Promise<Json>;
  bulk(caller: ScimCaller, body: unknown): Promise<Json>;
}

export function scimService(parts: ScimParts): ScimService {
  return {
    binding: (identity) => bindingOf(parts, identity),
    users: {
      create: (caller, body) => createUser(parts, caller, body),
      get: (caller, id) => getUser(parts, caller, id),
      replace: (caller, id, body, ifMatch) => replaceUser(parts, caller, id, body, ifMatch),
      patch: (caller, id, body, ifMatch) => patchUser(parts, caller, id, body, ifMatch),
      remove: (caller, id, ifMatch) => deleteUser(parts, caller, id, ifMatch),
    },
    groups: {
      create: (caller, body, projection) => createGroup(parts, caller, body, projection),
      get: (caller, id, projection) => getGroup(parts, caller, id, projection),
      replace: (caller, id, body, ifMatch, projection) =>
        replaceGroup(parts, caller, id, body, ifMatch, projection),
      patch: (caller, id, body, ifMatch, projection) =>
        patchOfGroup(parts, caller, id, body, ifMatch, projection),
      remove: (caller, id, ifMatch) => deleteGroup(parts, caller, id, ifMatch),
    },
    search: (caller, types, request) => search(parts, caller, types, request),
    bulk: (caller, body) => bulk(parts, caller, body),
  };
}
