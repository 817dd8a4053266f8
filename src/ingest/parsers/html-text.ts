import type { DefaultTreeAdapterTypes } from 'parse5';
import { BulkheadError } from '../../errors.ts';

type Node = DefaultTreeAdapterTypes.ChildNode;
type Element = DefaultTreeAdapterTypes.Element;

/** Where the text read so far stands in the source; absent before any was read. */
export interface Bounds {
  start?: number;
  end?: number;
}

const DROPPED: ReadonlySet<string> = new Set(
  'script style nav template noscript head title iframe object embed svg math canvas audio video'.split(' '),
);
const BREAKING: ReadonlySet<string> = new Set(
  'p div li tr td th dt dd blockquote section article'.split(' '),
);
const DEEPEST = 512;

/** True for what a reader does not see: scripts, navigation and hidden elements carry no content. */
export function isDropped(element: Element): boolean {
  if (DROPPED.has(element.tagName)) return true;
  return element.attrs.some(
    ({ name, value }) => name === 'hidden' || (name === 'style' && hidesElement(value.toLowerCase())),
  );
}

function hidesElement(style: string): boolean {
  return /display\s*:\s*none|visibility\s*:\s*hidden/.test(style);
}

/** Runs of HTML white space become one space; no-break spaces stay. */
export function collapse(text: string): string {
  return text.replace(/[ \t\n\r\f]+/g, ' ');
}

/** The text of a node and all below it in one line, but for `br`. */
export function inlineText(node: Node, bounds: Bounds, depth = 0): string {
  if (depth > DEEPEST)
    throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
  if (node.nodeName === '#text' && 'value' in node) {
    extend(bounds, node, node.value);
    return collapse(node.value);
  }
  if (!('tagName' in node) || isDropped(node)) return '';
  if (node.tagName === 'br') return '\n';
  if (node.tagName === 'img') return imageText(node, bounds);
  const inner = node.childNodes.map((child) => inlineText(child, bounds, depth + 1)).join('');
  return BREAKING.has(node.tagName) ? ` ${inner} ` : inner;
}

function imageText(image: Element, bounds: Bounds): string {
  const text = image.attrs.find(({ name }) => name === 'alt')?.value ?? '';
  extend(bounds, image, text);
  return collapse(text);
}

function extend(bounds: Bounds, node: Node, text: string): void {
  const location = node.sourceCodeLocation;
  if (!location || text.trim() === '') return;
  bounds.start = Math.min(bounds.start ?? location.startOffset, location.startOffset);
  bounds.end = Math.max(bounds.end ?? location.endOffset, location.endOffset);
}

/** Rows as `a | b`, the caption before them. A table inside a cell is read as the cell's text. */
export function tableText(table: Element, bounds: Bounds): string {
  const lines: string[] = [];
  for (const child of elements(table)) {
    if (child.tagName === 'caption') lines.push(line(child, bounds));
    else if (child.tagName === 'tr') lines.push(rowText(child, bounds));
    else for (const row of elements(child)) lines.push(rowText(row, bounds));
  }
  return lines.filter((text) => text !== '').join('\n');
}

function rowText(row: Element, bounds: Bounds): string {
  const cells = elements(row).map((cell) => line(cell, bounds));
  return cells.every((cell) => cell === '') ? '' : cells.join(' | ');
}

/** Items with their marks, lists inside items indented below them. */
export function listText(list: Element, bounds: Bounds, depth: number): string {
  if (depth > DEEPEST)
    throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
  const items: string[] = [];
  for (const node of list.childNodes) {
    const text = itemText(node, bounds, depth);
    if (text === '') continue;
    const mark = list.tagName === 'ol' ? `${items.length + 1}. ` : '- ';
    items.push(mark + text.replaceAll('\n', `\n${' '.repeat(mark.length)}`));
  }
  return items.join('\n');
}

function itemText(item: Node, bounds: Bounds, depth: number): string {
  const parts: string[] = [];
  let own = '';
  for (const child of 'tagName' in item && !isDropped(item) && !isList(item) ? item.childNodes : [item]) {
    if (!('tagName' in child) || !isList(child)) {
      own += inlineText(child, bounds, depth);
      continue;
    }
    parts.push(tidy(own), isDropped(child) ? '' : listText(child, bounds, depth + 1));
    own = '';
  }
  return [...parts, tidy(own)].filter((text) => text !== '').join('\n');
}

/** Preformatted text, white space kept. */
export function preText(element: Element, bounds: Bounds): string {
  return rawText(element, bounds, 0).replace(/^\n+/, '').trimEnd();
}

function rawText(node: Node, bounds: Bounds, depth: number): string {
  if (depth > DEEPEST)
    throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
  if ('tagName' in node) {
    if (node.tagName === 'br') return '\n';
    if (isDropped(node)) return '';
    return node.childNodes.map((child) => rawText(child, bounds, depth + 1)).join('');
  }
  if (node.nodeName !== '#text' || !('value' in node)) return '';
  extend(bounds, node, node.value);
  return node.value;
}

function line(element: Element, bounds: Bounds): string {
  return tidy(inlineText(element, bounds)).replaceAll('\n', ' ');
}

function tidy(text: string): string {
  return text
    .split('\n')
    .map((part) => collapse(part).trim())
    .join('\n')
    .trim();
}

function isList(element: Element): boolean {
  return element.tagName === 'ul' || element.tagName === 'ol';
}

function elements(parent: Element): Element[] {
  return parent.childNodes.filter((child): child is Element => 'tagName' in child && !isDropped(child));
}
