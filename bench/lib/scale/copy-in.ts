/** Rows by COPY, the only way to a table that is fast enough for a million of them. */
import { once } from 'node:events';
import type pg from 'pg';

type Cell = string | number | boolean | null | Uint8Array | readonly (string | number)[];

/** The parts of a pg connection that a COPY needs (they are not in its types). */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): boolean;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
  readonly stream: NodeJS.EventEmitter & { readonly writableNeedDrain: boolean };
}

const ROWS_AT_ONCE = 500;

/**
 * Copies rows into a table on a client of its own.
 * @param target `table (column, …)`
 */
export async function copyIn(
  client: pg.Client,
  target: string,
  rows: Iterable<readonly Cell[]>,
): Promise<void> {
  let settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  const finished = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  const started = new Promise<CopyConnection>((resolve) => {
    const query = {
      submit: (connection: CopyConnection) => connection.query(`copy ${target} from stdin`),
      handleCopyInResponse: (connection: CopyConnection) => resolve(connection),
      handleError: (error: Error) => settle?.reject(error),
      handleCommandComplete: () => {},
      handleReadyForQuery: () => settle?.resolve(),
    };
    client.query(query as unknown as pg.Submittable);
  });
  const connection = await Promise.race([started, finished]);
  if (connection === undefined) return;
  await send(connection, rows);
  await finished;
}

async function send(connection: CopyConnection, rows: Iterable<readonly Cell[]>): Promise<void> {
  let lines: string[] = [];
  const flush = async () => {
    connection.sendCopyFromChunk(Buffer.from(lines.join('')));
    lines = [];
    if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain');
  };
  try {
    for (const row of rows) {
      lines.push(`${row.map(cell).join('\t')}\n`);
      if (lines.length >= ROWS_AT_ONCE) await flush();
    }
    await flush();
    connection.endCopyFrom();
  } catch (error) {
    connection.sendCopyFail('the rows could not be made');
    throw error;
  }
}

const SPECIAL = /[\\\t\n\r]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** A value in COPY's text format (PostgreSQL manual, COPY, "Text Format"). */
function cell(value: Cell): string {
  if (value === null) return '\\N';
  if (value instanceof Uint8Array)
    return `\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
  if (Array.isArray(value)) return escaped(`{${value.map(element).join(',')}}`);
  return typeof value === 'string' ? escaped(value) : String(value);
}

function element(value: string | number): string {
  return typeof value === 'number' ? String(value) : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

function escaped(text: string): string {
  return text.replace(SPECIAL, (character) => ESCAPES[character] ?? character);
}
