/** The figures of one run beside their targets. */
import type { IdentityCost } from './identity-cost.ts';
import type { IngestRates, QueriesDuringIngest } from './ingest-rate.ts';
import type { QueryTimes } from './query-times.ts';
import type { ServerMemory, StartTimes } from './server-times.ts';
import { table } from './table.ts';

export interface Figures {
  readonly chunks: number;
  readonly queries: readonly QueryTimes[];
  readonly identity: IdentityCost;
  readonly ingest: IngestRates;
  readonly mixed: QueriesDuringIngest;
  readonly start: StartTimes;
  /** Seconds. */
  readonly firstStart: number;
  readonly memory: ServerMemory;
}

interface Row {
  readonly what: string;
  readonly measured: string;
  readonly against: string;
  /** Or the figure itself, where the target is absolute. */
  readonly ratio: number;
  readonly target: number;
  readonly isAtLeast: boolean;
}

const TARGETS = { query: 1.5, identity: 1, ingest: 0.8, ready: 5, firstStart: 60, mixed: 3, memory: 900 };

export function rowsOf({
  queries,
  identity,
  ingest,
  mixed,
  start,
  firstStart,
  memory,
}: Figures): readonly Row[] {
  const atMost = (what: string, measured: string, against: string, ratio: number, target: number): Row => ({
    what,
    measured,
    against,
    ratio,
    target,
    isAtLeast: false,
  });
  const absolute = (what: string, value: number, unit: string, target: number) =>
    atMost(what, `${value.toFixed(1)} ${unit}`, '', value, target);
  return [
    ...queries.map(({ reader, classes, retrieve, embed, bare }) =>
      atMost(
        `retrieve, p50, reader of ${reader} (${classes} classes)`,
        `${retrieve.p50.toFixed(1)} ms`,
        `embedding ${embed.p50.toFixed(1)} + bare search ${bare.p50.toFixed(1)} ms`,
        retrieve.p50 / (embed.p50 + bare.p50),
        TARGETS.query,
      ),
    ),
    atMost(
      'identity and authorization add to embedding, p50, ms',
      `${identity.both.p50.toFixed(2)} ms`,
      `embedding alone ${identity.embedding.p50.toFixed(2)} ms`,
      identity.both.p50 - identity.embedding.p50,
      TARGETS.identity,
    ),
    {
      what: `ingest of ${ingest.chunks} chunks`,
      measured: `${ingest.ingest.toFixed(1)} chunks/s`,
      against: `embedding alone ${ingest.embedding.toFixed(1)} chunks/s`,
      ratio: ingest.ingest / ingest.embedding,
      target: TARGETS.ingest,
      isAtLeast: true,
    },
    absolute('ready on an existing data folder', start.ready, 's', TARGETS.ready),
    absolute('ready after kill -9', start.readyAfterKill, 's', TARGETS.ready),
    absolute('first start, fixtures ingested', firstStart, 's', TARGETS.firstStart),
    atMost(
      'query during ingest, p50',
      `${mixed.during.p50.toFixed(1)} ms`,
      `at rest ${mixed.atRest.p50.toFixed(1)} ms`,
      mixed.during.p50 / mixed.atRest.p50,
      TARGETS.mixed,
    ),
    absolute('memory, peak', memory.peak, 'MiB', TARGETS.memory),
  ];
}

export function isAllMet(figures: Figures): boolean {
  return rowsOf(figures).every(isMet);
}

function isMet({ ratio, target, isAtLeast }: Row): boolean {
  return isAtLeast ? ratio >= target : ratio <= target;
}

export function reportText(machine: string, figures: Figures): string {
  const rows = rowsOf(figures).map((row) => [
    row.what,
    row.measured,
    row.against,
    row.ratio.toFixed(2),
    `${row.isAtLeast ? '≥' : '≤'} ${row.target}`,
    isMet(row) ? 'yes' : 'NO',
  ]);
  return `# Speed and memory of the embedded default, ${figures.chunks} chunks

${machine}

${table(['', 'measured', 'against', 'ratio', 'target', 'met'], rows)}

${queryText(figures)}
${otherText(figures)}
`;
}

/** Where the time of a query goes. */
function queryText({ queries }: Figures): string {
  const head = [
    'reader',
    'whole p50',
    'p95',
    ...Object.keys(queries[0]?.stages ?? {}),
    'embedding p95',
    'bare p95',
  ];
  const rows = queries.map(({ reader, retrieve, stages, embed, bare }) =>
    [reader, retrieve.p50, retrieve.p95, ...Object.values(stages), embed.p95, bare.p95].map((cell) =>
      typeof cell === 'number' ? cell.toFixed(1) : cell,
    ),
  );
  const dominating = queries.map(({ reader, stages }) => {
    const [stage = '', ms = 0] = Object.entries(stages).sort(([, a], [, b]) => b - a)[0] ?? [];
    const whole = Object.values(stages).reduce((sum, value) => sum + value, 0);
    return `for the reader of ${reader} ${stage}, ${((100 * ms) / whole).toFixed(0)} %`;
  });
  return `Milliseconds of a query, each stage by its median (authorize and embed run beside each other in \`retrieve\`):

${table(head, rows)}

What dominates: ${dominating.join('; ')}.`;
}

function otherText({ identity, ingest, mixed, memory }: Figures): string {
  return `By themselves, the token seen before takes ${identity.authenticate.p50.toFixed(3)} ms (p95 ${identity.authenticate.p95.toFixed(3)}) and authorizing ${identity.authorize.p50.toFixed(2)} ms (p95 ${identity.authorize.p95.toFixed(2)}).
During ingest the main thread, which is also the database, was busy ${(100 * ingest.busy).toFixed(0)} % of the time; the rest is waiting for the
embedding worker. Queries during ingest: ${mixed.asked} asked, p95 ${mixed.during.p95.toFixed(1)} ms (at rest ${mixed.atRest.p95.toFixed(1)} ms). Resident memory in MiB: started
${memory.started.toFixed(0)}, after queries ${memory.afterQueries.toFixed(0)}, after ingest with queries ${memory.afterIngest.toFixed(0)}, at most ${memory.peak.toFixed(0)}.`;
}
