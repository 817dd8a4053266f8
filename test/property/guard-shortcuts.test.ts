import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENTITY_KINDS, type EntityKind, type Span } from '../../src/guard/entities.ts';
import { findEntities } from '../../src/guard/find-entities.ts';
import { fold } from '../../src/guard/fold.ts';
import { matches } from '../../src/guard/matches.ts';
import { findApiKeys } from '../../src/guard/recognizers/api-key.ts';
import { findCards } from '../../src/guard/recognizers/card.ts';
import { findEmails } from '../../src/guard/recognizers/email.ts';
import { findIbans } from '../../src/guard/recognizers/iban.ts';
import { findPhones } from '../../src/guard/recognizers/phone.ts';
import { findUsSsns } from '../../src/guard/recognizers/us-ssn.ts';
import { card, digits, email, iban, phone, ssn, text, word } from '../helpers/entities.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 300) };

const beginning = fc.constantFrom(
  'AKIA',
  'ASIA',
  'ghp_',
  'ghs_',
  'github_pat_',
  'xoxb-',
  'xapp-',
  'AIza',
  'sk_live_',
  'rk_test_',
  'sk-ant-',
  'sk-',
  'eyJ',
  'password: ',
  'Token=',
  'api key := "',
  "secret*** =>\u00A0'",
);
const key = fc
  .tuple(
    beginning,
    fc.oneof(
      fc.stringMatching(/^[A-Z0-9]{16,40}$/),
      fc.stringMatching(/^[A-Za-z0-9_-]{8,44}$/),
      fc.stringMatching(/^[a-z0-9+/=.:-]{15,18}$/),
    ),
  )
  .map((parts) => parts.join(''));
const privateKey = fc
  .tuple(
    fc.constantFrom('', 'RSA ', 'OPENSSH '),
    fc.constantFrom('', ' BLOCK'),
    fc.constantFrom('', '\nMIIEvQ'),
  )
  .map(([algorithm, block, body]) => `-----BEGIN ${algorithm}PRIVATE KEY${block}-----${body}`);
const disguisedEmail = fc
  .constantFrom('@', '&#64;', '&#x40;', '&#X40;', '%40', '&commat;', '&COMMAT;', '＠', '\u200B@')
  .map((at) => `ann${at}example.org`);
/** What a recognizer may step over, and a little more. */
const gap = fc.constantFrom(
  '',
  ' ',
  '-',
  '.',
  '/',
  ' - ',
  ') ',
  ') (',
  '\n',
  ' \r\n  ',
  '    ',
  '      ',
  '\u00A0',
  '\u200B',
);
const spaced = fc
  .tuple(
    fc.oneof(card, digits(7), digits(9), digits(13), iban),
    fc.array(gap, { minLength: 1, maxLength: 3 }),
  )
  .map(([number, gaps]) => [...number].map((digit, i) => digit + gaps[i % gaps.length]).join(''));
const nationalPhone = fc
  .tuple(
    fc.constantFrom(
      '902-555-0',
      '(902) 555-0',
      '(040) 66969 ',
      '040/66969-',
      'Tel. 040 66969 ',
      'CALL 902 555 0',
      '0049 40 66969 ',
      '☎ 040 66969 ',
      '00',
    ),
    digits(3),
  )
  .map((parts) => parts.join(''));
const anything = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      key,
      privateKey,
      disguisedEmail,
      email,
      phone,
      nationalPhone,
      card,
      iban,
      ssn,
      spaced,
      word,
    ),
    { maxLength: 4 },
  )
  .chain((parts) => fc.constantFrom(' ', '').map((glue) => parts.join(glue)));

/** Entities at the limits of their kind: the fewest characters, the widest gaps, and one sign only. */
const atTheLimits: Readonly<Record<EntityKind, fc.Arbitrary<string>>> = {
  email: disguisedEmail,
  phone: fc
    .tuple(fc.constantFrom('+49 40 - 66969 - ', '+1 (902) - 555 - 0', '+683 4', '00683 4'), digits(3))
    .map((parts) => parts.join('')),
  card: fc.constantFrom('4111 1111 \r\n  1111 1111', '41111111\u00A0\r\n\t\t11111111', '4222222222222'),
  iban: iban,
  'us-ssn': ssn.map((number) => number.replace(/[^0-9]/g, ' - ')),
  'api-key': fc.oneof(
    privateKey,
    fc
      .tuple(beginning, fc.stringMatching(/^[a-f1-9]{40}$/), fc.constantFrom('', '.abcd.'))
      .map((parts) => parts.join('')),
  ),
};

describe('A look for the signs of a kind', () => {
  const recognizers: Readonly<Record<EntityKind, (folded: string) => Span[]>> = {
    email: findEmails,
    phone: findPhones,
    card: findCards,
    iban: findIbans,
    'us-ssn': findUsSsns,
    'api-key': findApiKeys,
  };

  it.each(ENTITY_KINDS)('passes over nothing that the recognizer of %s would find', (kind) => {
    fc.assert(
      fc.property(fc.oneof(anything, atTheLimits[kind]), (source) => {
        const folded = fold(source);
        expect(findEntities(source, new Set([kind]))).toEqual(
          recognizers[kind](folded.text).map((span) => ({ kind, ...folded.toSource(span) })),
        );
      }),
      { numRuns: 3 * RUNS.numRuns },
    );
  });
});

describe('Folded text', () => {
  it('has each unit from the character that brought it, whatever shrank or grew before', () => {
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: 'binary', maxLength: 40 })), (source) => {
        const folded = fold(source);
        let start = 0;
        let unit = 0;
        for (const character of source) {
          const end = start + character.length;
          // Folding reads from left to right, so the text up to a character's end folds to what came until then.
          const until = fold(source.slice(0, end)).text;
          expect(folded.text.startsWith(until)).toBe(true);
          for (; unit < until.length; unit += 1)
            expect(folded.toSource({ start: unit, end: unit + 1 })).toEqual({ start, end });
          start = end;
        }
        expect(unit).toBe(folded.text.length);
      }),
      RUNS,
    );
  });

  it('is the text itself where the text is plain', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), (source) => {
        expect(fold(source).text).toBe(source);
      }),
      RUNS,
    );
  });
});

describe('A pattern that is used again', () => {
  it('finds in each text what it would find if it were new', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', '1', '@', ' ') })), (texts) => {
        const pattern = /[0-9]+|a@/g;
        for (const each of texts) {
          // An earlier search that broke off half-way leaves its place behind.
          pattern.lastIndex = 2;
          expect(matches(pattern, each)).toEqual([...each.matchAll(/[0-9]+|a@/g)]);
        }
      }),
      RUNS,
    );
  });
});
