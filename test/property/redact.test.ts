import fc from 'fast-check';
import { composeIBAN, getCountrySpecifications, isValidIBAN } from 'ibantools';
import { describe, expect, it } from 'vitest';
import { ENTITY_KINDS, type EntityKind, type Span } from '../../src/guard/entities.ts';
import { findEntities } from '../../src/guard/find-entities.ts';
import { fold } from '../../src/guard/fold.ts';
import { redact } from '../../src/guard/output-redactor.ts';
import { findApiKeys } from '../../src/guard/recognizers/api-key.ts';
import { findCards } from '../../src/guard/recognizers/card.ts';
import { findEmails } from '../../src/guard/recognizers/email.ts';
import { findIbans } from '../../src/guard/recognizers/iban.ts';
import { findPhones } from '../../src/guard/recognizers/phone.ts';
import { findUsSsns } from '../../src/guard/recognizers/us-ssn.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 300) };
const ALL: ReadonlySet<EntityKind> = new Set(ENTITY_KINDS);

const digits = (length: number) =>
  fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: length, maxLength: length })
    .map((all) => all.join(''));

function withCheckDigit(payload: string): string {
  const sum = [...payload].reverse().reduce((total, digit, i) => {
    const value = Number(digit) * (i % 2 === 0 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return payload + ((10 - (sum % 10)) % 10);
}

/** Cuts at 4-4-4-4, 4-6-5 or after every digit, or not at all. */
function grouped(number: string, style: number, separator: string): string {
  const cuts = [/(?=(?:.{4})*$)(?!^)/g, /(?<=^.{4}|^.{10})/g, /(?!^)(?!$)/g][style];
  return cuts ? number.replace(cuts, separator) : number;
}

const card = fc
  .tuple(
    fc.constantFrom(
      ['4', 16],
      ['4', 13],
      ['4', 19],
      ['51', 16],
      ['2221', 16],
      ['34', 15],
      ['6011', 16],
      ['3528', 16],
    ),
    digits(19),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom(' ', '-', '\u00A0', ' - ', '\u2009', '\u2013', '\u200B', '\u200B \u00AD'),
  )
  .map(([[prefix, length], tail, style, separator]) =>
    grouped(withCheckDigit(`${prefix}${tail}`.slice(0, Number(length) - 1)), style, separator),
  );

const iban = fc
  .tuple(
    fc.constantFrom('DE', 'AT', 'CH', 'NO', 'BE', 'DK', 'PL', 'ES', 'SE', 'FI'),
    digits(30),
    fc.constantFrom('', ' ', '-'),
  )
  .map(([countryCode, all, separator]) => {
    const length = (getCountrySpecifications()[countryCode]?.chars ?? 0) - 4;
    return { iban: composeIBAN({ countryCode, bban: all.slice(0, length) }), separator };
  })
  .filter(({ iban: value }) => value !== null && isValidIBAN(value))
  .map(({ iban: value, separator }) => (value ?? '').replace(/(?<=^(?:.{4})+)(?!$)/g, separator));

const ssn = fc
  .tuple(
    fc.integer({ min: 1, max: 899 }).filter((area) => area !== 666),
    fc.integer({ min: 1, max: 99 }),
    fc.integer({ min: 1, max: 9999 }),
    fc.constantFrom('-', ' ', '.', '\u00A0', '\u2011'),
  )
  .map(([area, group, serial, separator]) =>
    [String(area).padStart(3, '0'), String(group).padStart(2, '0'), String(serial).padStart(4, '0')].join(
      separator,
    ),
  );

const email = fc.emailAddress();

const phone = fc
  .tuple(fc.constantFrom('+49 40 66969 ', '+1 902 555 0', '+1-506-555-0', '+49 (0)40 66969-'), digits(3))
  .map((parts) => parts.join(''));

const apiKey = fc
  .tuple(fc.constantFrom('AKIA', 'ASIA'), fc.stringMatching(/^[A-Z0-9]{16}$/))
  .map((parts) => parts.join(''));

const word = fc.constantFrom(
  'the',
  'invoice',
  'of',
  'Kestrel',
  'paid,',
  'on',
  'file:',
  'für',
  '海',
  '(see',
  '12%',
  '\n\n',
);
const prose = fc.array(word, { maxLength: 8 }).map((words) => words.join(' '));
const entity: fc.Arbitrary<readonly [EntityKind, string]> = fc.oneof(
  card.map((value) => ['card', value] as const),
  iban.map((value) => ['iban', value] as const),
  ssn.map((value) => ['us-ssn', value] as const),
  email.map((value) => ['email', value] as const),
  phone.map((value) => ['phone', value] as const),
  apiKey.map((value) => ['api-key', value] as const),
);
/** Prose, entities and characters that meet at their edges. */
const text = fc
  .array(
    fc.oneof(
      prose,
      entity.map(([, value]) => value),
      fc.constantFrom(
        '[card]',
        '[email]',
        '@',
        '+',
        '-',
        '.',
        ' ',
        '\n',
        '\u00A0',
        '\u200B',
        '4',
        'token=',
        '(0',
      ),
      fc.string({ maxLength: 6, unit: 'binary' }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));
const kinds = fc.subarray([...ENTITY_KINDS]).map((chosen) => new Set(chosen));

function assertNoneSurvives(values: fc.Arbitrary<string>, kind: EntityKind): void {
  fc.assert(
    fc.property(prose, values, prose, (before, value, after) => {
      const source = `${before} ${value} ${after}`;
      const redaction = redact(source, new Set([kind]));
      return redaction.kinds.includes(kind) && !redaction.text.includes(value);
    }),
    RUNS,
  );
}

describe('no generated entity survives redaction', () => {
  it('no card, in any grouping', () => assertNoneSurvives(card, 'card'));
  it('no IBAN', () => assertNoneSurvives(iban, 'iban'));
  it('no social security number', () => assertNoneSurvives(ssn, 'us-ssn'));
  it('no e-mail address', () => assertNoneSurvives(email, 'email'));
  it('no telephone number', () => assertNoneSurvives(phone, 'phone'));
  it('no API key', () => assertNoneSurvives(apiKey, 'api-key'));

  it('none of several in one passage', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(prose, entity), { minLength: 1, maxLength: 6 }), (parts) => {
        const source = parts.map(([words, [, value]]) => `${words} ${value} and `).join('');
        const redacted = redact(source, ALL).text;
        return parts.every(([, [, value]]) => !redacted.includes(value));
      }),
      RUNS,
    );
  });
});

describe('a redaction', () => {
  it('changes nothing when it is made again', () => {
    fc.assert(
      fc.property(text, kinds, (source, chosen) => {
        const once = redact(source, chosen);
        const twice = redact(once.text, chosen);
        return twice.text === once.text && twice.spans.length === 0;
      }),
      RUNS,
    );
  });

  it('keeps every character outside its spans, at the mapped offset', () => {
    fc.assert(
      fc.property(text, kinds, (source, chosen) => {
        const redaction = redact(source, chosen);
        const kept = outside(redaction.text, redaction.spans);
        let copied = '';
        for (let offset = 0; offset < source.length; offset += 1) {
          const at = redaction.toRedacted(offset);
          if (redaction.spans.some(({ start, end }) => at >= start && at < end)) continue;
          if (redaction.text[at] !== source[offset]) return false;
          copied += source[offset];
        }
        return copied === kept;
      }),
      RUNS,
    );
  });

  it('maps offsets in order and stays inside the text', () => {
    fc.assert(
      fc.property(text, kinds, (source, chosen) => {
        const redaction = redact(source, chosen);
        let previous = 0;
        for (let offset = 0; offset <= source.length; offset += 1) {
          const at = redaction.toRedacted(offset);
          if (at < previous || at > redaction.text.length) return false;
          previous = at;
        }
        return redaction.toRedacted(source.length) === redaction.text.length;
      }),
      RUNS,
    );
  });

  it('has spans that are ascending, apart and written as their kind', () => {
    fc.assert(
      fc.property(text, kinds, (source, chosen) => {
        const redaction = redact(source, chosen);
        return redaction.spans.every(
          ({ kind, start, end }, i) =>
            chosen.has(kind) &&
            redaction.text.slice(start, end) === `[${kind}]` &&
            start >= (redaction.spans[i - 1]?.end ?? 0),
        );
      }),
      RUNS,
    );
  });
});

describe('A look for the signs of a kind', () => {
  const recognizers: Readonly<Record<EntityKind, (folded: string) => Span[]>> = {
    email: findEmails,
    phone: findPhones,
    card: findCards,
    iban: findIbans,
    'us-ssn': findUsSsns,
    'api-key': findApiKeys,
  };
  const key = fc
    .tuple(
      fc.constantFrom(
        'AKIA',
        'ASIA',
        'ghp_',
        'xoxb-',
        'AIza',
        'sk_live_',
        'sk-',
        'eyJ',
        'password: ',
        'Token=',
      ),
      fc.stringMatching(/^[A-Z0-9]{16,40}$/),
    )
    .map((parts) => parts.join(''));
  const disguised = fc.constantFrom(
    'ann&#64;example.org',
    'ann%40example.org',
    'ann&commat;example.org',
    'ann＠example.org',
  );
  const anything = fc
    .array(
      fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), key, disguised, email, phone, card, ssn, word),
      {
        maxLength: 4,
      },
    )
    .map((parts) => parts.join(' '));

  it('passes over nothing that the recognizer of the kind would find', () => {
    fc.assert(
      fc.property(anything, fc.constantFrom(...ENTITY_KINDS), (source, kind) => {
        const folded = fold(source);
        expect(findEntities(source, new Set([kind]))).toEqual(
          recognizers[kind](folded.text).map((span) => ({ kind, ...folded.toSource(span) })),
        );
      }),
      { numRuns: 5 * RUNS.numRuns },
    );
  });
});

function outside(redacted: string, spans: readonly { start: number; end: number }[]): string {
  let at = 0;
  let kept = '';
  for (const { start, end } of spans) {
    kept += redacted.slice(at, start);
    at = end;
  }
  return kept + redacted.slice(at);
}
