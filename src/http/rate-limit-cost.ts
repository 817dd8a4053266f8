/** What an answer costs its caller: counted where answers come from, so that no page or route can forget it. */
import type { CallerIdentity } from '../store/authority.ts';
import { costKey, type RequestLimits } from './rate-limit-requests.ts';
import type { Caller, Services } from './services.ts';

/** One for the request and one for each answer in it. */
const perAnswer = ({ length }: readonly unknown[]) => 1 + length;

interface Labelled {
  readonly label: { readonly level: string };
}

/**
 * The services, with answers that are counted. Before a question there must be room; afterwards its cost is what the
 * caller was sent and nothing else: one, and for each passage one more and another for each level above the lowest.
 * @param levels names, lowest first
 */
export function chargedServices(services: Services, to: RequestLimits, levels: readonly string[]): Services {
  const charged: Charge = async (identity, answer, costOf) => {
    const { limits } = to;
    const key = costKey(identity);
    await limits.requireRoom('cost', key);
    const given = await answer();
    await limits.charge('cost', key, costOf(given));
    return given;
  };
  const weight = ({ label }: Labelled) => 1 + rankOf(label.level, levels);
  const sum = (items: readonly Labelled[]) => items.reduce((total, item) => total + weight(item), 1);
  return {
    ...services,
    retrieve: (identity, request) =>
      charged(
        identity,
        () => services.retrieve(identity, request),
        ({ content }) => sum(content.passages),
      ),
    readDocument: (identity, request) =>
      charged(
        identity,
        () => services.readDocument(identity, request),
        ({ content }) => 1 + content.passages.length * weight(content),
      ),
    decisions: chargedDecisions(services.decisions, charged),
    listDocuments: (identity, request) =>
      charged(
        identity,
        () => services.listDocuments(identity, request),
        ({ content }) => sum(content.documents),
      ),
  };
}

type Charge = <T>(
  identity: CallerIdentity,
  answer: () => Promise<T>,
  costOf: (answer: T) => number,
) => Promise<T>;

function chargedDecisions(decisions: Services['decisions'], charged: Charge): Services['decisions'] {
  const search =
    <A, P, R extends { readonly results: readonly unknown[] }>(
      found: (caller: Caller, asked: A, page: P) => Promise<R>,
    ) =>
    (caller: Caller, asked: A, page: P) =>
      charged(
        caller.identity,
        () => found(caller, asked, page),
        ({ results }) => perAnswer(results),
      );
  return {
    evaluate: (caller, asked, semantic) =>
      charged(caller.identity, () => decisions.evaluate(caller, asked, semantic), perAnswer),
    searchSubjects: search(decisions.searchSubjects),
    searchResources: search(decisions.searchResources),
    searchActions: search(decisions.searchActions),
  };
}

/** A level that is not known counts as one above the highest. */
function rankOf(level: string, levels: readonly string[]): number {
  const rank = levels.indexOf(level);
  return rank === -1 ? levels.length : rank;
}
