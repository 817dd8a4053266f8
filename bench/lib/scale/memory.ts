/** What a data set takes in each store. */
import { table } from '../table.ts';
import type { DataSet } from './data-set.ts';

export interface Memory {
  readonly chunks: number;
  /** Resident, in MiB, where the bench started the server. */
  readonly qdrant: number | undefined;
  /** MiB on disk with indexes and TOAST, by table. */
  readonly tables: Readonly<Record<string, number>>;
}

const TABLES_SHOWN = [
  'chunk',
  'chunk_embedding',
  'document',
  'document_version',
  'access_class',
  'class_ancestor',
  'entry',
];

export async function memoryOf({ client, spec, stores }: DataSet): Promise<Memory> {
  const { rows } = await client.query<{ name: string; bytes: string }>(
    `select c.relname as name, pg_total_relation_size(c.oid) as bytes from pg_class c
     join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'bulkhead' and c.relkind = 'r'`,
  );
  return {
    chunks: spec.chunks,
    qdrant: stores.qdrantMemory(),
    tables: Object.fromEntries(rows.map(({ name, bytes }) => [name, Number(bytes) / 2 ** 20])),
  };
}

export function memoryTable(memories: readonly Memory[]): string {
  const sum = ({ tables }: Memory) => Object.values(tables).reduce((total, size) => total + size, 0);
  const perMillion = (size: number | undefined, chunks: number) =>
    size === undefined ? '' : ((size / chunks) * 1_000_000).toFixed(0);
  return table(
    ['chunks', 'Qdrant resident MiB', 'a million', 'PostgreSQL MiB', 'a million', ...TABLES_SHOWN],
    memories.map((one) => [
      String(one.chunks),
      one.qdrant?.toFixed(0) ?? '',
      perMillion(one.qdrant, one.chunks),
      sum(one).toFixed(0),
      perMillion(sum(one), one.chunks),
      ...TABLES_SHOWN.map((name) => (one.tables[name] ?? 0).toFixed(0)),
    ]),
  );
}
