import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { parseRows } from '../../src/ingest/parsers/rows.ts';

const jsonl = (text: string) => [...parseRows(text, 'application/jsonl')];
const csv = (text: string) => [...parseRows(text, 'text/csv')];
const outline = (results: ReturnType<typeof csv>) =>
  results.map((result) => (result.ok ? `${result.row.line} ${result.row.id}` : `${result.line} bad`));

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof BulkheadError) return error.code;
  }
  return 'no error';
}

describe('rows of JSON Lines', () => {
  it('have an id, a title, a text and raw fields', () => {
    const line = {
      id: 'ORD-1',
      title: ' T ',
      text: 'body',
      level: 'restricted',
      entries: [{ deny: 'everyone' }],
      date: 'd',
    };
    expect(jsonl(`${JSON.stringify(line)}\n`)).toEqual([
      {
        ok: true,
        row: {
          id: 'ORD-1',
          title: 'T',
          text: 'body',
          fields: { level: 'restricted', entries: [{ deny: 'everyone' }], date: 'd' },
          line: 1,
        },
      },
    ]);
  });

  it('are independent: each bad line is an error of its own with its number', () => {
    const lines = [
      '{"id":1,"text":"a"}',
      '',
      'not json',
      '{"text":"no id"}',
      '[]',
      '{"id":"x"}',
      '{"id":"1","text":"again"}',
      '{"id":"y","text":"z","title":5}',
      '{"id":"ok","text":"b"}\r',
    ];
    expect(outline(jsonl(lines.join('\n')))).toEqual([
      '1 1',
      '3 bad',
      '4 bad',
      '5 bad',
      '6 bad',
      '7 bad',
      '8 bad',
      '9 ok',
    ]);
  });

  it('name the line in the error', () => {
    const [result] = jsonl('\n\nnope');
    expect(result?.ok === false && result.error.detail).toContain('Line 3');
  });
});

describe('rows of CSV', () => {
  it('take reserved columns for what they are', () => {
    expect(csv('id,title,text,level,date,note\nT-1,Title,Body,,2026-01-02,n\n')).toEqual([
      {
        ok: true,
        row: { id: 'T-1', title: 'Title', text: 'Body', fields: { date: '2026-01-02', note: 'n' }, line: 2 },
      },
    ]);
  });

  it('without a text column say every column but the label', () => {
    const [result] = csv('id,level,compartments,product,qty\nP-1,internal,legal;heron,Kestrel,\n');
    expect(result?.ok && result.row.text).toBe('id: P-1\nproduct: Kestrel');
    expect(result?.ok && result.row.fields).toMatchObject({
      level: 'internal',
      compartments: ['legal', 'heron'],
    });
  });

  it('may span lines, and count the line they begin on', () => {
    expect(outline(csv('id,text\r\n1,"a\r\nb ""c"""\r\n\r\n2,d\r\n'))).toEqual(['2 1', '5 2']);
  });

  it('are independent: a misplaced or open quote spoils its own line only', () => {
    const text = 'id,text\n1,a\n2,"bad"x\n3,b\n4,too,many\n5,5" pipe\n6,c\n7,"open\n8,d\n1,again\n9,e';
    expect(outline(csv(text))).toEqual([
      '2 1',
      '3 bad',
      '4 3',
      '5 bad',
      '6 bad',
      '7 6',
      '8 bad',
      '9 8',
      '10 bad',
      '11 9',
    ]);
  });

  it.each([
    ['without an id column', 'name,text\na,b'],
    ['with a column twice', 'id,text,text\n1,a,b'],
    ['with entries, which a cell cannot say', 'id,text,entries\n1,a,b'],
    ['with a misplaced quote', 'id,"te"xt\n1,a'],
  ])('refuse a header %s', (_, text) => {
    expect(codeOf(() => csv(text))).toBe('unparsable');
  });

  it('stay linear on many open quotes', { timeout: 20_000 }, () => {
    const before = performance.now();
    expect(csv(`id,text\n${'1,"\n2\n'.repeat(5_000)}"`).length).toBeGreaterThan(1_000);
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});

it('rows of any other media type are refused', () => {
  expect(codeOf(() => [...parseRows('x', 'text/plain')])).toBe('unsupported_media_type');
});
