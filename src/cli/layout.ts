/** Text laid out for a person. */

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ''))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  );
}

/** `confidential · legal, heron`. */
export function labelText({
  level,
  compartments,
}: {
  level: string | null;
  compartments: readonly string[];
}): string {
  return [level ?? 'no level', ...(compartments.length === 0 ? [] : [compartments.join(', ')])].join(' · ');
}

export function indented(text: string, by: string): readonly string[] {
  return text.split(/\r\n|[\n\r]/).map((line) => `${by}${line}`.trimEnd());
}

/** Commas between, blanks around taken away, empty names left out. */
export function commaList(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** In characters, not code units. */
function widthOf(text: string): number {
  return [...text].length;
}
