/** What every parser returns, whatever the format was. */

/** A block of a document (heading, paragraph, list, table, code, …) as plain text. */
export interface Segment {
  readonly text: string;
  /** UTF-16 offsets into the decoded original, end exclusive: where the block stands there. */
  readonly start: number;
  readonly end: number;
  /** The headings above the block, outermost first; a heading's own segment ends with itself. */
  readonly headingPath: readonly string[];
  /** True when `text` has the original's characters one for one (line ends apart), so that offsets add up. */
  readonly verbatim?: boolean;
}

export interface ParsedDocument {
  readonly title: string | undefined;
  /** In the order of the original. */
  readonly segments: readonly Segment[];
  /** The raw object of the front matter; it has not been checked. */
  readonly frontMatter: unknown | undefined;
}
