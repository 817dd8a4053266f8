import { createRoute, z } from '@hono/zod-openapi';
import { BulkheadError } from '../../errors.ts';
import type { IngestResult } from '../../ingest/submission.ts';
import { DOCUMENT_BYTES, JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse, nothing } from '../openapi.ts';
import { documentListView, documentView, pendingView, uploadView as uploadSchema } from '../schemas.ts';
import type { Services } from '../services.ts';
import { toSubmission, uploadBody, uploadView } from '../uploads.ts';
import { compartments, entries, labelName, page, plainText, present } from '../validation.ts';

/** As the server writes them; anything else is the id of nothing. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const params = z.object({ id: z.string().regex(UUID) });

const add = createRoute({
  method: 'post',
  path: '/v1/documents',
  summary: 'Add a document, or replace it',
  middleware: jsonBodyUpTo(DOCUMENT_BYTES),
  request: { body: jsonBody(uploadBody) },
  responses: {
    200: jsonResponse(uploadSchema, 'It was there: replaced, relabelled or unchanged.'),
    201: jsonResponse(uploadSchema, 'It is new. It can be found from now on.'),
    202: jsonResponse(uploadSchema, 'It is stored, and can be found when another process has indexed it.'),
  },
});

const pending = createRoute({
  method: 'post',
  path: '/v1/documents:pending',
  summary: 'Which of these versions are not in the index yet; needs ingest',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: {
    body: jsonBody(
      z.strictObject({
        documents: z
          .array(z.strictObject({ document_id: z.string().regex(UUID), version: z.int().min(1) }))
          .max(1_000),
      }),
    ),
  },
  responses: { 200: jsonResponse(pendingView, 'Those, and no others.') },
});

const list = createRoute({
  method: 'get',
  path: '/v1/documents',
  summary: 'The documents the caller may read',
  request: { query: z.strictObject({ ...page, container: plainText(1_000).optional() }) },
  responses: { 200: jsonResponse(documentListView, 'A page, in a stable order.') },
});

const read = createRoute({
  method: 'get',
  path: '/v1/documents/{id}',
  summary: 'One document, whole',
  request: { params },
  responses: { 200: jsonResponse(documentView, 'The document, redacted.') },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/documents/{id}',
  summary: 'Delete a document; needs ingest',
  request: { params },
  responses: { 204: nothing },
});

const setAccess = createRoute({
  method: 'patch',
  path: '/v1/documents/{id}/access',
  summary: 'Replace the entries of a document; needs grant',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: { params, body: jsonBody(z.strictObject({ entries, inherits: z.boolean().default(true) })) },
  responses: { 204: nothing },
});

const setLabel = createRoute({
  method: 'patch',
  path: '/v1/documents/{id}/label',
  summary: 'Replace the label of a document; needs label',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: {
    params,
    body: jsonBody(z.strictObject({ level: labelName.nullable(), compartments })),
  },
  responses: { 204: nothing },
});

export function documentRoutes(services: Services) {
  return newRoutes()
    .openapi(add, async (c) => {
      const caller = c.get('caller');
      const result = await services.ingest.one(caller, toSubmission(c.req.valid('json')));
      throwFailure(result);
      if (result.documentId !== undefined) c.header('location', `/v1/documents/${result.documentId}`);
      const found = result.status === 'created' ? 201 : 200;
      const status = result.isPending === true ? 202 : found;
      return c.json({ request_id: caller.requestId, ...uploadView(result) }, status);
    })
    .openapi(pending, async (c) => {
      const caller = c.get('caller');
      const asked = c.req.valid('json').documents;
      const left = await services.ingest.pending(
        caller,
        asked.map(({ document_id: document, version }) => ({ document, version })),
      );
      const documents = [...left].map(([document_id, state]) => ({ document_id, state }));
      return c.json({ request_id: caller.requestId, documents }, 200);
    })
    .openapi(list, async (c) => {
      const { identity, requestId } = c.get('caller');
      const request = present({ requestId, ...c.req.valid('query') });
      const { content, receipt } = await services.listDocuments(identity, request);
      return c.json({ ...content, receipt }, 200);
    })
    .openapi(read, async (c) => {
      const { identity, requestId } = c.get('caller');
      const document = c.req.valid('param').id;
      const { content, receipt } = await services.readDocument(identity, { requestId, document });
      return c.json({ ...content, receipt }, 200);
    })
    .openapi(remove, async (c) => {
      await services.ingest.remove(c.get('caller'), c.req.valid('param').id);
      return c.body(null, 204);
    })
    .openapi(setAccess, async (c) => {
      const access = { document: c.req.valid('param').id, ...c.req.valid('json') };
      await services.admin.setDocumentAccess(c.get('caller'), access);
      return c.body(null, 204);
    })
    .openapi(setLabel, async (c) => {
      const change = { document: c.req.valid('param').id, label: c.req.valid('json') };
      await services.admin.setDocumentLabel(c.get('caller'), change);
      return c.body(null, 204);
    });
}

function throwFailure({ error }: IngestResult): void {
  if (error !== undefined)
    throw new BulkheadError(error.code, error.detail, present({ issues: error.issues }));
}
