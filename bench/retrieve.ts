/**
 * `npm run bench:retrieve`: PostgreSQL and Qdrant beside who asks nobody's permission and what people build, over the
 * same vectors in one run; what is found; how it grows; what a revocation takes. `--help` tells the rest.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openEmbedder } from '../src/embed/embedder.ts';
import { PROJECT } from './lib/folders.ts';
import { describeMachine, machineLine } from './lib/machine.ts';
import { writeResults } from './lib/results.ts';
import { runContest } from './lib/scale/contest-part.ts';
import { runGroups, runGrowth, runRevocation } from './lib/scale/growth-part.ts';
import type { Part, Section } from './lib/scale/section.ts';
import { missingStores } from './lib/scale/stores.ts';
import { verdictRows } from './lib/scale/verdict.ts';
import { table } from './lib/table.ts';

const PARTS: readonly Part[] = ['contest', 'steps', 'recall', 'growth', 'groups', 'revocation'];
const HELP = `npm run bench:retrieve -- [options]

  --only <parts>       of ${PARTS.join(',')} (default: contest,steps,recall)
  --chunks <n>         of the contest, steps, recall and groups (default 200000); classes are half as many, at most 100000
  --max-chunks <n>     of growth and revocation (default 1000000)
  --questions <n>      per caller and contestant (default 100)
  --seconds <n>        one turn of a contestant at saturation (default 5)
  --quick              20000 chunks, 30 questions, 2 seconds, growth up to 100000
  --fresh              load again what an earlier run has loaded
  --out <name>         bench/results/<date>-<name>.md (default retrieve)
  --help

Stores: DATABASE_URL (a superuser of a throw-away server) or Debian's PostgreSQL; QDRANT_URL (QDRANT_API_KEY) of a
throw-away server, or QDRANT_BINARY, or qdrant on the PATH. Growth and revocation always start servers of their own.
Checks of the third contestant: OPENFGA_BINARY, or openfga on the PATH, else memory. Data is kept in the folder
bulkhead-bench of the temporary folder and used again; 200,000 chunks are loaded in about eight minutes, a million in
half an hour, on two cores.`;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'contest,steps,recall' },
    chunks: { type: 'string' },
    'max-chunks': { type: 'string' },
    questions: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    out: { type: 'string', default: 'retrieve' },
    help: { type: 'boolean', default: false },
  },
});

// an end in order, so that the servers end too
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

if (options.help) console.log(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const parts = new Set(options.only.split(',').map((name) => name.trim()));
  const unknown = [...parts].filter((name) => !PARTS.includes(name as Part));
  if (unknown.length > 0) throw new Error(`there is no part ${unknown.join(', ')}; see --help`);
  const own = parts.has('growth') || parts.has('revocation');
  const missing = missingStores({ own });
  if (missing.length > 0) {
    console.log(`SKIPPED: this needs two servers.\n${missing.join('\n')}`);
    return process.env.BULKHEAD_REQUIRE_STORES === 'true' ? 1 : 0;
  }
  const machine = describeMachine();
  const size = sizes();
  const embedder = await openEmbedder({
    manifestPath: join(PROJECT, 'models/all-MiniLM-L6-v2/manifest.json'),
    ingestWorkers: 1,
  });
  const sections: Section[] = [];
  try {
    if (['contest', 'steps', 'recall'].some((part) => parts.has(part)))
      sections.push(...(await runContest(embedder, parts, size)));
    if (parts.has('growth')) sections.push(...(await runGrowth(embedder, size)));
    if (parts.has('groups')) sections.push(await runGroups(embedder, size));
    if (parts.has('revocation')) sections.push(await runRevocation(embedder, size));
  } finally {
    await embedder.close();
  }
  return report(machineLine(machine), machine.at, sections);
}

function sizes() {
  const number = (text: string | undefined, quick: number, otherwise: number) =>
    text === undefined ? (options.quick ? quick : otherwise) : Number(text);
  return {
    chunks: number(options.chunks, 20_000, 200_000),
    maxChunks: number(options['max-chunks'], 100_000, 1_000_000),
    questions: number(options.questions, 30, 100),
    turnMs: 1_000 * number(options.seconds, 2, 5),
    fresh: options.fresh,
  };
}

function report(machine: string, at: string, sections: readonly Section[]): number {
  const verdicts = sections.flatMap((section) => section.verdicts);
  const text = `# Permission-aware retrieval on PostgreSQL and Qdrant

${machine}

${table(['', 'measured', 'target', 'met'], verdictRows(verdicts))}
${sections.map(({ title, text: body }) => `\n## ${title}\n\n${body}\n`).join('')}`;
  console.log(text);
  console.log(`Kept in ${writeResults(options.out, at, sections, text)}`);
  return verdicts.every(({ met }) => met) ? 0 : 1;
}
