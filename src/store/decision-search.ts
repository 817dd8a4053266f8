/** Candidates of searches for decisions, in units of work of role `admin`. What may be told of them is asked in admin. */
import { sql } from 'kysely';
import { type ClassId, classId, type DocumentId, documentId } from '../policy/ids.ts';
import type { Work } from './database.ts';
import type { Right } from './rights.ts';

export interface AccountRow {
  /** Grows with each new principal. */
  readonly id: number;
  readonly key: string;
}

/** Active people or services, in the order they became known. */
export async function accountsAfter(
  trx: Work,
  kind: 'user' | 'service',
  after: number,
  limit: number,
): Promise<readonly AccountRow[]> {
  const { rows } = await sql<AccountRow>`
    select p.id, p.key from bulkhead.principal p join bulkhead.directory_account a on a.principal_id = p.id
    where p.kind = ${kind} and a.status = 'active' and p.id > ${after} order by p.id limit ${limit}`.execute(
    trx,
  );
  return rows;
}

export interface PlacedDocument {
  readonly id: DocumentId;
  readonly class: ClassId;
  readonly version: number;
}

/** Live documents that sit in these classes, by id. */
export async function documentsIn(
  trx: Work,
  classes: readonly ClassId[],
  after: DocumentId | undefined,
  limit: number,
): Promise<readonly PlacedDocument[]> {
  const { rows } = await sql<{ id: string; class: number; version: number }>`
    select d.id, d.class_id as class, d.version from bulkhead.document d
    where d.class_id = any (${[...classes]}::int[]) and d.version > 0
      and (${after ?? null}::uuid is null or d.id > ${after ?? null}::uuid)
    order by d.id limit ${limit}`.execute(trx);
  return rows.map((row) => ({ ...row, id: documentId(row.id), class: classId(row.class) }));
}

/** Those on which the caller of this unit of work holds the right. */
export async function classesWithRight(
  trx: Work,
  classes: readonly ClassId[],
  right: Right,
): Promise<ReadonlySet<ClassId>> {
  const { rows } = await sql<{ id: number }>`
    select id from unnest(${[...classes]}::int[]) id where bulkhead.holds_right(id, ${right})`.execute(trx);
  return new Set(rows.map(({ id }) => classId(id)));
}

/** Containers on which the caller of this unit of work holds the right. */
export async function containersWithRight(trx: Work, right: Right): Promise<readonly ClassId[]> {
  const { rows } = await sql<{ id: number }>`
    select id from bulkhead.access_class where kind = 'container' and bulkhead.holds_right(id, ${right})`.execute(
    trx,
  );
  return rows.map(({ id }) => classId(id));
}
