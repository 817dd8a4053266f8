import type { Command } from 'commander';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import { FailedQuietly } from './problem.ts';
import type { Terminal } from './terminal.ts';

interface DoctorOptions extends ApiOptions {
  readonly repair?: boolean;
}

interface Findings {
  readonly repaired: boolean;
  readonly differences: Readonly<Record<string, number>>;
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
      if (!repair && isDifferent(findings)) throw new FailedQuietly();
    }),
  );
}

function tell(findings: Findings): readonly string[] {
  if (!isDifferent(findings)) return ['The index is what the database says.'];
  const found = Object.entries(findings.differences).filter(([, passages]) => passages > 0);
  const list = found.map(([kind, passages]) => `${passages} ${kind}`).join(', ');
  return [
    `Passages that differ: ${list}. ${findings.repaired ? 'Repaired.' : 'Run: bulkhead doctor --repair'}`,
  ];
}

function isDifferent({ differences }: Findings): boolean {
  return Object.values(differences).some((passages) => passages > 0);
}
