import { createServer } from 'node:net';
import type { Command } from 'commander';
import type { Bulkhead } from '../assembly/server.ts';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { dataFolderHolder } from '../store/data-folder-lock.ts';
import type { Terminal } from './terminal.ts';

/** `bulkhead serve`: everything in one process until it is told to stop. */
export function serveCommand(program: Command, terminal: Terminal): void {
  program
    .command('serve')
    .description('run the API and the pages; without a configuration, a demo company on an embedded store')
    .addHelpText('after', '\nExample:\n  PORT=8081 BULKHEAD_DATA=/var/lib/bulkhead bulkhead serve')
    .action(async () => {
      const { loadConfig } = await import('../config/config.ts');
      const { openBulkhead } = await import('../assembly/server.ts');
      const config = loadConfig();
      // of a server that has both the port and the folder, the folder says more
      if (dataFolderHolder(config.dataFolder) === undefined) await tryPort(config);
      const progress = terminal.progress('Loading the demo company');
      const onDemoProgress = (done: number, total: number) => progress.update(done, total);
      const bulkhead = await openBulkhead(config, { onDemoProgress }).finally(() => progress.end());
      try {
        await serve(bulkhead, terminal);
      } finally {
        await bulkhead.close();
      }
    });
}

async function serve(bulkhead: Bulkhead, terminal: Terminal): Promise<void> {
  const url = await bulkhead
    .listen()
    .catch((error: NodeJS.ErrnoException) => Promise.reject(explained(error, bulkhead.config)));
  terminal.result(`Bulkhead is ready at ${url.href}`);
  if (bulkhead.identity.development !== undefined)
    terminal.result(
      'Sign in there as two different people and ask both the same question; README.md has a tour.',
    );
  await stopSignal();
  terminal.say('Stopping.');
}

/** Before anything is loaded: nobody waits for the demo only to hear that the port is taken. */
async function tryPort(config: Config): Promise<void> {
  const attempt = createServer();
  await new Promise<void>((resolve, reject) => {
    attempt.once('error', (error) => reject(explained(error, config)));
    attempt.listen(config.port, config.host, resolve);
  });
  await new Promise((resolve) => attempt.close(resolve));
}

function explained(error: NodeJS.ErrnoException, { port, host }: Config): Error {
  if (error.code === 'EADDRINUSE')
    return new BulkheadError('config_invalid', `Port ${port} is in use already. Set PORT to another one.`);
  if (error.code === undefined) return error;
  const detail = `The server cannot listen at ${host}, port ${port}: ${error.code}. See PORT and BULKHEAD_HOST.`;
  return new BulkheadError('config_invalid', detail);
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
