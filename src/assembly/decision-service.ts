import { type DecisionParts, evaluate } from '../admin/decision-point.ts';
import { searchActions, searchResources, searchSubjects } from '../admin/decision-search.ts';
import type { Vocabulary } from '../admin/decision-vocabulary.ts';
import type { Services } from '../http/services.ts';

/** The decision point on these parts; without them it fails, and no route that this process serves leads to it. */
export function decisionService(
  admin: () => Omit<DecisionParts, 'vocabulary'>,
  vocabulary: Vocabulary,
): Services['decisions'] {
  const bound =
    <A extends unknown[], R>(operation: (parts: DecisionParts, ...rest: A) => Promise<R>) =>
    async (...rest: A): Promise<R> =>
      operation({ ...admin(), vocabulary }, ...rest);
  return {
    evaluate: bound(evaluate),
    searchSubjects: bound(searchSubjects),
    searchResources: bound(searchResources),
    searchActions: bound(searchActions),
  };
}
