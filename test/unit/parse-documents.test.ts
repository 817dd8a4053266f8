import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { mediaTypeOf } from '../../src/ingest/parsers/media-type.ts';
import { parse } from '../../src/ingest/parsers/parse.ts';

const markdown = (text: string) => parse(text, 'text/markdown');
const html = (text: string) => parse(text, 'text/html');
const plain = (text: string) => parse(text, 'text/plain');
const texts = (document: { segments: readonly { text: string }[] }) =>
  document.segments.map(({ text }) => text);

function failure(run: () => unknown): BulkheadError {
  try {
    run();
  } catch (error) {
    if (error instanceof BulkheadError) return error;
  }
  throw new Error('expected a BulkheadError');
}

describe('a Markdown document', () => {
  it('is blocks in order, each under its headings', () => {
    const document = markdown('# One\n\nintro\n\n## Two\n\nbody\n\n# Three\n\nend\n');
    expect(document.segments.map(({ text, headingPath }) => [text, headingPath.join('/')])).toEqual([
      ['One', 'One'],
      ['intro', 'One'],
      ['Two', 'One/Two'],
      ['body', 'One/Two'],
      ['Three', 'Three'],
      ['end', 'Three'],
    ]);
    expect(document.title).toBe('One');
  });

  it('has offsets into the original, front matter and carriage returns included', () => {
    const text = '---\r\ntitle: T\r\n---\r\n\r\n# Head\r\n\r\nSome *text* here.\r\n';
    const { segments } = markdown(text);
    expect(segments.map(({ start, end }) => text.slice(start, end))).toEqual(['# Head', 'Some *text* here.']);
  });

  it('loses its markup, so that emphasis cannot split a number', () => {
    expect(
      texts(markdown('4111 **1111** _1111_ [1111](https://x.example "t") and &amp; \\* `code`')),
    ).toEqual(['4111 1111 1111 1111 and & * code']);
  });

  it('keeps lists, code, quotes and tables as text', () => {
    expect(texts(markdown('- a\n- b\n  1. c\n  2. d\n'))).toEqual(['- a\n- b\n  1. c\n  2. d']);
    expect(texts(markdown('3. x\n4. y'))).toEqual(['3. x\n4. y']);
    expect(texts(markdown('```sh\nls  -l\n\ncd\n```'))).toEqual(['ls  -l\n\ncd']);
    expect(texts(markdown('> said\n>\n> twice'))).toEqual(['said\n\ntwice']);
    expect(texts(markdown('| A | B |\n|---|:-:|\n| 1 | **2** |\n| 3 |  |'))).toEqual(['A | B\n1 | 2\n3 |']);
  });

  it('reads a wrapped paragraph as one line, with offsets that add up', () => {
    const [segment] = markdown('one\ntwo').segments;
    expect(segment).toMatchObject({ text: 'one two', verbatim: true });
    expect(markdown('one *two*').segments[0]).toMatchObject({ verbatim: false });
  });

  it('reads embedded HTML like HTML and drops comments', () => {
    const text =
      '# H\n\n<div>shown <script>x()</script><p hidden>secret</p></div>\n\n<!-- aside -->\n\na<!-- b -->c<br>d';
    const document = markdown(text);
    expect(texts(document)).toEqual(['H', 'shown', 'ac d']);
    expect(document.segments[1]?.headingPath).toEqual(['H']);
    const { start = 0, end = 0 } = document.segments[1] ?? {};
    expect(text.slice(start, end)).toBe('shown ');
  });
});

describe('front matter', () => {
  it('is raw data, and its title wins', () => {
    const document = markdown(
      '---\ntitle: Mine\nlevel: restricted\nfrom: 2026-01-01T00:00:00Z\n---\n# Other\n\nx',
    );
    expect(document.title).toBe('Mine');
    expect(document.frontMatter).toEqual({
      title: 'Mine',
      level: 'restricted',
      from: '2026-01-01T00:00:00Z',
    });
  });

  it('is absent without an opening line at the very beginning', () => {
    expect(markdown('\n---\nlevel: x\n---\n').frontMatter).toBeUndefined();
    expect(markdown('text').frontMatter).toBeUndefined();
  });

  it('is not a rule with empty lines around', () => {
    expect(texts(markdown('---\n\nJust text\n\n---\n\nmore'))).toEqual(['Just text', 'more']);
    expect(texts(markdown('---\n\nJust text'))).toEqual(['Just text']);
  });

  it.each([
    ['not closed', '---\nlevel: restricted\n\n# Text'],
    ['not a mapping', '---\n- level\n---\ntext'],
    ['not YAML', '---\nlevel: [\n---\ntext'],
    ['using a tag', '---\na: !!js/function "x"\n---\ntext'],
    ['using a known tag', '---\na: !!binary aGk=\n---\ntext'],
    ['repeating a key', '---\nlevel: restricted\nlevel: public\n---\ntext'],
    [
      'an alias bomb',
      `---\na: &a [x,x,x,x,x,x]\n${[...'bcdefgh'].map((c, i) => `${c}: &${c} [${Array(6).fill(`*${'abcdefg'[i]}`).join(',')}]`).join('\n')}\n---\ntext`,
    ],
    ['deeply nested', `---\na: ${'['.repeat(20_000)}\n---\ntext`],
    ['too long', `---\na: ${'x'.repeat(70_000)}\n---\ntext`],
  ])('refuses one that is %s', (_, text) => {
    expect(failure(() => markdown(text)).code).toBe('unparsable');
  });

  it('cannot reach a prototype', () => {
    const { frontMatter } = markdown('---\n__proto__: { level: public }\n---\ntext');
    expect((frontMatter as { level?: string }).level).toBeUndefined();
    expect(({} as { level?: string }).level).toBeUndefined();
  });
});

describe('an HTML document', () => {
  it('is blocks under headings, with the title of its head', () => {
    const document = html(
      '<html><head><title> The\n title </title></head><body><h1>One</h1><p>a <b>b</b>\n c</p><h2>Two</h2>tail</body></html>',
    );
    expect(document.title).toBe('The title');
    expect(document.segments.map(({ text, headingPath }) => [text, headingPath.join('/')])).toEqual([
      ['One', 'One'],
      ['a b c', 'One'],
      ['Two', 'One/Two'],
      ['tail', 'One/Two'],
    ]);
  });

  it('falls back to its first heading for a title', () => {
    expect(html('<p>x</p><h2>Head</h2><p>y</p>').title).toBe('Head');
    expect(html('<p>x</p>').title).toBeUndefined();
  });

  it('drops what a reader does not see', () => {
    const hidden = [
      '<script>a()</script>',
      '<style>b{}</style>',
      '<nav>menu</nav>',
      '<template>t</template>',
      '<noscript>n</noscript>',
      '<p hidden>h</p>',
      '<div style="color:red; DISPLAY : none">d</div>',
      '<span style="visibility:hidden">v</span>',
      '<!-- c -->',
      '<ul hidden><li>u</li></ul>',
      '<table hidden><tr><td>t</td></tr></table>',
    ].join('');
    expect(texts(html(`<p>seen</p>${hidden}<p>too</p>`))).toEqual(['seen', 'too']);
    expect(texts(html('<ul><li>a<span hidden>b</span></li><li hidden>c</li></ul>'))).toEqual(['- a']);
  });

  it('keeps tables as rows, lists with their marks, and preformatted text as it is', () => {
    expect(
      texts(html('<table><caption>C</caption><tr><th>A<th>B</tr><tr><td>1<td>two<br>lines</tr></table>')),
    ).toEqual(['C\nA | B\n1 | two lines']);
    expect(texts(html('<ul><li>a<li><p>b</p><ol><li>c</li></ol></li></ul>'))).toEqual(['- a\n- b\n  1. c']);
    expect(texts(html('<pre>\n x\n   y\n</pre>'))).toEqual([' x\n   y']);
    expect(texts(html('<dl><dt>Term</dt><dd>Meaning</dd></dl>'))).toEqual(['Term', 'Meaning']);
    expect(texts(html('one<br>two<img alt=" pic ">'))).toEqual(['one\ntwo pic']);
  });

  it('has offsets into the original, carriage returns included', () => {
    const text = '<h1>Head</h1>\r\n<p>Some <b>text</b>\r\nhere &amp; there</p>\r\n<ul>\r\n<li>item</li></ul>';
    expect(html(text).segments.map(({ start, end }) => text.slice(start, end))).toEqual([
      'Head',
      'Some <b>text</b>\r\nhere &amp; there',
      'item',
    ]);
  });

  it('keeps the order of the original when the parser moves text out of a table', () => {
    const { segments } = html('<p>a</p><table><tr><td>cell</td></tr>stray<tr><td>more</td></tr></table>');
    for (const [i, segment] of segments.entries()) {
      expect(segment.start).toBeGreaterThanOrEqual(segments[i - 1]?.start ?? 0);
      expect(segment.end).toBeGreaterThanOrEqual(segments[i - 1]?.end ?? 0);
    }
  });

  it('refuses nesting that would exhaust the stack', () => {
    expect(failure(() => html('<div>'.repeat(20_000))).code).toMatch(/unparsable|empty_document/);
    expect(failure(() => html(`${'<b><i>'.repeat(5_000)}x`)).code).toBe('unparsable');
    expect(failure(() => html(`${'<ul><li>'.repeat(5_000)}x`)).code).toBe('unparsable');
  });
});

describe('a plain text document', () => {
  it('is paragraphs with exact offsets', () => {
    const text = '\n  First line\nsecond \n \n\n\tThird\r\n\r\nfourth';
    const { segments } = plain(text);
    expect(texts({ segments })).toEqual(['First line\nsecond', 'Third', 'fourth']);
    for (const { text: own, start, end } of segments) expect(text.slice(start, end)).toBe(own);
  });

  it('takes a short first line for its title, but no sentence', () => {
    expect(plain('Holidays 2026\n\nThese are they.').title).toBe('Holidays 2026');
    expect(plain('These are they.\n\nMore').title).toBeUndefined();
    expect(plain(`${'long '.repeat(30)}\n\nMore`).title).toBeUndefined();
  });
});

describe('parse', () => {
  it('goes by the media type', () => {
    expect(texts(parse('# a', 'Text/Markdown; charset="UTF-8"'))).toEqual(['a']);
    expect(texts(parse('# a', 'text/plain'))).toEqual(['# a']);
  });

  it.each(['application/pdf', 'text/plain; charset=iso-8859-1', '', 'constructor'])('refuses %j', (type) => {
    expect(failure(() => parse('x', type)).code).toBe('unsupported_media_type');
  });

  it.each([
    ['text/markdown', '---\nlevel: internal\n---\n\n<!-- nothing -->'],
    ['text/html', '<script>x</script><p> </p>'],
    ['text/plain', ' \n '],
  ])('says when a %s document holds no text', (type, text) => {
    expect(failure(() => parse(text, type)).code).toBe('empty_document');
  });

  it('knows media types by file name', () => {
    expect(
      ['a.md', 'B.TXT', 'c.html', 'd.jsonl', 'e.csv', 'f.pdf', 'md', '.constructor'].map(mediaTypeOf),
    ).toEqual([
      'text/markdown',
      'text/plain',
      'text/html',
      'application/jsonl',
      'text/csv',
      undefined,
      undefined,
      undefined,
    ]);
  });
});
