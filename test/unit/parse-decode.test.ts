import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { decode } from '../../src/ingest/parsers/decode.ts';

function failure(bytes: Uint8Array | readonly number[]): BulkheadError {
  try {
    decode(Uint8Array.from(bytes));
  } catch (error) {
    if (error instanceof BulkheadError) return error;
  }
  throw new Error('expected a BulkheadError');
}

const utf8 = (text: string) => new TextEncoder().encode(text);

describe('decode', () => {
  it('reads UTF-8 of every sequence length and drops a byte order mark', () => {
    expect(decode(utf8('a é 海 \u{1F600} \u{10FFFF}'))).toBe('a é 海 \u{1F600} \u{10FFFF}');
    expect(decode(utf8('\uFEFFtext'))).toBe('text');
  });

  it('refuses UTF-16 with a byte order mark, and says so', () => {
    for (const mark of [
      [0xff, 0xfe, 0x61, 0x00],
      [0xfe, 0xff, 0x00, 0x61],
    ]) {
      expect(failure(mark).code).toBe('invalid_encoding');
      expect(failure(mark).detail).toContain('UTF-16');
    }
  });

  it.each([
    ['a lone continuation byte', [0x61, 0x62, 0x80], 2],
    ['an overlong form', [0x61, 0xc0, 0xaf], 1],
    ['an overlong form of three bytes', [0xe0, 0x80, 0xaf], 0],
    ['a surrogate', [0x61, 0xed, 0xa0, 0x80], 1],
    ['a point above U+10FFFF', [0xf4, 0x90, 0x80, 0x80], 0],
    ['a sequence that is cut off', [0x61, 0x62, 0x63, 0xe2, 0x82], 3],
    ['Latin-1', [0x4d, 0xfc, 0x6c, 0x6c], 1],
  ])('refuses %s and names its byte offset', (_, bytes, offset) => {
    expect(failure(bytes).code).toBe('invalid_encoding');
    expect(failure(bytes).detail).toContain(`offset ${offset}.`);
  });

  it('agrees with the platform about what is valid UTF-8', () => {
    const strict = new TextDecoder('utf-8', { fatal: true });
    for (let lead = 0x20; lead < 0x100; lead += 1)
      for (const second of [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0]) {
        const bytes = Uint8Array.from([0x61, lead, second, 0x80, 0x80, 0x61]);
        const isValid = (() => {
          try {
            return strict.decode(bytes) !== '';
          } catch {
            return false;
          }
        })();
        const isTaken = (() => {
          try {
            return decode(bytes) !== '';
          } catch (error) {
            return (error as BulkheadError).code !== 'invalid_encoding';
          }
        })();
        expect([lead, second, isTaken]).toEqual([lead, second, isValid]);
      }
  });

  it.each([
    ['a NUL', [...utf8('some text'), 0]],
    ['a PDF', utf8('%PDF-1.7 and so on')],
    ['a ZIP archive', [0x50, 0x4b, 0x03, 0x04, 0x61]],
    ['a PNG image', [0x89, 0x50, 0x4e, 0x47, 0x0d]],
    ['many control characters', utf8('ab\u0001\u0002\u0003cd'.repeat(20))],
  ])('refuses %s as binary', (_, bytes) => {
    expect(failure(bytes).code).toBe('binary_content');
  });

  it('forgives a stray control character', () => {
    expect(decode(utf8('page one\fpage two\u001b[0m'))).toContain('page two');
  });

  it.each([
    ['nothing', ''],
    ['white space', ' \n\t\r\n'],
    ['a byte order mark', '\uFEFF'],
  ])('refuses %s as empty', (_, text) => {
    expect(failure(utf8(text)).code).toBe('empty_document');
  });
});
