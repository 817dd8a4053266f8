/** Loads a whole directory: for the demo, for tests and for a first import. */
import type { Instant } from '../policy/ids.ts';
import { instant } from '../policy/ids.ts';
import type { Validity } from '../policy/validity.ts';
import type { Database } from '../store/database.ts';
import { Directory } from '../store/directory.ts';
import type { SessionContext } from '../store/session-context.ts';

/** Milliseconds since 1970-01-01T00:00:00Z. */
interface Bounds {
  readonly from?: number | undefined;
  readonly until?: number | undefined;
}

/** A directory in one object, as a directory file holds it. Containers are paths, with or without the first `/`. */
export interface DirectoryContent {
  readonly users: readonly {
    readonly account: string;
    readonly issuer: string;
    readonly name: string;
    readonly email: string;
    readonly status: 'active' | 'left';
  }[];
  readonly groups: readonly {
    readonly id: string;
    readonly name: string;
    readonly members: readonly ({ readonly principal: string } & Bounds)[];
  }[];
  readonly services: readonly {
    readonly account: string;
    readonly issuer: string;
    readonly name?: string | undefined;
    readonly ceiling?:
      | {
          readonly level: string;
          readonly compartments: readonly string[];
          readonly containers: readonly string[];
        }
      | undefined;
  }[];
  readonly clearances: readonly ({
    readonly principal: string;
    readonly level: string;
    readonly compartments: readonly string[];
  } & Bounds)[];
  readonly roles: readonly ({
    readonly principal: string;
    readonly container: string;
    readonly rights: readonly string[];
  } & Bounds)[];
}

/**
 * Accounts, groups, memberships and clearances, in one transaction; repeating it changes nothing. Comes before
 * containers, whose entries name these principals.
 * @param context of an administrator of the tenant's root
 * @param asOf when the directory was current
 * @throws BulkheadError `unknown_principal`, `unknown_level`
 */
export async function provisionPeople(
  database: Database,
  context: SessionContext,
  content: DirectoryContent,
  asOf: Instant,
): Promise<void> {
  await database.unitOfWork('admin', context, async (trx) => {
    const directory = Directory.within(trx);
    await directory.upsertAccounts([
      ...content.users.map(userRecord),
      ...content.services.map(serviceRecord),
    ]);
    await directory.upsertGroups(
      content.groups.map(({ id, name }) => ({ principal: id, displayName: name })),
    );
    await directory.setMembers(
      content.groups.map(({ id, members }) => ({
        group: id,
        members: members.map((member) => ({ principal: member.principal, ...validity(member) })),
      })),
    );
    await directory.grantClearance(
      content.clearances.map(({ principal, level, compartments, ...bounds }) => ({
        principal,
        level,
        compartments,
        ...validity(bounds),
      })),
    );
    await directory.touchSource(sourcesOf(content), asOf);
  });
}

/**
 * Role bindings and the ceilings of acting services, in one transaction; repeating it changes nothing. Comes
 * after the containers that they name.
 * @throws BulkheadError `unknown_principal`, `unknown_level`, `unknown_container`
 */
export async function provisionRights(
  database: Database,
  context: SessionContext,
  content: DirectoryContent,
): Promise<void> {
  await database.unitOfWork('admin', context, async (trx) => {
    const directory = Directory.within(trx);
    await directory.bindRight(
      content.roles.flatMap(({ principal, container, rights, ...bounds }) =>
        rights.map((right) => ({
          principal,
          container: absolute(container),
          right,
          ...validity(bounds),
        })),
      ),
    );
    await directory.setCeiling(
      content.services.flatMap((service) =>
        service.ceiling === undefined
          ? []
          : [
              {
                principal: serviceRecord(service).principal,
                level: service.ceiling.level,
                compartments: service.ceiling.compartments,
                containers: service.ceiling.containers.map(absolute),
              },
            ],
      ),
    );
  });
}

function userRecord(user: DirectoryContent['users'][number]) {
  return {
    principal: `user:${user.issuer}|${user.account}`,
    source: user.issuer,
    displayName: user.name,
    email: user.email,
    status: user.status === 'left' ? ('disabled' as const) : ('active' as const),
  };
}

function serviceRecord(service: DirectoryContent['services'][number]) {
  return {
    principal: `service:${service.issuer}|${service.account}`,
    source: service.issuer,
    displayName: service.name ?? service.account,
    status: 'active' as const,
  };
}

function sourcesOf(content: DirectoryContent): string[] {
  return [...new Set([...content.users, ...content.services].map(({ issuer }) => issuer))];
}

function validity({ from, until }: Bounds): Validity {
  return {
    validFrom: from === undefined ? undefined : instant(from),
    validUntil: until === undefined ? undefined : instant(until),
  };
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
