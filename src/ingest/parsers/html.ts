import { type DefaultTreeAdapterTypes, parse, parseFragment } from 'parse5';
import { BulkheadError } from '../../errors.ts';
import type { ParsedDocument, Segment } from './document.ts';
import { HeadingPath } from './heading-path.ts';
import { type Bounds, collapse, inlineText, isDropped, listText, preText, tableText } from './html-text.ts';

type Node = DefaultTreeAdapterTypes.ChildNode;
type Element = DefaultTreeAdapterTypes.Element;
type Parent = DefaultTreeAdapterTypes.ParentNode;

const HEADING = /^h([1-6])$/;
const BLOCKS: ReadonlySet<string> = new Set(
  (
    'address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure ' +
    'footer form header hr html legend li main p section summary tbody td tfoot th thead tr'
  ).split(' '),
);
/** Elements whose whole text is one segment. */
const WHOLE: Readonly<Record<string, (element: Element, bounds: Bounds) => string>> = {
  table: tableText,
  ul: (element, bounds) => listText(element, bounds, 0),
  ol: (element, bounds) => listText(element, bounds, 0),
  pre: preText,
};
const DEEPEST = 512;

/** HTML as a browser reads it (WHATWG), without scripts, navigation and whatever is hidden from readers. */
export function parseHtml(text: string): ParsedDocument {
  const document = parse(text, { sourceCodeLocationInfo: true });
  const segments = collect(document);
  const heading = segments.find((segment) => segment.text === segment.headingPath.at(-1))?.text;
  return { title: titleOf(document) ?? heading, segments, frontMatter: undefined };
}

/** The segments of a piece of HTML inside another document. */
export function htmlSegments(text: string): readonly Segment[] {
  return collect(parseFragment(text, { sourceCodeLocationInfo: true }));
}

function collect(root: Parent): Segment[] {
  const collector = new Collector();
  collector.children(root, 0);
  collector.flush();
  return inSourceOrder(collector.segments);
}

/** The parser moves misplaced table content to before the table; its offsets then go back. */
function inSourceOrder(segments: readonly Segment[]): Segment[] {
  let end = 0;
  return [...segments]
    .sort((a, b) => a.start - b.start)
    .map((segment) => {
      end = Math.max(end, segment.end);
      return { ...segment, end };
    });
}

function titleOf(document: DefaultTreeAdapterTypes.Document): string | undefined {
  const html = document.childNodes.find((node) => node.nodeName === 'html');
  const head = html && 'childNodes' in html ? html.childNodes.find((n) => n.nodeName === 'head') : undefined;
  const title =
    head && 'childNodes' in head ? head.childNodes.find((n) => n.nodeName === 'title') : undefined;
  if (title === undefined || !('childNodes' in title)) return undefined;
  const text = title.childNodes.map((node) => ('value' in node ? node.value : '')).join('');
  return collapse(text).trim() || undefined;
}

class Collector {
  readonly segments: Segment[] = [];
  readonly #path = new HeadingPath();
  #text = '';
  #bounds: Bounds = {};

  children(parent: Parent, depth: number): void {
    if (depth > DEEPEST)
      throw new BulkheadError('unparsable', `The document is nested deeper than ${DEEPEST}.`);
    for (const node of parent.childNodes) this.#node(node, depth);
  }

  /** Ends the block under way. */
  flush(headingDepth?: number): void {
    const text = this.#text.replace(/ *\n */g, '\n').trim();
    const { start, end } = this.#bounds;
    this.#text = '';
    this.#bounds = {};
    if (text === '' || start === undefined || end === undefined) return;
    if (headingDepth !== undefined) this.#path.enter(headingDepth, text);
    this.segments.push({ text, start, end, headingPath: this.#path.current() });
  }

  #node(node: Node, depth: number): void {
    if (!('tagName' in node)) {
      this.#text += inlineText(node, this.#bounds, depth);
      return;
    }
    if (isDropped(node)) return;
    const whole = Object.hasOwn(WHOLE, node.tagName) ? WHOLE[node.tagName] : undefined;
    const heading = HEADING.exec(node.tagName)?.[1];
    if (whole !== undefined) this.#whole(whole, node);
    else if (heading !== undefined) this.#heading(node, Number(heading), depth);
    else if (BLOCKS.has(node.tagName)) this.#block(node, depth);
    else if (node.childNodes.length === 0) this.#text += inlineText(node, this.#bounds, depth);
    else this.children(node, depth + 1);
  }

  #whole(render: (element: Element, bounds: Bounds) => string, element: Element): void {
    this.flush();
    const bounds: Bounds = {};
    const text = render(element, bounds);
    const { start, end } = bounds;
    if (text.trim() === '' || start === undefined || end === undefined) return;
    this.segments.push({ text, start, end, headingPath: this.#path.current() });
  }

  #heading(element: Element, level: number, depth: number): void {
    this.flush();
    this.#text = inlineText(element, this.#bounds, depth).replaceAll('\n', ' ');
    this.flush(level);
  }

  #block(element: Element, depth: number): void {
    this.flush();
    this.children(element, depth + 1);
    this.flush();
  }
}
