import fc from 'fast-check';
import { composeIBAN, getCountrySpecifications, isValidIBAN } from 'ibantools';
import type { EntityKind } from '../../src/guard/entities.ts';

export const digits = (length: number) =>
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

export const card = fc
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

export const iban = fc
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

export const ssn = fc
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

export const email = fc.emailAddress();

export const phone = fc
  .tuple(fc.constantFrom('+49 40 66969 ', '+1 902 555 0', '+1-506-555-0', '+49 (0)40 66969-'), digits(3))
  .map((parts) => parts.join(''));

export const apiKey = fc
  .tuple(fc.constantFrom('AKIA', 'ASIA'), fc.stringMatching(/^[A-Z0-9]{16}$/))
  .map((parts) => parts.join(''));

export const word = fc.constantFrom(
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
export const prose = fc.array(word, { maxLength: 8 }).map((words) => words.join(' '));
export const entity: fc.Arbitrary<readonly [EntityKind, string]> = fc.oneof(
  card.map((value) => ['card', value] as const),
  iban.map((value) => ['iban', value] as const),
  ssn.map((value) => ['us-ssn', value] as const),
  email.map((value) => ['email', value] as const),
  phone.map((value) => ['phone', value] as const),
  apiKey.map((value) => ['api-key', value] as const),
);
/** Prose, entities and characters that meet at their edges. */
export const text = fc
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
