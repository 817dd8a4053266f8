/**
 * `npm run bench:revoke`: rights and credentials revoked while fifty callers ask, and whether a receipt later than the
 * commit of the revocation names what it took away. `--help` tells the rest.
 */
import { parseArgs } from 'node:util';
import { findPostgres } from '../test/helpers/postgres-server.ts';
import { describeMachine, machineLine } from './lib/machine.ts';
import { progress } from './lib/progress.ts';
import { writeResults } from './lib/results.ts';
import { type Found, findReceipts } from './lib/revoke/receipts.ts';
import { KINDS, type Kind, type Round, runRound } from './lib/revoke/rounds.ts';
import { openWorld } from './lib/revoke/world.ts';
import { table } from './lib/table.ts';

const HELP = `npm run bench:revoke -- [options]

  --requests <n>   in all, at least 10000 to count as measured (default 12000)
  --callers <n>    who ask at a time (default 50)
  --rounds <n>     revocations of each kind (default 5)
  --out <name>     bench/results/<date>-<name>.md (default revoke)
  --help

Starts a PostgreSQL (15 or newer, with pgvector) and a server of its own, and takes both away again.`;

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '12000' },
    callers: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string', default: 'revoke' },
    help: { type: 'boolean', default: false },
  },
});

type Measured = Round & Found;

// an end in order, so that the servers end too
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

if (options.help) console.log(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const bin = await findPostgres();
  if (bin === undefined) return 0;
  const machine = describeMachine();
  const [requests, callers, rounds] = [options.requests, options.callers, options.rounds].map(Number) as [
    number,
    number,
    number,
  ];
  const world = await openWorld(bin);
  const measured: Measured[] = [];
  try {
    const done = progress('rounds', rounds * KINDS.length);
    // the kinds in turn, so that none has the warm or the busy part of the run to itself
    for (let turn = 0; turn < rounds; turn += 1)
      for (const kind of KINDS) {
        const size = { requests: Math.ceil(requests / rounds / KINDS.length), callers };
        const round = await runRound(world, kind, turn, size);
        measured.push({ ...round, ...(await findReceipts(world.databaseUrl, round)) });
        done(measured.length);
      }
  } finally {
    await world.close();
  }
  return report(machineLine(machine), machine.at, callers, measured);
}

function report(machine: string, at: string, callers: number, measured: readonly Measured[]): number {
  const sum = (of: keyof Found | 'requests', rounds = measured) =>
    rounds.reduce((total, round) => total + round[of], 0);
  const leaked = sum('leaked') + sum('leakedByTime');
  const proven = measured.every(({ beforeTakenAway }) => beforeTakenAway > 0);
  const text = `# Revoked under load

${machine}

${callers} callers ask \`/v1/retrieve\` of one server on PostgreSQL without a pause; in the middle of each round, one right or
credential is revoked. A receipt is late when its transaction was committed after the revocation's, by the server's own
stamps; "by time" compares the time that it states. Of a grant and a membership, receipts count that name a passage which
the revocation took away; of the others, all of the caller.

${table(
  [
    'revoked',
    'requests',
    'receipts before',
    'of what was taken',
    'receipts after',
    'late',
    'late by time',
    '200',
    '401',
    'other',
    'revoked in ms',
  ],
  KINDS.map((kind) =>
    rowOf(
      kind,
      measured.filter((round) => round.kind === kind),
    ),
  ),
)}

Requests in all: ${sum('requests')}. Late receipts: ${leaked}.${proven ? '' : '\n\nIn some round nothing that was taken away had been released before: it proves nothing.'}
`;
  console.log(text);
  const figures = measured.map(({ statuses, ...round }) => ({
    ...round,
    statuses: Object.fromEntries(statuses),
  }));
  console.log(`Kept in ${writeResults(options.out, at, figures, text)}`);
  return leaked === 0 && proven ? 0 : 1;
}

function rowOf(kind: Kind, rounds: readonly Measured[]): readonly string[] {
  const sum = (of: (round: Measured) => number) =>
    String(rounds.reduce((total, round) => total + of(round), 0));
  const answered = (status: number) => sum(({ statuses }) => statuses.get(status) ?? 0);
  const times = rounds.map(({ revocationMs }) => revocationMs).sort((a, b) => a - b);
  return [
    kind,
    sum(({ requests }) => requests),
    sum(({ before }) => before),
    sum(({ beforeTakenAway }) => beforeTakenAway),
    sum(({ after }) => after),
    sum(({ leaked }) => leaked),
    sum(({ leakedByTime }) => leakedByTime),
    answered(200),
    answered(401),
    sum(({ statuses, requests }) => requests - (statuses.get(200) ?? 0) - (statuses.get(401) ?? 0)),
    (times[Math.floor(times.length / 2)] ?? Number.NaN).toFixed(0),
  ];
}
