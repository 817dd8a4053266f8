/**
 * Every match of a global pattern that never matches nothing, in order. Unlike `matchAll`, which copies and compiles the
 * pattern for each text, this uses the one pattern again: it is at its beginning whenever a search begins, whatever an
 * earlier search left, and no other search by it begins before this one ends.
 */
export function matches(pattern: RegExp, text: string): readonly RegExpExecArray[] {
  const found: RegExpExecArray[] = [];
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) found.push(match);
  return found;
}
