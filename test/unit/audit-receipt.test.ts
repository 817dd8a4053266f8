import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/audit/canonical-json.ts';
import { newReceiptId, questionDigest } from '../../src/audit/receipt.ts';

describe('canonical JSON', () => {
  it('sorts members by UTF-16 code units, as the example of RFC 8785 section 3.2.3', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(Object.values(JSON.parse(canonicalJson(value)) as object)).toHaveLength(7);
    expect(canonicalJson(value)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",' +
        '"\u20ac":"Euro Sign","\ud83d\ude00":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
  });

  it('writes numbers as ECMAScript does, without spaces', () => {
    expect(canonicalJson([333333333.3333333, 1e30, 4.5, 2e-3, 1e-27, -0])).toBe(
      '[333333333.3333333,1e+30,4.5,0.002,1e-27,0]',
    );
  });

  it('is the same whatever the order in which members were set, and leaves out undefined ones', () => {
    expect(canonicalJson({ b: [1, { d: null, c: true }], a: undefined })).toBe(
      '{"b":[1,{"c":true,"d":null}]}',
    );
  });

  it('holds neither a line break nor a NUL, so no text can end a record early or break the database', () => {
    const text = canonicalJson({ a: 'x\n\u0000\ud800' });
    expect(text).toBe('{"a":"x\\n\\u0000\\ud800"}');
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, new Map(), new Date(0), () => 1, Symbol('s'), 1n])(
    'refuses what JSON would lose: %s',
    (value) => {
      expect(() => canonicalJson({ value })).toThrow(/cannot hold/);
    },
  );
});

describe('a receipt', () => {
  it('has an id of 128 bits from the randomness it is given', () => {
    expect(newReceiptId((size) => new Uint8Array(size).fill(255))).toBe('_____________________w');
  });

  it('holds a question only as its HMAC-SHA-256, as test case 2 of RFC 4231', () => {
    expect(questionDigest(Buffer.from('Jefe'), 'what do ya want for nothing?')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });
});
