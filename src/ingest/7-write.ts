import type { AuditEvent } from '../audit/audit-log.ts';
import type { TextKey } from '../crypto/sealer.ts';
import { type DocumentId, instant, type TenantId } from '../policy/ids.ts';
import { internClass } from '../store/access-classes.ts';
import type { Work } from '../store/database.ts';
import {
  claimDocuments,
  isAsSeen,
  nextVersion,
  tighten,
  type VersionToWrite,
  writeVersions,
} from '../store/document-writes.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { requireSchemeWithin } from '../store/level-scheme.ts';
import { requireCredentials } from '../store/revocations.ts';
import type { Received } from './1-receive.ts';
import type { Labelled } from './4-label.ts';
import type { Embedded } from './6-embed.ts';
import type { IngestParts, IngestResult, Submitter } from './submission.ts';

/** What became of one document of a group. */
export type Written =
  | { readonly kind: 'written'; readonly result: IngestResult & { readonly documentId: DocumentId } }
  /** Somebody else changed the document meanwhile: it is to be received again. */
  | { readonly kind: 'overtaken'; readonly received: Received };

/**
 * Writes some documents in one transaction: rows, chunks (sealed, where the level asks for it), vectors, lineage, audit
 * and the outbox row that leads to the index. They are durable when it resolves, and readers see them when the indexer has drained.
 */
export async function write(
  parts: IngestParts,
  submitter: Submitter,
  group: readonly Embedded[],
): Promise<readonly Written[]> {
  const { authority } = submitter;
  const textKeys = await textKeysOf(parts, submitter, group);
  const written = await ManagedDocuments.as(parts.database, authority.context).unitOfWork(async (trx) => {
    const classes = await internClasses(trx, group);
    await requireCredentials(trx, authority);
    // masked and sealed by rank: the ranks must still mean the same
    await requireSchemeWithin(trx, parts.scheme);
    const versions = group
      .map((embedded, i) => versionOf(parts, submitter, embedded, classes[i]))
      .map((version, i) => sealed(version, authority.subject.tenant, textKeys[i]));
    const claimed = await claimDocuments(trx, authority.subject.tenant, versions);
    const toWrite = versions.filter((version) => claimed.has(version));
    await writeVersions(trx, authority.subject.tenant, toWrite);
    if (toWrite.length > 0)
      await parts.audit.appendWithin(
        trx,
        toWrite.map((version) => writtenEvent(submitter, group, version)),
      );
    return group.map((embedded, i) => toWritten(embedded, versions[i], claimed));
  });
  await parts.database.flush();
  return written;
}

/**
 * The same content under another label or other entries: one row changes.
 * @returns `undefined` when somebody else changed the document meanwhile
 */
export async function relabel(
  parts: IngestParts,
  submitter: Submitter,
  received: Received,
  { own }: Labelled,
): Promise<DocumentId | undefined> {
  const { present, container, submission } = received;
  if (present === undefined) throw new Error('there is nothing to relabel');
  const documents = ManagedDocuments.as(parts.database, submitter.authority.context);
  const moved = await documents.unitOfWork(async (trx) => {
    const cls = await internClass(trx, container.id, own);
    await requireCredentials(trx, submitter.authority);
    await requireSchemeWithin(trx, parts.scheme);
    if (!(await isAsSeen(trx, present))) return undefined;
    await tighten(trx, present.id, cls);
    const document = { document: present.id, version: present.version, container: container.path };
    await parts.audit.appendWithin(trx, [
      {
        tenant: submitter.authority.subject.tenant,
        kind: 'document.moved',
        body: { ...byWhom(submitter), ...document, source: present.source, batch: submission.batch ?? null },
      },
    ]);
    return present.id;
  });
  await parts.database.flush();
  return moved;
}

/** Classes before documents before the audit: the order in which everybody takes locks. */
async function internClasses(trx: Work, group: readonly Embedded[]) {
  const classes = [];
  for (const { container, own } of group) classes.push(await internClass(trx, container.id, own));
  return classes;
}

/** Made where a level has none yet, and so before the transaction. */
function textKeysOf(
  { sealer }: IngestParts,
  { authority }: Submitter,
  group: readonly Embedded[],
): Promise<readonly (TextKey | undefined)[]> {
  return Promise.all(
    group.map(({ rank, chunks }) => sealer?.textKey(authority.subject.tenant, rank, chunks.length)),
  );
}

/** Bound to its row: elsewhere it does not open. */
function sealed(version: VersionToWrite, tenant: TenantId, key: TextKey | undefined): VersionToWrite {
  if (key === undefined) return version;
  const of = { tenant, document: version.id, version: nextVersion(version) };
  const chunks = version.chunks.map((chunk) => ({
    ...chunk,
    sealed: key.seal({ ...of, ordinal: chunk.ordinal }, chunk),
  }));
  return { ...version, chunks };
}

function versionOf(
  parts: IngestParts,
  { authority }: Submitter,
  embedded: Embedded,
  cls: VersionToWrite['class'] | undefined,
): VersionToWrite {
  const { submission, present, container } = embedded;
  if (cls === undefined) throw new Error('a document has no class');
  return {
    id: present?.id ?? parts.newDocumentId(),
    present,
    source: submission.source,
    container: container.id,
    externalId: submission.externalId,
    class: cls,
    title: embedded.title,
    mediaType: embedded.mediaType,
    date: embedded.date === undefined ? undefined : instant(embedded.date),
    contentHash: embedded.contentHash,
    submittedBy: authority.subject.user.principal,
    batch: submission.batch,
    parser: embedded.parser,
    fingerprint: parts.embedder.fingerprint,
    chunks: embedded.chunks,
  };
}

function writtenEvent(submitter: Submitter, group: readonly Embedded[], version: VersionToWrite): AuditEvent {
  const container = group.find((embedded) => embedded.container.id === version.container)?.container.path;
  return {
    tenant: submitter.authority.subject.tenant,
    kind: 'document.written',
    body: {
      ...byWhom(submitter),
      document: version.id,
      version: nextVersion(version),
      container: container ?? '',
      source: version.source,
      batch: version.batch ?? null,
      contentHash: Buffer.from(version.contentHash).toString('hex'),
    },
  };
}

export function byWhom({ authority, request }: Submitter) {
  const { user, actor } = authority.subject;
  return { subject: user.name, actor: actor?.name ?? null, request: request ?? null };
}

function toWritten(
  embedded: Embedded,
  version: VersionToWrite | undefined,
  claimed: ReadonlySet<VersionToWrite>,
): Written {
  if (version === undefined || !claimed.has(version)) return { kind: 'overtaken', received: embedded };
  const { submission } = embedded;
  return {
    kind: 'written',
    result: {
      externalId: submission.externalId,
      line: submission.line,
      status: embedded.present === undefined ? 'created' : 'replaced',
      documentId: version.id,
      version: nextVersion(version),
      chunks: version.chunks.length,
    },
  };
}
