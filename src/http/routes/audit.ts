import { createRoute, z } from '@hono/zod-openapi';
import type { SignedLoss } from '../../audit/loss.ts';
import type { ListedRecord } from '../../audit/query.ts';
import { newRoutes } from '../env.ts';
import { jsonResponse } from '../openapi.ts';
import { auditRecordsView, auditVerdictView } from '../schemas.ts';
import type { Services } from '../services.ts';
import { page, plainText } from '../validation.ts';

const list = createRoute({
  method: 'get',
  path: '/v1/audit/records',
  summary: 'The audit log, newest first; needs audit',
  request: { query: z.strictObject({ ...page, kind: plainText(100).optional() }) },
  responses: { 200: jsonResponse(auditRecordsView, 'A page of records.') },
});

const verify = createRoute({
  method: 'post',
  path: '/v1/audit/verify',
  summary: 'Verify the audit log of the tenant; needs audit',
  responses: { 200: jsonResponse(auditVerdictView, 'No problems when all is as it was written.') },
});

export function auditRoutes(services: Services) {
  return newRoutes()
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { cursor, limit, kind } = c.req.valid('query');
      const { items, next } = await services.audit.list(caller, { cursor, limit, kind });
      const records = items.map(recordView);
      return c.json({ request_id: caller.requestId, records, next_cursor: next ?? null }, 200);
    })
    .openapi(verify, async (c) => {
      const caller = c.get('caller');
      const { chains, records, problems, losses } = await services.audit.verify(caller);
      const view = { chains, records, problems, losses: losses.map(lossView) };
      return c.json({ request_id: caller.requestId, ...view }, 200);
    });
}

function lossView({ writer, kept, lost, at }: SignedLoss) {
  return { writer, kept, lost, declared: new Date(at).toISOString() };
}

function recordView({ writer, seq, at, kind, id, body, hash }: ListedRecord) {
  return { writer, seq, at: new Date(at).toISOString(), kind, id, body: body ?? null, hash };
}
