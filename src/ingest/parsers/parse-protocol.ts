/** What passes between the thread that ingests and the one that parses. */
import type { ErrorCode, FieldIssue } from '../../errors.ts';
import type { ParsedDocument, Segment } from './document.ts';

export interface ParseRequest {
  readonly kind: 'document' | 'front matter';
  /** As submitted, not yet decoded. */
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

export type ParseReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'document'; readonly document: PackedDocument }
  | { readonly kind: 'front matter'; readonly data: unknown }
  | {
      readonly kind: 'refused';
      readonly code: ErrorCode;
      readonly detail: string;
      readonly issues: readonly FieldIssue[];
    };

/** Headings are numbered: a message has room for a string as often as it occurs, and a heading is above many. */
interface PackedDocument extends Omit<ParsedDocument, 'segments'> {
  readonly headings: readonly string[];
  readonly segments: readonly (Omit<Segment, 'headingPath'> & { readonly above: readonly number[] })[];
}

export function pack({ segments, ...document }: ParsedDocument): PackedDocument {
  const numbers = new Map<string, number>();
  const numberOf = (heading: string): number => {
    const number = numbers.get(heading) ?? numbers.size;
    numbers.set(heading, number);
    return number;
  };
  const packed = segments.map(({ headingPath, ...segment }) => ({
    ...segment,
    above: headingPath.map(numberOf),
  }));
  return { ...document, headings: [...numbers.keys()], segments: packed };
}

export function unpack({ headings, segments, ...document }: PackedDocument): ParsedDocument {
  const unpacked = segments.map(({ above, ...segment }) => ({
    ...segment,
    headingPath: above.map((number) => headings[number] ?? ''),
  }));
  return { ...document, segments: unpacked };
}
