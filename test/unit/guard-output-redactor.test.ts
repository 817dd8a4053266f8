import { describe, expect, it } from 'vitest';
import { isBulkheadError } from '../../src/errors.ts';
import { ENTITY_KINDS, type EntityKind } from '../../src/guard/entities.ts';
import { redact } from '../../src/guard/output-redactor.ts';

const ALL: ReadonlySet<EntityKind> = new Set(ENTITY_KINDS);

function redactionFailure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return isBulkheadError(error) ? error.code : error;
  }
  return 'no error';
}

describe('redact', () => {
  it('replaces each entity by the name of its kind', () => {
    const text = 'Anna <anna@meridian.example>, +49 40 66969 100, card 4111 1111 1111 1111.';
    expect(redact(text, ALL).text).toBe('Anna <[email]>, [phone], card [card].');
  });

  it('replaces the kinds it was asked for and no others', () => {
    const text = 'anna@meridian.example 4111 1111 1111 1111';
    expect(redact(text, new Set(['card'])).text).toBe('anna@meridian.example [card]');
    expect(redact(text, new Set()).text).toBe(text);
  });

  it('names the kinds that it found, sorted, each once', () => {
    const { kinds } = redact('a@b.co, +49 40 66969 100, c@d.co', ALL);
    expect(kinds).toEqual(['email', 'phone']);
  });

  it('reports where the replacements stand in the redacted text', () => {
    const { text, spans } = redact('x a@b.co y DE89 3704 0044 0532 0130 00 z', ALL);
    expect(spans.map(({ start, end }) => text.slice(start, end))).toEqual(['[email]', '[iban]']);
    expect(spans.map(({ kind }) => kind)).toEqual(['email', 'iban']);
  });

  it('carries source offsets over, those inside an entity to the beginning of its replacement', () => {
    const redaction = redact('to a@b.co now', ALL);
    expect(redaction.text).toBe('to [email] now');
    expect([0, 3, 5, 9, 10, 13].map((offset) => redaction.toRedacted(offset))).toEqual([0, 3, 3, 10, 11, 14]);
    expect(redaction.toRedacted(-5)).toBe(0);
    expect(redaction.toRedacted(1_000)).toBe(14);
  });

  it('covers the union of overlapping entities and names the longest', () => {
    const text = 'token: sk-test-9fKw27LmQx81ZbTr+4111111111111111';
    const { text: redacted, kinds } = redact(text, ALL);
    expect(redacted).toBe('token: [api-key]');
    expect(kinds).toEqual(['api-key']);
  });

  it('covers partly overlapping entities whole', () => {
    expect(redact('at +49 40 66969 100@x.example now', ALL).text).toBe('at [phone] now');
  });

  it('covers what another replacement brings to light', () => {
    expect(redact('AKIAIOSFODNN7EXAMPLE902-555-0123', ALL).text).toBe('[api-key][phone]');
  });

  it('covers the whole of a text that was made to need round after round', () => {
    const link = `AIza${'aB3d_'.repeat(7)}902-555-0123`;
    expect(redact(link.repeat(3), ALL).text).toBe('[api-key][phone]'.repeat(3));
    expect(redact(`before ${link.repeat(40)} after`, ALL).text).toMatch(/^\[(api-key|phone)\]$/);
  });

  it('covers invisible characters inside an entity with it and leaves those outside', () => {
    expect(redact('a\u200Bb 41\u200B11 1111 1111 11\u200D11 c\u200B', ALL).text).toBe(
      'a\u200Bb [card] c\u200B',
    );
  });

  it('leaves text without entities as it is, bit by bit', () => {
    const text = 'Ｆull-width, e\u0301, \u{1F600}, \uD800 and NBSP\u00A0stay.';
    expect(redact(text, ALL)).toMatchObject({ text, kinds: [], spans: [] });
  });

  it('fails closed on a kind it does not know and on what is not text', () => {
    expect(redactionFailure(() => redact('x', new Set(['passport' as EntityKind])))).toBe('redaction_failed');
    expect(redactionFailure(() => redact(undefined as unknown as string, ALL))).toBe('redaction_failed');
  });
});
