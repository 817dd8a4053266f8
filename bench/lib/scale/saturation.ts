/** How many questions a second are answered when as many are asked at once as the machine can bear. */
import { percentile } from '../measures.ts';
import type { Contest, ContestantName } from './contest.ts';
import { addTime, type CpuTime, cpuTime, NO_TIME, timeBetween } from './cpu.ts';

export interface Throughput {
  readonly mix: string;
  readonly concurrency: number;
  readonly contestant: ContestantName;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
  /** Of all questions together. */
  readonly cpu: CpuTime;
  readonly answers: number;
}

export interface Mix {
  readonly name: string;
  /** Each asks as often as the others. */
  readonly callers: readonly string[];
  readonly contestants: readonly ContestantName[];
}

const CONCURRENCIES = [8, 32];
/** Contestants take turns of this length. */
const ROUNDS = 3;

export async function measureThroughput(
  contest: Contest,
  mix: Mix,
  questions: readonly string[],
  turnMs: number,
): Promise<readonly Throughput[]> {
  const results: Throughput[] = [];
  for (const concurrency of CONCURRENCIES) {
    const seen = new Map(
      mix.contestants.map((name) => [name, { ms: [] as number[], elapsed: 0, failed: 0, cpu: NO_TIME }]),
    );
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [name, sum] of seen) {
        const turn = await saturate(contest, name, mix.callers, questions, concurrency, turnMs);
        sum.ms.push(...turn.ms);
        sum.elapsed += turn.elapsed;
        sum.failed += turn.failed;
        sum.cpu = addTime(sum.cpu, turn.cpu);
      }
    for (const [contestant, { ms, elapsed, failed, cpu }] of seen)
      results.push({
        mix: mix.name,
        concurrency,
        contestant,
        perSecond: (ms.length / elapsed) * 1000,
        p50: percentile(ms, 0.5),
        p99: percentile(ms, 0.99),
        failed,
        cpu,
        answers: ms.length,
      });
  }
  return results;
}

interface Turn {
  readonly ms: readonly number[];
  readonly elapsed: number;
  readonly failed: number;
  readonly cpu: CpuTime;
}

/** Asks, so many at once, until the time is over; those under way then are waited for and counted. */
export async function saturate(
  contest: Contest,
  name: ContestantName,
  callers: readonly string[],
  questions: readonly string[],
  concurrency: number,
  turnMs: number,
): Promise<Turn> {
  const contestant = contest.contestants.get(name);
  if (contestant === undefined) throw new Error(`there is no ${name}`);
  for (const caller of callers) await contestant.ask(caller, questions[0] ?? '');
  const ms: number[] = [];
  const before = cpuTime();
  const began = performance.now();
  let next = 0;
  let failed = 0;
  const asker = async () => {
    while (performance.now() - began < turnMs) {
      const i = next;
      next += 1;
      const caller = callers[i % callers.length] ?? '';
      const question = questions[Math.floor(i / callers.length) % questions.length] ?? '';
      const asked = await contestant.ask(caller, question);
      if (asked.failed === undefined) ms.push(asked.ms);
      else failed += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, asker));
  const elapsed = performance.now() - began;
  return { ms, elapsed, failed, cpu: timeBetween(before, cpuTime()) };
}
