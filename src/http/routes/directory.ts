import { createRoute, z } from '@hono/zod-openapi';
import { DOCUMENT_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import type { DirectoryService } from '../services.ts';
import { instantText, present } from '../validation.ts';

const sourceName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a lower-case name');
const attributeName = z.string().regex(/^[A-Za-z][\w.-]{0,60}$/, 'must be the name of an attribute');

const importBody = z.strictObject({
  source: sourceName.describe('names its groups, group:<source>|<id>'),
  issuer: sourceName.describe('names its people, user:<issuer>|<id>'),
  format: z.enum(['csv', 'ldif']),
  content: z.string().min(1),
  dry_run: z.boolean().default(false),
  remove_missing: z.boolean().default(false),
  allow_removals: z.int().min(0).max(1_000_000).optional(),
  as_of: instantText.optional(),
  user_id: attributeName.optional().describe('of LDIF; uid by default'),
  group_id: attributeName.optional().describe('of LDIF; cn by default'),
});

const counts = (...names: readonly string[]) =>
  z.strictObject(Object.fromEntries(names.map((name) => [name, z.int()])));
const importView = z
  .strictObject({
    request_id: z.string(),
    accounts: counts('added', 'changed', 'enabled', 'disabled'),
    groups: counts('added', 'changed', 'removed'),
    memberships: counts('added', 'removed'),
    lines: z.array(z.string()),
    more: z.boolean(),
  })
  .openapi('DirectoryImport');

const statusView = z
  .strictObject({
    request_id: z.string(),
    sources: z.array(
      z.strictObject({
        source: z.string(),
        as_of: z.string().nullable(),
        accounts: z.int(),
        disabled: z.int(),
        groups: z.int(),
      }),
    ),
  })
  .openapi('DirectoryStatus');

const take = createRoute({
  method: 'post',
  path: '/v1/directory:import',
  summary: 'Take people and groups over from a file; needs administer at the root',
  middleware: jsonBodyUpTo(DOCUMENT_BYTES),
  request: { body: jsonBody(importBody) },
  responses: { 200: jsonResponse(importView, 'What changed, or would.') },
});

const status = createRoute({
  method: 'get',
  path: '/v1/directory',
  summary: 'How old each source is and what it has; needs administer at the root',
  responses: { 200: jsonResponse(statusView, 'Each source.') },
});

export function directoryRoutes(directory: DirectoryService) {
  return newRoutes()
    .openapi(take, async (c) => {
      const caller = c.get('caller');
      const { dry_run, remove_missing, allow_removals, as_of, user_id, group_id, ...file } =
        c.req.valid('json');
      const report = await directory.import(caller, {
        ...file,
        ...present({ userId: user_id, groupId: group_id }),
        dryRun: dry_run,
        removeMissing: remove_missing,
        allowRemovals: allow_removals,
        asOf: as_of,
      });
      return c.json({ request_id: caller.requestId, ...report }, 200);
    })
    .openapi(status, async (c) => {
      const caller = c.get('caller');
      const sources = (await directory.status(caller)).map(({ asOf, ...source }) => ({
        ...source,
        as_of: asOf === null ? null : new Date(asOf).toISOString(),
      }));
      return c.json({ request_id: caller.requestId, sources }, 200);
    });
}
