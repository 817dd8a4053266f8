/** The headings above the place that a parser has reached. */
export class HeadingPath {
  readonly #open: { readonly depth: number; readonly text: string }[] = [];

  /** Enters a heading: those of the same or a deeper level end. */
  enter(depth: number, text: string): void {
    while ((this.#open.at(-1)?.depth ?? 0) >= depth) this.#open.pop();
    this.#open.push({ depth, text });
  }

  current(): readonly string[] {
    return this.#open.map((heading) => heading.text);
  }
}
