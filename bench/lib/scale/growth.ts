/** How a question's time grows with chunks, classes and groups while what the caller sees stays as it is. */
import type { Embedder } from '../../../src/embed/embedder.ts';
import { percentile } from '../measures.ts';
import { table } from '../table.ts';
import { calibrate } from './calibrate.ts';
import { type BulkheadServer, startBulkhead } from './contest.ts';
import { questionsOf } from './corpus.ts';
import { type DataSet, openDataSet } from './data-set.ts';
import { freshCallers, GROUP_COUNTS, memberOfMany } from './layout.ts';
import { type Memory, memoryOf } from './memory.ts';
import type { DataSpec } from './spec.ts';
import { atMost, type Verdict } from './verdict.ts';

export interface GrowthStep {
  readonly size: number;
  readonly p50: number;
  readonly p95: number;
  /** First questions of callers of whom nothing is cached. */
  readonly coldP50: number;
  readonly memory: Memory | undefined;
}

const FIXED_CHUNKS = 2_000;
const CHUNKS_PER_CLASS = 100;
/** Texts are shorter here than elsewhere, so that a million of them are loaded in half an hour. */
const WORDS = 60;
const WARM_UP = 5;
const SHARE_OF_CLASSES = 0.1;

/** So many chunks that the caller does not see, and 2,000 that they do. */
export function chunkSpec(unseen: number): DataSpec {
  const chunks = unseen + FIXED_CHUNKS;
  return {
    chunks,
    classes: chunks / CHUNKS_PER_CLASS,
    words: WORDS,
    fixedChunks: FIXED_CHUNKS,
    layout: 'simple',
  };
}

/** The caller sees a tenth of the chunks, which is a tenth of the classes. */
export function classSpec(chunks: number, classes: number): DataSpec {
  return { chunks, classes, words: WORDS, fixedChunks: chunks * SHARE_OF_CLASSES, layout: 'simple' };
}

interface Opened {
  readonly size: number;
  readonly data: DataSet;
  readonly server: BulkheadServer;
}

/** All sizes at a time, asked in turn: what the machine does besides falls on all of them. */
export async function measureGrowth(
  specs: readonly { readonly size: number; readonly spec: DataSpec }[],
  embedder: Embedder,
  count: number,
  fresh: boolean,
): Promise<readonly GrowthStep[]> {
  const opened: Opened[] = [];
  try {
    for (const { size, spec } of specs) {
      const data = await openDataSet(spec, embedder, { fresh, withUnprotected: false, own: true });
      try {
        await calibrate(data, fresh);
        opened.push({ size, data, server: await startBulkhead(data) });
      } catch (error) {
        await data.close();
        throw error;
      }
    }
    const pieces = opened[0]?.data.pieces;
    if (pieces === undefined) return [];
    return await askInTurn(opened, 'fixed', questionsOf(pieces, count));
  } finally {
    for (const { server, data } of opened) {
      await server.close();
      await data.close();
    }
  }
}

async function askInTurn(
  opened: readonly Opened[],
  caller: string,
  questions: readonly string[],
): Promise<readonly GrowthStep[]> {
  const cold = opened.map(() => [] as number[]);
  const warm = opened.map(() => [] as number[]);
  for (const { server } of opened)
    for (const question of questions.slice(0, WARM_UP)) await server.contestant.ask('all', question);
  for (const [turn, fresh] of freshCallers(caller).entries())
    for (const [i, { server }] of opened.entries())
      cold[i]?.push((await server.contestant.ask(fresh, questions[turn % questions.length] ?? '')).ms);
  for (const [turn, question] of questions.entries())
    for (let k = 0; k < opened.length; k += 1) {
      const i = (turn + k) % opened.length;
      const asked = await opened[i]?.server.contestant.ask(caller, question);
      if (asked !== undefined && turn >= WARM_UP) warm[i]?.push(asked.ms);
    }
  const steps: GrowthStep[] = [];
  for (const [i, { size, data }] of opened.entries())
    steps.push({ ...timesOf(warm[i] ?? [], cold[i] ?? []), size, memory: await memoryOf(data) });
  return steps;
}

/** Callers in more and more groups, all of which have an entry on one container, on one data set. */
export async function measureGroups(
  data: DataSet,
  questions: readonly string[],
): Promise<readonly GrowthStep[]> {
  const server = await startBulkhead(data);
  const cold = GROUP_COUNTS.map(() => [] as number[]);
  const warm = GROUP_COUNTS.map(() => [] as number[]);
  try {
    for (const question of questions.slice(0, WARM_UP)) await server.contestant.ask('all', question);
    for (let turn = 0; turn < freshCallers('').length; turn += 1)
      for (const [i, groups] of GROUP_COUNTS.entries()) {
        const fresh = freshCallers(memberOfMany(groups))[turn] ?? '';
        cold[i]?.push((await server.contestant.ask(fresh, questions[turn % questions.length] ?? '')).ms);
      }
    for (const [turn, question] of questions.entries())
      for (let k = 0; k < GROUP_COUNTS.length; k += 1) {
        const i = (turn + k) % GROUP_COUNTS.length;
        const asked = await server.contestant.ask(memberOfMany(GROUP_COUNTS[i] ?? 0), question);
        if (turn >= WARM_UP) warm[i]?.push(asked.ms);
      }
    return GROUP_COUNTS.map((size, i) => ({
      ...timesOf(warm[i] ?? [], cold[i] ?? []),
      size,
      memory: undefined,
    }));
  } finally {
    await server.close();
  }
}

function timesOf(warm: readonly number[], cold: readonly number[]) {
  return { p50: percentile(warm, 0.5), p95: percentile(warm, 0.95), coldP50: percentile(cold, 0.5) };
}

export function growthTable(what: string, steps: readonly GrowthStep[]): string {
  const first = steps[0]?.p50 ?? Number.NaN;
  return table(
    [what, 'p50 ms', 'p95 ms', 'of the first', 'cold p50 ms'],
    steps.map(({ size, p50, p95, coldP50 }) => [
      String(size),
      p50.toFixed(1),
      p95.toFixed(1),
      (p50 / first).toFixed(2),
      coldP50.toFixed(1),
    ]),
  );
}

export function growthVerdict(what: string, steps: readonly GrowthStep[], limit: number): Verdict {
  const [first, last] = [steps[0], steps.at(-1)];
  return atMost(
    `${what}, ${first?.size} to ${last?.size}: p50`,
    (last?.p50 ?? Number.NaN) / (first?.p50 ?? Number.NaN),
    limit,
    '×',
  );
}
