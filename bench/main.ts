/**
 * `npm run bench`: time and memory of the embedded default, everything as a ratio within one run. `--quick` for a
 * tenth of the chunks.
 */

import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { copyOf, openFolder } from './lib/data-folder.ts';
import { timeIdentity } from './lib/identity-cost.ts';
import { timeIngest, timeQueriesDuringIngest } from './lib/ingest-rate.ts';
import { describeMachine, machineLine } from './lib/machine.ts';
import { timeQueries } from './lib/query-times.ts';
import { writeResults } from './lib/results.ts';
import { measureMemory, timeFirstStart, timeStart } from './lib/server-times.ts';
import { sourceTexts } from './lib/source-texts.ts';
import { questionsFrom, spineFolder } from './lib/spine-folder.ts';
import { type Figures, isAllMet, reportText, rowsOf } from './lib/spine-report.ts';

const { values: options } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const CHUNKS = options.quick ? 2_000 : 20_000;
const QUESTIONS = options.quick ? 40 : 120;
/** About three chunks each. */
const INGESTED_DOCUMENTS = options.quick ? 120 : 600;
const WARM_UP = 15;

await main();

async function main(): Promise<void> {
  const machine = describeMachine();
  const folder = await spineFolder(CHUNKS);
  const questions = questionsFrom(sourceTexts(), QUESTIONS, 3);
  const figures: Figures = {
    chunks: CHUNKS,
    ...(await measureInProcess(folder, questions)),
    start: await step('starting', () => timeStart(folder)),
    firstStart: await step('first start', timeFirstStart),
    memory: await step('memory', () => measureMemory(folder, questions, INGESTED_DOCUMENTS)),
  };
  const text = reportText(machineLine(machine), figures);
  console.log(text);
  const name = options.quick ? 'spine-quick' : 'spine';
  console.log(`Kept in ${writeResults(name, machine.at, { machine, rows: rowsOf(figures), figures }, text)}`);
  if (!isAllMet(figures)) process.exitCode = 1;
}

async function measureInProcess(
  folder: string,
  questions: readonly string[],
): Promise<Pick<Figures, 'queries' | 'identity' | 'ingest' | 'mixed'>> {
  const copy = copyOf(folder);
  const { core, close } = await openFolder(copy);
  try {
    await timeQueries(core, 'all', questions.slice(0, WARM_UP));
    return {
      queries: [
        await step('queries, the reader who sees all', () => timeQueries(core, 'all', questions)),
        await step('queries, the reader who sees a tenth', () => timeQueries(core, 'tenth', questions)),
      ],
      identity: await step('identity and authorization', () => timeIdentity(core, questions)),
      ingest: await step('ingest', () => timeIngest(core, INGESTED_DOCUMENTS)),
      mixed: await step('queries during ingest', () =>
        timeQueriesDuringIngest(core, questions, INGESTED_DOCUMENTS),
      ),
    };
  } finally {
    await close();
    rmSync(copy, { recursive: true, force: true });
  }
}

async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  console.error(`Measuring: ${title}`);
  return work();
}
