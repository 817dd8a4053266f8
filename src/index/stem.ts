import porter2 from 'wink-porter2-stemmer';

/** The Snowball stem of an English word in lower case (Porter, "The English (Porter2) stemming algorithm", 2001). */
export function stem(word: string): string {
  return porter2(word);
}
