import type { Command } from 'commander';
import { containerAddress, withApiOptions, withClient } from './api-command.ts';
import type { ClientOptions } from './client.ts';
import type { Terminal } from './terminal.ts';

interface RevokeOptions extends ClientOptions {
  readonly deny?: boolean;
}

/** `bulkhead revoke`: what `grant` gave, taken back. */
export function revokeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('revoke')
    .description('take back what grant gave on a container; holds from the next answer on; needs grant there')
    .argument('<container>', 'its path')
    .argument('<principal>', 'as it was granted to')
    .option('--deny', 'take back a deny');
  withApiOptions(command, "bulkhead revoke /hr 'user:workforce|petra.fuchs' --as stefan.wolf");
  command.action((container: string, principal: string, { deny, ...options }: RevokeOptions) =>
    withClient(options, terminal, async (client) => {
      const effect = deny === true ? 'deny' : 'allow';
      await client.call('DELETE', `${containerAddress(container)}/entries`, { query: { principal, effect } });
      terminal.result(`The ${effect} of ${principal} on ${container} is gone.`);
    }),
  );
}
