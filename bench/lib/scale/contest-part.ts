/** The contest, the steps of a question and recall: one data set. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Embedder } from '../../../src/embed/embedder.ts';
import { calibrate } from './calibrate.ts';
import { type Contest, openContest } from './contest.ts';
import { contestVerdicts, EASY, HARD, isEasy, latencyTable, throughputTable } from './contest-report.ts';
import { questionsOf } from './corpus.ts';
import { type DataSet, openDataSet } from './data-set.ts';
import { type CallerTimes, isHard, timeCaller } from './latency.ts';
import type { Reader } from './layout.ts';
import { memoryOf, memoryTable } from './memory.ts';
import { measureRecall, recallTable, recallVerdicts } from './recall.ts';
import { recordSearches } from './record.ts';
import { measureThroughput, saturate, type Throughput } from './saturation.ts';
import type { Section, Sizes } from './section.ts';
import { fullSpec } from './spec.ts';
import { measureSteps, stepsTable } from './steps.ts';

interface ContestFigures {
  readonly checker: string;
  readonly callers: readonly CallerTimes[];
  readonly throughput: readonly Throughput[];
}

/** Contest, steps and recall share one data set. */
export async function runContest(
  embedder: Embedder,
  parts: ReadonlySet<string>,
  size: Sizes,
): Promise<readonly Section[]> {
  const data = await openDataSet(fullSpec(size.chunks), embedder, {
    fresh: size.fresh,
    withUnprotected: true,
  });
  try {
    const sections = [await preparation(data, size.fresh)];
    const questions = questionsOf(data.pieces, size.questions);
    const readers = data.layout.readers.filter(({ kind }) => kind !== 'fixed' && kind !== 'groups');
    const served = new Map<string, number>();
    if (parts.has('contest')) {
      const section = await contest(data, readers, questions, size.turnMs);
      sections.push(section);
      for (const { caller, times } of section.figures.callers)
        if (times.bulkhead !== undefined) served.set(caller, times.bulkhead.p50);
    }
    if (parts.has('steps')) sections.push(await steps(data, questions, served));
    if (parts.has('recall')) sections.push(await recall(data, readers, questions));
    return sections;
  } finally {
    await data.close();
  }
}

async function preparation(data: DataSet, fresh: boolean): Promise<Section> {
  const calibration = await calibrate(data, fresh);
  const { spec, layout, stores } = data;
  const memory = await memoryOf(data);
  return {
    title: 'What it runs on',
    text: `PostgreSQL ${stores.versions.postgres}, Qdrant ${stores.versions.qdrant}, on this machine with everything else. ${spec.chunks} chunks of
about ${spec.words} words in ${spec.classes} classes below ${layout.containers.length} containers; vectors are put together from those of real
sentences, questions are real ones, and classes are random to content, which is harder than life. Qdrant holds the
vectors twice: Bulkhead's collection without text, and one with text for the others.

${memoryTable([memory])}

${calibration === undefined ? 'The planner rests on an earlier calibration of this data.' : `What the planner's calibration measured:\n\n${calibration}`}`,
    verdicts: [],
    figures: { spec, versions: stores.versions, memory },
  };
}

async function contest(
  data: DataSet,
  readers: readonly Reader[],
  questions: readonly string[],
  turnMs: number,
): Promise<Section & { readonly figures: ContestFigures }> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-searches-'));
  const file = join(folder, 'searches.ndjson');
  const hard = readers.filter(isHard);
  await recordSearches(
    data,
    hard.map(({ name }) => name),
    questions,
    file,
  );
  const opened = await openContest(data, file);
  try {
    const warmUpMs = Math.min(COMPILING_MS, 18 * turnMs);
    await warmUp(opened, readers, questions, warmUpMs);
    const callers: CallerTimes[] = [];
    for (const reader of readers) {
      console.error(`Asking as ${reader.name}`);
      callers.push(await timeCaller(opened, data, reader, questions));
    }
    const throughput: Throughput[] = [];
    const easy = readers.filter(isEasy).map(({ name }) => name);
    for (const mix of [
      { name: EASY, callers: easy, contestants: ['unprotected', 'bulkhead'] as const },
      {
        name: HARD,
        callers: hard.map(({ name }) => name),
        contestants: ['unprotected', 'bare', 'bulkhead'] as const,
      },
      {
        name: 'sees all',
        callers: ['all'],
        contestants: ['unprotected', 'bulkhead', 'post-filter'] as const,
      },
    ]) {
      console.error(`At saturation: ${mix.name}`);
      throughput.push(...(await measureThroughput(opened, mix, questions, turnMs)));
    }
    return {
      title: 'Three contestants',
      text: contestText(opened.checker, callers, throughput, warmUpMs),
      verdicts: contestVerdicts(callers, throughput),
      figures: { checker: opened.checker, callers, throughput },
    };
  } finally {
    await opened.close();
    rmSync(folder, { recursive: true });
  }
}

/**
 * V8 went on compiling for the first ten thousand answers of the largest contestant, on threads of its own that took a
 * tenth of its processor time until then.
 */
const COMPILING_MS = 90_000;
const AT_ONCE = 8;

/** Neither a disk that was read nor a function that was compiled for the first time is anybody's merit or fault. */
async function warmUp(
  contest: Contest,
  readers: readonly Reader[],
  questions: readonly string[],
  ms: number,
): Promise<void> {
  const { contestants } = contest;
  console.error(`Warming up: each contestant for ${ms / 1000} s`);
  // the first search of a part of an index reads it from disk
  for (const question of questions)
    for (const [name, contestant] of contestants) if (name !== 'bare') await contestant.ask('all', question);
  for (const name of contestants.keys()) {
    const asked = name === 'bare' ? readers.filter(isHard) : readers.filter(isEasy);
    // who post-filters would be asked ten questions in that time as somebody who sees little
    const callers = name === 'post-filter' ? ['all'] : asked.map((reader) => reader.name);
    await saturate(contest, name, callers, questions, AT_ONCE, ms);
  }
}

function contestText(
  checker: string,
  callers: readonly CallerTimes[],
  throughput: readonly Throughput[],
  warmUpMs: number,
): string {
  const checks =
    checker === 'memory'
      ? 'There was no OpenFGA: its checks are looked up in memory at no cost, the best case for it.'
      : `Its checks are made by ${checker} on the same PostgreSQL.`;
  return `(a) asks nobody's permission: the same embedding, the same two searches 200 deep, fused by Qdrant, text in the payload.
(b) is Bulkhead with everything on: tokens, visible sets, planner, row-level security, decisions, redaction, durable
receipts. (c) is LangChain.js, which fetches 40 candidates and four times as many whenever fewer than ten pass, 10,240 at
most, dense search alone; "c found" is how many passages it then has. ${checks}
"bare" makes Bulkhead's own searches again, filter and plan included, and nothing else. All are servers of the same kind
in processes of their own, asked in a new order each question, by one client on the same machine; milliseconds at the
client, after each was asked at saturation for ${warmUpMs / 1000} s, in which V8 compiles most of what it will ((c) by the reader of
everything alone, which in that time is a tenth of the others' answers). Cold: the first question of a caller of whom
nothing is known yet.

${latencyTable(callers)}

At saturation, contestants in turns; CPU is processor time that an answer took, in milliseconds of one core:

${throughputTable(throughput)}`;
}

async function steps(
  data: DataSet,
  questions: readonly string[],
  served: ReadonlyMap<string, number>,
): Promise<Section> {
  console.error('Steps of a question');
  const callers = ['all', 'c10', 'c1', 's10', 's1', 's0.1'];
  const results = await measureSteps(data, callers, questions);
  return {
    title: 'Where the time goes',
    text: `Medians in milliseconds, within one process, from outside. Authorizing and embedding run beside each other.

${stepsTable(results, served)}`,
    verdicts: [],
    figures: results,
  };
}

async function recall(
  data: DataSet,
  readers: readonly Reader[],
  questions: readonly string[],
): Promise<Section> {
  const results = await measureRecall(data, readers, questions);
  return {
    title: 'Recall',
    text: `Against an exact search of the visible chunks in plain TypeScript. Searches went through a recording proxy, which costs
each about a millisecond.

${recallTable(results)}`,
    verdicts: recallVerdicts(results),
    figures: results,
  };
}
