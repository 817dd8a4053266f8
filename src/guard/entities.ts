/** What the guard looks for in text, and the shapes it is reported in. */
export const ENTITY_KINDS = ['email', 'phone', 'card', 'iban', 'us-ssn', 'api-key'] as const;

export type EntityKind = (typeof ENTITY_KINDS)[number];

/** A stretch of text in UTF-16 offsets, end exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Finding extends Span {
  readonly kind: EntityKind;
}
