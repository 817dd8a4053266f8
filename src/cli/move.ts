import type { Command } from 'commander';
import { type ApiOptions, containerAddress, show, withApiOptions, withClient } from './api-command.ts';
import type { Terminal } from './terminal.ts';

/** `bulkhead move`: a container, with everything below it, below another one. */
export function moveCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('move')
    .description(
      'move a container, with everything below it, below another one; needs administer, grant and label at both ends',
    )
    .argument('<container>', 'its path')
    .argument('<parent>', 'the path of the container that it is to hang below; / for the root')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, 'bulkhead move /projects/heron /archive --as stefan.wolf');
  command.action((container: string, to: string, options: ApiOptions) =>
    withClient(options, terminal, async (client) => {
      const moved = await client.call<{ path: string }>('POST', `${containerAddress(container)}/move`, {
        body: { to },
      });
      show(moved, options, terminal, ({ path }) => [
        `${container} is now ${path}, with everything below it; labels and entries come from there.`,
      ]);
    }),
  );
}
