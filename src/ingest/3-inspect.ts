/**
 * Which personal data and secrets are taken out of a document before it is embedded and its terms are weighed, so
 * that a search for a card number cannot confirm it. The stored text stays as it is: the redactor sees to it.
 */
import { BulkheadError } from '../errors.ts';
import { ENTITY_KINDS, type EntityKind } from '../guard/entities.ts';
import { redact } from '../guard/output-redactor.ts';
import type { Parsed } from './2-parse.ts';

/** The kinds that a level always masks, and those of the levels below it. */
export interface MaskingPolicy {
  kindsAt(rank: number): ReadonlySet<EntityKind>;
}

/** A document and how its text is masked once its level is known. */
export interface Inspected extends Parsed {
  readonly maskedAt: (rank: number, text: string) => string;
}

/**
 * @param levels lowest first
 * @throws BulkheadError `config_invalid` for a kind that the guard does not know
 */
export function maskingPolicy(levels: readonly { readonly alwaysMask: readonly string[] }[]): MaskingPolicy {
  const accumulated: ReadonlySet<EntityKind>[] = [];
  for (const { alwaysMask } of levels)
    accumulated.push(new Set([...(accumulated.at(-1) ?? []), ...alwaysMask.map(toKind)]));
  const strictest = accumulated.at(-1) ?? new Set(ENTITY_KINDS);
  return { kindsAt: (rank) => accumulated[rank] ?? strictest };
}

function toKind(name: string): EntityKind {
  const kind = ENTITY_KINDS.find((known) => known === name);
  if (kind === undefined) throw new BulkheadError('config_invalid', `There is no recogniser for "${name}".`);
  return kind;
}

export function inspect(parsed: Parsed, masking: MaskingPolicy): Inspected {
  return { ...parsed, maskedAt: (rank, text) => redact(text, masking.kindsAt(rank)).text };
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
