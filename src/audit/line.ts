/** The object that a line of JSON holds, if it has all these fields, of these types. */
export function parseLine<T>(
  line: string,
  fields: Readonly<Record<keyof T, 'number' | 'string'>>,
): T | undefined {
  try {
    const value = JSON.parse(line) as Partial<Record<string, unknown>> | null;
    const complete = Object.entries(fields).every(([field, type]) => typeof value?.[field] === type);
    return complete ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}
