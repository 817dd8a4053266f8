import type { Command } from 'commander';
import type { z } from 'zod';
import type { encryptionView, rotatedView, rotateLine } from '../http/encryption-views.ts';
import { type ApiOptions, show, withApiOptions, withClient } from './api-command.ts';
import type { ApiClient } from './client.ts';
import { table } from './layout.ts';
import { RefusedError } from './problem.ts';
import type { Progress, Terminal } from './terminal.ts';

type Status = z.infer<typeof encryptionView>;
type Rotated = z.infer<typeof rotatedView>;

interface RotateOptions extends ApiOptions {
  readonly dataKeys?: boolean;
  readonly termKeys?: boolean;
}

/** `bulkhead encryption`: the keys of levels that keep their texts encrypted. */
export function encryptionCommand(program: Command, terminal: Terminal): void {
  const group = program
    .command('encryption')
    .description('the keys of levels that keep their texts encrypted; needs administer');
  statusCommand(group, terminal);
  rotateCommand(group, terminal);
}

function statusCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('status')
    .description('data keys, what they are wrapped with, and how many passages wait to be sealed')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead encryption status --as stefan.wolf');
  command.action((options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      show(await client.call<Status>('GET', '/v1/encryption'), options, terminal, tellStatus);
    }),
  );
}

function rotateCommand(group: Command, terminal: Terminal): void {
  const command = group
    .command('rotate')
    .description('wrap data keys by the first key of BULKHEAD_KEY_FILE; readers go on meanwhile')
    .option('--data-keys', 'make new data keys too, and seal every passage anew')
    .option('--term-keys', 'make new keys for terms too, and bring them to the index anew')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead encryption rotate --data-keys --as stefan.wolf');
  command.addHelpText(
    'after',
    '\nBroken off, it goes on when the server does. A key may leave the file when status names it nowhere.',
  );
  command.action(({ dataKeys = false, termKeys = false, ...options }: RotateOptions) =>
    withClient(options, terminal, async (client) => {
      const progress = terminal.progress('Sealing anew');
      const path = `/v1/encryption/rotate?data_keys=${dataKeys}&term_keys=${termKeys}`;
      const rotated = await rotate(client, path, progress).finally(() => progress.end());
      show(rotated, options, terminal, tellRotated);
    }),
  );
}

async function rotate(client: ApiClient, path: string, progress: Progress): Promise<Rotated> {
  for await (const line of await client.exchange<z.infer<typeof rotateLine>>(path, nothingToSend())) {
    if ('error' in line) throw new RefusedError(line.error.code, line.error.detail);
    if ('result' in line) return line.result;
    if (line.total > 0) progress.update(line.done, line.total);
  }
  throw new RefusedError('server_unreachable', 'The server ended its answer before the work did.');
}

async function* nothingToSend(): AsyncGenerator<string> {}

function tellStatus({ levels, wrapped_with, data_keys, waiting }: Status): readonly string[] {
  const rows = data_keys.map((key) => [
    key.level,
    key.purpose,
    key.state,
    key.wrapped_with,
    String(key.passages),
    key.created_at.slice(0, 10),
  ]);
  return [
    levels.length === 0 ? 'No level asks for encryption.' : `Encrypted: ${levels.join(', ')}.`,
    ...(wrapped_with === null ? [] : [`Data keys are wrapped with "${wrapped_with}".`]),
    ...(rows.length === 0
      ? []
      : table([['LEVEL', 'FOR', 'STATE', 'WRAPPED WITH', 'PASSAGES', 'SINCE'], ...rows])),
    waiting === 0
      ? 'Every passage is as its level asks.'
      : `${waiting} passages wait to be sealed or opened.`,
  ];
}

function tellRotated({ rewrapped, retired, waiting }: Rotated): readonly string[] {
  return [
    `Wrapped ${rewrapped} data keys anew and retired ${retired}.`,
    waiting === 0
      ? 'Every passage is as its level asks.'
      : `${waiting} passages still wait: the log names those that do not open.`,
  ];
}
