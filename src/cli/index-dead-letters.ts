import type { Command } from 'commander';
import type { z } from 'zod';
import type { deadLettersView, retriedView } from '../http/routes/index-repair.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import { table } from './layout.ts';
import type { Terminal } from './terminal.ts';

interface DeadLettersOptions extends ApiOptions {
  readonly retry?: boolean;
}

type DeadLetters = z.infer<typeof deadLettersView>;
type Retried = z.infer<typeof retriedView>;

/** `bulkhead index dead-letters`: what the index could not take, and another try. */
export function deadLettersCommand(index: Command, terminal: Terminal): void {
  const command = index
    .command('dead-letters')
    .description('documents that the index could not take after ten attempts')
    .option('--retry', 'try all of them again')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead index dead-letters --retry --as stefan.wolf');
  command.action(({ retry = false, ...options }: DeadLettersOptions) =>
    withClient(options, terminal, async (client) => {
      if (retry)
        show(
          await client.call<Retried>('POST', '/v1/index/dead-letters/retry', { body: {} }),
          options,
          terminal,
          ({ retried }) => [`Trying ${retried} ${retried === 1 ? 'document' : 'documents'} again.`],
        );
      else show(await client.call<DeadLetters>('GET', '/v1/index/dead-letters'), options, terminal, tell);
    }),
  );
}

function tell({ dead_letters, more }: DeadLetters): readonly string[] {
  if (dead_letters.length === 0) return ['There are none.'];
  const rows = dead_letters.map((letter) => [
    letter.document_id,
    letter.operation,
    String(letter.attempts),
    letter.last_error,
    letter.since,
  ]);
  return [
    ...table([['DOCUMENT', 'TO DO', 'ATTEMPTS', 'LAST ERROR', 'SINCE'], ...rows]),
    ...(more ? ['There are more than these.'] : []),
  ];
}
