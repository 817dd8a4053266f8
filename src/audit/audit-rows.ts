/** Reading the audit tables as their auditor: row-level security shows the context's tenant only. */
import type { Database, Work } from '../store/database.ts';
import type { SessionContext } from '../store/session-context.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { AuditRecord } from './verify-chain.ts';

/** A chain and the last record that the database says it has. */
export interface StoredChain {
  readonly chain: number;
  readonly writer: string;
  readonly seq: number;
  readonly hash: string;
}

type AuditTables = {
  audit_chain: { id: number; writer: string; tenant_id: number; last_seq: number; last_hash: Uint8Array };
  audit_record: {
    chain_id: number;
    seq: number;
    tenant_id: number;
    at: Date;
    kind: string;
    id: string;
    body: string;
    prev_hash: Uint8Array;
    hash: Uint8Array;
  };
  audit_checkpoint: {
    chain_id: number;
    seq: number;
    hash: Uint8Array;
    at: Date;
    key_id: string;
    signature: Uint8Array;
  };
};

const PAGE_SIZE = 500;

export function chainsOf(database: Database, context: SessionContext): Promise<readonly StoredChain[]> {
  return database.unitOfWork('audit', context, async (trx) => {
    const rows = await tables(trx).selectFrom('audit_chain').selectAll().orderBy('id').execute();
    return rows.map((row) => ({
      chain: row.id,
      writer: row.writer,
      seq: row.last_seq,
      hash: hex(row.last_hash),
    }));
  });
}

/** One chain in order, a page a transaction. Records added meanwhile may or may not come. */
export async function* recordsOf(
  database: Database,
  context: SessionContext,
  chain: number,
): AsyncGenerator<AuditRecord> {
  let after = 0;
  for (;;) {
    const page = await database.unitOfWork('audit', context, (trx) => pageOf(trx, chain, after));
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_SIZE) return;
    after = last.seq;
  }
}

/** The table's checkpoints of these chains, in the form in which they were signed. */
export function storedCheckpoints(
  database: Database,
  context: SessionContext,
  chains: readonly StoredChain[],
): Promise<readonly Checkpoint[]> {
  const writers = new Map(chains.map(({ chain, writer }) => [chain, writer]));
  return database.unitOfWork('audit', context, async (trx) => {
    const rows = await tables(trx)
      .selectFrom('audit_checkpoint')
      .selectAll()
      .orderBy('chain_id')
      .orderBy('seq')
      .execute();
    return rows
      .filter((row) => writers.has(row.chain_id))
      .map((row) => ({
        chain: row.chain_id,
        writer: writers.get(row.chain_id) ?? '',
        tenant: context.tenant,
        seq: row.seq,
        hash: hex(row.hash),
        at: row.at.getTime(),
        key: row.key_id,
        signature: hex(row.signature),
      }));
  });
}

async function pageOf(trx: Work, chain: number, after: number): Promise<readonly AuditRecord[]> {
  const rows = await tables(trx)
    .selectFrom('audit_record')
    .selectAll()
    .where('chain_id', '=', chain)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(PAGE_SIZE)
    .execute();
  return rows.map(({ seq, at, kind, id, body, prev_hash, hash }) => ({
    seq,
    at: at.getTime(),
    kind,
    id,
    body,
    prevHash: hex(prev_hash),
    hash: hex(hash),
  }));
}

function tables(trx: Work) {
  return trx.withTables<AuditTables>().withSchema('bulkhead');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
