/** Stored users and groups as the resources that clients see. */
import type { ScimGroupRow, ScimMember } from '../../store/directory-groups.ts';
import type { ScimUserRow, UserGroup } from '../../store/directory-users.ts';
import { etag } from './client.ts';
import { GROUP_SCHEMA, USER_SCHEMA } from './schemas.ts';

export type Json = Readonly<Record<string, unknown>>;

export function userView(row: ScimUserRow, groups: readonly UserGroup[], base: string): Json {
  return {
    schemas: [USER_SCHEMA],
    id: row.id,
    ...(row.externalId !== null && { externalId: row.externalId }),
    userName: row.userName,
    ...(row.displayName !== null && { displayName: row.displayName }),
    ...row.attributes,
    ...(row.active !== null && { active: row.active }),
    ...(groups.length > 0 && {
      groups: groups.map(({ id, displayName, direct }) => ({
        value: id,
        $ref: `${base}/Groups/${id}`,
        display: displayName,
        type: direct ? 'direct' : 'indirect',
      })),
    }),
    meta: metaOf('User', row, `${base}/Users/${row.id}`),
  };
}

/** @param members `undefined` when they were not asked for */
export function groupView(row: ScimGroupRow, members: readonly ScimMember[] | undefined, base: string): Json {
  return {
    schemas: [GROUP_SCHEMA],
    id: row.id,
    ...(row.externalId !== null && { externalId: row.externalId }),
    displayName: row.displayName,
    ...(members !== undefined &&
      members.length > 0 && {
        members: members.map(({ id, kind }) => ({
          value: id,
          $ref: `${base}/${kind}s/${id}`,
          type: kind,
        })),
      }),
    meta: metaOf('Group', row, `${base}/Groups/${row.id}`),
  };
}

interface Dated {
  readonly version: number;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

function metaOf(resourceType: string, { version, createdAt, modifiedAt }: Dated, location: string): Json {
  return {
    resourceType,
    created: new Date(createdAt).toISOString(),
    lastModified: new Date(modifiedAt).toISOString(),
    location,
    version: etag(version),
  };
}
