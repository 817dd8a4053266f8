/** A browser for pages of two servers: cookies by host, path and lifetime, forms as they stand in the page. */
import { defaultTreeAdapter, parse, type DefaultTreeAdapterTypes as Tree } from 'parse5';

type Element = Tree.Element;

interface Cookie {
  readonly host: string;
  readonly path: string;
  readonly value: string;
}

export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
}

const MOST_REDIRECTS = 12;

export class PageBrowser {
  readonly #cookies = new Map<string, Cookie>();

  get(url: string | URL): Promise<Page> {
    return this.#follow(new URL(url), 'GET', undefined, MOST_REDIRECTS);
  }

  /** Sends the first form of the page that has all these fields, filled in beside what it holds. */
  async submit(page: Page, fields: Readonly<Record<string, string>>): Promise<Page> {
    const form = formsOf(page.html).find((it) => Object.keys(fields).every((name) => it.fields.has(name)));
    if (form === undefined) throw new Error(`No such form on ${page.url}: ${page.html.slice(0, 400)}`);
    return this.#send(page, form, fields);
  }

  /** Presses the button of the first form that leads there. */
  async press(page: Page, action: RegExp): Promise<Page> {
    const form = formsOf(page.html).find((it) => action.test(it.action));
    if (form === undefined) throw new Error(`No form to ${action} on ${page.url}`);
    return this.#send(page, form, {});
  }

  cookieNames(host: string): readonly string[] {
    return [...this.#cookies].filter(([, it]) => it.host === host).map(([key]) => key.split(' ')[2] ?? '');
  }

  /** The same cookies in another browser: what a thief would have. */
  copy(): PageBrowser {
    const thief = new PageBrowser();
    for (const [key, cookie] of this.#cookies) thief.#cookies.set(key, cookie);
    return thief;
  }

  #send(page: Page, form: Form, fields: Readonly<Record<string, string>>): Promise<Page> {
    const body = new URLSearchParams([...new Map([...form.fields, ...Object.entries(fields)])]);
    const target = new URL(form.action, page.url);
    if (form.method === 'POST') return this.#follow(target, 'POST', body, MOST_REDIRECTS);
    target.search = body.toString();
    return this.get(target);
  }

  async #follow(url: URL, method: string, body: URLSearchParams | undefined, left: number): Promise<Page> {
    const response = await fetch(url, {
      method,
      ...(body !== undefined && { body }),
      redirect: 'manual',
      headers: {
        cookie: this.#cookiesFor(url),
        accept: 'text/html',
        ...(method === 'POST' && { origin: url.origin }),
      },
    });
    for (const line of response.headers.getSetCookie()) this.#keep(url, line);
    const location = response.headers.get('location');
    if (location !== null && response.status >= 300 && response.status < 400 && left > 0)
      return this.#follow(new URL(location, url), 'GET', undefined, left - 1);
    return { url, status: response.status, headers: response.headers, html: await response.text() };
  }

  // two servers of one test differ in their port alone, which cookies know nothing of: here it counts
  #cookiesFor(url: URL): string {
    return [...this.#cookies]
      .filter(([, { host, path }]) => host === url.host && url.pathname.startsWith(path))
      .map(([key, { value }]) => `${key.split(' ')[2]}=${value}`)
      .join('; ');
  }

  #keep(url: URL, line: string): void {
    const [pair = '', ...attributes] = line.split(/; ?/);
    const name = pair.slice(0, pair.indexOf('='));
    const value = pair.slice(name.length + 1);
    const attribute = (wanted: string) =>
      attributes.find((it) => it.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const path = attribute('path') ?? '/';
    const key = `${url.host} ${path} ${name}`;
    const expires = attribute('expires');
    const gone = attribute('max-age') === '0' || (expires !== undefined && Date.parse(expires) < Date.now());
    if (gone) this.#cookies.delete(key);
    else this.#cookies.set(key, { host: url.host, path, value });
  }
}

interface Form {
  readonly action: string;
  readonly method: string;
  readonly fields: ReadonlyMap<string, string>;
}

function formsOf(html: string): readonly Form[] {
  return elements(parse(html))
    .filter(({ tagName }) => tagName === 'form')
    .map((form) => ({
      action: attributeOf(form, 'action') ?? '',
      method: (attributeOf(form, 'method') ?? 'get').toUpperCase(),
      fields: new Map(
        elements(form)
          .filter(({ tagName }) => ['input', 'textarea', 'button'].includes(tagName))
          .filter((field) => !['checkbox', 'submit'].includes(attributeOf(field, 'type') ?? ''))
          .map((field) => [attributeOf(field, 'name') ?? '', attributeOf(field, 'value') ?? ''] as const)
          .filter(([name]) => name !== ''),
      ),
    }));
}

function elements(node: Tree.Node): Element[] {
  const children = 'childNodes' in node ? node.childNodes : [];
  return children.flatMap((child) => [
    ...(defaultTreeAdapter.isElementNode(child) ? [child] : []),
    ...elements(child),
  ]);
}

function attributeOf(element: Element, name: string): string | undefined {
  return element.attrs.find((attribute) => attribute.name === name)?.value;
}

/** What a reader sees: the text of the page, without its tags. */
export function textOf({ html }: Page): string {
  return html
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/\s+/g, ' ')
    .trim();
}
