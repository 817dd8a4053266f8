/** Several changes in one request (RFC 7644 §3.7). Each is made, or refused, on its own. */
import { toBulkheadError } from '../../errors.ts';
import { etag, type ScimCaller, type ScimParts } from './client.ts';
import { MAX_OPERATIONS } from './discovery.ts';
import { errorView } from './error-view.ts';
import { createGroup, deleteGroup, patchOfGroup, replaceGroup } from './groups.ts';
import { isRecord, ownValue } from './read-resource.ts';
import { badRequest, ScimError } from './scim-error.ts';
import { createUser, deleteUser, patchUser, replaceUser, type Versioned } from './users.ts';
import type { Json } from './views.ts';

const BULK_RESPONSE = 'urn:ietf:params:scim:api:messages:2.0:BulkResponse';

interface BulkOperation {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly type: 'Users' | 'Groups';
  /** As it is written, which may be `bulkId:<id>` of another operation. */
  readonly target: string | undefined;
  readonly bulkId: string | undefined;
  readonly ifMatch: string | undefined;
  readonly data: unknown;
}

/**
 * An operation that names another's `bulkId` waits for it, wherever it stands. Of operations that wait for each other
 * each is answered with 409: users name nobody, and a group may not hold itself.
 * @throws ScimError `invalidSyntax`; `payload_too_large` for more operations than are announced
 */
export async function bulk(parts: ScimParts, caller: ScimCaller, body: unknown): Promise<Json> {
  const { operations, failOnErrors } = readBulk(body);
  const answers = new Map<number, Json>();
  const made = new Map<string, string>();
  let errors = 0;
  while (answers.size < operations.length && errors < failOnErrors) {
    const next = operations.findIndex(
      (operation, i) => !answers.has(i) && awaited(operation, operations, made, answers).length === 0,
    );
    const index = next === -1 ? operations.findIndex((_, i) => !answers.has(i)) : next;
    const operation = operations[index];
    if (operation === undefined) break;
    const answer = next === -1 ? refused(operation, CIRCULAR) : await perform(parts, caller, operation, made);
    if ('response' in answer) errors += 1;
    answers.set(index, answer);
  }
  const inOrder = [...answers].sort(([a], [b]) => a - b).map(([, answer]) => answer);
  return { schemas: [BULK_RESPONSE], Operations: inOrder };
}

const CIRCULAR = new ScimError('conflict', undefined, 'These operations wait for each other.');

function readBulk(body: unknown): { operations: readonly BulkOperation[]; failOnErrors: number } {
  const [given, limit] = isRecord(body) ? [ownValue(body, 'Operations'), ownValue(body, 'failOnErrors')] : [];
  if (!Array.isArray(given)) throw badRequest('invalidSyntax', '"Operations" must be a list.');
  if (given.length > MAX_OPERATIONS)
    throw new ScimError(
      'payload_too_large',
      'tooMany',
      `At most ${MAX_OPERATIONS} operations go into one request.`,
    );
  if (limit !== undefined && !(Number.isInteger(limit) && Number(limit) > 0))
    throw badRequest('invalidSyntax', '"failOnErrors" must be a positive whole number.');
  const operations = given.map(readOperation);
  const ids = operations.flatMap(({ bulkId }) => bulkId ?? []);
  if (new Set(ids).size < ids.length) throw badRequest('invalidSyntax', 'Each "bulkId" must be its own.');
  return { operations, failOnErrors: typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY };
}

const PATH = /^\/(Users|Groups)(?:\/([^/]{1,200}))?$/;

function readOperation(given: unknown): BulkOperation {
  if (!isRecord(given)) throw badRequest('invalidSyntax', 'An operation must be an object.');
  const method = text(given, 'method')?.toUpperCase();
  const [, type, target] = PATH.exec(text(given, 'path') ?? '') ?? [];
  const bulkId = text(given, 'bulkId');
  const isKnown = method === 'POST' || method === 'PUT' || method === 'PATCH' || method === 'DELETE';
  if (!isKnown || (type !== 'Users' && type !== 'Groups') || (method === 'POST') !== (target === undefined))
    throw badRequest('invalidSyntax', 'An operation needs a method and the path that goes with it.');
  if (method === 'POST' && bulkId === undefined)
    throw badRequest('invalidSyntax', 'An operation "POST" needs a "bulkId".');
  return { method, type, target, bulkId, ifMatch: text(given, 'version'), data: ownValue(given, 'data') };
}

function text(given: Record<string, unknown>, name: string): string | undefined {
  const value = ownValue(given, name);
  return typeof value === 'string' && value.length <= 300 ? value : undefined;
}

/** The operations of this request that have to come first and have not been tried yet. */
function awaited(
  operation: BulkOperation,
  all: readonly BulkOperation[],
  made: ReadonlyMap<string, string>,
  answers: ReadonlyMap<number, unknown>,
): readonly string[] {
  return referencesIn([operation.target, operation.data]).filter(
    (id) => !made.has(id) && all.some((other, i) => other.bulkId === id && !answers.has(i)),
  );
}

const REFERENCE = /^bulkId:(.+)$/s;

function referencesIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return REFERENCE.exec(value)?.slice(1, 2) ?? [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(referencesIn);
}

/** An id for each reference; one whose operation failed stays as it is, and names nothing. */
function resolved(value: unknown, made: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return made.get(REFERENCE.exec(value)?.[1] ?? '') ?? value;
  if (Array.isArray(value)) return value.map((each) => resolved(each, made));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, resolved(each, made)]));
}

async function perform(
  parts: ScimParts,
  caller: ScimCaller,
  operation: BulkOperation,
  made: Map<string, string>,
): Promise<Json> {
  const target = String(resolved(operation.target ?? '', made));
  try {
    const result = await callFor(parts, caller, { ...operation, target }, resolved(operation.data, made));
    if (result !== undefined && operation.bulkId !== undefined) made.set(operation.bulkId, result.id);
    return {
      ...named(operation),
      location: `${caller.base}/${operation.type}/${result?.id ?? target}`,
      ...(result !== undefined && { version: etag(result.version) }),
      status: operation.method === 'POST' ? '201' : result === undefined ? '204' : '200',
    };
  } catch (thrown) {
    const error = toBulkheadError(thrown);
    // what is not about this operation alone ends the request
    if (error.status >= 500 || error.status === 401 || error.code === 'right_missing') throw thrown;
    return refused(operation, error);
  }
}

function callFor(
  parts: ScimParts,
  caller: ScimCaller,
  { method, type, target, ifMatch }: BulkOperation & { readonly target: string },
  data: unknown,
): Promise<Versioned | undefined> {
  const ofUsers = type === 'Users';
  switch (method) {
    case 'POST':
      return (ofUsers ? createUser : createGroup)(parts, caller, data);
    case 'PUT':
      return (ofUsers ? replaceUser : replaceGroup)(parts, caller, target, data, ifMatch);
    case 'PATCH':
      return (ofUsers ? patchUser : patchOfGroup)(parts, caller, target, data, ifMatch);
    case 'DELETE':
      return (ofUsers ? deleteUser : deleteGroup)(parts, caller, target, ifMatch).then(() => undefined);
  }
}

function refused(operation: BulkOperation, thrown: unknown): Json {
  const error = toBulkheadError(thrown);
  return { ...named(operation), status: String(error.status), response: errorView(error) };
}

function named({ method, bulkId }: BulkOperation): Json {
  return { method, ...(bulkId !== undefined && { bulkId }) };
}
