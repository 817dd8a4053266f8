/** What all commands that speak the API have in common. */
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { type ApiClient, type ClientOptions, openClient } from './client.ts';
import type { Terminal } from './terminal.ts';

export interface ApiOptions extends ClientOptions {
  readonly json?: boolean;
}

/** Adds the options that say who asks, and where. */
export function withApiOptions(command: Command, example: string): Command {
  return command
    .option('--as <account>', 'act as this development account (else BULKHEAD_AS, else BULKHEAD_TOKEN)')
    .option(
      '--server <url>',
      'the server to ask (else BULKHEAD_SERVER, else the one that has the data folder)',
    )
    .option('--verbose', 'say where the request goes')
    .addHelpText('after', `\nExample:\n  ${example}`);
}

/** Opens, works, and closes whatever happened. */
export async function withClient(
  options: ClientOptions,
  terminal: Terminal,
  work: (client: ApiClient, config: Config) => Promise<void>,
): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const config = loadConfig();
  const client = await openClient(config, options, terminal);
  try {
    await work(client, config);
  } finally {
    await client.close();
  }
}

/** The result as the API gave it, or told to a person. */
export function show<T>(
  result: T,
  { json }: ApiOptions,
  terminal: Terminal,
  tell: (result: T) => readonly string[],
): void {
  if (json === true) terminal.json(result, 2);
  else for (const line of tell(result)) terminal.result(line);
}

/** A path with its slashes in one segment of the address. */
export function containerAddress(path: string): string {
  return `/v1/containers/${encodeURIComponent(path)}`;
}
