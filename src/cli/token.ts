import { type Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/config.ts';
import { dataFolderHolder } from '../store/data-folder-lock.ts';
import { baseUrlOf } from './client.ts';
import { connect } from './connection.ts';
import { developmentToken, requireDevelopment } from './credentials.ts';
import { table } from './layout.ts';
import { RefusedError } from './problem.ts';
import type { Terminal } from './terminal.ts';

interface TokenOptions {
  readonly list?: boolean;
  readonly json?: boolean;
  readonly actor?: string;
  readonly acr?: string;
  readonly lifetime?: number;
  readonly server?: string;
}

/** `bulkhead token`: a bearer token of a development account, alone on standard output, for scripts. */
export function tokenCommand(program: Command, terminal: Terminal): void {
  program
    .command('token')
    .description('print a bearer token of a development account; not in production')
    .argument('[account]', 'anna.keller, or workforce|anna.keller')
    .option('--list', 'print the accounts instead')
    .option('--json', 'the accounts as JSON')
    .option('--actor <service>', 'a service that acts for the account')
    .option('--acr <class>', "how strongly it signed in (pwd, mfa); the account's own way by default")
    .option('--lifetime <seconds>', 'how long the token is good; an hour by default', toSeconds)
    .option(
      '--server <url>',
      'the server it is for (else BULKHEAD_SERVER, else the one that has the data folder)',
    )
    .addHelpText(
      'after',
      '\nExample:\n  curl -H "Authorization: Bearer $(bulkhead token anna.keller)" localhost:8080/v1/documents',
    )
    .action(async (account: string | undefined, options: TokenOptions) => {
      const { loadConfig } = await import('../config/config.ts');
      const config = loadConfig();
      requireDevelopment(config);
      if (options.list === true) return list(options, terminal);
      if (account === undefined)
        throw new RefusedError(
          'subject_unknown',
          'Say whose token: bulkhead token <account>, or --list for the accounts.',
        );
      const { actor, acr, lifetime: lifetimeSeconds, server } = options;
      const baseUrl = await baseUrlFor(config, server, terminal);
      terminal.result(await developmentToken(config, { account, actor, acr, lifetimeSeconds }, baseUrl));
    });
}

async function list({ json }: TokenOptions, terminal: Terminal): Promise<void> {
  const { listAccounts } = await import('../dev/account-tokens.ts');
  const accounts = await listAccounts();
  if (json === true) return terminal.json(accounts, 2);
  const rows = accounts.map(({ account, issuer, name, title }) => [account, issuer, name, title]);
  for (const line of table([['ACCOUNT', 'ISSUER', 'NAME', 'TITLE OR KIND'], ...rows])) terminal.result(line);
}

/** Without a server the one that will be started with the same settings is meant; nothing is opened for that. */
async function baseUrlFor(config: Config, server: string | undefined, terminal: Terminal): Promise<string> {
  const named = server ?? config.serverUrl;
  if (named === undefined && dataFolderHolder(config.dataFolder)?.url === undefined)
    return config.publicUrl ?? `http://localhost:${config.port}`;
  return baseUrlOf(await connect(config, server, terminal));
}

function toSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > 31_536_000)
    throw new InvalidArgumentError('Give whole seconds, a year at most.');
  return seconds;
}
