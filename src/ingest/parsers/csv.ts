import { parse } from 'csv-parse/sync';

export type CsvRecord =
  | { readonly line: number; readonly cells: readonly string[] }
  | { readonly line: number; readonly problem: string };

/** A quoted cell may hold this many line ends; what opens and does not close within them is a bad line. */
const LONGEST_RECORD_LINES = 500;

/**
 * Records of a CSV file (RFC 4180) with the lines they begin on. The library cannot go on after a misplaced
 * quote, so it gets one record at a time: a record ends where its quotes are even in number. After a bad
 * record, reading goes on with the line below its first.
 */
export function* csvRecords(text: string): Generator<CsvRecord> {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  for (let at = 0; at < lines.length; ) {
    const first = lines[at] ?? '';
    if (first.trim() === '') {
      at += 1;
      continue;
    }
    const length = recordLength(lines, at);
    const record = length === 0 ? undefined : readRecord(lines.slice(at, at + length).join('\n'));
    yield { line: at + 1, ...(record ?? { problem: 'a quote is not closed' }) };
    at += record !== undefined && 'cells' in record ? length : 1;
  }
}

/** How many lines the record has; 0 when it does not end. */
function recordLength(lines: readonly string[], start: number): number {
  const last = Math.min(lines.length, start + LONGEST_RECORD_LINES);
  let quotes = 0;
  for (let at = start; at < last; at += 1) {
    quotes += (lines[at] ?? '').split('"').length - 1;
    if (quotes % 2 === 0) return at - start + 1;
  }
  return 0;
}

function readRecord(text: string): { cells: readonly string[] } | { problem: string } {
  try {
    const [cells = []] = parse(text, { relax_column_count: true }) as string[][];
    return { cells };
  } catch {
    return { problem: 'a quote is misplaced' };
  }
}
