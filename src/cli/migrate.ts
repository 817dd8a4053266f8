import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import type { ServiceRole } from '../store/process-role.ts';
import type { Terminal } from './terminal.ts';

const HELP = `
Examples:
  DATABASE_URL=postgres://owner@db/bulkhead bulkhead migrate
  DATABASE_URL=postgres://owner@db/bulkhead bulkhead migrate --logins ./secrets

The folder of --logins holds a file with a password for each login that is wanted: retrieve, ingest, indexer,
admin, audit, all. The logins are called bulkhead_retrieve_login and so on; run it again to change a password.`;

/** `bulkhead migrate`: the database schema, before a new version starts; and the logins of its processes. */
export function migrateCommand(program: Command, terminal: Terminal): void {
  program
    .command('migrate')
    .description('bring the database schema up to date; an embedded database does it whenever it is opened')
    .option('--logins <folder>', 'make a login for each role with a password file in this folder')
    .addHelpText('after', HELP)
    .action(async ({ logins }: { logins?: string }) => {
      const { loadConfig } = await import('../config/config.ts');
      const config = loadConfig();
      if (config.database === undefined) await migrateEmbedded(config, logins, terminal);
      else await migrateServer(config, config.database, logins, terminal);
    });
}

async function migrateEmbedded(
  config: Config,
  logins: string | undefined,
  terminal: Terminal,
): Promise<void> {
  if (logins !== undefined)
    throw new BulkheadError('config_invalid', 'The embedded database has no logins. Set DATABASE_URL.');
  const { openStore } = await import('../assembly/open-store.ts');
  await (await openStore(config)).close();
  terminal.result(`The embedded database in ${config.dataFolder} is up to date.`);
}

async function migrateServer(
  { production, qdrant }: Config,
  connection: NonNullable<Config['database']>,
  logins: string | undefined,
  terminal: Terminal,
): Promise<void> {
  const { migratePostgres, writePostgresLogins } = await import('../store/open-postgres.ts');
  const server = { ...connection, production, withVectorIndex: qdrant === undefined };
  const passwords = logins === undefined ? undefined : await readPasswords(logins);
  const done = await migratePostgres(server);
  for (const name of done) terminal.result(name);
  terminal.result(done.length === 0 ? 'The schema was up to date.' : 'The schema is up to date.');
  if (passwords === undefined) return;
  for (const login of await writePostgresLogins(server, passwords))
    terminal.result(`The login ${login} is ready.`);
}

/** @throws BulkheadError `config_invalid` for a file that names no role: a typing error would leave a role without login */
async function readPasswords(folder: string): Promise<ReadonlyMap<ServiceRole, string>> {
  const { SERVICE_ROLES } = await import('../store/postgres-logins.ts');
  const { readSecret } = await import('../config/secret-file.ts');
  const passwords = new Map<ServiceRole, string>();
  for (const name of filesIn(folder)) {
    const role = SERVICE_ROLES.find((known) => known === name);
    if (role === undefined)
      throw new BulkheadError(
        'config_invalid',
        `${join(folder, name)} names no role: the files are ${SERVICE_ROLES.join(', ')}.`,
      );
    passwords.set(role, readSecret(join(folder, name)) ?? '');
  }
  if (passwords.size === 0)
    throw new BulkheadError('config_invalid', `The folder ${folder} holds no password file.`);
  return passwords;
}

/** Hidden ones are links and folders that secret stores mount beside the files. */
function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('.'));
  } catch (error) {
    throw new BulkheadError('config_invalid', `The folder ${folder} could not be read.`, { cause: error });
  }
}
