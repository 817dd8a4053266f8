import type { Command } from 'commander';
import type { Terminal } from './terminal.ts';

const HELP = `
Examples:
  bulkhead restored                          one process of all roles
  BULKHEAD_ROLE=admin bulkhead restored      separate roles: once with each but the indexer, admin first

Run it with the server stopped. Afterwards: bulkhead doctor --repair, and bulkhead audit verify.`;

/** `bulkhead restored`: the database is back at a backup, and must not be taken for the one before. */
export function restoredCommand(program: Command, terminal: Terminal): void {
  program
    .command('restored')
    .description('say that the database was restored from a backup, before anything is served from it')
    .addHelpText('after', HELP)
    .action(async () => {
      const { loadConfig } = await import('../config/config.ts');
      const { restored } = await import('../assembly/restored.ts');
      const { incarnations, losses } = await restored(loadConfig());
      for (const { name } of incarnations)
        terminal.result(`The policy of ${name} has a new incarnation: nothing kept from before is believed.`);
      for (const { writer, kept, lost } of losses)
        terminal.result(
          `The chain of ${writer} ends at record ${kept}; records to ${lost} at least are gone, and that is declared.`,
        );
      if (losses.length === 0) terminal.result('No record that a checkpoint of this process knows is gone.');
      terminal.result('Next, with the server running: bulkhead doctor --repair, and bulkhead audit verify.');
    });
}
