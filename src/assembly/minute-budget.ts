const MINUTE_MS = 60_000;

/** Lets so many a minute through and counts the rest, so that a stranger cannot fill the audit log. */
export class MinuteBudget {
  readonly #perMinute: number;
  readonly #now: () => number;
  #minute = Number.NEGATIVE_INFINITY;
  #used = 0;
  #withheld = 0;

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** How many the next record stands for: itself and those withheld before it; 0 when it is withheld too. */
  take(): number {
    const minute = Math.floor(this.#now() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#used = 0;
    }
    if (this.#used >= this.#perMinute) {
      this.#withheld += 1;
      return 0;
    }
    this.#used += 1;
    const count = this.#withheld + 1;
    this.#withheld = 0;
    return count;
  }
}

/** A budget for each tenant: a flood at one hides nothing of another, and is not counted there. */
export class TenantBudgets {
  readonly #budgets = new Map<string, MinuteBudget>();
  readonly #newBudget: () => MinuteBudget;

  constructor(perMinute: number, now: () => number) {
    this.#newBudget = () => new MinuteBudget(perMinute, now);
  }

  /** @param tenant one that there is: their number bounds what is kept */
  take(tenant: string): number {
    const budget = this.#budgets.get(tenant) ?? this.#newBudget();
    this.#budgets.set(tenant, budget);
    return budget.take();
  }
}
