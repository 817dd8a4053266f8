import { stemmer } from '@orama/stemmers/english';

// Porter's step 4 takes -ion from a stem that ends in s or t and has a measure above 1. The library takes the s
// or t as well, so that `connection` and `connect` would not meet. (-ation is the business of his step 2.)
const ION = /^(?:(.+[^a]t)ion(?:s|al)?|(.+s)ions?)$/;
const VOWELS = '[aeiouy][aeiou]*';
const CONSONANTS = '[^aeiou][^aeiouy]*';
const MEASURE_ABOVE_1 = new RegExp(`^(?:${CONSONANTS})?(?:${VOWELS}${CONSONANTS}){2}`);

/** The stem of an English word in lower case (Porter, "An algorithm for suffix stripping", 1980). */
export function stem(word: string): string {
  const match = ION.exec(word);
  const base = match?.[1] ?? match?.[2];
  return stemmer(base !== undefined && MEASURE_ABOVE_1.test(base) ? base : word);
}
