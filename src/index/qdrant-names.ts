/**
 * What is called what in Qdrant. Each model's points lie in generations of their own, `bulkhead-<model>-<n>`, of
 * which `bulkhead-<model>` names the current one; `bulkhead` names the live model's.
 */
import { createHash } from 'node:crypto';

export const TERMS = 'terms';

/** @param prefix several installations can share a server */
export class QdrantNames {
  readonly live: string;
  readonly #generation: RegExp;

  constructor(prefix = 'bulkhead') {
    this.live = prefix;
    this.#generation = new RegExp(`^${prefix}-[0-9a-f]{16}-[1-9][0-9]*$`);
  }

  current(fingerprint: string): string {
    return `${this.live}-${short(fingerprint)}`;
  }

  generation(fingerprint: string, n: number): string {
    return `${this.current(fingerprint)}-${n}`;
  }

  /** Those that are ours, of one model or of all, oldest first. */
  generations(collections: readonly string[], fingerprint?: string): readonly string[] {
    const start = fingerprint === undefined ? '' : `${this.current(fingerprint)}-`;
    return collections
      .filter((name) => this.#generation.test(name) && name.startsWith(start))
      .sort((a, b) => numberOf(a) - numberOf(b));
  }
}

/** Model by model, so that a query of another model finds no vector of its name. */
export function denseName(fingerprint: string): string {
  return `dense-${short(fingerprint)}`;
}

export function numberOf(generation: string): number {
  return Number(generation.slice(generation.lastIndexOf('-') + 1));
}

function short(fingerprint: string): string {
  const hex = /^[0-9a-f]{16}/.exec(fingerprint);
  return hex?.[0] ?? createHash('sha256').update(fingerprint).digest('hex').slice(0, 16);
}
