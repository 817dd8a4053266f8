import type { Command } from 'commander';
import { containerAddress, withApiOptions, withClient } from './api-command.ts';
import type { ClientOptions } from './client.ts';
import { commaList, labelText } from './layout.ts';
import { RefusedError } from './problem.ts';
import type { Terminal } from './terminal.ts';

interface LabelOptions extends ClientOptions {
  /** `false` for --no-level. */
  readonly level?: string | false;
  readonly compartments: string;
}

/** `bulkhead label`: the label of a document or a container, whole. */
export function labelCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('label')
    .description('replace the label of a document or a container; needs label there')
    .argument('<target>', 'the id of a document, or the path of a container')
    .option('--level <name>', 'its own level')
    .option('--no-level', 'none of its own: what the containers above say')
    .option('--compartments <names>', 'its own compartments, separated by commas; none by default', '');
  withApiOptions(
    command,
    'bulkhead label /legal/heron --level restricted --compartments legal,heron --as johannes.voss',
  );
  command.action((target: string, { level, compartments, ...options }: LabelOptions) =>
    withClient(options, terminal, async (client) => {
      // a level left out by mistake would lower the label
      if (level === undefined)
        throw new RefusedError(
          'invalid_request',
          'A label is replaced whole: give --level <name> or --no-level.',
        );
      const label = { level: level === false ? null : level, compartments: [...commaList(compartments)] };
      const address = target.startsWith('/')
        ? containerAddress(target)
        : `/v1/documents/${encodeURIComponent(target)}`;
      await client.call('PATCH', `${address}/label`, { body: label });
      terminal.result(`${target} now says ${labelText(label)} itself.`);
    }),
  );
}
