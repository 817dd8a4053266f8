import { sql } from 'kysely';
import { type ClassId, classId, type DocumentId } from '../policy/ids.ts';
import type { Work } from './database.ts';

/** Where a document sits, without a word of what it says. */
export interface DocumentPlace {
  readonly id: DocumentId;
  readonly version: number;
  readonly source: string;
  readonly class: ClassId;
  readonly container: ClassId;
  readonly containerPath: string;
}

interface Row {
  readonly version: number;
  readonly source: string;
  readonly class: number;
  readonly container: number;
  readonly containerPath: string;
}

/** Whether its caller may know of it is not asked here. In a unit of work of role `admin`. */
export async function findDocumentPlace(trx: Work, id: DocumentId): Promise<DocumentPlace | undefined> {
  const { rows } = await sql<Row>`
    select d.version, d.source, d.class_id as class, d.container_id as container, c.path as "containerPath"
    from bulkhead.document d join bulkhead.access_class c on c.id = d.container_id
    where d.id = ${id}::uuid`.execute(trx);
  const row = rows[0];
  return row && { ...row, id, class: classId(row.class), container: classId(row.container) };
}

/**
 * Changes a document's label or entries by giving it another class, and tells the index.
 * @throws DatabaseError 42501 without the right on the document's container
 */
export async function moveDocument(
  trx: Work,
  document: DocumentId,
  cls: ClassId,
  right: 'label' | 'grant',
): Promise<void> {
  await sql`select bulkhead.move_document(${document}::uuid, ${cls}, ${right})`.execute(trx);
}
