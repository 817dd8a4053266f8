/** Refusals as the command line hears and says them. */
import type { Problem } from '../http/problem.ts';

/** A problem of the API, possibly of a newer server: its code is any text. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';

  constructor(
    readonly code: string,
    readonly detail: string,
    readonly issues: Problem['errors'] = [],
  ) {
    super(`${code}: ${detail}`);
  }
}

/** Ends a command that has said all itself with exit code 1. */
export class FailedQuietly extends Error {
  override readonly name = 'FailedQuietly';
}

interface Refusal {
  readonly code: string;
  readonly detail: string;
  readonly issues?: Problem['errors'];
}

/** One line: what went wrong, in which fields, and the code to look up. */
export function lineOf({ code, detail, issues = [] }: Refusal): string {
  const unsaid = issues.filter(({ message }) => !detail.includes(message));
  const fields = unsaid.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; ');
  return `${detail}${fields === '' ? '' : ` ${fields}.`} (${code})`.replaceAll(/\s+/g, ' ');
}
