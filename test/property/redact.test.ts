import fc from 'fast-check';
import { describe, it } from 'vitest';
import { ENTITY_KINDS, type EntityKind } from '../../src/guard/entities.ts';
import { redact } from '../../src/guard/output-redactor.ts';
import { apiKey, card, email, entity, iban, phone, prose, ssn, text } from '../helpers/entities.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 300) };
const ALL: ReadonlySet<EntityKind> = new Set(ENTITY_KINDS);
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

function outside(redacted: string, spans: readonly { start: number; end: number }[]): string {
  let at = 0;
  let kept = '';
  for (const { start, end } of spans) {
    kept += redacted.slice(at, start);
    at = end;
  }
  return kept + redacted.slice(at);
}
