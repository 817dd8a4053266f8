import { sql } from 'kysely';
import { type ClassId, classId } from '../policy/ids.ts';
import type { PolicyEpoch } from './authority.ts';
import type { Database } from './database.ts';
import type { ProcessRole } from './process-role.ts';
import type { SessionContext } from './session-context.ts';

/** The classes a caller may read, with their effective ranks, and the epoch they were computed in. */
export interface VisibleSet {
  readonly epoch: PolicyEpoch;
  readonly watermark: number;
  readonly ranks: ReadonlyMap<ClassId, number>;
}

/** One effective rank with its classes; neither, when nothing is visible. */
interface Row {
  readonly incarnation: string;
  readonly counter: number;
  readonly watermark: number;
  readonly rank: number | null;
  readonly ids: Uint8Array | null;
}

/**
 * The first enforcer: V(user part) ∩ ceiling(actor part), computed with the epoch in one statement. Row-level
 * security never uses it, so that each catches the other's mistakes.
 * @param above only classes interned after this watermark, to extend a cached set
 * @param role whose unit of work it is: every condition is in the statement, so that one that sees more reads the same
 */
export async function readVisibleSet(
  database: Database,
  context: SessionContext,
  above: number | undefined,
  role: Extract<ProcessRole, 'retrieve' | 'admin'> = 'retrieve',
): Promise<VisibleSet> {
  const rows = await database.statement(
    role,
    context,
    sql<Row>`select incarnation, counter, watermark, rank, ids from bulkhead.visible_set(${above ?? null})`,
  );
  const [first] = rows;
  if (first === undefined) throw new Error('the tenant has no policy epoch');
  const { incarnation, counter, watermark } = first;
  const ranks = new Map<ClassId, number>();
  for (const { rank, ids } of rows)
    if (rank !== null && ids !== null) for (const id of unpack(ids)) ranks.set(classId(id), rank);
  return { epoch: { incarnation, counter }, watermark, ranks };
}

/** What an array of no dimensions is, and the length of what comes before the elements of any other. */
const HEADER_BYTES = 20;
/** Each element's length, and the four bytes of an integer. */
const ELEMENT_BYTES = 8;

/** PostgreSQL's binary form of an `int[]` of one dimension without nulls. */
function unpack(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = (bytes.byteLength - HEADER_BYTES) / ELEMENT_BYTES;
  const ids = new Int32Array(size);
  for (let i = 0, at = HEADER_BYTES + 4; i < size; i += 1, at += ELEMENT_BYTES) ids[i] = view.getInt32(at);
  return ids;
}
