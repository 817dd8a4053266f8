import { ENTITY_KINDS, type EntityKind, type Finding, type Span } from './entities.ts';
import { fold } from './fold.ts';
import { findApiKeys } from './recognizers/api-key.ts';
import { findCards } from './recognizers/card.ts';
import { findEmails } from './recognizers/email.ts';
import { findIbans } from './recognizers/iban.ts';
import { findPhones } from './recognizers/phone.ts';
import { findUsSsns } from './recognizers/us-ssn.ts';

/** Each reads folded text and takes time linear in its length. */
const RECOGNIZERS: Readonly<Record<EntityKind, (foldedText: string) => Span[]>> = {
  email: findEmails,
  phone: findPhones,
  card: findCards,
  iban: findIbans,
  'us-ssn': findUsSsns,
  'api-key': findApiKeys,
};

const DIGIT = /[0-9]/;
/**
 * What no entity of the kind is without. Most titles, paths and names have none of it, and a recognizer, which compiles
 * its patterns for each text, costs many times as much as this look.
 */
const SIGNS: Readonly<Record<EntityKind, RegExp>> = {
  email: /[@%&]/,
  phone: DIGIT,
  card: DIGIT,
  iban: DIGIT,
  'us-ssn': DIGIT,
  'api-key': /[-_]|AKIA|ASIA|AIza|eyJ|key|secret|token|passw|passphrase/i,
};

/** Every entity of the kinds, in order of kind; findings of one or of several kinds may overlap. */
export function findEntities(text: string, kinds: ReadonlySet<EntityKind>): Finding[] {
  const folded = fold(text);
  return ENTITY_KINDS.filter((kind) => kinds.has(kind) && SIGNS[kind].test(folded.text)).flatMap((kind) =>
    RECOGNIZERS[kind](folded.text).map((span) => ({ kind, ...folded.toSource(span) })),
  );
}
