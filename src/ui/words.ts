import type { Answer } from '../retrieve/answer.ts';

type Passage = Pick<Answer['passages'][number], 'redacted' | 'redactions'>;

const NAMES: Readonly<Record<string, readonly [one: string, many: string]>> = {
  email: ['e-mail address', 'e-mail addresses'],
  phone: ['phone number', 'phone numbers'],
  card: ['card number', 'card numbers'],
  iban: ['IBAN', 'IBANs'],
  'us-ssn': ['social security number', 'social security numbers'],
  'api-key': ['API key', 'API keys'],
};

/** `2 e-mail addresses and 1 IBAN removed`; `undefined` when nothing was. */
export function removedFrom({ redacted, redactions }: Passage): string | undefined {
  if (redacted.length === 0) return undefined;
  const parts = redacted.map((kind) => {
    const count = redactions.filter((span) => span.kind === kind).length;
    const [one, many] = NAMES[kind] ?? [kind, kind];
    // none in the text itself: it was in a title or a name
    return count === 0 ? many : `${count} ${count === 1 ? one : many}`;
  });
  return `${listed(parts)} removed`;
}

function listed(parts: readonly string[]): string {
  const last = parts.at(-1) ?? '';
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(', ')} and ${last}`;
}

const DATE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });
const DATE_TIME = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
});

/** @param iso ISO 8601 */
export function date(iso: string): string {
  return DATE.format(new Date(iso));
}

/** @param iso ISO 8601 */
export function dateTime(iso: string): string {
  return `${DATE_TIME.format(new Date(iso))} UTC`;
}
