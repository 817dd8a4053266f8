interface Cookie {
  readonly value: string;
  readonly path: string;
}

export interface Visit {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** As much of a browser as a sign-in needs: cookies with their paths, and redirects up to one that leaves. */
export class Browser {
  readonly #cookies = new Map<string, Cookie>();

  /** Follows redirects until a page is shown or one leads to `stopAt`, which is returned unvisited. */
  async visit(
    url: URL,
    options: { method?: string; body?: URLSearchParams; stopAt?: string } = {},
  ): Promise<Visit> {
    const response = await fetch(url, {
      method: options.method ?? 'GET',
      ...(options.body === undefined ? {} : { body: options.body }),
      redirect: 'manual',
      headers: { cookie: this.#cookiesFor(url), accept: 'text/html' },
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    const location = response.headers.get('location');
    if (location === null)
      return { url, status: response.status, headers: response.headers, body: await response.text() };
    const next = new URL(location, url);
    if (options.stopAt !== undefined && next.href.startsWith(options.stopAt))
      return { url: next, status: response.status, headers: response.headers, body: '' };
    return this.visit(next, options.stopAt === undefined ? {} : { stopAt: options.stopAt });
  }

  cookie(name: string): string | undefined {
    return this.#cookies.get(name)?.value;
  }

  /** As somebody could who controls a neighbouring host. */
  plant(name: string, value: string): void {
    this.#cookies.set(name, { value, path: '/' });
  }

  get cookieNames(): readonly string[] {
    return [...this.#cookies.keys()];
  }

  #cookiesFor(url: URL): string {
    return [...this.#cookies]
      .filter(([, { path }]) => url.pathname.startsWith(path))
      .map(([name, { value }]) => `${name}=${value}`)
      .join('; ');
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split('; ');
    const name = pair.slice(0, pair.indexOf('='));
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? '/';
    this.#cookies.set(name, { value: pair.slice(name.length + 1), path });
  }
}
