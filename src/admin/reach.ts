/**
 * What a caller may know of and change. A container or document that is hidden and one that is missing get the
 * same refusal; `right_missing` is said only of what the caller knows already.
 */
import { BulkheadError, type ErrorCode } from '../errors.ts';
import { decide } from '../policy/decide.ts';
import { type DocumentId, documentId } from '../policy/ids.ts';
import type { Authority } from '../store/authority.ts';
import { type ContainerRow, Containers } from '../store/containers.ts';
import { type DocumentPlace, findDocumentPlace } from '../store/document-access.ts';
import { ReadableDocuments } from '../store/passages.ts';
import { type Right, rightsOn, rootContainer } from '../store/rights.ts';
import { readVisibleSet } from '../store/visible-set.ts';
import type { AdminParts } from './change.ts';

/** A container with the rights that the caller holds there. */
export interface KnownContainer extends ContainerRow {
  readonly rights: ReadonlySet<Right>;
}

/**
 * The container, in which the caller holds the right.
 * @param missing what to say of one that the caller may not know of: `unknown_container` where it is only named
 * @throws BulkheadError `not_found` or `unknown_container`; `right_missing`
 */
export async function containerWithRight(
  parts: AdminParts,
  authority: Authority,
  path: string,
  right: Right,
  missing: ErrorCode = 'not_found',
): Promise<KnownContainer> {
  const found = await findContainer(parts, authority, path);
  if (found?.rights.has(right)) return found;
  const isVisible = await isVisibleContainer(parts, authority, found);
  if (found === undefined || !(isVisible || found.rights.size > 0)) throw noContainer(missing);
  throw rightMissing(right, found.path);
}

/** The container, if there is one: whether the caller may know of it is not yet asked. */
export function findContainer(
  { database }: AdminParts,
  authority: Authority,
  path: string,
): Promise<KnownContainer | undefined> {
  return database.unitOfWork('admin', authority.context, async (trx) => {
    const found = await Containers.within(trx).find(path);
    return found && { ...found, rights: await rightsOn(trx, found.id) };
  });
}

/** Asked for a missing container too, so that it costs what a hidden one does. */
async function isVisibleContainer(
  { database }: AdminParts,
  authority: Authority,
  container: ContainerRow | undefined,
): Promise<boolean> {
  const { ranks } = await readVisibleSet(database, authority.context, undefined);
  return container !== undefined && ranks.has(container.id);
}

/**
 * The document, in whose container the caller holds the right.
 * @throws BulkheadError `not_found`; `right_missing` when they may read it or may change it in another way
 */
export async function documentWithRight(
  parts: AdminParts,
  authority: Authority,
  id: string,
  right: 'label' | 'grant',
): Promise<DocumentPlace> {
  if (!isUuid(id)) throw noDocument();
  const document = documentId(id);
  const found = await parts.database.unitOfWork('admin', authority.context, async (trx) => {
    const place = await findDocumentPlace(trx, document);
    return place && { place, rights: await rightsOn(trx, place.container) };
  });
  if (found?.rights.has(right)) return found.place;
  const isReadable = await mayRead(parts, authority, document);
  const isManaged = (['ingest', 'label', 'grant'] as const).some((held) => found?.rights.has(held));
  if (found === undefined || !(isReadable || isManaged)) throw noDocument();
  throw rightMissing(right, found.place.containerPath);
}

/** Row-level security, and then `decide()`. */
async function mayRead(parts: AdminParts, authority: Authority, document: DocumentId): Promise<boolean> {
  const readable = ReadableDocuments.as(parts.database, authority.context);
  const { passages, classes } = await readable.hydrateDocument(document);
  const [first] = passages;
  if (first === undefined) return false;
  const { subject, now } = authority;
  const lookup = classes.get.bind(classes);
  return decide({ subject, class: first.class, lookup, scheme: parts.scheme, now }).kind === 'allow';
}

/** @throws BulkheadError `right_missing`: the directory is administered at the root */
export async function requireDirectoryRight({ database }: AdminParts, authority: Authority): Promise<void> {
  const rights = await database.unitOfWork('admin', authority.context, async (trx) =>
    rightsOn(trx, await rootContainer(trx)),
  );
  if (!rights.has('administer')) throw rightMissing('administer', '/');
}

export function rightMissing(right: Right, path: string): BulkheadError {
  return new BulkheadError('right_missing', `This needs the right "${right}" on ${path}.`);
}

export function noContainer(code: ErrorCode = 'not_found'): BulkheadError {
  return new BulkheadError(code, 'There is no such container.');
}

export function noDocument(): BulkheadError {
  return new BulkheadError('not_found', 'There is no such document.');
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
