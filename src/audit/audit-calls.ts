/** The functions of migrations/0009_audit.sql and 0052_fewer_statements.sql, typed. */
import type { Database, Work } from '../store/database.ts';
import { functionCall } from '../store/function-call.ts';
import type { ProcessRole } from '../store/process-role.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ReleaseGuard } from './receipt.ts';

/** One record to be written; `body` is the text that is hashed. */
export interface AuditItem {
  readonly tenant: number;
  readonly kind: string;
  readonly id: string;
  readonly body: string;
  /** null asks for nothing to stand. */
  readonly guard: ReleaseGuard | null;
}

interface AppendedItem {
  readonly status: 'appended';
  readonly chain: number;
  readonly seq: number;
  /** SHA-256, hex. */
  readonly hash: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export type ItemResult = AppendedItem | { readonly status: 'moved' };

/** A chain's last record, and the last that a checkpoint covers (0 for none). */
export interface StoredHead {
  readonly chain: number;
  readonly tenant: number;
  readonly seq: number;
  readonly hash: string;
  readonly covered: number;
}

/** Results in the order of the items. */
export async function appendItems(
  trx: Work,
  writer: string,
  items: readonly AuditItem[],
): Promise<readonly ItemResult[]> {
  const { rows } = await appendCall(writer, items).execute(trx);
  return resultsOf(rows, items);
}

/** As `appendItems`, as a unit of work of its own: one round trip, and committed when it resolves. */
export async function appendAtOnce(
  database: Database,
  role: ProcessRole,
  writer: string,
  items: readonly AuditItem[],
): Promise<readonly ItemResult[]> {
  return resultsOf(await database.statement(role, undefined, appendCall(writer, items)), items);
}

export function readHeads(trx: Work, writer: string): Promise<readonly StoredHead[]> {
  return call<readonly StoredHead[]>(trx, 'audit_heads', [writer]);
}

export async function storeCheckpoints(trx: Work, checkpoints: readonly Checkpoint[]): Promise<void> {
  await call(trx, 'add_checkpoints', [JSON.stringify(checkpoints)]);
}

function appendCall(writer: string, items: readonly AuditItem[]) {
  return functionCall<readonly ItemResult[]>('append_audit', [writer, JSON.stringify(items)]);
}

function resultsOf(
  [row]: readonly { readonly result: readonly ItemResult[] }[],
  items: readonly AuditItem[],
): readonly ItemResult[] {
  if (row?.result.length !== items.length) throw new Error('append_audit returned another number of results');
  return row.result;
}

async function call<T>(trx: Work, name: string, parameters: readonly string[]): Promise<T> {
  const { rows } = await functionCall<T>(name, parameters).execute(trx);
  return rows[0]?.result as T;
}
