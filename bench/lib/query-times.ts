/** How long a query takes, whole and by stage, beside what it cannot do without. All in milliseconds. */
import { randomUUID } from 'node:crypto';
import type { Core } from '../../src/assembly/core.ts';
import { authorizeQuery } from '../../src/retrieve/1-authorize.ts';
import { search } from '../../src/retrieve/3-search.ts';
import { releaseWithReceipt } from '../../src/retrieve/6-release.ts';
import { composeAnswer, guardedDocuments, receiptOf } from '../../src/retrieve/answer.ts';
import { judgeBest } from '../../src/retrieve/judge.ts';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import type { RetrieveRequest } from '../../src/retrieve/stages.ts';
import { bareSearch } from './bare-search.ts';
import type { ReaderName } from './dealing.ts';
import { embeddedQuestion } from './embedded-question.ts';
import { percentile } from './measures.ts';
import { TENANT } from './spine-folder.ts';
import { asSuperuser } from './superuser.ts';
import { identityOf } from './tenant.ts';

const DEPTH = 200;
const LIMIT = 10;
const STAGES = [
  'authorize',
  'embed',
  'search',
  'hydrate and decide',
  'redact and compose',
  'receipt',
] as const;
type Stage = (typeof STAGES)[number];

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
}

export interface QueryTimes {
  readonly reader: ReaderName;
  readonly classes: number;
  readonly embed: Percentiles;
  readonly bare: Percentiles;
  readonly retrieve: Percentiles;
  /** Medians, each stage run by itself after the other. */
  readonly stages: Readonly<Record<Stage, number>>;
}

/** Asks every question three ways, in turn, so that whatever else the machine does falls on all alike. */
export async function timeQueries(
  core: Core,
  reader: ReaderName,
  questions: readonly string[],
): Promise<QueryTimes> {
  const times = { embed: [] as number[], bare: [] as number[], retrieve: [] as number[] };
  const stages: Record<Stage, number[]>[] = [];
  for (const question of questions) {
    times.embed.push(await timed(() => core.embedder.embedQuery(question)));
    times.bare.push(await timeBareSearch(core, question));
    times.retrieve.push(await timeRetrieve(core, reader, question));
    stages.push(await timeStages(core, reader, question));
  }
  const { searched } = await authorizeQuery(core.retrieve, identityOf(TENANT, reader), {});
  return {
    reader,
    classes: searched.kind === 'nothing' ? 0 : searched.size,
    embed: percentiles(times.embed),
    bare: percentiles(times.bare),
    retrieve: percentiles(times.retrieve),
    stages: Object.fromEntries(
      STAGES.map((stage) => [
        stage,
        percentile(
          stages.flatMap((one) => one[stage]),
          0.5,
        ),
      ]),
    ) as Record<Stage, number>,
  };
}

export function timeRetrieve(core: Core, reader: ReaderName, question: string): Promise<number> {
  return timed(() => retrieve(core.retrieve, identityOf(TENANT, reader), requestFor(question)));
}

async function timeBareSearch(core: Core, question: string): Promise<number> {
  const statement = bareSearch(await embeddedQuestion(core.embedder, question), DEPTH);
  return asSuperuser(core.database, (query) => timed(() => query(statement)));
}

async function timeStages(
  { retrieve: parts }: Core,
  reader: ReaderName,
  question: string,
): Promise<Record<Stage, number[]>> {
  const times = Object.fromEntries(STAGES.map((stage) => [stage, []])) as unknown as Record<Stage, number[]>;
  const stage = async <T>(name: Stage, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await work();
    times[name].push(performance.now() - began);
    return result;
  };
  const request = requestFor(question);
  const identity = identityOf(TENANT, reader);
  const authorized = await stage('authorize', () => authorizeQuery(parts, identity, request.filters));
  const prepared = await stage('embed', () => embeddedQuestion(parts.embedder, question));
  const searched = await stage('search', () => search(parts.index, authorized, prepared));
  const judged = await stage('hydrate and decide', () =>
    judgeBest(parts.database, parts.scheme, authorized, searched, request.limit),
  );
  const answer = await stage('redact and compose', () => composeAnswer(parts, authorized, request, judged));
  const receipt = receiptOf(parts, authorized, request, judged, answer);
  await stage('receipt', () =>
    releaseWithReceipt(parts.audit, authorized.authority, receipt, guardedDocuments(judged), answer),
  );
  return times;
}

function requestFor(query: string): RetrieveRequest {
  return { requestId: randomUUID(), query, limit: LIMIT, filters: {} };
}

export function percentiles(values: readonly number[]): Percentiles {
  return { p50: percentile(values, 0.5), p95: percentile(values, 0.95) };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
