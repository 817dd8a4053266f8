import type { Command } from 'commander';
import { type ApiOptions, containerAddress, show, withApiOptions, withClient } from './api-command.ts';
import type { ClientOptions } from './client.ts';
import { table } from './layout.ts';
import type { Terminal } from './terminal.ts';

interface RevokeOptions extends ClientOptions {
  readonly deny?: boolean;
}

interface CredentialOptions extends ApiOptions {
  readonly reason: string;
}

interface RevocationBody {
  readonly kind: string;
  readonly id: string;
  readonly reason: string;
  readonly issued_until: string | null;
  readonly revoked_at: string;
}

interface Credential {
  readonly kind: 'user' | 'session' | 'client' | 'key';
  readonly description: string;
  readonly example: string;
}

const CREDENTIALS: readonly Credential[] = [
  {
    kind: 'user',
    description:
      'everything issued to a person until now, who may sign in anew; needs administer, unless it is you',
    example: "bulkhead revoke user 'workforce|petra.fuchs' --reason 'laptop lost' --as stefan.wolf",
  },
  {
    kind: 'session',
    description: 'one sign-in, for good; needs administer, unless it is your own',
    example: "bulkhead revoke session 'workforce|a81b0a' --reason 'left open' --as stefan.wolf",
  },
  {
    kind: 'client',
    description: 'everything issued to an application until now, for whomever it acts; needs administer',
    example: "bulkhead revoke client 'workforce|assistant' --reason 'secret in a log' --as stefan.wolf",
  },
  {
    kind: 'key',
    description: 'one API key, for good; needs administer',
    example: "bulkhead revoke key 'key|4f2c9e' --reason 'no longer used' --as stefan.wolf",
  },
];

/** `bulkhead revoke`: what `grant` gave, or a credential, taken back. */
export function revokeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('revoke')
    // --as after `user` is the subcommand's, which has the same options
    .enablePositionalOptions()
    .description(
      'take back what grant gave on a container, or a credential; holds from the next answer on; needs grant there, or administer',
    )
    .usage('[options] <container> <principal> | user|session|client|key <id> --reason <text> | list')
    .argument('<container>', 'its path')
    .argument('<principal>', 'as it was granted to')
    .option('--deny', 'take back a deny');
  withApiOptions(command, "bulkhead revoke /hr 'user:workforce|petra.fuchs' --as stefan.wolf");
  command.addHelpText('after', CREDENTIALS.map(({ example }) => `  ${example}`).join('\n'));
  command.action((container: string, principal: string, { deny, ...options }: RevokeOptions) =>
    withClient(options, terminal, async (client) => {
      const effect = deny === true ? 'deny' : 'allow';
      await client.call('DELETE', `${containerAddress(container)}/entries`, { query: { principal, effect } });
      terminal.result(`The ${effect} of ${principal} on ${container} is gone.`);
    }),
  );
  for (const credential of CREDENTIALS) revokeCredentialCommand(command, terminal, credential);
  listCommand(command, terminal);
}

function revokeCredentialCommand(parent: Command, terminal: Terminal, credential: Credential): void {
  const { kind, description, example } = credential;
  const command = parent
    .command(kind)
    .description(description)
    .argument('<id>', '<issuer>|<id>, as tokens have it')
    .requiredOption('--reason <text>', 'why, for those who look at it later')
    .option('--json', "the API's answer as it is");
  withApiOptions(command, example);
  command.action((id: string) => {
    // those before the name of the subcommand too
    const { reason, ...options } = command.optsWithGlobals<CredentialOptions>();
    return withClient(options, terminal, async (client) => {
      const body = { kind, id, reason };
      const revoked = await client.call<RevocationBody>('POST', '/v1/revocations', { body });
      show(revoked, options, terminal, ({ issued_until: until }) => [
        until === null
          ? `The ${kind} ${id} is refused from now on.`
          : `What was issued to the ${kind} ${id} until ${until} is refused.`,
      ]);
    });
  });
}

function listCommand(parent: Command, terminal: Terminal): void {
  const command = parent
    .command('list')
    .description('credentials that were revoked; needs administer')
    .option('--json', "the API's answers as they are, one for each page");
  withApiOptions(command, 'bulkhead revoke list --as stefan.wolf');
  command.action(() => {
    const options = command.optsWithGlobals<ApiOptions>();
    return withClient(options, terminal, async (client) => {
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = await client.call<{ revocations: RevocationBody[]; next_cursor: string | null }>(
          'GET',
          '/v1/revocations',
          { query: cursor === undefined ? {} : { cursor } },
        );
        show(page, options, terminal, ({ revocations }) => tell(revocations));
        cursor = page.next_cursor;
      }
    });
  });
}

function tell(revocations: readonly RevocationBody[]): readonly string[] {
  if (revocations.length === 0) return ['Nothing is revoked.'];
  const rows = revocations.map(({ kind, id, reason, issued_until: until, revoked_at: at }) => [
    kind,
    id,
    until ?? 'for good',
    at,
    reason,
  ]);
  return table([['KIND', 'ID', 'ISSUED UNTIL', 'REVOKED', 'WHY'], ...rows]);
}
