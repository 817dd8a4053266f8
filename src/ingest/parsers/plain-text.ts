import type { ParsedDocument, Segment } from './document.ts';

const LONGEST_TITLE = 100;

/** Paragraphs between empty lines. A short first line that is no sentence is the title. */
export function parsePlainText(text: string): ParsedDocument {
  const segments = paragraphs(text);
  return { title: titleOf(segments[0]?.text ?? ''), segments, frontMatter: undefined };
}

function paragraphs(text: string): Segment[] {
  const segments: Segment[] = [];
  let start = -1;
  let end = 0;
  const close = () => {
    if (start >= 0) segments.push(segmentOf(text, start, end));
    start = -1;
  };
  for (const line of text.matchAll(/[^\n]+/g)) {
    const trimmed = line[0].trim();
    const isApart = line.index > end && start >= 0 && text.slice(end, line.index).split('\n').length > 2;
    if (trimmed === '' || isApart) close();
    if (trimmed === '') continue;
    const from = line.index + line[0].indexOf(trimmed);
    if (start < 0) start = from;
    end = from + trimmed.length;
  }
  close();
  return segments;
}

function segmentOf(text: string, start: number, end: number): Segment {
  return { text: text.slice(start, end), start, end, headingPath: [], verbatim: true };
}

function titleOf(firstParagraph: string): string | undefined {
  const [firstLine = ''] = firstParagraph.split('\n', 1);
  const line = firstLine.trim();
  return line !== '' && line.length <= LONGEST_TITLE && !/[.;,:!]$/.test(line) ? line : undefined;
}
