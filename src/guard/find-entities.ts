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

/**
 * What no entity of the kind is without, in folded text. Few texts have it, and to look is much cheaper than to
 * recognize: each sign is found in one reading, by what is rare in it. A sign may be where nothing is.
 */
const SIGNS: Readonly<Record<EntityKind, RegExp>> = {
  // One of the ways to write the at sign.
  email: /@|%40|&[#c]/i,
  // Seven digits, and a recognizer steps over three characters between two of them at most.
  phone: /(?:[0-9][^0-9]{0,3}){6}[0-9]/,
  // Thirteen digits, and a line break with the spaces around it is five characters at most.
  card: /(?:[0-9][^0-9]{0,5}){12}[0-9]/,
  // Country and check digits.
  iban: /[A-Za-z]{2}[ \u00A0-]?[0-9][ \u00A0]?[0-9]/,
  // Nine digits; a separator with the spaces around it is three characters.
  'us-ssn': /(?:[0-9][^0-9]{0,3}){8}[0-9]/,
  // A published beginning, read backwards from the rarest of its characters; or a long value after an assignment.
  'api-key':
    /[AJz_-](?<=A(?:KI|SI)A|AIz|eyJ|gh[pousr]_|github_pat_|xox[a-z]-|xapp-|[rs]k_|sk-|-----)|[:=>][ \u00A0\t]{0,4}["'`]{0,3}[A-Za-z0-9_+/=.~!@#$%^&*:-]{16}/,
};

/** Every entity of the kinds, in order of kind; findings of one or of several kinds may overlap. */
export function findEntities(text: string, kinds: ReadonlySet<EntityKind>): Finding[] {
  const folded = fold(text);
  const found: Finding[] = [];
  for (const kind of ENTITY_KINDS) {
    if (!kinds.has(kind) || !SIGNS[kind].test(folded.text)) continue;
    for (const span of RECOGNIZERS[kind](folded.text)) found.push({ kind, ...folded.toSource(span) });
  }
  return found;
}
