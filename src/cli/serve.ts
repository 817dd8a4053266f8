import type { Command } from 'commander';
import { openBulkhead } from '../assembly/server.ts';
import { loadConfig } from '../config/config.ts';
import type { Terminal } from './terminal.ts';

/** `bulkhead serve`: everything in one process until it is told to stop. */
export function serveCommand(program: Command, terminal: Terminal): void {
  program
    .command('serve')
    .description('run the API and the pages; without a configuration, a demo company on an embedded store')
    .action(async () => {
      const config = loadConfig();
      const progress = terminal.progress('Loading the demo company');
      const bulkhead = await openBulkhead(config, { onDemoProgress: (done, total) => progress.update(done, total) });
      progress.end();
      const url = await bulkhead.listen();
      terminal.say(`Bulkhead is ready at ${url.href}`);
      if (bulkhead.identity.development !== undefined)
        terminal.say('Sign in there as two different people and ask both the same question; README.md has a tour.');
      await stopSignal();
      terminal.say('Stopping.');
      await bulkhead.close();
    });
}

/** A second signal ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
  });
}
