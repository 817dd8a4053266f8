import { BulkheadError } from '../errors.ts';

/** Lets so many pass at a time; the rest wait in line, and whoever finds the line full is sent away. */
export class Gate {
  readonly #atOnce: number;
  readonly #inLine: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(atOnce: number, inLine: number) {
    this.#atOnce = atOnce;
    this.#inLine = inLine;
  }

  /** @throws BulkheadError `identity_unavailable` when the line is full; what the work throws */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#atOnce) this.#inside += 1;
    else await this.#turn();
    try {
      return await work();
    } finally {
      // whoever is next takes the place over
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#inLine)
      throw new BulkheadError(
        'identity_unavailable',
        'Too many keys are being looked up. Try again shortly.',
        {
          retryAfterSeconds: 1,
        },
      );
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
