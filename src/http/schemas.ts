/** The shapes of what is sent back, for the API's description and the tests that hold routes to it. */
import { z } from '@hono/zod-openapi';

const labelView = z.strictObject({ level: z.string(), compartments: z.array(z.string()) }).openapi('Label');

const ownLabelView = z.strictObject({
  level: z.string().nullable().describe('null leaves it to the containers above'),
  compartments: z.array(z.string()),
});

const redaction = z.strictObject({
  kind: z.string(),
  start: z.int().describe('UTF-16 offset into the redacted text'),
  end: z.int(),
});

const document = {
  document_id: z.uuid(),
  version: z.int(),
  title: z.string(),
  label: labelView,
  container: z.string(),
  source: z.string(),
  external_id: z.string(),
  media_type: z.string(),
  content_date: z.string().nullable(),
  updated_at: z.string(),
  redacted: z.array(z.string()).describe('kinds that were taken out'),
};

const passage = {
  passage: z.int().describe('position in the document, from 0'),
  heading_path: z.array(z.string()),
  text: z.string(),
  redactions: z.array(redaction),
};

const receipt = z
  .strictObject({ id: z.string(), hash: z.string() })
  .openapi('Receipt', { description: 'The audit record of this release, durable before it was sent.' });

export const answerView = z
  .strictObject({
    request_id: z.string(),
    receipt,
    passages: z.array(
      z.strictObject({ ...document, ...passage, rank: z.int(), score: z.number().min(0).max(1) }),
    ),
    complete: z.boolean().describe('false when a visible passage could not be returned'),
    ceiling: z.strictObject({ level: z.string().nullable(), actor: labelView.nullable() }),
    step_up: z
      .strictObject({
        acr_values: z.array(z.string()).nullable().describe('one of these classes of sign-in'),
        max_age: z.int().nullable().describe('seconds since the sign-in, at most'),
      })
      .nullable()
      .describe('the sign-in that more of what you may read needs, if any; the same for every question'),
    freshness: z.strictObject({
      policy: z.string().describe('changes when what you may see changes'),
      directory_as_of: z.string().nullable(),
      index: z.enum(['current', 'minutes', 'hours']),
    }),
  })
  .openapi('Answer');

export const documentView = z
  .strictObject({
    request_id: z.string(),
    receipt,
    ...document,
    passages: z.array(z.strictObject(passage)),
  })
  .openapi('Document');

export const documentListView = z
  .strictObject({
    request_id: z.string(),
    receipt,
    documents: z.array(z.strictObject(document)),
    next_cursor: z.string().nullable(),
  })
  .openapi('DocumentList');

const issueView = z.strictObject({ path: z.string(), message: z.string() });

const uploadFields = {
  external_id: z.string(),
  document_id: z.uuid().optional(),
  version: z.int().optional(),
  passages: z.int().optional().describe('how many it was split into'),
  pending: z
    .literal(true)
    .optional()
    .describe('stored, and not in the index yet; documents:pending says when'),
};

export const uploadView = z
  .strictObject({
    request_id: z.string(),
    ...uploadFields,
    status: z.enum(['created', 'replaced', 'unchanged', 'relabelled']),
  })
  .openapi('UploadResult');

export const batchResultView = z
  .strictObject({
    line: z.int(),
    ...uploadFields,
    external_id: z.string().nullable(),
    status: z.enum(['created', 'replaced', 'unchanged', 'relabelled', 'failed']),
    error: z
      .strictObject({ code: z.string(), detail: z.string(), errors: z.array(issueView).optional() })
      .optional(),
  })
  .openapi('BatchResult', { description: 'One line of the answer to a batch, in the order of completion.' });

export const pendingView = z
  .strictObject({
    request_id: z.string(),
    documents: z.array(z.strictObject({ document_id: z.string(), state: z.enum(['under-way', 'failed']) })),
  })
  .openapi('PendingDocuments', {
    description: 'Those not in the index yet, among the caller’s; `failed` ones are tried again later.',
  });

const boundsFields = { from: z.string().optional(), until: z.string().optional() };

export const containerView = z
  .strictObject({
    request_id: z.string(),
    path: z.string(),
    label: ownLabelView,
    inherits: z.boolean(),
    entries: z.array(
      z.strictObject({
        id: z.int(),
        effect: z.enum(['allow', 'deny']),
        principal: z.string(),
        display_name: z.string(),
        ...boundsFields,
      }),
    ),
    rights: z.array(z.string()).describe('that the caller holds here'),
  })
  .openapi('Container');

export const explanationView = z
  .strictObject({
    request_id: z.string(),
    document_id: z.uuid(),
    decision: z.enum(['allow', 'deny', 'stepUp']),
    reason: z.string().nullable(),
    label: labelView.nullable(),
    steps: z.array(z.string()).describe('sentences for a person'),
  })
  .openapi('Explanation');

export const auditRecordsView = z
  .strictObject({
    request_id: z.string(),
    records: z.array(
      z.strictObject({
        writer: z.string(),
        seq: z.int(),
        at: z.string(),
        kind: z.string(),
        id: z.string(),
        body: z.unknown(),
        hash: z.string(),
      }),
    ),
    next_cursor: z.string().nullable(),
  })
  .openapi('AuditRecords');

export const auditVerdictView = z
  .strictObject({
    request_id: z.string(),
    chains: z.int(),
    records: z.int(),
    problems: z.array(
      z.strictObject({ writer: z.string(), seq: z.int(), what: z.string(), detail: z.string() }),
    ),
    losses: z.array(
      z.strictObject({ writer: z.string(), kept: z.int(), lost: z.int(), declared: z.string() }),
    ),
  })
  .openapi('AuditVerdict');

const principalFields = {
  principal: z.string(),
  kind: z.enum(['user', 'group', 'service', 'everyone']),
  display_name: z.string(),
  status: z.enum(['active', 'disabled']),
};

export const principalListView = z
  .strictObject({
    request_id: z.string(),
    principals: z.array(z.strictObject(principalFields)),
    next_cursor: z.string().nullable(),
  })
  .openapi('Principals');

const label = { level: z.string(), compartments: z.array(z.string()) };

export const principalDetailView = z
  .strictObject({
    request_id: z.string(),
    ...principalFields,
    members: z.array(z.strictObject({ member: z.string(), ...boundsFields })),
    clearances: z.array(z.strictObject({ id: z.int(), ...label, ...boundsFields })),
    rights: z.array(
      z.strictObject({ id: z.int(), container: z.string(), right: z.string(), ...boundsFields }),
    ),
    ceiling: z.strictObject({ ...label, containers: z.array(z.string()) }).nullable(),
  })
  .openapi('Principal');
