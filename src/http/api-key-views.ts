/** Keys of services as the API tells of them. */
import { z } from '@hono/zod-openapi';
import type { ApiKeyRow } from '../store/api-keys.ts';
import { CREDENTIAL_RIGHTS } from '../store/session-context.ts';

export const keyRights = z.array(z.enum(CREDENTIAL_RIGHTS)).min(1).max(CREDENTIAL_RIGHTS.length);

export const shownKeyView = z
  .strictObject({
    request_id: z.string(),
    id: z.string(),
    key: z.string().describe('shown this once; nobody can show it again'),
    expires_at: z.string(),
  })
  .openapi('NewApiKey');

const keyView = z
  .strictObject({
    id: z.string(),
    service: z.string(),
    name: z.string(),
    rights: z.array(z.enum(CREDENTIAL_RIGHTS)),
    limits: z
      .strictObject({
        level: z.string(),
        compartments: z.array(z.string()),
        containers: z.array(z.string()),
      })
      .nullable(),
    created_by: z.string(),
    created_by_active: z.boolean().describe('false: disabled or gone, and the key works all the same'),
    created_at: z.string(),
    expires_at: z.string(),
    last_used_at: z.string().nullable().describe('to the minute'),
    revoked_at: z.string().nullable(),
    replaces: z.string().nullable(),
    replaced_by: z.string().nullable(),
  })
  .openapi('ApiKey');

export const keyListView = z
  .strictObject({ request_id: z.string(), keys: z.array(keyView), next_cursor: z.string().nullable() })
  .openapi('ApiKeys');

export function keyOf(row: ApiKeyRow): z.infer<typeof keyView> {
  return {
    id: row.id,
    service: row.service,
    name: row.name,
    rights: [...row.rights],
    limits: row.limits && {
      level: row.limits.level,
      compartments: [...row.limits.compartments],
      containers: [...row.limits.containers],
    },
    created_by: row.createdBy,
    created_by_active: row.isMakerActive,
    created_at: isoOf(row.createdAt),
    expires_at: isoOf(row.expiresAt),
    last_used_at: row.lastUsedAt === null ? null : isoOf(row.lastUsedAt),
    revoked_at: row.revokedAt === null ? null : isoOf(row.revokedAt),
    replaces: row.replaces,
    replaced_by: row.replacedBy,
  };
}

export function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
