import { BulkheadError } from '../../errors.ts';
import { csvRecords } from './csv.ts';
import { essence } from './media-type.ts';

/** One document of a file of many. */
interface Row {
  readonly id: string;
  readonly title: string | undefined;
  readonly text: string;
  /** Everything beside id, title and text, raw: for `readAccessFields`, and the date. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Where the row begins, counted from 1. */
  readonly line: number;
}

export type RowResult =
  | { readonly ok: true; readonly row: Row }
  | { readonly ok: false; readonly line: number; readonly error: BulkheadError };

type RawRow = { readonly line: number } & (
  | { readonly fields: Readonly<Record<string, unknown>> }
  | { readonly error: BulkheadError }
);

/**
 * Reads JSON Lines (`application/jsonl`) or CSV (`text/csv`) row by row. A bad row is a result of its own
 * with its line and stops no other; a row whose id came before is a bad row.
 * @throws BulkheadError `unsupported_media_type`; `unparsable` when the file as a whole makes no sense
 */
export function* parseRows(text: string, mediaType: string): Generator<RowResult> {
  const lineOfId = new Map<string, number>();
  for (const raw of rawRows(text, mediaType)) {
    const result = readRow(raw);
    if (!result.ok) {
      yield result;
      continue;
    }
    const { id, line } = result.row;
    const before = lineOfId.get(id);
    lineOfId.set(id, before ?? line);
    yield before === undefined ? result : bad(line, `its id is already that of line ${before}`);
  }
}

function rawRows(text: string, mediaType: string): Iterable<RawRow> {
  switch (essence(mediaType)) {
    case 'application/jsonl':
    case 'application/x-ndjson':
      return jsonRows(text);
    case 'text/csv':
      return csvRows(text);
    default:
      throw new BulkheadError(
        'unsupported_media_type',
        'Rows are accepted as application/jsonl or text/csv.',
      );
  }
}

function readRow(raw: RawRow): RowResult {
  if ('error' in raw) return { ok: false, ...raw };
  const { id, title, text, ...fields } = raw.fields;
  const key = typeof id === 'number' ? String(id) : id;
  if (typeof key !== 'string' || key.trim() === '') return bad(raw.line, 'it has no id');
  if (typeof text !== 'string' || text.trim() === '') return bad(raw.line, 'it has no text');
  if (title !== undefined && typeof title !== 'string') return bad(raw.line, 'its title is not text');
  return { ok: true, row: { id: key, title: title?.trim() || undefined, text, fields, line: raw.line } };
}

function* jsonRows(text: string): Generator<RawRow> {
  for (const [index, content] of text.split('\n').entries()) {
    if (content.trim() === '') continue;
    yield { line: index + 1, ...readJson(content, index + 1) };
  }
}

function readJson(
  content: string,
  line: number,
): { fields: Record<string, unknown> } | { error: BulkheadError } {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return { error: badRow(line, 'it is not JSON') };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { error: badRow(line, 'it is not a JSON object') };
  return { fields: value as Record<string, unknown> };
}

/** What a cell cannot say. */
const NOT_IN_CSV: ReadonlySet<string> = new Set(['entries', 'inherits']);

function* csvRows(text: string): Generator<RawRow> {
  const records = csvRecords(text);
  const first = records.next().value;
  if (first === undefined) throw new BulkheadError('empty_document', 'The file has no header line.');
  if ('problem' in first) throw new BulkheadError('unparsable', `The header is not valid: ${first.problem}.`);
  const header = first.cells.map((cell: string) => cell.trim());
  refuseHeader(header);
  for (const record of records) {
    const { line } = record;
    if ('problem' in record) yield { line, error: badRow(line, record.problem) };
    else if (record.cells.length !== header.length)
      yield {
        line,
        error: badRow(line, `it has ${record.cells.length} cells, the header has ${header.length}`),
      };
    else yield { line, fields: csvFields(header, record.cells) };
  }
}

function refuseHeader(header: readonly string[]): void {
  const problem = !header.includes('id')
    ? 'there is no column "id"'
    : new Set(header).size < header.length
      ? 'two columns have the same name'
      : header.some((column) => NOT_IN_CSV.has(column))
        ? 'entries and inherits cannot be given in CSV'
        : undefined;
  if (problem !== undefined) throw new BulkheadError('unparsable', `The header is not valid: ${problem}.`);
}

function csvFields(header: readonly string[], cells: readonly string[]): Record<string, unknown> {
  const filled = header.flatMap((column, i): [string, string][] => {
    const cell = cells[i]?.trim() ?? '';
    return cell === '' ? [] : [[column, cell]];
  });
  const fields: Record<string, unknown> = Object.fromEntries(filled);
  if (typeof fields.compartments === 'string')
    fields.compartments = fields.compartments.split(';').map((compartment) => compartment.trim());
  if (header.includes('text')) return fields;
  // The label says who may read the row; it is not what the row says.
  const content = filled.filter(([column]) => column !== 'level' && column !== 'compartments');
  return { ...fields, text: content.map(([column, cell]) => `${column}: ${cell}`).join('\n') };
}

function bad(line: number, reason: string): RowResult {
  return { ok: false, line, error: badRow(line, reason) };
}

function badRow(line: number, reason: string): BulkheadError {
  return new BulkheadError('unparsable', `Line ${line} was not taken: ${reason}.`);
}
