import type { Command } from 'commander';
import { calibrateCommand } from './index-calibrate.ts';
import { deadLettersCommand } from './index-dead-letters.ts';
import { rebuildCommand } from './index-rebuild.ts';
import { statsCommand } from './index-stats.ts';
import type { Terminal } from './terminal.ts';

/** The subcommands of `bulkhead index`, in the order that help lists them; one file each. */
const SUBCOMMANDS: readonly ((index: Command, terminal: Terminal) => void)[] = [
  statsCommand,
  calibrateCommand,
  rebuildCommand,
  deadLettersCommand,
];

/** `bulkhead index …`: what concerns the vector index as a whole; all need the right administer. */
export function indexCommand(program: Command, terminal: Terminal): void {
  const index = program
    .command('index')
    .description('look after the vector index; needs the right administer')
    .addHelpText('after', '\nExample:\n  bulkhead index stats --as stefan.wolf');
  for (const add of SUBCOMMANDS) add(index, terminal);
}
