/**
 * AuthZEN’s public interoperability cases, all of them: 43 of the todo scenario and
 * 198 of the search scenario. `decide()` answers each; see test/fixtures/authzen and test/helpers/authzen.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestApp } from '../helpers/app.ts';
import { openInteropApp, PEOPLE, SEARCHES, type SearchCase, TODO } from '../helpers/authzen.ts';

let app: TestApp;
beforeAll(async () => {
  app = await openInteropApp();
}, 120_000);
afterAll(() => app.close());

const post = async (path: string, body: object) => {
  const answer = await app.ask('root', 'POST', `/access/v1/${path}`, body);
  expect(answer.status, answer.text).toBe(200);
  return answer.json;
};
const who = (id = '') => PEOPLE[id] ?? id;
const short = (id = '') => id.split('@')[0] ?? id;
const numbered = <T>(cases: readonly T[], name: (one: T) => string) =>
  cases.map((one, i) => [`${String(i + 1).padStart(3, '0')} ${name(one)}`, one] as const);

describe('evaluation', () => {
  const cases = numbered(
    TODO.evaluation,
    ({ request: { subject, action, resource }, expected }) =>
      `${who(subject.id)} ${action.name} ${short(resource.id)}: ${expected}`,
  );
  it.each(cases)('%s', async (_, { request, expected }) => {
    expect(await post('evaluation', request)).toEqual({ decision: expected });
  });
});

describe('evaluations', () => {
  const cases = numbered(
    TODO.evaluations,
    ({ request: { subject, action, evaluations } }) =>
      `${who(subject.id)} ${action.name} ${evaluations.map(({ resource }) => resource.id.slice(-3)).join(', ')}`,
  );
  it.each(cases)('%s', async (_, { request, expected }) => {
    // the public runner compares the text, so nothing may stand beside the decisions
    expect(await post('evaluations', request)).toEqual({ evaluations: expected });
  });
});

/** In any order, as the public runner compares them. */
const sorted = (results: unknown) => (results as object[]).map((one) => JSON.stringify(one)).sort();

async function check(endpoint: string, { request, expected }: SearchCase): Promise<void> {
  const { results, page } = await post(`search/${endpoint}`, request);
  expect(sorted(results)).toEqual(sorted(expected.results));
  expect(page).toEqual({ next_token: '', count: expected.results.length });
}

describe('search/subject', () => {
  const cases = numbered(
    SEARCHES.subject,
    ({ request }) => `who may ${request.action?.name} ${request.resource.id}`,
  );
  it.each(cases)('%s', (_, one) => check('subject', one));
});

describe('search/resource', () => {
  const cases = numbered(
    SEARCHES.resource,
    ({ request }) => `what may ${request.subject.id} ${request.action?.name}`,
  );
  it.each(cases)('%s', (_, one) => check('resource', one));
});

describe('search/action', () => {
  const cases = numbered(
    SEARCHES.action,
    ({ request }) => `what may ${request.subject.id} do to ${request.resource.id}`,
  );
  it.each(cases)('%s', (_, one) => check('action', one));
});

it('are as many as were published', () => {
  expect(TODO.evaluation.length + TODO.evaluations.length).toBe(43);
  expect(SEARCHES.subject.length + SEARCHES.resource.length + SEARCHES.action.length).toBe(198);
});
