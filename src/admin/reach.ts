/**
 * What a caller may know of and change. A container or document that is hidden and one that is missing get the
 * same refusal; `right_missing` is said only of what the caller knows already.
 */
import { BulkheadError, type ErrorCode } from '../errors.ts';
import type { Entry } from '../policy/access-class.ts';
import { type Decision, decide } from '../policy/decide.ts';
import { type ClassId, documentId } from '../policy/ids.ts';
import type { Subject } from '../policy/subject.ts';
import { classesAbove, type StoredClass } from '../store/access-classes.ts';
import type { Authority } from '../store/authority.ts';
import { type ContainerRow, Containers } from '../store/containers.ts';
import { type DocumentPlace, findDocumentPlace } from '../store/document-access.ts';
import {
  type Right,
  requireCredentialRight,
  requireRootRight,
  rightMissing,
  rightsOn,
} from '../store/rights.ts';
import { readVisibleSet } from '../store/visible-set.ts';
import type { AdminParts } from './change.ts';

/** A container with the rights that the caller holds there. */
export interface KnownContainer extends ContainerRow {
  readonly rights: ReadonlySet<Right>;
}

/**
 * The container, in which the caller holds the right.
 * @param missing what to say of one that the caller may not know of: `unknown_container` where it is only named
 * @throws BulkheadError `not_found` or `unknown_container`; `right_missing`, `insufficient_scope`
 */
export async function containerWithRight(
  parts: AdminParts,
  authority: Authority,
  path: string,
  right: Right,
  missing: ErrorCode = 'not_found',
): Promise<KnownContainer> {
  requireCredentialRight(authority.context, right);
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
  const { ranks } = await readVisibleSet(database, authority.context, undefined, 'admin');
  return container !== undefined && ranks.has(container.id);
}

/**
 * The document, in whose container the caller holds the right.
 * @throws BulkheadError `not_found`; `right_missing` when they may read it or may change it in another way;
 *   `insufficient_scope`
 */
export async function documentWithRight(
  parts: AdminParts,
  authority: Authority,
  id: string,
  right: 'label' | 'grant',
): Promise<DocumentPlace> {
  requireCredentialRight(authority.context, right);
  if (!isUuid(id)) throw noDocument();
  const document = documentId(id);
  const found = await parts.database.unitOfWork('admin', authority.context, async (trx) => {
    const place = await findDocumentPlace(trx, document);
    return place && { place, rights: await rightsOn(trx, place.container) };
  });
  if (found?.rights.has(right)) return found.place;
  const isReadable = (await readerView(parts, authority, found?.place)) !== undefined;
  const isManaged = (['ingest', 'label', 'grant'] as const).some((held) => found?.rights.has(held));
  if (found === undefined || !(isReadable || isManaged)) throw noDocument();
  throw rightMissing(right, found.place.containerPath);
}

/** Why somebody may read a document: the decision, and the classes that it rests on. */
export interface ReaderView {
  readonly decision: Decision & { readonly kind: 'allow' };
  readonly classes: ReadonlyMap<ClassId, StoredClass>;
}

/**
 * Whether the caller may read the document, without a word of it: the visible set says so, and then `decide()`, of
 * entries that name the caller and nobody else. Asked for a missing document too, so that it costs what a hidden one
 * does.
 * @returns `undefined` when they may not
 */
export async function readerView(
  { database, scheme }: AdminParts,
  authority: Authority,
  place: DocumentPlace | undefined,
): Promise<ReaderView | undefined> {
  const { subject, context, now } = authority;
  const { ranks } = await readVisibleSet(database, context, undefined, 'admin');
  if (place === undefined || place.version === 0 || !ranks.has(place.class)) return undefined;
  const stored = await database.unitOfWork('admin', context, (trx) => classesAbove(trx, place.class));
  const classes = withEntriesOf(subject, stored);
  const decision = decide({ subject, class: place.class, lookup: classes.get.bind(classes), scheme, now });
  return decision.kind === 'allow' ? { decision, classes } : undefined;
}

function withEntriesOf(
  { user, actor }: Subject,
  classes: ReadonlyMap<ClassId, StoredClass>,
): ReadonlyMap<ClassId, StoredClass> {
  const isOwn = ({ principal }: Entry) =>
    user.principals.has(principal) || actor?.principals.has(principal) === true;
  return new Map([...classes].map(([id, cls]) => [id, { ...cls, entries: cls.entries.filter(isOwn) }]));
}

/** @throws BulkheadError `right_missing`, `insufficient_scope`: the directory is administered at the root */
export function requireDirectoryRight({ database }: AdminParts, authority: Authority): Promise<void> {
  return requireRootRight(database, 'admin', authority, 'administer');
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
