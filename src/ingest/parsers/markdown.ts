import { fromMarkdown } from 'mdast-util-from-markdown';
import type { ParsedDocument, Segment } from './document.ts';
import { readFrontMatter } from './front-matter.ts';
import { HeadingPath } from './heading-path.ts';
import { htmlSegments } from './html.ts';
import { type MarkdownBlock, renderBlock } from './markdown-text.ts';

/**
 * CommonMark with front matter and pipe tables. Markup is taken away, so that `4111 **1111**` cannot hide a
 * number from the guard; link targets go with it.
 * @throws BulkheadError `unparsable` when the front matter cannot be read
 */
export function parseMarkdown(text: string): ParsedDocument {
  const { data, bodyStart } = readFrontMatter(text);
  const body = text.slice(bodyStart);
  const path = new HeadingPath();
  const segments = fromMarkdown(body).children.flatMap((block) => segmentsOf(block, body, bodyStart, path));
  return { title: titleOf(data, segments), segments, frontMatter: data };
}

function segmentsOf(block: MarkdownBlock, body: string, shift: number, path: HeadingPath): Segment[] {
  const from = block.position?.start.offset ?? 0;
  const to = block.position?.end.offset ?? from;
  if (block.type === 'html')
    return htmlSegments(block.value).map((segment) => ({
      ...segment,
      start: segment.start + from + shift,
      end: segment.end + from + shift,
      headingPath: [...path.current(), ...segment.headingPath],
    }));
  const rendered = renderBlock(block).trim();
  if (block.type === 'heading' && rendered !== '') path.enter(block.depth, rendered);
  if (rendered === '') return [];
  return [
    {
      text: rendered,
      start: from + shift,
      end: to + shift,
      headingPath: path.current(),
      verbatim: isVerbatim(rendered, body.slice(from, to)),
    },
  ];
}

/** Soft line breaks were replaced by spaces, one for one. */
function isVerbatim(rendered: string, source: string): boolean {
  return rendered === source || rendered === source.replaceAll('\n', ' ');
}

function titleOf(frontMatter: unknown, segments: readonly Segment[]): string | undefined {
  const own = (frontMatter as { title?: unknown } | undefined)?.title;
  if (typeof own === 'string' && own.trim() !== '') return own.trim();
  return segments.find((segment) => segment.text === segment.headingPath.at(-1))?.text;
}
