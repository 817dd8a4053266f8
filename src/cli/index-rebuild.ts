import type { Command } from 'commander';
import type { z } from 'zod';
import type { rebuildLine } from '../http/routes/index-repair.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { ApiClient } from './client.ts';
import { RefusedError } from './problem.ts';
import type { Progress, Terminal } from './terminal.ts';

/** `bulkhead index rebuild`: the index anew from the database, while the old one answers. */
export function rebuildCommand(index: Command, terminal: Terminal): void {
  const command = index
    .command('rebuild')
    .description('build the index anew from the database; searches go on, and change over at the end')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead index rebuild --as stefan.wolf');
  command.addHelpText('after', '\nBroken off, it leaves the index as it was; started again, it starts over.');
  command.action((options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      const progress = terminal.progress('Rebuilding');
      const result = await rebuild(client, progress).finally(() => progress.end());
      show(result, options, terminal, ({ passages }) => [
        `Rebuilt from ${passages} passages; searches use the new index.`,
      ]);
    }),
  );
}

async function rebuild(client: ApiClient, progress: Progress): Promise<{ readonly passages: number }> {
  for await (const line of await client.exchange<z.infer<typeof rebuildLine>>(
    '/v1/index/rebuild',
    nothingToSend(),
  )) {
    if ('error' in line) throw new RefusedError(line.error.code, line.error.detail);
    if ('result' in line) return line.result;
    progress.update(line.done, line.total);
  }
  throw new RefusedError('server_unreachable', 'The server ended its answer before the work did.');
}

async function* nothingToSend(): AsyncGenerator<string> {}
