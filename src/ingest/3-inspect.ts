/**
 * Which personal data and secrets are taken out of a document before it is embedded and its terms are weighed, so
 * that a search for a card number cannot confirm it. The stored text stays as it is: the redactor sees to it.
 */
import { redact } from '../guard/output-redactor.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { Parsed } from './2-parse.ts';

/** A document and how its text is masked once its level is known. */
export interface Inspected extends Parsed {
  readonly maskedAt: (rank: number, text: string) => string;
}

export function inspect(parsed: Parsed, redaction: Pick<RedactionPolicy, 'indexedWithout'>): Inspected {
  return { ...parsed, maskedAt: (rank, text) => redact(text, redaction.indexedWithout(rank)).text };
}

/** Longer headings would push the chunk's own text out of what the model reads. */
const LONGEST_HEADING = 200;

/** What a chunk is embedded and weighed as: title, headings and text in one, so that nothing hides between them. */
export function embeddingText(
  title: string,
  chunk: { readonly headingPath: readonly string[]; readonly text: string },
): string {
  const above = [title, ...chunk.headingPath.filter((heading) => heading !== title)].join(' > ');
  return `${above.slice(0, LONGEST_HEADING)}\n${chunk.text}`;
}
