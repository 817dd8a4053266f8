import type { Command } from 'commander';
import { type ApiOptions, containerAddress, show, withApiOptions, withClient } from './api-command.ts';
import type { Terminal } from './terminal.ts';

interface GrantOptions extends ApiOptions {
  readonly deny?: boolean;
  readonly from?: string;
  readonly until?: string;
}

/** `bulkhead grant`: one entry on a container. */
export function grantCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('grant')
    .description('allow a principal to read what is in a container, or deny it; needs grant there')
    .argument('<container>', 'its path')
    .argument('<principal>', 'user:<issuer>|<id>, group:<source>|<id>, service:<issuer>|<client> or everyone')
    .option('--deny', 'deny instead; a deny is stronger than any allow')
    .option('--from <instant>', 'in ISO 8601; at once by default')
    .option('--until <instant>', 'in ISO 8601; without end by default')
    .option('--json', "the API's answer as it is");
  withApiOptions(
    command,
    "bulkhead grant /hr 'user:workforce|petra.fuchs' --until 2027-01-01 --as stefan.wolf",
  );
  command.action((container: string, principal: string, { deny, from, until, ...options }: GrantOptions) =>
    withClient(options, terminal, async (client) => {
      const who = deny === true ? { deny: principal } : { allow: principal };
      const granted = await client.call<{ id: number }>('POST', `${containerAddress(container)}/entries`, {
        body: { ...who, from, until },
      });
      const effect = deny === true ? 'denied' : 'allowed';
      show(granted, options, terminal, ({ id }) => [
        `${principal} is now ${effect} on ${container} (entry ${id}).`,
      ]);
    }),
  );
}
