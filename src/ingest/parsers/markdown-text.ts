import type { fromMarkdown } from 'mdast-util-from-markdown';
import { BulkheadError } from '../../errors.ts';

type Root = ReturnType<typeof fromMarkdown>;
export type MarkdownBlock = Root['children'][number];
type Inline = Extract<MarkdownBlock, { type: 'paragraph' }>['children'][number];
type List = Extract<MarkdownBlock, { type: 'list' }>;

const DEEPEST = 100;

/** The block as plain text: list items with their marks, table rows as `a | b`, code as it is. */
export function renderBlock(block: MarkdownBlock, depth = 0): string {
  if (depth > DEEPEST)
    throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
  switch (block.type) {
    case 'heading':
      return unwrap(renderInline(block.children));
    case 'paragraph':
      return renderParagraph(renderInline(block.children));
    case 'code':
      return block.value;
    case 'blockquote':
      return block.children.map((child) => renderBlock(child, depth + 1)).join('\n\n');
    case 'list':
      return renderList(block, depth);
    default:
      return '';
  }
}

function renderInline(nodes: readonly Inline[], depth = 0): string {
  if (depth > DEEPEST)
    throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
  return nodes.map((node) => renderInlineNode(node, depth)).join('');
}

function renderInlineNode(node: Inline, depth: number): string {
  switch (node.type) {
    case 'text':
    case 'inlineCode':
      return node.value;
    case 'break':
      return '\n';
    case 'image':
    case 'imageReference':
      return node.alt ?? '';
    case 'html':
      return /^<br[\s/>]/i.test(node.value) ? '\n' : '';
    default:
      return 'children' in node ? renderInline(node.children, depth + 1) : '';
  }
}

function renderList(list: List, depth: number): string {
  const first = list.start ?? 1;
  const items = list.children.map((item, i) => {
    const mark = list.ordered ? `${first + i}. ` : '- ';
    const blocks = item.children.map((child) => renderBlock(child, depth + 1)).filter((text) => text !== '');
    return mark + blocks.join('\n').replaceAll('\n', `\n${' '.repeat(mark.length)}`);
  });
  return items.join('\n');
}

/** CommonMark reads a pipe table as a paragraph whose second or later line is a row of dashes. */
function renderParagraph(text: string): string {
  const lines = text.split('\n');
  const rule = lines.findIndex((line, i) => i > 0 && isTableRule(line) && (lines[i - 1] ?? '').includes('|'));
  if (rule < 0) return unwrap(text);
  const rows = [...lines.slice(rule - 1, rule), ...lines.slice(rule + 1)].map(renderRow);
  return [...lines.slice(0, rule - 1), ...rows].join('\n');
}

/** One line: a soft line break is a space, one character for one. */
function unwrap(text: string): string {
  return text.replaceAll('\n', ' ');
}

function isTableRule(line: string): boolean {
  return /^[\s|:-]+$/.test(line) && line.includes('-') && line.includes('|');
}

function renderRow(line: string): string {
  const cells = line
    .trim()
    .split('|')
    .map((cell) => cell.trim());
  if (cells[0] === '') cells.shift();
  if (cells.at(-1) === '') cells.pop();
  return cells.join(' | ');
}
