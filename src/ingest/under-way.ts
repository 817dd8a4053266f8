/** External ids that are somewhere between their submission and their result. */
export class UnderWay {
  readonly #waiting = new Map<string, (() => void)[]>();
  #closed = false;

  has(externalId: string): boolean {
    return !this.#closed && this.#waiting.has(externalId);
  }

  begin(externalId: string): void {
    if (!this.#waiting.has(externalId)) this.#waiting.set(externalId, []);
  }

  end(externalId: string): void {
    const waiting = this.#waiting.get(externalId) ?? [];
    this.#waiting.delete(externalId);
    for (const wake of waiting) wake();
  }

  /** Resolves when the id has ended, or nobody takes results any more. */
  until(externalId: string): Promise<void> {
    const waiting = this.#closed ? undefined : this.#waiting.get(externalId);
    if (waiting === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      waiting.push(resolve);
    });
  }

  /** Lets go whoever waits: no id will end any more. */
  close(): void {
    this.#closed = true;
    for (const externalId of [...this.#waiting.keys()]) this.end(externalId);
  }
}
