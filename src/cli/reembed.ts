import type { Command } from 'commander';
import { BulkheadError } from '../errors.ts';
import { dataFolderHolder } from '../store/data-folder-lock.ts';
import { clientOver } from './client.ts';
import { inProcess } from './connection.ts';
import type { Terminal } from './terminal.ts';

interface ReembedOptions {
  readonly as?: string;
}

/**
 * `bulkhead reembed`: every passage under another model. Never through a running server: that one's model is the
 * index's own, or it would not have started.
 */
export function reembedCommand(program: Command, terminal: Terminal): void {
  program
    .command('reembed')
    .description(
      'embed everything with the model of BULKHEAD_MODEL and switch to it; needs administer and no server',
    )
    .option('--as <account>', 'act as this development account (else BULKHEAD_AS, else BULKHEAD_TOKEN)')
    .addHelpText(
      'after',
      '\nMay be broken off and started again.\n\nExample:\n  BULKHEAD_MODEL=models/bge-small-en-v1.5/manifest.json bulkhead reembed --as stefan.wolf',
    )
    .action(async (options: ReembedOptions) => {
      const { loadConfig } = await import('../config/config.ts');
      const config = loadConfig();
      refuseWhileServed(config.dataFolder);
      const progress = terminal.progress('Embedding again');
      const connection = await inProcess(config, terminal, {
        allowOtherModel: true,
        onReembedProgress: (done, total) => progress.update(done, total),
      });
      const client = await clientOver(connection, config, options, terminal);
      try {
        const { passages } = await client
          .call<{ passages: number }>('POST', '/v1/reembed')
          .finally(() => progress.end());
        terminal.result(`Embedded ${passages} passages; the index is of the configured model.`);
      } finally {
        await client.close();
      }
    });
}

function refuseWhileServed(folder: string): void {
  const holder = dataFolderHolder(folder);
  if (holder?.url === undefined) return;
  throw new BulkheadError(
    'data_folder_locked',
    `The server at ${holder.url} goes on with the model of its index. Stop it, run bulkhead reembed, and start it with the same BULKHEAD_MODEL.`,
  );
}
