import { type RawBuilder, sql } from 'kysely';

/** `select bulkhead.<name>(…) as result`, for a function that takes texts and JSON and returns one value. */
export function functionCall<T>(
  name: string,
  parameters: readonly string[],
): RawBuilder<{ readonly result: T }> {
  return sql`select ${sql.ref(`bulkhead.${name}`)}(${sql.join(parameters)}) as result`;
}
