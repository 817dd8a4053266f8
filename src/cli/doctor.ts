import type { Command } from 'commander';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import { table } from './layout.ts';
import { FailedQuietly } from './problem.ts';
import type { Terminal } from './terminal.ts';

interface DoctorOptions extends ApiOptions {
  readonly repair?: boolean;
}

type Differences = Readonly<Record<string, number>>;

interface Findings {
  readonly repaired: boolean;
  readonly differences: Differences;
  readonly remaining: Differences;
}

/** `bulkhead doctor`: the index held against the database. */
export function doctorCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('doctor')
    .description(
      'compare the index with the database; exit code 1 if they differ and stay so; needs administer',
    )
    .option('--repair', 'make the index what the database says')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead doctor --repair --as stefan.wolf');
  command.action(({ repair = false, ...options }: DoctorOptions) =>
    withClient(options, terminal, async (client) => {
      const findings = await client.call<Findings>('POST', '/v1/doctor', { body: { repair } });
      show(findings, options, terminal, tell);
      if (hasAny(findings.remaining)) throw new FailedQuietly();
    }),
  );
}

function tell({ repaired, differences, remaining }: Findings): readonly string[] {
  if (!hasAny(differences)) return ['The index is what the database says.'];
  const rows = Object.entries(differences).map(([kind, found]) => [
    kind,
    String(found),
    ...(repaired ? [String(remaining[kind] ?? 0)] : []),
  ]);
  return [
    ...table([['DIFFERENCE', 'PASSAGES', ...(repaired ? ['REMAIN'] : [])], ...rows]),
    conclusion(repaired, hasAny(remaining)),
  ];
}

function conclusion(repaired: boolean, isDifferent: boolean): string {
  if (!repaired) return 'Run: bulkhead doctor --repair';
  return isDifferent ? 'Some could not be repaired: the log of the server says why.' : 'Repaired.';
}

function hasAny(differences: Differences): boolean {
  return Object.values(differences).some((passages) => passages > 0);
}
