/** Stages 2 to 5 of one document, and the short cut for content that is there already. */
import { BulkheadError } from '../errors.ts';
import type { PrincipalId } from '../policy/ids.ts';
import { accessKey } from '../store/access-classes.ts';
import type { ManagedDocuments, PresentDocument } from '../store/documents.ts';
import type { Received } from './1-receive.ts';
import { parseSubmission, readAccess } from './2-parse.ts';
import { inspect } from './3-inspect.ts';
import { type Labelled, label } from './4-label.ts';
import { split } from './5-split.ts';
import type { Split } from './6-embed.ts';
import { relabel } from './7-write.ts';
import type { AccessFields } from './parsers/access-fields.ts';
import { essence } from './parsers/media-type.ts';
import { failed, type IngestParts, type IngestResult, type Step, type Submitter } from './submission.ts';

/** Room for title and headings in what the model reads, in tokens. */
const HEADING_TOKENS = 56;

/** Principals by name; nobody is ever deleted, so who was found once stays found. */
export class PrincipalNames {
  readonly #documents: ManagedDocuments;
  readonly #known = new Map<string, PrincipalId>();

  constructor(documents: ManagedDocuments) {
    this.#documents = documents;
  }

  async of(fields: readonly AccessFields[]): Promise<ReadonlyMap<string, PrincipalId>> {
    const names = fields.flatMap(({ entries }) => entries.map(({ principal }) => principal));
    const unknown = names.filter((name) => !this.#known.has(name));
    if (unknown.length > 0)
      for (const [name, id] of await this.#documents.principals(unknown)) this.#known.set(name, id);
    return this.#known;
  }
}

/** Never rejects: what goes wrong with a document is its result. */
export async function prepare(
  parts: IngestParts,
  submitter: Submitter,
  names: PrincipalNames,
  received: Received,
): Promise<Step<Split>> {
  try {
    return (
      (await withoutParsing(parts, submitter, names, received)) ?? {
        kind: 'work',
        work: await parseToSplit(parts, submitter, names, received),
      }
    );
  } catch (error) {
    return { kind: 'result', result: failed(received.submission, error) };
  }
}

async function parseToSplit(
  parts: IngestParts,
  submitter: Submitter,
  names: PrincipalNames,
  received: Received,
): Promise<Split> {
  const { redaction, embedder } = parts;
  const parsed = await parseSubmission(received, parts.parser);
  const inspected = inspect(parsed, redaction);
  const labelled = label(await labelRequest(parts, submitter, names, received, parsed.access));
  const chunks = await split(parsed, {
    maxTokens: Math.max(embedder.maxTokens - HEADING_TOKENS, Math.floor(embedder.maxTokens / 2)),
    countTokens: (texts) => embedder.countTokens([...texts]),
  });
  if (chunks.length === 0) throw new BulkheadError('empty_document', 'The document holds no text.');
  return { ...inspected, ...labelled, chunks };
}

async function labelRequest(
  { scheme }: IngestParts,
  { authority }: Submitter,
  names: PrincipalNames,
  { container, present, remembered }: Received,
  fields: readonly AccessFields[],
) {
  return {
    container,
    scheme,
    fields,
    submitter: authority.subject.user.principal,
    present: present?.access ?? remembered,
    principals: await names.of(fields),
  };
}

/** The same bytes again: nothing to do, or only another class. */
async function withoutParsing(
  parts: IngestParts,
  submitter: Submitter,
  names: PrincipalNames,
  received: Received,
): Promise<Step<Split> | undefined> {
  const { present } = received;
  if (present === undefined || !isSameContent(received, present)) return undefined;
  const fields = await readAccess(received, parts.parser);
  const labelled = label(await labelRequest(parts, submitter, names, received, fields));
  if (accessKey(labelled.own) === accessKey(present.access))
    return { kind: 'result', result: resultOf(received, present, 'unchanged') };
  if (isMaskedOtherwise(parts, received, present, labelled)) return undefined;
  if ((await relabel(parts, submitter, received, labelled)) === undefined)
    throw new BulkheadError('conflict', 'The document was changed by somebody else meanwhile.');
  return { kind: 'result', result: resultOf(received, present, 'relabelled') };
}

function isSameContent({ submission, contentHash }: Received, present: PresentDocument): boolean {
  return (
    Buffer.compare(contentHash, present.contentHash) === 0 &&
    essence(submission.mediaType) === present.mediaType &&
    (submission.title === undefined || submission.title === present.title) &&
    (submission.date === undefined || submission.date === present.date)
  );
}

/** A level that masks other kinds needs other vectors. */
function isMaskedOtherwise(
  { scheme, redaction }: IngestParts,
  { container }: Received,
  present: PresentDocument,
  after: Labelled,
): boolean {
  const own = scheme.levels.find(({ name }) => name === present.access.level)?.rank ?? 0;
  const before = redaction.indexedWithout(Math.max(own, container.label?.rank ?? 0));
  const kinds = redaction.indexedWithout(after.rank);
  return before.size !== kinds.size || [...kinds].some((kind) => !before.has(kind));
}

function resultOf(
  { submission }: Received,
  present: PresentDocument,
  status: 'unchanged' | 'relabelled',
): IngestResult {
  return {
    externalId: submission.externalId,
    line: submission.line,
    status,
    documentId: present.id,
    version: present.version,
  };
}
