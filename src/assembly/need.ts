import { BulkheadError } from '../errors.ts';

/**
 * A part that the process must have here, since it serves no route that asks for one it has not.
 * @throws BulkheadError `internal`
 */
export function need<T>(part: T | undefined, name: string): T {
  if (part !== undefined) return part;
  throw new BulkheadError('internal', `A process of this role has no ${name}.`);
}
